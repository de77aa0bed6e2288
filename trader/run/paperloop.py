"""The paper run: bars as they come, grouped into slices, decided, journaled, sent.

    feed ─► BarGate ─► slices ─► features, model (executor) ─► JournaledSlices under a lock ─► hooks

Law: decides nothing. Features and model run off the event loop; the latch is looked at between
slices and while nothing comes; a bar that is late, doubled or revised is recorded and not traded.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from trader.core.book import Book
from trader.core.schema import Reason, TradingState
from trader.feeds.bargate import BarGate
from trader.feeds.live import BadBar, LiveBar, LiveFeed
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.run.hooks import Hooks
from trader.run.journaled import JournaledSlices
from trader.run.modelworker import AskedModel
from trader.signals.features import FeatureStream

LATCH_LOOK_S = 0.1
MODEL_FAILURES_TO_STOP = 3


@dataclass
class Parts:
    """What a loop is made of."""

    feed: LiveFeed
    bar_gate: BarGate
    stream: FeatureStream
    model: AskedModel
    slices: JournaledSlices
    journal: Journal
    pool: Executor
    hooks: Hooks
    stop_cause: Callable[[], str]  # of the latch; "" while trading may go on
    n_symbols: int
    width: int  # features
    grace_s: float
    last_ns: int = -(2**63)


@dataclass
class Stopped:
    """Why the loop came back: `end`, `interrupted` or `killed`, and what it counted."""

    how: str
    text: str = ""
    refused: dict[str, int] = field(default_factory=dict)


class PaperLoop:
    """One paper run, from the first bar to the last."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = asyncio.Lock()
        self._waiting: dict[int, np.void] = {}  # bars of the slice that is filling, by symbol
        self._waiting_ns = 0
        self._last_ns = parts.last_ns
        self._interrupted = asyncio.Event()
        self._state = int(parts.slices.engine.book.account[0]["trading_state"])
        self.refused: dict[str, int] = {}

    def interrupt(self) -> None:
        """Stop after the slice under way. For signal handlers."""
        self._interrupted.set()

    async def snapshot(self) -> Book:
        """A copy of the book between two slices."""
        async with self._lock:
            return Book(*(array.copy() for array in self._parts.slices.engine.book))

    async def run(self) -> Stopped:
        """Trade until the feed ends, a signal or a kill. JournalError is fatal."""
        parts = self._parts
        parts.hooks.emit("trading_started")
        stopped = await self._trade()
        await parts.feed.aclose()
        stopped.refused = dict(self.refused)
        parts.hooks.emit("trading_stopped", how=stopped.how, text=stopped.text)
        return stopped

    async def _trade(self) -> Stopped:
        bars = aiter(self._parts.feed)
        pending: asyncio.Task[LiveBar | BadBar] | None = None
        since = time.monotonic()
        try:
            while True:
                cause = self._parts.stop_cause()
                if cause:
                    return Stopped("killed", cause)
                if self._interrupted.is_set():
                    return Stopped("interrupted")
                if self._is_stopped_by_model():
                    return Stopped("model", self._parts.model.health.last_error)
                pending = pending or asyncio.ensure_future(anext(bars))
                done, _ = await asyncio.wait({pending}, timeout=LATCH_LOOK_S)
                if not done:
                    if self._waiting and time.monotonic() - since >= self._parts.grace_s:
                        await self._decide()
                    continue
                try:
                    came = pending.result()
                except StopAsyncIteration:
                    pending = None
                    await self._decide()
                    return Stopped("end")
                pending = None
                since = time.monotonic()
                await self._arrived(came)
        finally:
            if pending is not None:
                pending.cancel()

    def _is_stopped_by_model(self) -> bool:
        return self._parts.model.health.consecutive_failures >= MODEL_FAILURES_TO_STOP

    async def _arrived(self, came: LiveBar | BadBar) -> None:
        if isinstance(came, BadBar):
            self._count("invalid")
            self._parts.journal.append([build.alert("BAD_BAR", came.reason, {"line": came.line})])
            self._parts.hooks.emit("error", text=came.reason)
            return
        bar = came.bar
        ts_ns = int(bar["ts_ns"])
        verdict = self._parts.bar_gate.check(bar)
        use = "" if verdict.is_accepted else verdict.kind.name.lower()
        if not use and ts_ns <= self._last_ns:
            use = "late"
        if use:
            self._count(use)
            rows = np.array([bar], bar.dtype)
            entries = [build.bars(rows, use)]
            if use == "revised":
                entries.append(build.alert("DATA_REVISED", verdict.detail))
            self._parts.journal.append(entries)
            return
        if self._waiting and ts_ns > self._waiting_ns:
            await self._decide()
        elif self._waiting and ts_ns < self._waiting_ns:  # of a slice that was never opened
            self._count("late")
            self._parts.journal.append([build.bars(np.array([bar], bar.dtype), "late")])
            return
        self._waiting_ns = ts_ns
        self._waiting[int(bar["symbol"])] = bar.copy()
        if len(self._waiting) == self._parts.n_symbols:
            await self._decide()

    def _count(self, use: str) -> None:
        self.refused[use] = self.refused.get(use, 0) + 1

    async def _decide(self) -> None:
        """The slice that has filled, through everything."""
        if not self._waiting:
            return
        parts = self._parts
        rows = [self._waiting[symbol] for symbol in sorted(self._waiting)]
        bars = np.array(rows, rows[0].dtype)
        self._waiting.clear()
        loop = asyncio.get_running_loop()
        matrix = await loop.run_in_executor(parts.pool, self._features, bars)
        began_ns = time.monotonic_ns()
        actions, reasons = await parts.model.predict(bars, matrix)
        took_ns = time.monotonic_ns() - began_ns
        sha = hashlib.sha256(matrix.tobytes()).hexdigest()
        answer = build.ModelAnswer(bars["symbol"], actions, reasons, sha, took_ns)
        async with self._lock:
            parts.slices.take(bars, answer)
            self._last_ns = int(bars[0]["ts_ns"])
        self._tell(bars, actions, reasons)

    def _features(self, bars: np.ndarray) -> np.ndarray:
        matrix = np.empty((len(bars), self._parts.width))
        for index in range(len(bars)):
            matrix[index] = self._parts.stream.update(bars[index])
        return matrix

    def _tell(self, bars: np.ndarray, actions: np.ndarray, reasons: np.ndarray) -> None:
        """Hooks of one slice."""
        hooks, rows = self._parts.hooks, self._parts.slices.engine.rows()
        hooks.emit("bar", bars=bars)
        hooks.emit("action_generated", bars=bars, actions=actions, reasons=reasons)
        for decision in rows.decisions:
            if decision["requested_qty"] != 0.0 and decision["approved_qty"] == 0.0:
                hooks.emit("order_denied", decision=decision.copy())
            elif decision["approved_qty"] != 0.0:
                hooks.emit("order_sent", decision=decision.copy())
        for throttle in rows.throttles:
            hooks.emit("order_throttled", throttle=throttle.copy())
        for fill in rows.fills:
            hooks.emit("order_filled", fill=fill.copy())
        state = int(self._parts.slices.engine.book.account[0]["trading_state"])
        if state != self._state:
            before, self._state = TradingState(self._state).name, state
            reason = Reason(int(self._parts.slices.engine.book.account[0]["state_reason"])).name
            hooks.emit(
                "trading_state_changed",
                before=before,
                after=TradingState(state).name,
                reason=reason,
            )
