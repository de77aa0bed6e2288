"""The clocks of a paper run: the machine's, made steady.

Law: `now_ns` never jumps and never goes back: it is the wall clock as it was at the start, carried
on by the monotonic clock. What was stamped with the wall clock (the journal) says so.
"""

import asyncio
import time

JUMP_NS = 1_000_000_000  # wall and monotonic clock differ by more since the last look: a jump


class RealClock:
    """The machine's clocks, for feed, loop and journal."""

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()
        self._seen_ns = self._ahead_ns

    def now_ns(self) -> int:
        """Steady UTC nanoseconds."""
        return time.monotonic_ns() + self._ahead_ns

    def latest_ns(self) -> int:
        """The later of the two: the monotonic clock may stand still while the machine sleeps."""
        return max(self.now_ns(), self.wall_ns())

    def wall_ns(self) -> int:
        """The wall clock's UTC nanoseconds."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """The monotonic clock's nanoseconds."""
        return time.monotonic_ns()

    async def sleep_until_ns(self, ts_ns: int) -> None:
        """Return when `now_ns` has reached `ts_ns`."""
        while (left_ns := ts_ns - self.now_ns()) > 0:
            await asyncio.sleep(left_ns / 1e9)

    def jump_ns(self) -> int:
        """By how much the wall clock jumped since the last look; 0 for less than a second.

        After a jump `now_ns` follows the wall clock, forwards only.
        """
        ahead_ns = time.time_ns() - time.monotonic_ns()
        jump_ns = ahead_ns - self._seen_ns
        if abs(jump_ns) <= JUMP_NS:
            return 0
        self._seen_ns = ahead_ns
        self._ahead_ns = max(self._ahead_ns, ahead_ns)
        return jump_ns
