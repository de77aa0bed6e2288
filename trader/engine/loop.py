"""Shell 2, the ExecutionLoop: slices as they come, through features, model, core and gate.

    portions ─► signals (executor) ─► taker: core, gate, journal (under one lock) ─► hooks
                                 stop requests, from any thread ┘

Law: decides nothing. It is the one loop of `trader backtest --engine loop` and `trader paper`:
what differs between them (where slices come from, who answers, whether there is a journal) is
handed in. Features, model and disk are off the event loop; the book is touched under one
`asyncio.Lock` only. Nothing here sleeps or reads a clock.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from trader.core.book import Inputs, Rules
from trader.core.schema import Reason, TradingState
from trader.core.tradingstate import is_bankrupt
from trader.engine.answers import Signals, StreamSignals
from trader.engine.batch import RowKeeper, RunRecord
from trader.engine.hook_events import Narrator
from trader.engine.hooks import Hooks
from trader.engine.slice_takers import PlainSlices, SliceTaker, numbered
from trader.engine.sliceengine import SliceEngine, Snapshot
from trader.engine.slices import Portion, RefusedBar, Slice, history_portions
from trader.features.feature_set import FeatureSet
from trader.finer_bars import Detail
from trader.models.model import Model
from trader.safety.callbacks import CallbackStats

T = TypeVar("T")
TOLD = {"invalid": "BAD_BAR", "revised": "DATA_REVISED", "disorder": "FEED_OUT_OF_ORDER"}


class StopCause(NamedTuple):
    """Why a loop came back: `end` of the feed, or what `request_stop` was told."""

    how: str
    text: str = ""


# Looked at after every portion: why trading must stop, None while it may go on.
Guard = Callable[[], StopCause | None]


def _no_guard() -> StopCause | None:
    return None


class ExecutionLoop:
    """Takes slices from an async iterator to the end and keeps the one book of the run.

    `run` is called once; everything else may be called at any time, `request_stop` and `snapshot`
    from any thread.
    """

    def __init__(
        self,
        taker: SliceTaker,
        signals: Signals,
        hooks: Hooks | None = None,
        guard: Guard = _no_guard,
    ) -> None:
        self.hooks = hooks or Hooks()
        self.refused: dict[str, int] = {}  # bars not traded on, by use
        self.denied = self.throttled = 0  # orders that the decisions of this start asked for
        self._taker = taker
        self._signals = signals
        self._guard = guard
        self._in_turn = getattr(signals, "in_turn", False)
        self._narrator = Narrator(self.hooks, taker.symbols, taker.client_id)
        self._lock = asyncio.Lock()
        self._published = taker.engine.snapshot()
        self._stop: StopCause | None = None
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def register_hook(self, event: str, callback: Callable[[Any], Any]) -> CallbackStats:
        """Call `callback(details)` at every `event`; see `Hooks.register_hook`."""
        return self.hooks.register_hook(event, callback)

    def snapshot(self) -> Snapshot:
        """The state after the last slice, whole: copies that nobody changes. From any thread."""
        return self._published

    def request_stop(self, how: str, text: str = "") -> None:
        """Stop at once between two slices; the first request counts. From any thread.

        A slice whose answer is not known yet is dropped: it was not taken. One that is being taken
        is taken to its end.
        """
        if self._stop is None:
            self._stop = StopCause(how, text)
        if self._wake is not None:
            loop, event = self._wake
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(event.set)

    async def cancel_working(self, reason: Reason) -> int:
        """End every working order between two slices; how many there were."""
        async with self._lock:
            count = await self._taker.cancel_working(reason)
            self.publish()
        return count

    def publish(self) -> None:
        """Let `snapshot` tell of what was done to the state between two slices."""
        self._published = self._taker.engine.snapshot()

    def tell_halted(self, events: np.ndarray) -> None:
        """Let hooks hear what a halt from outside the core changed: its EVENT rows."""
        self._narrator.state_changed(events)

    def tell_state_since(self, before: TradingState) -> None:
        """Let hooks hear of a trading state that is not `before`: a re-arm taken in at a start."""
        self._narrator.state_since(before, self._taker.engine.book.account[0])

    def tell_closed(self, fill: np.void) -> None:
        """Let hooks hear of an order that closed a position for a kill, and of its FILL row."""
        self._narrator.position_closed(fill)

    async def run(self, portions: AsyncIterator[Portion]) -> StopCause:
        """Trade every slice of every portion, in order, until the end or a stop.

        Raises what `signals` and the taker raise (`ModelError` of a history, `JournalError`).
        """
        asked = asyncio.Event()
        self._wake = (asyncio.get_running_loop(), asked)
        stopping = asyncio.ensure_future(asked.wait())
        items = aiter(portions)
        try:
            while True:
                self._stop = self._stop or self._guard()
                if self._stop is not None:
                    return self._stop
                portion = await _unless(stopping, anext(items, None))
                if portion is not None:
                    await self._trade(portion, stopping)
                elif self._stop is None:
                    self._stop = self._guard()
                    return self._stop or StopCause("end")
        finally:
            stopping.cancel()
            if hasattr(items, "aclose"):
                await items.aclose()

    async def _trade(self, portion: Portion, stopping: "asyncio.Future[Any]") -> None:
        if portion.refused:
            await self._note(portion.refused)
        if not portion.slices:
            return
        slices = portion.slices
        parts = [slices[at : at + 1] for at in range(len(slices))] if self._in_turn else [slices]
        for part in parts:
            if not await self._trade_part(part, stopping):
                break
        self.publish()

    async def _trade_part(self, part: Sequence[Slice], stopping: "asyncio.Future[Any]") -> bool:
        """Trade slices that are answered together; False where a stop came."""
        engine = self._taker.engine
        if self._in_turn:
            part = [one._replace(held=engine.held_at(one.bars, one.detail)) for one in part]
        answers = await _unless(stopping, self._signals.answers(part))
        if answers is None:  # a model or a feature of the user's may take as long as it likes
            return False
        last = part[-1]
        for one, answer in zip(part, answers, strict=True):
            async with self._lock:
                await self._taker.take(one.bars, answer, one is not last, one.detail)
                self._count(engine.rows().decisions)
                if self.hooks.any_listener:
                    self._narrator.slice_taken(one.bars, answer, engine)
            if is_bankrupt(engine.book.account[0]):
                self.request_stop("halted", Reason.BANKRUPT.name)
                return False
        return True

    def _count(self, decisions: np.ndarray) -> None:
        is_left = decisions["approved_qty"] != 0.0
        self.denied += int(np.count_nonzero((decisions["requested_qty"] != 0.0) & ~is_left))
        self.throttled += int(np.count_nonzero((decisions["throttle"] != 0) & is_left))

    async def _note(self, refused: Sequence[RefusedBar]) -> None:
        async with self._lock:
            await self._taker.note(refused)
        for one in refused:
            if one.use != "notice":
                self.refused[one.use] = self.refused.get(one.use, 0) + 1
            kind = one.kind or TOLD.get(one.use)
            if kind is not None:
                self.hooks.emit("error", **self._narrator.bar_named(one), kind=kind, text=one.text)


async def _unless(stopping: "asyncio.Future[Any]", asked: Awaitable[T]) -> T | None:
    """What `asked` gives; None when `stopping` is done first, and `asked` is cancelled."""
    coming = asyncio.ensure_future(asked)
    try:
        await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:  # also when this task is cancelled: a generator that runs cannot be closed
        if not coming.done():
            coming.cancel()
            await asyncio.wait({coming})


def run_history_with_loop(
    rules: Rules,
    inputs: Inputs,
    features: FeatureSet,
    model: Model,
    keeper: RowKeeper,
    progress: Callable[[int], None] | None = None,
) -> RunRecord:
    """A history through the loop: only its bars are used, features and actions are made anew.

    Raises `ModelError` where the model fails, as a backtest does. Not for use inside a running
    event loop.
    """

    async def run(bars: np.ndarray, detail: Detail) -> RunRecord:
        with ThreadPoolExecutor(1, thread_name_prefix="signals") as pool:
            taker = PlainSlices(SliceEngine(rules, keeper), numbered(rules))
            loop = ExecutionLoop(taker, StreamSignals(features, model, pool))
            await loop.run(history_portions(bars, progress, detail))
            return taker.engine.record()

    with contextlib.redirect_stdout(sys.stderr):
        model.check_history(inputs.bars)
        return asyncio.run(run(inputs.bars, Detail(inputs.finer, inputs.edges)))
