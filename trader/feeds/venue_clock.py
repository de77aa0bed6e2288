"""A market's own time, asked for and carried on by the event loop's clock.

Law: bars are judged by the market's time alone. The machine's clock is compared with it and never
mixed into it: a machine an hour ahead makes no bar older. A bar of the future shows that the time
carried on is behind (a machine that slept): it is asked for anew before the bar is judged.
"""

import asyncio
import contextlib

from trader.core.schema import NS_PER_SECOND
from trader.errors import DataError
from trader.feeds.live import FeedClock
from trader.feeds.source import BarSource, Row, SourceError

ASKED = 5  # times; the answer that came soonest counts
DRIFT = 1e-4  # of two clocks: what was measured once is known less well every second
SECOND_MS = 1_000
ALERT_MS = 250.0
REFUSE_MS = 1_000.0
AHEAD_NS = NS_PER_SECOND  # from where on a bar's open is of the future
AGAIN_S, ANSWER_S = 5.0, 3.0  # between two questions for that; for one answer


class VenueClock:
    """The time of one market."""

    def __init__(self, source: BarSource, clock: FeedClock) -> None:
        self._source, self._clock = source, clock
        self._venue_ns = 0  # its time at 0 of the loop's clock
        self._half_ns, self._taken_s = 2**62, 0.0  # how well that is known, and since when
        self._step_ms = source.can.clock_resolution_ms  # of the time that the market tells
        self._not_before_s = 0.0
        self.offset_ns = 0  # the market's clock is ahead of ours by

    async def measure(self) -> None:
        """Ask for the time. `SourceError` where there is no answer."""
        loop = asyncio.get_running_loop()
        told, samples = [], []  # half of the way there and back, the market's time at our 0
        asked = ASKED if self._source.can.clock_resolution_ms < 100 else 1
        for _ in range(asked):
            began_s = loop.time()
            told.append(await self._source.venue_ns())
            half_ns = round((loop.time() - began_s) / 2.0 * NS_PER_SECOND)
            samples.append((half_ns, told[-1] - round(began_s * NS_PER_SECOND) - half_ns))
        self._step_ms = self._source.can.clock_resolution_ms
        if not any(ns % NS_PER_SECOND for ns in told):  # whole seconds, whatever it is said to tell
            self._step_ms = max(self._step_ms, SECOND_MS)
        half_step_ns = self._step_ms * 500_000
        half_ns, zero_ns = min(samples)
        self._take(half_ns, zero_ns + half_step_ns, half_step_ns)
        self.offset_ns = self.now_ns() - self._clock.now_ns()

    def _take(self, half_ns: int, zero_ns: int, half_step_ns: int) -> None:
        """The better of what is known and what has been measured: an answer that waited in a queue
        tells the time less well, unless the two cannot both be right."""
        now_s = asyncio.get_running_loop().time()
        known_ns = self._half_ns + round((now_s - self._taken_s) * DRIFT * NS_PER_SECOND)
        apart_ns = abs(zero_ns - self._venue_ns)
        if half_ns <= known_ns or apart_ns > half_ns + known_ns + 2 * half_step_ns:
            self._half_ns, self._venue_ns, self._taken_s = half_ns, zero_ns, now_s

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
