"""A live feed of a market: an adapter, its clock and the finaliser, put together.

    source.events ─┐                                    ┌─► asked of REST ─► Page ─┐
                   ├─► queue ─► finaliser ─► LiveBar, notices                      │
                   └──────────────────────────────────────────────────────────────-┘

Law: subscribes first, then asks for history; nothing newer leaves before what was missed has been
asked for. Requests that fail are made again, later and later, and a market that asks for quiet
gets it. No bar waits for ever for another symbol's history.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

import numpy as np

from trader.codes import DAY_NS
from trader.config.schema import Config
from trader.config.sections.running import QUEUE_PERIODS
from trader.core.schema import BAR, BAR_HISTORY, NS_PER_SECOND
from trader.errors import DataError
from trader.feeds.feed import BarSet
from trader.feeds.finaliser import BarFinaliser
from trader.feeds.finality import (
    TICK,
    Ask,
    Final,
    Gap,
    Hours,
    Input,
    Late,
    Odd,
    Output,
    Revision,
    Stale,
    Terms,
)
from trader.feeds.live import BadBar, FeedClock, FeedNotice, LiveBar, Tell
from trader.feeds.market_watch import watch_clock, watch_facts
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.rest_asker import RestAsker, longer_wait
from trader.feeds.source import (
    BarSource,
    InstrumentFacts,
    Notice,
    RawBar,
    Remedy,
    SourceError,
    StreamLoss,
    Up,
)
from trader.feeds.venue_clock import VenueClock
from trader.feeds.waiting_line import WaitingLine
from trader.hours.tables import is_always_open, last_known_ns, session_table
from trader.moments import iso_utc

HOURS_BEFORE_NS, HOURS_AHEAD_NS = 400 * DAY_NS, 366 * DAY_NS
TICK_S = 0.1
OPEN_TRIES = 4

Item = LiveBar | BadBar | FeedNotice


class VenueFeed:
    """Bars of a market as they close."""

    def __init__(
        self,
        config: Config,
        source: BarSource,
        clock: FeedClock,
        after_ns: int | None = None,
        tell: Tell | None = None,
    ) -> None:
        """`after_ns`: the close of the last bar that a run which goes on has traded on."""
        self.history: BarSet | None = None
        self.skipped = self.forming = 0
        self.untraded = 0  # bars of before the start and of holes
        self.end = FeedEnd.LOST
        self.facts: Sequence[InstrumentFacts] = ()
        self.proofs: dict[str, int] = {}  # bars by how each was known to be closed
        self.gaps = self.revisions = 0
        self._config, self._source, self._clock = config, source, clock
        self._after_ns = after_ns
        self._tell = tell or (lambda line: None)
        self._time = VenueClock(source, clock)
        self._queue: asyncio.Queue[Input | SourceError] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asker = RestAsker(source, config.symbols, self._time, self._queue.put_nowait)
        self._ticks_at_s = 0.0
        self._line = WaitingLine()
        self._is_closed = False
        self._down_why = ""
        self._closing: asyncio.Task[None] | None = None
        self.on_terms: Callable[[int, Terms], None] | None = None  # told of the start; a recording
        self.on_input: Callable[[Input, int, bool], None] | None = None  # and of all that comes

    @property
    def name(self) -> str:
        """Of the market."""
        return self._source.name

    @property
    def clock_offset_ms(self) -> float:
        """How far the market's clock is ahead of ours."""
        return self._time.offset_ms

    async def connect(self) -> Sequence[InstrumentFacts]:
        """Load the market, compare the clocks; the facts of the instruments.

        Raises `ConfigError` for what the market has not, `DataError` where it does not answer or
        the clocks are too far apart.
        """
        wait_s, tries = 0.0, 0
        try:
            while True:
                try:
                    await self._source.open()
                    await self._time.measure()
                    self.facts = await self._source.facts()
                    break
                except SourceError as error:
                    tries += 1
                    if tries >= OPEN_TRIES or error.remedy in (Remedy.NEVER, Remedy.GONE):
                        raise DataError(f"{self._source.name}: {error.text}") from None
                    wait_s = max(longer_wait(wait_s), error.after_s)
                    self._tell(f"{self._source.name}: {error.text}; again in {wait_s:.0f} s")
                    await asyncio.sleep(wait_s)
            self._time.require_close()
        except BaseException:
            await self.aclose()
            raise
        return self.facts

    async def __aiter__(self) -> AsyncIterator[Item]:
        if not self.facts:
            await self.connect()
        finaliser = self._begun()
        try:
            if alert := self._time.alert():
                yield FeedNotice("CLOCK_OFFSET", alert)
            while not self._is_closed:
                event = await self._event()
                if isinstance(event, SourceError):
                    self.end = FeedEnd.REFUSED
                    yield FeedNotice("FEED_REFUSED", f"{self._source.name}: {event.text}")
                    return
                for notice in self._notices(event):
                    yield notice
                now_ns = self._time.now_ns()
                outs = finaliser.on(event, now_ns)
                if self.on_input is not None:
                    self.on_input(event, now_ns, bool(outs))
                for out in outs:
                    for item in self._items(out):
                        yield item
                for item in self._released(finaliser):
                    yield item
        finally:
            await self.aclose()

    def at_once(self) -> LiveBar | None:
        """See `LiveFeed`."""
        return None

    async def aclose(self) -> None:
        """Nothing more is asked or yielded; returns when every connection is gone."""
        self._is_closed = True
        self._closing = self._closing or asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        tasks, self._tasks = list(self._tasks), set()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await self._source.close()

    def _begun(self) -> BarFinaliser:
        config, period_ns = self._config, self._config.period_ns
        start_ns = self._after_ns
        if start_ns is None:
            start_ns = config.feed.start_ns
        hours = self._hours()
        if start_ns is None:
            start_ns = self._time.now_ns() - config.feed.warmup_bars * period_ns
            if hours is not None:
                start_ns = hours.back_ns(self._time.now_ns(), config.feed.warmup_bars * period_ns)
        finality = self._source.can.finality
        grace_ns = round(config.feed.close_grace_seconds * NS_PER_SECOND)
        terms = Terms(period_ns, finality, grace_ns, self._late_ns(), hours)
        if self.on_terms is not None:
            self.on_terms(start_ns, terms)
        symbols = len(config.symbols)
        self._spawn(self._listen())
        put = self._queue.put_nowait
        self._spawn(watch_clock(self._time, put))
        self._spawn(watch_facts(self._source, self.facts, put))
        return BarFinaliser(symbols, [start_ns] * symbols, terms)

    def _late_ns(self) -> int:
        """Age from which a bar is history: it would be denied as stale, or end the run as one that
        waited too long."""
        config = self._config
        waits_s = config.execution.queue_max_age_seconds
        waits_s = QUEUE_PERIODS * config.bar_period_seconds if waits_s is None else waits_s
        stale_s = config.feed.max_age_bars * config.bar_period_seconds
        return round(min(stale_s, waits_s) * NS_PER_SECOND)

    def _hours(self) -> Hours | None:
        """Trading hours, from well before now to about a year ahead; None for around the clock."""
        market_hours = self._config.risk.market_hours
        if is_always_open(market_hours):
            return None
        now_ns = self._time.now_ns()
        since_ns = self._after_ns or self._config.feed.start_ns or now_ns - HOURS_BEFORE_NS
        ahead_ns = min(now_ns + HOURS_AHEAD_NS, last_known_ns(market_hours, now_ns))
        table = session_table(market_hours, min(since_ns, now_ns), ahead_ns)
        return Hours(table["open_ns"].tolist(), table["close_ns"].tolist())

    # what goes on beside

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _event(self) -> Input | SourceError:
        """What came, or TICK when one is due."""
        left_s = self._ticks_at_s - asyncio.get_running_loop().time()
        if left_s > 0.0:
            if not self._queue.empty():
                return self._queue.get_nowait()
            with contextlib.suppress(asyncio.TimeoutError):
                return await asyncio.wait_for(self._queue.get(), left_s)
        self._ticks_at_s = asyncio.get_running_loop().time() + TICK_S
        return TICK

    async def _listen(self) -> None:
        try:
            async for event in self._source.events():
                self._queue.put_nowait(event)
        except SourceError as error:
            self._queue.put_nowait(error)

    def _notices(self, event: Input) -> Iterator[FeedNotice]:
        """What is worth a word of what the source told; once for a line of many symbols."""
        if isinstance(event, Notice):
            yield FeedNotice(event.kind, event.text)
        elif isinstance(event, StreamLoss) and self._down_why != event.why:
            self._down_why = event.why
            yield FeedNotice("FEED_DOWN", f"the line to {self._source.name} is down: {event.why}")
        elif isinstance(event, Up) and self._down_why:
            self._down_why = ""
            yield FeedNotice("FEED_UP", f"the line to {self._source.name} is up again")

    # what comes out

    def _items(self, out: Output) -> Iterator[Item]:
        """What one output is for the run; a bar waits in line."""
        if isinstance(out, Final | Revision | Late):
            self._line.put(out, asyncio.get_running_loop().time())
        elif isinstance(out, Ask):
            self._spawn(self._asker.ask(out))
        elif isinstance(out, Stale):
            yield FeedNotice("FEED_MUTE", out.why, out.symbol)
            self._spawn(self._source.reconnect(out.symbol, out.why))
        elif isinstance(out, Gap):
            self.gaps += out.bars
            text = f"{out.bars} bar(s) from {iso_utc(out.open_ns)} on are not there"
            yield FeedNotice("FEED_GAP", text, out.symbol)
        elif isinstance(out, Odd):
            yield BadBar(str(out.bar._asdict()), out.why, self._clock.now_ns(), out.symbol)

    def _released(self, finaliser: BarFinaliser) -> Iterator[Item]:
        """The bars that need not wait for another symbol, in order."""
        for out in self._line.ready(finaliser, asyncio.get_running_loop().time()):
            if isinstance(out, Revision):
                self.revisions += 1
                yield self._live(out.symbol, out.new, BAR_HISTORY)
            elif isinstance(out, Late):
                yield self._live(out.symbol, out.bar, BAR_HISTORY)
            else:
                self.proofs[out.proof.name] = self.proofs.get(out.proof.name, 0) + 1
                age_ns = self._time.now_ns() - out.bar.open_ns - self._config.period_ns
                is_history = out.is_history or age_ns > self._late_ns()
                self.untraded += is_history
                flags = int(out.proof) | (BAR_HISTORY if is_history else 0)
                yield self._live(out.symbol, out.bar, flags)

    def _live(self, symbol: int, bar: RawBar, flags: int) -> LiveBar:
        close_ns = bar.open_ns + self._config.period_ns
        row = (close_ns, *bar[1:], np.nan, np.nan, symbol, flags)
        return LiveBar(
            np.array([row], BAR)[0], self._clock.now_ns(), close_ns - self._time.offset_ns
        )
