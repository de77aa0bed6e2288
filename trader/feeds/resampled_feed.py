"""A live feed of short bars as one of long bars.

    feed ─► BarGate of the source ─► long bars that form ─► LiveBar, once closed

Law: a long bar is given once, when a bar that closes at its end or later has come; never before.
Where a symbol's last bars are missing, its long bar goes out with those of the others: when one
of them is a bar further, or after half the grace of a slice. A short bar that is bad is handed on
as a `BadBar`; one that is late or revised is told, as is a long bar that lacks bars. A market's
history that begins inside a long bar begins with the next.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trader.codes import DAY_NS
from trader.config.schema import Config
from trader.core.schema import BAR_HISTORY
from trader.feeds.bargate import BarGate, VerdictKind
from trader.feeds.live import BadBar, FeedItem, FeedNotice, LiveBar, LiveFeed, RevisedBar
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.resample import LongGrid, lack_text
from trader.feeds.sessions import session_table
from trader.hours.long_periods import FormingBars, LongSpans
from trader.hours.periods import bar_clock
from trader.moments import iso_utc

if TYPE_CHECKING:
    from trader.feeds.feed import BarSet

AHEAD_NS = 60 * DAY_NS
SHOWN = 200
NEVER_NS = -(2**63)
OF_AN_EARLIER_BAR = {  # what a short bar is told as that changes nothing; "": not at all
    VerdictKind.DUPLICATE: "",
    VerdictKind.LATE: "FEED_OUT_OF_ORDER",
    VerdictKind.REVISED: "DATA_REVISED",
}


class _Last(NamedTuple):
    """The newest source bar of a symbol, and the long bar it lies in."""

    came: LiveBar
    spans: LongSpans


def source_config(config: Config) -> Config:
    """The config of the short bars: as much history as the long ones need, and one long bar more,
    as the first may be cut."""
    source = config.at_source
    bars = -(-(config.feed.warmup_bars + 1) * config.period_ns // source.period_ns)
    feed = config.feed.model_copy(update={"warmup_bars": bars})
    return source.model_copy(update={"feed": feed})


class ResampledFeed:
    """Long bars of a live feed. Iterated once."""

    def __init__(self, config: Config, inner: LiveFeed, is_cut: bool = False) -> None:
        """`is_cut`: whether the feed may begin inside a long bar."""
        self.inner = inner
        self._cut_ns = None if is_cut else NEVER_NS  # the end of the long bar that is not whole
        self.history: BarSet | None = None
        self._config, self._grid = config, LongGrid(config)
        self._sessions = np.empty(0)
        self._known_to_ns = NEVER_NS
        self._gate: BarGate | None = None
        self._long = FormingBars(len(config.symbols))
        self._last: list[_Last | None] = [None] * len(config.symbols)
        self._finer: list[list[np.void]] = [[] for _ in config.symbols]  # of the bar that forms
        self._given_ns = [NEVER_NS] * len(config.symbols)
        self._newest_ns = NEVER_NS
        self._ready: deque[FeedItem] = deque()

    @property
    def skipped(self) -> int:
        """Short bars, as in `LiveFeed`."""
        return self.inner.skipped

    @property
    def forming(self) -> int:
        """Short bars, as in `LiveFeed`."""
        return self.inner.forming

    @property
    def untraded(self) -> int:
        """Short bars, as in `LiveFeed`."""
        return self.inner.untraded

    @property
    def end(self) -> FeedEnd:
        """See `LiveFeed`."""
        return self.inner.end

    async def __aiter__(self) -> AsyncIterator[FeedItem]:
        items = aiter(self.inner)
        pending: asyncio.Task[Any] | None = None
        grace_s = self._config.execution.slice_grace_seconds / 2
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(items))
                waits = self._is_waited_for()
                done, _ = await asyncio.wait({pending}, timeout=grace_s if waits else None)
                if not done:
                    self._close_before(self._newest_ns + 1)
                else:
                    came, pending = pending, None
                    try:
                        self._take(came.result())
                    except StopAsyncIteration:
                        break
                while self._ready:
                    yield self._ready.popleft()
            self._close_before(self._newest_ns + 1)
            while self._ready:
                yield self._ready.popleft()
        finally:
            if pending is not None:
                pending.cancel()
            await self.aclose()

    def at_once(self) -> LiveBar | None:
        """See `LiveFeed`."""
        return None

    async def aclose(self) -> None:
        """See `LiveFeed`."""
        await self.inner.aclose()

    def _is_waited_for(self) -> bool:
        """Whether a long bar whose end has come still lacks its last bar."""
        ends = (self._long.end_ns(symbol) for symbol in range(len(self._last)))
        return any(end is not None and end <= self._newest_ns for end in ends)

    def _take(self, came: FeedItem) -> None:
        if isinstance(came, RevisedBar):  # of a short bar: no bar that the run has
            came = FeedNotice("DATA_REVISED", came.text, int(came.bar["symbol"]))
        if not isinstance(came, LiveBar):
            self._ready.append(came)
            return
        bar, symbol = came.bar, int(came.bar["symbol"])
        verdict = self._bar_gate(int(bar["ts_ns"])).check(bar)
        if verdict.kind in OF_AN_EARLIER_BAR:
            if kind := OF_AN_EARLIER_BAR[verdict.kind]:
                name = f"{self._config.symbols[symbol]} {iso_utc(int(bar['ts_ns']))}"
                self._ready.append(FeedNotice(kind, f"{name}: {verdict.detail}", symbol))
            return
        one = np.array([bar], bar.dtype)
        spans, inside = self._grid.spans(one, self._sessions)
        end_ns = int(spans.close_ns[0])
        if self._cut_ns is None:
            first_ns = int(bar["ts_ns"]) - self._config.at_source.period_ns
            self._cut_ns = end_ns if first_ns > spans.open_ns[0] else NEVER_NS
        if end_ns <= self._cut_ns:
            return
        why = verdict.detail if not verdict.is_accepted else ""
        if not why and end_ns <= self._given_ns[symbol]:
            why = f"late: its bar of {self._config.bar_period_seconds:g} s has closed"
        if not why and not inside[0]:
            why = f"in no session of {self._config.risk.market_hours}"
        if why:
            values: Any = bar.item()
            text = f"{self._config.symbols[symbol]} {values!r}"
            self._ready.append(BadBar(text[:SHOWN], why, came.received_ns, symbol))
            return
        self._newest_ns = max(self._newest_ns, int(bar["ts_ns"]))
        self._close_before(self._newest_ns)
        if self._long.end_ns(symbol) not in (None, end_ns):
            self._close(symbol)
        self._long.add(bar, end_ns)
        if self._config.has_detail:
            self._finer[symbol].append(bar)
        self._last[symbol] = _Last(came, spans)
        if end_ns == bar["ts_ns"]:
            self._close(symbol)

    def _close_before(self, ts_ns: int) -> None:
        """Give every long bar whose end lies before `ts_ns`, in the order of their ends."""
        ends = [(self._long.end_ns(symbol), symbol) for symbol in range(len(self._last))]
        for end, symbol in sorted((end, symbol) for end, symbol in ends if end is not None):
            if end < ts_ns:
                self._close(symbol)

    def _close(self, symbol: int) -> None:
        last = self._last[symbol]
        assert last is not None, "a long bar holds a bar"
        count, made = self._long.counts[symbol], self._long.take(symbol)
        end_ns = int(made["ts_ns"])
        made["flags"] = self._grid.flags(last.spans, np.array([last.came.bar]))[0]
        self._given_ns[symbol] = end_ns
        expected = int(self._grid.expected(last.spans, self._sessions)[0])
        if count < expected and not made["flags"] & BAR_HISTORY:
            text = lack_text(self._config, end_ns, self._config.symbols[symbol], count, expected)
            self._ready.append(FeedNotice("FEED_GAP", text, symbol))
        due_ns = last.came.due_ns + end_ns - int(last.came.bar["ts_ns"])
        self._ready.append(LiveBar(made, last.came.received_ns, due_ns, self._take_finer(symbol)))

    def _take_finer(self, symbol: int) -> np.ndarray | None:
        """The short bars of the long one that closes."""
        finer, self._finer[symbol] = self._finer[symbol], []
        return np.array(finer, finer[0].dtype) if finer else None

    def _bar_gate(self, ts_ns: int) -> BarGate:
        """The gate of the source's bars, with trading hours that reach past `ts_ns`."""
        source = self._config.at_source
        if self._gate is not None and ts_ns + AHEAD_NS / 2 < self._known_to_ns:
            return self._gate
        if self._gate is None:
            self._first_ns = ts_ns
        hours = self._config.risk.market_hours
        self._sessions = session_table(hours, self._first_ns, ts_ns + AHEAD_NS)
        self._known_to_ns = ts_ns + AHEAD_NS
        if self._gate is None:
            negative = [one.allow_negative_prices for one in source.instruments]
            self._gate = BarGate(
                len(source.symbols),
                source.period_ns,
                source.feed.quality,
                self._sessions,
                bar_clock(source),
                negative,
            )
        else:
            self._gate.extend_sessions(self._sessions)
        return self._gate
