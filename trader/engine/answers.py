"""Where the actions of a slice come from: streaming features, a model, and what overrules it.

    StreamSignals  a history: features and model in one thread; a failing model ends the run
    LiveSignals    a live feed: the model is asked with a deadline, and never ends the run

Law: runs off the event loop. Each slice is answered as if the later ones did not exist: features
come from streams, which have not seen the next bar. A model is never asked about the future and
never overruled silently: a HOLD that is not the model's own carries its reason.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple, Protocol

import numpy as np

from trader.core.book import NO_REQUESTS
from trader.core.schema import BAR_HISTORY, NS_PER_SECOND, Reason, TradingAction
from trader.engine.slices import Slice
from trader.features.feature_set import FeatureSet, FeatureStream
from trader.models.model import Model, predict_rows
from trader.models.model_rows import PLAIN, RowMemory, shape_of_model
from trader.models.prediction import Prediction
from trader.models.worker import AskedModel

NEVER_ASKED = 0


class Answer(NamedTuple):
    """What was said of the bars of one slice; arrays run with them."""

    actions: np.ndarray  # i1, TradingAction
    reasons: np.ndarray  # i2, Reason
    requests: np.ndarray = NO_REQUESTS  # REQUEST (n,), or (0,) where every action comes alone
    features_sha: str = ""  # of the feature matrix's bytes; "" where nobody records it
    latency_ns: int = NEVER_ASKED  # of the model


class Signals(Protocol):
    """Where the actions of a slice come from."""

    in_turn: bool  # whether it is asked slice by slice, each with what is `held` by then

    async def answers(self, slices: Sequence[Slice]) -> list[Answer]:
        """One answer a slice, in order; each as if the later ones did not exist."""
        ...


class StreamSignals:
    """Features by stream and a model in a thread of `pool`, slice by slice."""

    def __init__(self, features: FeatureSet, model: Model, pool: Executor) -> None:
        self._stream = features.stream()
        self._model = model
        self._pool = pool
        self._rows = 0
        shape = shape_of_model(model)
        self._memory = RowMemory(shape, features.n_symbols, self._stream.width)
        self.in_turn = shape.needs_position

    async def answers(self, slices: Sequence[Slice]) -> list[Answer]:
        """See `Signals`. `ModelError` as in a backtest: a history is not traded past it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._answers, slices)

    def _answers(self, slices: Sequence[Slice]) -> list[Answer]:
        return [self._answer(one) for one in slices]

    def _answer(self, one: Slice) -> Answer:
        bars = one.bars
        matrix = self._memory.take(bars, feature_rows(self._stream, bars), one.held)
        seen = self._stream.prices.take(bars)
        answer = Answer(*predict_rows(self._model, seen, matrix, self._rows))
        self._rows += len(bars)
        return answer


class Ages(NamedTuple):
    """How old a slice may be when its actions are known, in seconds; None for any age."""

    stale_s: float | None = None  # older: HOLD with DATA_STALE
    hopeless_s: float | None = None  # older, several times in a row: the run cannot keep up
    trades_history: bool = False  # bars that the feed marked as history are decided on


class LiveSignals:
    """Features by stream in `pool`, and a model with a deadline. Raises nothing a model did."""

    def __init__(
        self,
        stream: FeatureStream,
        model: AskedModel,
        pool: Executor,
        now_ns: "Clock",
        ages: Ages = Ages(),  # noqa: B008 - immutable
        memory: RowMemory | None = None,
    ) -> None:
        self.model = model
        self._memory = memory or RowMemory(PLAIN, 0, 0)
        self.in_turn = self._memory.shape.needs_position
        self.lag_s = 0.0  # of the newest slice, when its actions were known
        self.hopeless_in_a_row = 0
        self._stream = stream
        self._pool = pool
        self._now_ns = now_ns
        self._ages = ages
        self._is_live = False  # whether a slice has been in time yet; history comes late

    async def answers(self, slices: Sequence[Slice]) -> list[Answer]:
        """See `Signals`."""
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._pool, self._all_features, slices)
        asked = [
            (self._stream.prices.take(one.bars), self._memory.take(one.bars, matrix, one.held))
            for one, (matrix, _) in zip(slices, made, strict=True)
        ]
        began_ns = self._now_ns()
        if len(asked) == 1:
            said = [await self.model.predict(*asked[0])]
        else:
            said = await self.model.predict_all(asked)
        now_ns = self._now_ns()
        took_ns = (now_ns - began_ns) // len(asked)
        told = zip(slices, said, made, strict=True)
        return [
            self._answer(one, one_said, now_ns, (sha, took_ns)) for one, one_said, (_, sha) in told
        ]

    def _answer(self, one: Slice, said: Prediction, now_ns: int, facts: tuple[str, int]) -> Answer:
        bars = one.bars
        actions, reasons, requests = said
        if one.quarantined:
            bad = np.isin(bars["symbol"], one.quarantined) & (reasons == Reason.NONE)
            actions, reasons = overruled(actions, reasons, bad, Reason.DATA_INVALID)
        own = reasons == Reason.NONE
        history = (bars["flags"] & BAR_HISTORY) != 0
        if history.any() and not self._ages.trades_history:
            actions, reasons = overruled(actions, reasons, own & history, Reason.DATA_HISTORY)
            self._is_live = True  # what is to come is of now, and its silence counts
        elif one.due_ns is not None and self._is_stale(one.due_ns, now_ns):
            actions, reasons = overruled(actions, reasons, own, Reason.DATA_STALE)
        return Answer(actions, reasons, requests, *facts)

    def _is_stale(self, due_ns: int, now_ns: int) -> bool:
        """Whether a slice is too old to act on. Before the first that is not, it is history."""
        self.lag_s = (now_ns - due_ns) / NS_PER_SECOND
        stale_s, hopeless_s, _ = self._ages
        if stale_s is None:
            return False
        is_fresh = self.lag_s <= stale_s
        self._is_live = self._is_live or is_fresh
        is_hopeless = hopeless_s is not None and self._is_live and not (self.lag_s <= hopeless_s)
        self.hopeless_in_a_row = self.hopeless_in_a_row + 1 if is_hopeless else 0
        return self._is_live and not is_fresh

    @property
    def is_live(self) -> bool:
        """Whether the feed has shown a bar of now, and not only history."""
        return self._is_live

    def _all_features(self, slices: Sequence[Slice]) -> list[tuple[np.ndarray, str]]:
        return [self._features(one.bars) for one in slices]

    def _features(self, bars: np.ndarray) -> tuple[np.ndarray, str]:
        matrix = feature_rows(self._stream, bars)
        return matrix, hashlib.sha256(matrix.tobytes()).hexdigest()


class Clock(Protocol):
    """Returns nanoseconds that only go forward."""

    def __call__(self) -> int: ...


def feature_rows(stream: FeatureStream, bars: np.ndarray) -> np.ndarray:
    """float64 (n, features): the features of the bars of one slice, which the stream takes in."""
    matrix = np.empty((len(bars), stream.width))
    for index in range(len(bars)):
        matrix[index] = stream.update(bars[index])
    return matrix


def overruled(
    actions: np.ndarray, reasons: np.ndarray, where: np.ndarray, reason: Reason
) -> tuple[np.ndarray, np.ndarray]:
    """Copies in which the rows of `where` hold, for `reason`."""
    held = np.where(where, np.int8(TradingAction.HOLD), actions).astype(np.int8)
    return held, np.where(where, np.int16(reason), reasons).astype(np.int16)
