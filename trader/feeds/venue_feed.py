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
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR, BAR_HISTORY, NS_PER_SECOND
from trader.errors import DataError
from trader.feeds.bars_received import Receipts
from trader.feeds.corporate_actions import ActionSource, CorporateAction
from trader.feeds.feed import BarSet
from trader.feeds.final_bars import NO_BARS, EarlierBars
from trader.feeds.finaliser import BarFinaliser
from trader.feeds.finaliser_events import (
    TICK,
    Ask,
    Final,
    Gap,
    Hours,
    Input,
    Late,
    Odd,
    Output,
    Quiet,
    Revision,
    Stale,
    Terms,
)
from trader.feeds.live import BadBar, FeedClock, FeedItem, FeedNotice, LiveBar, NoTrade, Tell
from trader.feeds.market_watch import Renewal, watch_actions, watch_clock, watch_facts
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.quotes import newest_quote
from trader.feeds.rest_asker import RestAsker, longer_wait, unanswered
from trader.feeds.revised import revised_bar
from trader.feeds.side_tasks import SideTasks
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
from trader.feeds.venue_terms import action_days, first_open_ns, hours_of, late_ns, tell_if_closed
from trader.feeds.waiting_line import WaitingLine
from trader.moments import iso_utc

TICK_S = 0.1
OPEN_TRIES = 4


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
        self.actions: Sequence[CorporateAction] | None = None  # None: it tells none
        self.hours: Hours | None = None  # of the market, once connected
        self.earlier: EarlierBars = NO_BARS  # that a run which goes on has traded on
        self._start_ns = 0
        self.proofs: dict[str, int] = {}  # bars by how each was known to be closed
        self.gaps = self.revisions = 0
        self.receipts = Receipts(len(config.symbols))
        self._config, self._source, self._clock = config, source, clock
        self._after_ns = after_ns
        self._tell = tell or (lambda line: None)
        self._time = VenueClock(source, clock)
        self._queue: asyncio.Queue[Input | SourceError] = asyncio.Queue()
        self._beside = SideTasks(self._queue.put_nowait)
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
                    self._take_start()
                    if isinstance(self._source, ActionSource):
                        self.actions = await self._source.actions(*self._action_days())
                    break
                except SourceError as error:
                    tries += 1
                    if tries >= OPEN_TRIES or error.remedy in (Remedy.NEVER, Remedy.GONE):
                        raise DataError(unanswered(self._source.name, error)) from None
                    wait_s = max(longer_wait(wait_s), error.after_s)
                    self._tell(f"{self._source.name}: {error.text}; again in {wait_s:.0f} s")
                    await asyncio.sleep(wait_s)
            self._time.require_close()
        except BaseException:
            await self.aclose()
            raise
        return self.facts

    def _take_start(self) -> None:
        config, now_ns = self._config, self._time.now_ns()
        self.hours = hours_of(config, now_ns, self._after_ns)
        self._start_ns = first_open_ns(config, self.hours, now_ns, self._after_ns)
        tell_if_closed(self._tell, config.risk.market_hours, self.hours, now_ns)

    async def __aiter__(self) -> AsyncIterator[FeedItem]:
        if not self.facts:
            await self.connect()
        finaliser = self._begun()
        try:
            if alert := self._time.alert():
                yield FeedNotice("CLOCK_OFFSET", alert)
            while not self._is_closed:
                event = await self._event()
                if isinstance(event, SourceError):
                    is_renewed = isinstance(event, Renewal)
                    self.end = FeedEnd.LOST if is_renewed else FeedEnd.REFUSED
                    kind = "FEED_RESTARTS" if is_renewed else "FEED_REFUSED"
                    yield FeedNotice(kind, f"{self._source.name}: {event.text}")
                    return
                for notice in self._notices(event):
                    yield notice
                now_ns = await self._time.now_beside(event)
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
        await self._beside.end()
        await self._source.close()

    def _begun(self) -> BarFinaliser:
        config, hours = self._config, self.hours
        grace_ns = round(config.feed.close_grace_seconds * NS_PER_SECOND)
        finality = self._source.can.finality
        terms = Terms(config.period_ns, finality, grace_ns, late_ns(config, finality), hours)
        if self.on_terms is not None:
            self.on_terms(self._start_ns, terms)
        symbols = len(config.symbols)
        self._beside.spawn(self._listen())
        put = self._queue.put_nowait
        self._beside.spawn(watch_clock(self._time, put))
        self._beside.spawn(watch_facts(self._source, self.facts, put))
        if isinstance(self._source, ActionSource):
            self._beside.spawn(
                watch_actions(self._source, self._action_days, self.actions or (), put)
            )
        return BarFinaliser(symbols, [self._start_ns] * symbols, terms, self.earlier)

    def _action_days(self) -> tuple[str, str]:
        return action_days(self._start_ns, self._time.now_ns())

    # what goes on beside

    async def _event(self) -> Input | SourceError:
        """What came, or TICK when one is due."""
        left_s = self._ticks_at_s - asyncio.get_running_loop().time()
        if left_s > 0.0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):  # `wait_for` of 3.11 loses a cancellation
                    return await self._queue.get()
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

    def _items(self, out: Output) -> Iterator[FeedItem]:
        """What one output is for the run; a bar waits in line."""
        if isinstance(out, Final | Revision | Late):
            self._line.put(out, asyncio.get_running_loop().time())
        elif isinstance(out, Ask):
            self._beside.spawn(self._asker.ask(out))
        elif isinstance(out, Stale):
            yield FeedNotice("FEED_MUTE", out.why, out.symbol)
            self._beside.spawn(self._source.reconnect(out.symbol, out.why))
        elif isinstance(out, Quiet):
            yield NoTrade(out.symbol)
        elif isinstance(out, Gap):
            self.gaps += out.bars
            text = f"{out.bars} bar(s) from {iso_utc(out.open_ns)} on are not there"
            yield FeedNotice("FEED_GAP", text, out.symbol)
        elif isinstance(out, Odd):
            yield BadBar(str(out.bar._asdict()), out.why, self._clock.now_ns(), out.symbol)

    def _released(self, finaliser: BarFinaliser) -> Iterator[FeedItem]:
        """The bars that need not wait for another symbol, in order."""
        for out in self._line.ready(finaliser, asyncio.get_running_loop().time()):
            if isinstance(out, Revision):
                self.revisions += 1
                name = self._config.symbols[out.symbol]
                yield revised_bar(out, name, self._config.period_ns)
            elif isinstance(out, Late):
                yield self._live(out.symbol, out.bar, BAR_HISTORY)
            else:
                self.proofs[out.proof.name] = self.proofs.get(out.proof.name, 0) + 1
                age_ns = self._time.now_ns() - out.bar.open_ns - self._config.period_ns
                is_history = out.is_history or age_ns > finaliser.late_ns
                self.untraded += is_history
                yield from self._counted(out.symbol, not is_history)
                flags = int(out.proof) | (BAR_HISTORY if is_history else 0)
                yield self._live(out.symbol, out.bar, flags)

    def _counted(self, symbol: int, is_received: bool) -> Iterator[FeedNotice]:
        """A bar that was due; a notice where too few come."""
        if low := self.receipts.note(symbol, is_received):
            yield FeedNotice("FEED_INCOMPLETE", low, symbol)

    def _live(self, symbol: int, bar: RawBar, flags: int) -> LiveBar:
        close_ns = bar.open_ns + self._config.period_ns
        age_ns = -1 if flags & BAR_HISTORY else self._time.now_ns() - bar.open_ns
        now_s = asyncio.get_running_loop().time()
        quote = newest_quote(self._source, symbol, now_s - age_ns / NS_PER_SECOND)
        row = (close_ns, *bar[1:], *quote, symbol, flags)
        return LiveBar(
            np.array([row], BAR)[0], self._clock.now_ns(), close_ns - self._time.offset_ns
        )
