"""A model in a file, as a backtest sees it: in a process of its own.

Law: nothing of the file is parsed here. The process loads it, answers from memory that both share,
and ends with this object; whatever kills it is a `ModelError` and not a crash of the run.
"""

import contextlib
import functools
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.errors import ModelError
from trader.models.actions import ModelActions
from trader.models.answers import AnswerError, nonsense_in
from trader.models.child import Setup, Status
from trader.models.memory import half_the_memory
from trader.models.model import CHUNK_ROWS, load_model
from trader.models.model_rows import shape_of
from trader.models.predictor import sample
from trader.models.process import MOST_ROWS, ChildGone, ModelProcess, TooLate
from trader.models.shared_rows import SharedRows

LOAD_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 86_400.0
OTHER_ROWS = "an answer of other rows"
ASKED_AT_ONCE = 2  # questions: the next is written down while one is answered
TRY_TIMEOUT_S = 120.0  # for the first few rows: a damaged tree may go round in circles
SUICIDE_S = 3_600.0  # a child whose parent was killed in the middle of a question
_log = logging.getLogger(__name__)


class StartedProcess:
    """A process that imports what a model needs while its run still reads data."""

    def __init__(self, needs: Sequence[str]) -> None:
        self.shared = tuple(SharedRows() for _ in range(ASKED_AT_ONCE))
        descriptors = tuple(one.descriptor for one in self.shared)
        self.process = ModelProcess(preload=needs, inherited=descriptors)
        self.close = weakref.finalize(self, _ended, self.process, self.shared)


def _ended(process: ModelProcess, shared: Sequence[SharedRows]) -> None:
    process.kill()
    for one in shared:
        one.close()


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
        self._path = getattr(config.model, "path", "")
        self._started = started
        self._number, self._is_tried = 0, False
        load = functools.partial(load_model, config, feature_names, symbols, search_paths)
        setup = Setup(
            load,
            tuple(sys.path),
            os.getcwd(),
            half_the_memory(),
            SUICIDE_S,
            tuple(one.descriptor for one in started.shared),
        )
        process = started.process
        try:
            process.begin(setup)
            process.wait_ready(time.monotonic() + LOAD_TIMEOUT_S)
        except TooLate:
            self.close()
            text = f"model.path {self._path}: is not loaded after {LOAD_TIMEOUT_S:g} s"
            raise ModelError(text) from None
        except ChildGone as error:
            self.close()
            raise error.as_error(self._path) from None
        for notice in process.notices:
            _log.warning("%s", notice)

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing to check: a model in a file is asked about any bars."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> ModelActions:
        """See `Model`."""
        return self.begin(bars, features)()

    def begin(self, bars: np.ndarray, features: np.ndarray) -> Callable[[], ModelActions]:
        """`predict` in two steps: ask now, and wait for the answer by calling what this returns.

        At most `ASKED_AT_ONCE` questions may be open; they are answered in order.
        """
        if not self._is_tried and len(features):
            self._is_tried = True
            with contextlib.suppress(AnswerError):  # it is told where it counts, with its row
                self._sent(sample(features), TRY_TIMEOUT_S)()
        return self._sent(features, ANSWER_TIMEOUT_S)

    def _sent(self, features: np.ndarray, timeout_s: float) -> Callable[[], ModelActions]:
        self._number += 1
        number, shared = self._number, self._started.shared
        file = number % len(shared)
        where = shared[file].put(np.asarray(features, np.float64), file)
        with self._gone_is_an_error(timeout_s, where.rows):
            self._started.process.send(number, where, time.monotonic() + timeout_s)

        def answer() -> ModelActions:
            with self._gone_is_an_error(timeout_s, where.rows):
                found = self._started.process.answer_to(number, time.monotonic() + timeout_s)
            if found.status == Status.SHARED and found.rows == where.rows:
                return _sound(shared[file].answer(where))
            if found.status == Status.NONSENSE:
                raise AnswerError(found.text, found.row)
            raise ModelError(found.text if found.status == Status.FAILED else OTHER_ROWS)

        return answer

    @contextlib.contextmanager
    def _gone_is_an_error(self, timeout_s: float, rows: int) -> Iterator[None]:
        try:
            yield
        except TooLate:
            self.close()
            raise ModelError(
                f"model.path {self._path}: gives no answer about {rows:,} rows within "
                f"{timeout_s:g} s; the file is damaged, or the model far too slow"
            ) from None
        except ChildGone as error:
            raise ModelError(
                f"model.path {self._path}: the model failed while it was asked: {error}; the file "
                "is damaged, or needs more memory than a model may take"
            ) from None

    def close(self) -> None:
        """End the process. May be called again."""
        self._started.close()


def _sound(said: ModelActions) -> ModelActions:
    """An answer that the process wrote into our memory, if it is one."""
    fault = nonsense_in(said.actions, said.reasons)
    if fault is not None:
        raise ModelError(f"the model failed: {fault}")
    return said
