"""Whether this machine's clock agrees with a pipe's bars, told by the bars themselves.

    bars come one period apart, each as old as the one before            a steady lag
    bars come one period apart, each before it can have closed           a steady lead

Law: no clock of its own. A burst of old bars (warm-up, a recording) has no steady lag: it comes
faster than its bars closed. Two steady steps in a row are the proof that a run is refused by.
"""

from dataclasses import dataclass
from typing import NamedTuple

from trader.core.schema import NS_PER_SECOND
from trader.feeds.live import FeedNotice
from trader.feeds.pipe_history import recording_age_ns

DELAY_S = 60.0  # that a feed may have without a word; half a period, where that is longer
JITTER = 0.05  # of the time between two closes, by which arrivals may differ; or a second,
SECOND_JITTER = 0.25  # where that is no more than so much of it
PROOF = 2  # steady steps in a row
REMEDY = "set the clock (`timedatectl set-ntp true`)"


class ClockTerms(NamedTuple):
    """What is expected of a pipe."""

    period_ns: int
    tolerance_s: float  # feed.clock_tolerance_seconds
    max_age_s: float  # above which no bar is traded
    is_judged: bool = True  # False: of a recording, and where age means nothing


class ClockDoubt(NamedTuple):
    """What speaks against the clock; a run with `is_proof` must not go on."""

    text: str
    is_proof: bool


@dataclass(frozen=True, slots=True)
class ClockNotice(FeedNotice):
    """A doubt as an item of the feed; after one with `is_proof` nothing follows."""

    is_proof: bool = False


class PipeClock:
    """The bars of one pipe in the order they came, of all symbols."""

    def __init__(self, terms: ClockTerms) -> None:
        self._terms = terms
        period_s = terms.period_ns / NS_PER_SECOND
        self._delay_s = max(DELAY_S, period_s / 2.0)
        self._oldest_s = recording_age_ns(terms.period_ns) / NS_PER_SECOND
        self._bars = 0  # each later than the ones before
        self._last_close_ns = 0
        self._last_received_ns = 0
        self._steady_lags = self._steady_leads = 0
        self._has_closed = False  # whether the newest bar has come closed, and not only forming

    def came(self, close_ns: int, received_ns: int) -> ClockDoubt | None:
        """What the next bar says against the clock; None for nothing."""
        lag_s = (received_ns - close_ns) / NS_PER_SECOND
        is_ahead = lag_s < -self._terms.tolerance_s
        self._has_closed = self._has_closed or not is_ahead
        step_ns = close_ns - self._last_close_ns
        if step_ns <= 0 or not self._terms.is_judged:
            return None
        waited_ns = received_ns - self._last_received_ns
        jitter_ns = max(JITTER * step_ns, min(NS_PER_SECOND, SECOND_JITTER * step_ns))
        is_steady = self._bars > 0 and abs(waited_ns - step_ns) <= jitter_ns
        self._bars += 1
        self._last_close_ns, self._last_received_ns = close_ns, received_ns
        is_behind = self._delay_s < lag_s < self._oldest_s
        is_early = is_steady and is_ahead and not self._has_closed
        self._steady_leads = self._steady_leads + 1 if is_early else 0
        self._has_closed = not is_ahead
        self._steady_lags = self._steady_lags + 1 if is_steady and is_behind else 0
        doubt = self._lead(-lag_s) if is_ahead else self._lag(lag_s)
        is_new = max(self._steady_leads, self._steady_lags) == 1  # a delayed feed is told of once
        return doubt if doubt.is_proof or is_new else None

    def _lead(self, lead_s: float) -> ClockDoubt:
        text = (
            f"bars come {lead_s:,.0f} s before they close by this machine's clock, and never "
            f"closed: the clock is behind, or the feed sends bars that still form; {REMEDY}, or "
            "send closed bars"
        )
        return ClockDoubt(text, self._steady_leads >= PROOF)

    def _lag(self, lag_s: float) -> ClockDoubt:
        text = (
            f"each bar comes {lag_s:,.0f} s after it closed by this machine's clock: the clock "
            f"is ahead, or the feed is delayed; {REMEDY}"
        )
        if not lag_s > self._terms.max_age_s:
            return ClockDoubt(text, False)
        text += ", or allow such an age with feed.max_age_bars. No bar of this age is traded"
        return ClockDoubt(text, self._steady_lags >= PROOF)
