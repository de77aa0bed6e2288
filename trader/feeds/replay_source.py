"""History as if it came now: the bars of files, paced by their closes.

Law: files pass the data gate of a backtest first, so a replay yields exactly the bars a backtest
runs on, in (close, symbol) order. A consumer that is slow gets every bar late and none is lost.
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from trader.core.schema import NS_PER_SECOND
from trader.errors import UsageError
from trader.feeds.feed import BarSet
from trader.feeds.live import FeedClock, LiveBar, Tell
from trader.feeds.pipe_history import FeedEnd

LONG_S = 60  # a wait that somebody should hear of
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


class LongWaits:
    """Tells of waits longer than a minute of real time: each hole in the bars, and the first of
    those that come with every bar."""

    def __init__(self, tell: Tell, period_ns: int) -> None:
        self._tell, self._period_ns = tell, period_ns
        self._has_told = False

    def look(self, ts_ns: int, gap_ns: int, left_ns: int) -> None:
        """The bar of `ts_ns` is next, `gap_ns` of market time after the one before."""
        if left_ns <= LONG_S * NS_PER_SECOND or (self._has_told and gap_ns <= self._period_ns):
            return
        self._has_told = True
        at = np.datetime64(ts_ns // NS_PER_SECOND, "s")
        self._tell(f"next bar {at}Z in {duration(round(left_ns / NS_PER_SECOND))}")


def duration(seconds: int) -> str:
    """`3 min 20 s`: the two largest units, the second only where it is not 0."""
    parts = []
    for name, size in UNITS:
        count, seconds = divmod(seconds, size)
        parts.append((count, f"{count} {name}"))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [text for count, text in parts[first : first + 2] if count]
    return " ".join(shown) or parts[-1][1]


class ReplayFeed:
    """Bars of a `BarSet`, `pace` times as fast as they happened; None for as fast as asked for."""

    def __init__(
        self,
        history: BarSet,
        clock: FeedClock,
        pace: float | None,
        after_ns: int | None = None,
        waits: LongWaits | None = None,
    ) -> None:
        if pace is not None and not 0.0 < pace < float("inf"):
            raise UsageError(f"a pace of {pace:g} is not possible; write 1, 60 or max")
        self.history: BarSet | None = history
        self.skipped = 0  # what was traded on is no surprise in a file
        self.forming = self.untraded = 0
        self.end = FeedEnd.OVER
        self._bars, self._detail = history.bars, history.detail
        if after_ns is not None:
            first = int(np.searchsorted(self._bars["ts_ns"], after_ns, "right"))
            self._detail = self._detail.rows(first, len(self._bars))
            self._bars = self._bars[first:]
        self._clock = clock
        self._pace = pace
        self._waits = waits
        self._closed = False
        self._next = 0  # place of the bar that comes next

    async def __aiter__(self) -> AsyncIterator[LiveBar]:
        stamps = self._bars["ts_ns"].tolist()
        started_ns = self._clock.now_ns()
        previous_ns = due_ns = None
        while self._next < len(stamps):
            ts_ns = stamps[self._next]
            if ts_ns != previous_ns:
                due_ns = self._due_ns(started_ns, ts_ns - stamps[0])
                await self._wait(due_ns, ts_ns, previous_ns)
                previous_ns = ts_ns
            if self._closed:
                return
            yield self._bar(due_ns)

    def _bar(self, due_ns: int | None) -> LiveBar:
        received_ns, place = self._clock.now_ns(), self._next
        self._next += 1
        finer = self._detail.of_bar(place)
        due_ns = received_ns if due_ns is None else due_ns
        return LiveBar(self._bars[place], received_ns, due_ns, finer)

    def at_once(self) -> LiveBar | None:
        """See `LiveFeed`."""
        is_over = self._closed or self._next == len(self._bars)
        return None if is_over or self._pace is not None else self._bar(None)

    def _due_ns(self, started_ns: int, elapsed_ns: int) -> int | None:
        """When a slice is due, `elapsed_ns` of market time after the first; None for at once."""
        return None if self._pace is None else started_ns + round(elapsed_ns / self._pace)

    async def _wait(self, due_ns: int | None, ts_ns: int, previous_ns: int | None) -> None:
        """Return when the slice of `ts_ns` is due."""
        if due_ns is None:
            await asyncio.sleep(0)  # other tasks live while history rushes by
            return
        if self._waits is not None and previous_ns is not None:
            self._waits.look(ts_ns, ts_ns - previous_ns, due_ns - self._clock.now_ns())
        await self._clock.sleep_until_ns(due_ns)

    async def aclose(self) -> None:
        """Nothing more is yielded."""
        self._closed = True
