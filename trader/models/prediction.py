"""What a model says of bars, and how its answers are put together.

Law: a model is asked only about rows whose features are all defined; the others are HOLD with
reason WARMUP. Answers are taken in the order of the questions, and an answer that cannot be read
is a `ModelError` that names its row.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from trader.core.book import NO_REQUESTS
from trader.core.schema import REQUEST, Reason
from trader.errors import ModelError
from trader.models.actions import ModelActions
from trader.models.answers import AnswerError, bar_label, to_actions


class Prediction(NamedTuple):
    """What is said of some bars, row by row: the actions, and what comes beside them."""

    actions: np.ndarray  # i1, TradingAction
    reasons: np.ndarray  # i2, Reason: why a HOLD is not the model's own
    requests: np.ndarray = NO_REQUESTS  # REQUEST (n,), or (0,) where every action comes alone


class Rich(NamedTuple):
    """A model's answer that says more than actions."""

    actions: np.ndarray  # i1 (n,), as checked by `to_actions`
    requests: np.ndarray  # REQUEST (n,)
    reasons: np.ndarray | None = None  # i2 (n,); None: every HOLD is the model's own


def no_requests(rows: int) -> np.ndarray:
    """REQUEST records (rows,) that ask for nothing."""
    return np.full(rows * len(REQUEST.names or ()), np.nan).view(REQUEST)


def _clear(requests: np.ndarray) -> None:
    """Make these REQUEST records ask for nothing."""
    requests.view(np.float64).fill(np.nan)


class Answers:
    """What a model says of bars, part by part.

    A model with `begin` is asked about a part while it answers about the part before.
    """

    def __init__(self, model: Any, bars: np.ndarray, first_row: int = 0) -> None:
        self._model, self._bars, self._first_row = model, bars, first_row
        self._begin = getattr(model, "begin", None)
        self._open: list[tuple[slice | np.ndarray, Callable[[], Any]]] = []  # asked, in order
        self._reached = 0  # of `bars`: those before it were asked about
        rows = len(bars)
        self.prediction = Prediction(np.zeros(rows, np.int8), np.zeros(rows, np.int16))

    def ask(self, part: slice, features: np.ndarray) -> None:
        """Ask about the warm rows of a part of the bars, whose features these are. Parts follow
        one another."""
        self._reached = part.stop
        if len(self.prediction.requests):
            _clear(self.prediction.requests[part])
        for warm in _warm_parts(features, self.prediction.reasons[part]):
            if isinstance(warm, slice):
                where: slice | np.ndarray = slice(part.start + warm.start, part.start + warm.stop)
            else:
                where = part.start + warm
            asked = (self._bars[where], features[warm])
            if self._begin is None:
                self._take(where, functools.partial(self._model.predict, *asked))
                continue
            self._open.append((where, self._begin(*asked)))
            if len(self._open) > 1:
                self._take(*self._open.pop(0))

    def finish(self) -> None:
        """Wait for what is still to come."""
        while self._open:
            self._take(*self._open.pop(0))

    def _take(self, where: slice | np.ndarray, answered: Callable[[], Any]) -> None:
        try:
            self._note(where, answered())
        except AnswerError as error:
            if error.row is None:
                raise ModelError(error.complaint) from error
            row = int(np.arange(len(self._bars))[where][error.row])
            label = bar_label(self._bars, row, self._model.symbols)
            raise ModelError(
                f"row {self._first_row + row} (from 0; {label}): {error.complaint}"
            ) from error

    def _note(self, where: slice | np.ndarray, answer: Any) -> None:
        actions, reasons, _ = self.prediction
        if isinstance(answer, ModelActions):
            actions[where], reasons[where] = answer.actions, answer.reasons
            if not np.isnan(answer.scores).all():
                self._requests()["score"][where] = answer.scores
            return
        if isinstance(answer, Rich):
            self._requests()[where] = answer.requests
            if answer.reasons is not None:
                reasons[where] = answer.reasons
            answer = answer.actions
        actions[where] = to_actions(answer, len(self._bars[where]))

    def _requests(self) -> np.ndarray:
        """REQUEST of all bars, made when a first answer has some.

        They are filled part by part, as asked: in one go the model would wait for it.
        """
        if not len(self.prediction.requests):
            requests = np.empty(len(self._bars), REQUEST)
            _clear(requests[: self._reached])
            self.prediction = self.prediction._replace(requests=requests)
        return self.prediction.requests


def _warm_parts(features: np.ndarray, reasons: np.ndarray) -> Iterator[slice | np.ndarray]:
    """Mark rows with an undefined feature as WARMUP; yield the rows left to ask about, if any.

    `min` is NaN if any value is: one fast pass tells that a chunk is warm, as nearly all are.
    """
    rows = len(features)
    if features.size == 0 or not np.isnan(features.min()):
        yield slice(0, rows)
        return
    cold = np.isnan(features[:, 0])
    for column in range(1, features.shape[1]):
        cold |= np.isnan(features[:, column])
    reasons[cold] = Reason.WARMUP
    warm = np.flatnonzero(~cold)
    if len(warm) == 0:
        return
    if warm[-1] - warm[0] + 1 == len(warm):  # one run, as after the start: a view will do
        yield slice(int(warm[0]), int(warm[-1]) + 1)
    else:
        yield warm
