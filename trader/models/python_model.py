"""`model.type: python`: a callable of the user's own.

Law: it gets a copy of the features, so it cannot change ours, and the rows of the bars alone;
whatever it raises, except Ctrl-C, is a `ModelError` with its own message and line.
"""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.sections.model import PythonModel as PythonConfig
from trader.core.schema import REQUEST
from trader.errors import ConfigError, ModelError
from trader.models.actions import ModelActions
from trader.models.answer_rules import answer_rules
from trader.models.answers import AnswerError, to_actions
from trader.models.model_rows import shape_of_model
from trader.models.prediction import Rich, no_requests
from trader.models.slice_frames import by_symbol, slice_frames, symbols_of
from trader.user_code.targets import load_target, what_failed


class PythonModel:
    """A user's callable `(rows, features) float64 → one action per row`."""

    def __init__(
        self,
        config: PythonConfig,
        feature_names: Sequence[str],
        symbols: Sequence[str],
        search_paths: Sequence[Path] = (),
    ) -> None:
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        self.target = config.target
        found = load_target(config.target, "model.target", search_paths)
        self._home = _file_of(found)
        self._rules = answer_rules(config.target, config)
        self._answer: Callable[[Any], Any] = self._callable(found, config.params)

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing to check: the callable is asked about any bars."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> np.ndarray | Rich | ModelActions:
        """int8 actions (n,) of float64 features (n, k); `ModelError` if the callable fails.

        The callable gets (n, window, k) where it has a window, and a DataFrame an instant where
        its scope is a slice. It may answer with a mapping (or a DataFrame): `action`, and beside
        it `score`, `limit_price`, `stop_loss`, `take_profit`, `size`, one value a row, NaN for
        none.
        """
        own, shape = np.array(features, np.float64, order="C"), shape_of_model(self)
        try:
            if shape.by_slice:
                return self._by_slice(bars, own)
            if shape.window > 1:
                own = own.reshape(len(own), shape.window, -1)
            return self._judged(self._answer(own), len(bars))
        except (KeyboardInterrupt, ModelError):
            raise
        except BaseException as error:
            raise ModelError(f"{self.target} raised {what_failed(error, self._home)}") from error

    def _judged(self, answer: Any, rows: int) -> np.ndarray | Rich | ModelActions:
        if _has_columns(answer):
            return rich_answer(answer, rows)
        return to_actions(answer, rows) if self._rules is None else self._rules.of(answer, rows)

    def _by_slice(self, bars: np.ndarray, features: np.ndarray) -> Rich | ModelActions:
        """The answers about each instant, one after the other."""
        actions, reasons = np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16)
        requests, is_rich = no_requests(len(bars)), False
        window = shape_of_model(self).window
        for rows, frame in slice_frames(bars, features, self.feature_names, self.symbols, window):
            known = symbols_of(frame)
            try:
                said = self._judged(by_symbol(self._answer(frame), known), len(known))
            except AnswerError as error:
                row = None if error.row is None else rows.start + error.row
                raise AnswerError(error.complaint, row) from error
            if isinstance(said, ModelActions):
                actions[rows], reasons[rows] = said.actions, said.reasons
                requests["score"][rows] = said.scores
            elif isinstance(said, Rich):
                actions[rows], requests[rows], is_rich = said.actions, said.requests, True
            else:
                actions[rows] = said
        if is_rich:
            return Rich(actions, requests)
        return ModelActions(actions, reasons, requests["score"].copy())

    def _callable(self, found: Any, params: Mapping[str, Any]) -> Callable[[Any], Any]:
        if inspect.isclass(found):
            self._check_params(found, params)
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    found = found(**params)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                reason = what_failed(error, self._home)
                raise ModelError(f"{self.target} cannot be made: {reason}") from error
            params = {}
        answer = found if callable(found) else getattr(found, "predict", None)
        if not callable(answer):
            raise ConfigError(
                f"{self.target} is a {type(found).__name__}, which cannot be called and has no "
                "predict(features)",
                key="model.target",
            )
        self._check_params(answer, params, np.empty((0, 0)))
        return functools.partial(answer, **params) if params else answer

    def _check_params(self, target: Any, params: Mapping[str, Any], *args: object) -> None:
        """`ConfigError` if the target cannot be called with these arguments."""
        try:
            signature = inspect.signature(target)
        except (TypeError, ValueError):  # built in, says nothing of its arguments
            return
        try:
            signature.bind(*args, **params)
        except TypeError as error:
            what = "(features, …)" if args else "(…)"
            raise ConfigError(
                f"{self.target}{signature} cannot be called with {what} and params "
                f"{sorted(params)}: {error}",
                key="model.params" if params else "model.target",
            ) from error


def _has_columns(answer: Any) -> bool:
    """Whether an answer is a table: a mapping, or what pandas and polars call a frame."""
    return isinstance(answer, Mapping) or hasattr(answer, "columns")


def rich_answer(answer: Any, rows: int) -> Rich:
    """Actions and what comes beside them out of a table; `AnswerError` for what is none."""
    names = [str(name) for name in (answer if isinstance(answer, Mapping) else answer.columns)]
    beside = REQUEST.names or ()
    unknown = [name for name in names if name not in ("action", *beside)]
    if "action" not in names or unknown:
        wrong = f"no column {unknown[0]!r} is known" if unknown else "there is no column 'action'"
        raise AnswerError(f"{wrong}; a table has action, and may have {', '.join(beside)}")
    actions = to_actions(np.asarray(answer["action"]), rows)
    requests = no_requests(rows)
    for name in names:
        if name == "action":
            continue
        try:
            values = np.asarray(answer[name], np.float64)
        except (TypeError, ValueError) as error:
            raise AnswerError(f"{name} holds something that is not a number: {error}") from error
        if values.shape != (rows,):
            raise AnswerError(f"{name} has shape {values.shape} for {rows} rows")
        requests[name] = values
    return Rich(actions, requests)


def _file_of(found: object) -> str | None:
    try:
        return inspect.getfile(found)  # type: ignore[arg-type]
    except TypeError:
        try:
            return inspect.getfile(type(found))
        except TypeError:
            return None
