"""Which bars of a pipe are history, and what the end of the pipe means.

    closed before the start            history: it warms features, nothing is decided on it
    a pipe that begins long before     a recording: played back and traded, as files are
    closes after the start             live

Law: no clock of its own; asked of each bar in order, and right for a bar without the later ones.
"""

from enum import Enum
from typing import NamedTuple

DAY_NS = 86_400 * 10**9
RECORDING_DAYS, RECORDING_BARS = 30, 400  # the larger: older at its first bar, a pipe is no feed


class FeedEnd(Enum):
    """What the end of a feed means for the run."""

    OVER = "there is nothing more"
    LOST = "a live feed that ended"
    CUT = "a live feed that ended in the middle of a line"
    CLOCK = "a live feed that this machine's clock disagrees with"
    REFUSED = "a market that refuses to go on, or is not the one that the run began with"
    CAUGHT_UP = "a recording that reached the present"


class PipeStart(NamedTuple):
    """When a pipe was opened, and what is known of it by then."""

    ts_ns: int  # of the run's clock
    trade_history: bool | None = None  # feed.trade_history; None: of a recording only
    was_live: bool | None = None  # the run that goes on: whether its last bar came as it closed


class PipeHistory:
    """The bars of one pipe as they come."""

    def __init__(self, start: PipeStart, period_ns: int) -> None:
        self.caught_up = False  # a recording has come to bars of now: nothing more is to be taken
        self.count = 0  # bars that are history
        self._start = start
        self._age_ns = recording_age_ns(period_ns)
        self._is_recording: bool | None = None if start.was_live is None else not start.was_live
        if start.trade_history is not None:
            self._is_recording = start.trade_history and not start.was_live

    @property
    def is_recording(self) -> bool:
        """Whether it is played back: then its end is the end of the run."""
        return bool(self._is_recording)

    def is_history(self, close_ns: int) -> bool:
        """Whether the next bar, which closes then, is only to be learnt from."""
        is_past = close_ns <= self._start.ts_ns
        wanted = self._start.trade_history
        if self._is_recording is None:
            self._is_recording = close_ns < self._start.ts_ns - self._age_ns
        if self._is_recording and not is_past:
            self._is_recording = False
            self.caught_up = wanted is None
        is_history = is_past and not self._is_recording and not wanted
        self.count += is_history
        return is_history


def recording_age_ns(period_ns: int) -> int:
    """How long before the start a recording begins, at least."""
    return max(RECORDING_DAYS * DAY_NS, RECORDING_BARS * period_ns)
