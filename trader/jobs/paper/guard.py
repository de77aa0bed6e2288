"""Why a paper run must stop: the latch, its own limits, its model, its feed.

It says the first reason it finds, most severe first; `ending` decides what then happens. Asked
after every portion and ten times a second between.
"""

from trader.core.schema import Reason, TradingState
from trader.engine.answers import LiveSignals
from trader.engine.loop import StopCause
from trader.engine.slices import LiveSlices
from trader.jobs.paper.opening import OpenRun

MODEL_FAILURES = 3  # in a row
HOPELESS_SLICES = 3  # in a row, older than execution.queue_max_age_seconds

KILLED, HALTED, FAULT, CONNECTIVITY = "killed", "halted", "fault", "connectivity"
INTERRUPTED, TERMINATED, END = "interrupted", "terminated", "end"
LOST, CLOSED, CLOCK, CAUGHT_UP = "lost", "closed", "clock", "caught_up"  # ends of a live feed


class Guard:
    """The reasons of one run to stop."""

    def __init__(
        self, opened: OpenRun, signals: LiveSignals, slices: LiveSlices, max_bad_bars: int
    ) -> None:
        self._lease = opened.lease
        self._account = opened.slices.engine.book.account
        self._signals, self._slices, self._max_bad_bars = signals, slices, max_bad_bars

    def __call__(self) -> StopCause | None:
        """The first reason there is; None while trading may go on."""
        if self._account[0]["trading_state"] == TradingState.HALTED:
            return StopCause(HALTED, Reason(int(self._account[0]["state_reason"])).name)
        cause = self._lease.stop_cause()
        if cause:
            return StopCause(KILLED, cause)
        health = self._signals.model.health
        if health.consecutive_failures >= MODEL_FAILURES:
            text = f"the model failed {health.consecutive_failures} times in a row"
            return StopCause(FAULT, f"{text}: {health.last_error}")
        if self._slices.bad_in_a_row > self._max_bad_bars:
            text = f"{self._slices.bad_in_a_row} bars in a row were bad (feed.quality.max_bad_bars)"
            return StopCause(FAULT, text)
        if self._signals.hopeless_in_a_row >= HOPELESS_SLICES:
            text = f"bars waited for {self._signals.lag_s:.0f} s (execution.queue_max_age_seconds)"
            return StopCause(FAULT, text)
        return None
