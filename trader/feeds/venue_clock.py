"""A market's own time, asked for and carried on by the event loop's clock.

Law: bars are judged by the market's time alone. The machine's clock is compared with it and never
mixed into it: a machine an hour ahead makes no bar older. A bar of the future shows that the time
carried on is behind (a machine that slept): it is asked for anew before the bar is judged.
"""

import asyncio
import contextlib
import statistics

from trader.core.schema import NS_PER_SECOND
from trader.errors import DataError
from trader.feeds.live import FeedClock
from trader.feeds.source import BarSource, Row, SourceError

ASKED = 5  # times; the median counts
SECOND_MS = 1_000
ALERT_MS = 250.0
REFUSE_MS = 1_000.0
AHEAD_NS = NS_PER_SECOND  # from where on a bar's open is of the future
AGAIN_S, ANSWER_S = 5.0, 3.0  # between two questions for that; for one answer


class VenueClock:
    """The time of one market."""

    def __init__(self, source: BarSource, clock: FeedClock) -> None:
        self._source, self._clock = source, clock
        self._venue_ns = 0
        self._step_ms = source.can.clock_resolution_ms  # of the time that the market tells
        self._not_before_s = 0.0
        self.offset_ns = 0  # the market's clock is ahead of ours by

    async def measure(self) -> None:
        """Ask for the time. `SourceError` where there is no answer."""
        loop = asyncio.get_running_loop()
        offsets, anchors = [], []
        told = []
        asked = ASKED if self._source.can.clock_resolution_ms < 100 else 1
        for _ in range(asked):
            began_s, began_ns = loop.time(), self._clock.now_ns()
            venue_ns = await self._source.venue_ns()
            told.append(venue_ns)
            half_s = (loop.time() - began_s) / 2.0
            half_ns = round(half_s * NS_PER_SECOND)
            offsets.append(venue_ns - began_ns - half_ns)
            anchors.append(venue_ns - round((began_s + half_s) * NS_PER_SECOND))
        self._step_ms = self._source.can.clock_resolution_ms
        if not any(ns % NS_PER_SECOND for ns in told):  # whole seconds, whatever it is said to tell
            self._step_ms = max(self._step_ms, SECOND_MS)
        half_step_ns = self._step_ms * 500_000
        self.offset_ns = round(statistics.median(offsets)) + half_step_ns
        self._venue_ns = round(statistics.median(anchors)) + half_step_ns

    def now_ns(self) -> int:
        """The market's time now."""
        return self._venue_ns + round(asyncio.get_running_loop().time() * NS_PER_SECOND)

    async def now_beside(self, event: object) -> int:
        """The market's time now, beside what it says; a row is of a bar that has opened."""
        loop = asyncio.get_running_loop()
        is_ahead = isinstance(event, Row) and event.bar.open_ns > self.now_ns() + AHEAD_NS
        if is_ahead and loop.time() >= self._not_before_s:
            self._not_before_s = loop.time() + AGAIN_S
            with contextlib.suppress(SourceError, TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    await self.measure()
        return self.now_ns()

    @property
    def offset_ms(self) -> float:
        """How far the market's clock is ahead of ours, in ms."""
        return self.offset_ns / 1e6

    def alert(self) -> str:
        """What is wrong with our clock, "" for nothing worth a word."""
        allowed = ALERT_MS + self._step_ms
        if abs(self.offset_ms) <= allowed:
            return ""
        side = "behind" if self.offset_ns > 0 else "ahead of"
        apart_s = abs(self.offset_ns) / NS_PER_SECOND
        return f"the clock of this machine is {apart_s:.2f} s {side} that of {self._source.name}"

    def require_close(self) -> None:
        """`DataError` where the two clocks are too far apart to trade."""
        if abs(self.offset_ms) > REFUSE_MS + self._step_ms:
            raise DataError(
                f"{self.alert()}: ages of bars and times of orders would be wrong. Set it "
                "(`timedatectl set-ntp true`, or `chronyc makestep`) and start again"
            )
