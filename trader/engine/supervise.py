"""What is looked at while a run waits for bars: the latch, the feed, the clocks.

Law: a look never raises for what it finds; it tells the loop, the journal or the latch. Looks run
as a task of the loop, so they see the state between two slices. The watchdog, which must work when
the loop does not, is `safety.watchdog`.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from trader.core.schema import NS_PER_SECOND, Reason
from trader.engine.answers import LiveSignals
from trader.engine.journaled import JournaledSlices
from trader.engine.loop import ExecutionLoop
from trader.engine.slices import LiveSlices
from trader.journal import entries as build

LOOK_S = 0.1

Look = Callable[[], Awaitable[None]]


class SteadyClock(Protocol):
    """The clock of a run."""

    def now_ns(self) -> int:
        """Steady UTC nanoseconds."""
        ...

    def mono_ns(self) -> int:
        """Monotonic nanoseconds."""
        ...

    def jump_ns(self) -> int:
        """By how much the wall clock jumped since the last look."""
        ...


async def supervise(looks: Sequence[Look], interval_s: float = LOOK_S) -> None:
    """Make every look, again and again, until cancelled."""
    while True:
        for look in looks:
            await look()
        await asyncio.sleep(interval_s)


class FeedLimits(NamedTuple):
    """Silence of a feed, in seconds."""

    lost_s: float  # longer: working orders are cancelled
    kill_s: float  # longer than `lost_s` by this: the run is killed


class FeedWatch:
    """Notices that a live feed has gone silent inside trading hours.

    One that answers that nothing was traded is told, and is not lost.
    """

    def __init__(
        self,
        loop: ExecutionLoop,
        feed: tuple[LiveSlices, LiveSignals],
        clock: SteadyClock,
        limits: FeedLimits,
        is_open: Callable[[int], bool],
    ) -> None:
        self._loop, self._clock, self._limits, self._is_open = loop, clock, limits, is_open
        self._slices, self._signals = feed
        self._items = self._answers = 0
        self._since_ns = self._contact_ns = clock.mono_ns()  # of the silence; of any answer
        self._is_lost = self._is_told = False

    async def look(self) -> None:
        """One look."""
        now_ns = self._clock.mono_ns()
        if self._slices.answers != self._answers:
            self._answers, self._contact_ns, self._is_lost = self._slices.answers, now_ns, False
        heard = self._slices.items != self._items
        if heard or not self._signals.is_live or not self._is_open(self._clock.now_ns()):
            self._items = self._slices.items
            self._since_ns = self._contact_ns = now_ns
            self._is_lost = self._is_told = False
            return
        silent_s = (now_ns - self._since_ns) / NS_PER_SECOND
        cut_off_s = (now_ns - self._contact_ns) / NS_PER_SECOND
        if cut_off_s > self._limits.lost_s + self._limits.kill_s:
            self._loop.request_stop("connectivity", f"the feed was silent for {cut_off_s:.0f} s")
        elif cut_off_s > self._limits.lost_s and not self._is_lost:
            self._is_lost = True
            cancelled = await self._loop.cancel_working(Reason.FEED_LOST)
            self._tell(f"no bar for {silent_s:.0f} s; {cancelled} working order(s) cancelled")
        elif silent_s > self._limits.lost_s >= cut_off_s and not self._is_told:
            self._is_told = True
            self._tell(f"no bar for {silent_s:.0f} s: the market answers that nothing was traded")

    def _tell(self, text: str) -> None:
        self._loop.hooks.emit("error", kind="FEED_SILENT", text=text)


class ClockWatch:
    """Puts jumps of the wall clock on record. Nothing is decided by it: bars carry their time."""

    def __init__(self, loop: ExecutionLoop, slices: JournaledSlices, clock: SteadyClock) -> None:
        self._loop, self._slices, self._clock = loop, slices, clock

    async def look(self) -> None:
        """One look."""
        jump_ns = self._clock.jump_ns()
        if jump_ns:
            await self._slices.record(build.clock_jump(jump_ns))
            text = f"the wall clock jumped by {jump_ns / NS_PER_SECOND:+.1f} s"
            self._loop.hooks.emit("error", kind="CLOCK_JUMP", text=text)


class FileWatch:
    """Tells once, with hashes, of files that were read at the start and have changed since.

    Nothing follows from it: a run keeps the config it began with.
    """

    def __init__(
        self, loop: ExecutionLoop, slices: JournaledSlices, files: Sequence[Path], every: int = 50
    ) -> None:
        self._loop, self._slices, self._every = loop, slices, every
        self._hashes = {path: _sha(path) for path in files}
        self._looks = 0

    async def look(self) -> None:
        """One look; every `every`-th reads the files."""
        self._looks += 1
        if self._looks % self._every:
            return
        for path, before in self._hashes.items():
            now = _sha(path)
            if now != before:
                self._hashes[path] = now
                text = f"{path} was {'changed' if now else 'removed'}; the run goes on as it began"
                facts = {"before": before, "now": now}
                await self._slices.record(build.alert("CONFIG_CHANGED", text, facts))
                self._loop.hooks.emit("error", kind="CONFIG_CHANGED", text=text)


class AnchorWatch:
    """Puts heads that could not be copied on record. Nothing else follows: trading goes on."""

    def __init__(
        self, loop: ExecutionLoop, slices: JournaledSlices, failures: Callable[[], list[str]]
    ) -> None:
        """`failures`: those since it was last called."""
        self._loop, self._slices, self._failures = loop, slices, failures

    async def look(self) -> None:
        """One look."""
        for text in self._failures():
            await self._slices.record(build.alert("ANCHOR_FAILED", text))
            self._loop.hooks.emit("error", kind="ANCHOR_FAILED", text=text)


def _sha(path: Path) -> str:
    """SHA-256 of a file in hex; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
