"""A model in a file, as a backtest sees it: in a process of its own.

Law: nothing of the file is parsed here. The process loads it, answers from memory that both share,
and ends with this object; whatever kills it is a `ModelError` and not a crash of the run.
"""

import functools
import logging
import os
import sys
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.errors import ModelError
from trader.models.actions import AnswerError
from trader.models.child import Setup, Status
from trader.models.decisions import ModelActions
from trader.models.memory import half_the_memory
from trader.models.model import CHUNK_ROWS, load_model
from trader.models.model_rows import shape_of
from trader.models.process import MOST_ROWS, Answer, ChildGone, ModelProcess, TooLate
from trader.models.shared_rows import SharedRows

LOAD_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 86_400.0
SUICIDE_S = 3_600.0  # a child whose parent was killed in the middle of a question
_log = logging.getLogger(__name__)


class StartedProcess:
    """A process that imports what a model needs while its run still reads data."""

    def __init__(self, needs: Sequence[str]) -> None:
        self.shared = SharedRows()
        self.process = ModelProcess(preload=needs, inherited=(self.shared.descriptor,))
        self.close = weakref.finalize(self, _ended, self.process, self.shared)


def _ended(process: ModelProcess, shared: SharedRows) -> None:
    process.kill()
    shared.close()


class ChildModel:
    """`FileModel` of a config, loaded and asked in a process of its own."""

    def __init__(
        self,
        config: Config,
        feature_names: Sequence[str],
        symbols: Sequence[str],
        search_paths: Sequence[Path],
        started: StartedProcess,
    ) -> None:
        self.feature_names = (*feature_names, *shape_of(config).extra)
        self.symbols = tuple(symbols)
        self.chunk_rows = min(getattr(config.model, "chunk_rows", CHUNK_ROWS), MOST_ROWS)
        self._started = started
        self._number = 0
        load = functools.partial(load_model, config, feature_names, symbols, search_paths)
        setup = Setup(
            load,
            tuple(sys.path),
            os.getcwd(),
            half_the_memory(),
            SUICIDE_S,
            started.shared.descriptor,
        )
        process = started.process
        try:
            process.begin(setup)
            process.wait_ready(time.monotonic() + LOAD_TIMEOUT_S)
        except TooLate:
            self.close()
            path = getattr(config.model, "path", "")
            text = f"model.path {path}: is not loaded after {LOAD_TIMEOUT_S:g} s"
            raise ModelError(text) from None
        except ChildGone as error:
            self.close()
            raise error.as_error(getattr(config.model, "path", "")) from None
        for notice in process.notices:
            _log.warning("%s", notice)

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing to check: a model in a file is asked about any bars."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> ModelActions:
        """See `Model`."""
        self._number += 1
        where = self._started.shared.put(np.asarray(features, np.float64))
        process = self._started.process
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            answer = process.ask_shared(self._number, where, deadline_s)
        except (ChildGone, TooLate) as error:
            raise ModelError(f"the model failed: {error}") from None
        return _judged(answer, len(features))

    def close(self) -> None:
        """End the process. May be called again."""
        self._started.close()


def _judged(answer: Answer, rows: int) -> ModelActions:
    if answer.status == Status.SCORED and answer.rows == rows:
        return answer.decided
    if answer.status == Status.NONSENSE:
        raise AnswerError(answer.text, answer.row)
    raise ModelError(answer.text if answer.status == Status.FAILED else "an answer of other rows")
