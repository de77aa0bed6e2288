"""History as if it came now: the bars of files, paced by their closes.

Law: files pass the data gate of a backtest first, so a replay yields exactly the bars a backtest
runs on, in (close, symbol) order. A consumer that is slow gets every bar late and none is lost.
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from trader.errors import UsageError
from trader.feeds.feed import BarSet
from trader.feeds.live import FeedClock, LiveBar


class ReplayFeed:
    """Bars of a `BarSet`, `pace` times as fast as they happened; None for as fast as asked for."""

    def __init__(
        self, history: BarSet, clock: FeedClock, pace: float | None, after_ns: int | None = None
    ) -> None:
        if pace is not None and not 0.0 < pace < float("inf"):
            raise UsageError(f"a pace of {pace:g} is no multiple of real time; write 1, 60 or max")
        self.history: BarSet | None = history
        self.skipped = 0  # what was traded on is no surprise in a file
        self._bars = history.bars
        if after_ns is not None:
            first = int(np.searchsorted(self._bars["ts_ns"], after_ns, "right"))
            self._bars = self._bars[first:]
        self._clock = clock
        self._pace = pace
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[LiveBar]:
        stamps = self._bars["ts_ns"].tolist()
        started_ns = self._clock.now_ns()
        previous_ns = due_ns = None
        for index, ts_ns in enumerate(stamps):
            if ts_ns != previous_ns:
                previous_ns = ts_ns
                due_ns = await self._due(started_ns, ts_ns - stamps[0])
            if self._closed:
                return
            received_ns = self._clock.now_ns()
            yield LiveBar(self._bars[index], received_ns, received_ns if due_ns is None else due_ns)

    async def _due(self, started_ns: int, elapsed_ns: int) -> int | None:
        """Wait for a slice `elapsed_ns` of market time after the first; when it was due."""
        if self._pace is None:
            await asyncio.sleep(0)  # other tasks live while history rushes by
            return None
        due_ns = started_ns + round(elapsed_ns / self._pace)
        await self._clock.sleep_until_ns(due_ns)
        return due_ns

    async def aclose(self) -> None:
        """Nothing more is yielded."""
        self._closed = True
