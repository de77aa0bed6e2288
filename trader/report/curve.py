"""Facts read off the equity curve in one pass: drawdown, exposure, time per trading state.

Law: one pass over the EQUITY records in blocks that stay in the processor's cache, no copy of
the whole history, no pandas. Drawdown is measured on every slice (not on daily closes), against
the highest equity so far, the starting equity included; what is below the tolerance of money is
none. A trading state lasts from its slice to the next one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trader.core.schema import TradingState
from trader.hours.bar_sessions import session_dates
from trader.jit import jit
from trader.rounding import money_noise, money_noises

BLOCK = 16_384  # rows; 40 bytes each, so a block is 640 KiB
STATES = len(TradingState)
NEARLY = 1.0 - 1e-9


@dataclass(frozen=True)
class CurveFacts:
    """What `curve_facts` saw. Money in account currency, times UTC nanoseconds."""

    slices: int
    first_ns: int
    last_ns: int
    final_equity: float
    mean_equity: float
    max_drawdown_frac: float  # 0 … 1 (more than 1 if equity went below zero)
    max_drawdown_ns: int  # slice of the deepest point
    longest_drawdown_ns: int  # from a peak to the first slice at or above it, or to the end
    exposed_slices: int  # slices that closed with a position
    state_ns: tuple[int, ...]  # time spent in each TradingState, by its number
    peak_equity: float

    @property
    def span_ns(self) -> int:
        """From the first to the last slice."""
        return self.last_ns - self.first_ns


@np.errstate(over="ignore", invalid="ignore")  # an equity beyond all numbers is told as such
def curve_facts(equity: np.ndarray, start_equity: float) -> CurveFacts:
    """Read EQUITY records (sorted by time, at least one) into `CurveFacts`."""
    peak, peak_ns = start_equity, int(equity[0]["ts_ns"])
    total, exposed, longest = 0.0, 0, 0
    worst, worst_ns, was_below = 0.0, peak_ns, False
    state_ns = np.zeros(STATES, np.int64)
    for start in range(0, len(equity), BLOCK):
        block = equity[start : start + BLOCK]
        ts_ns = block["ts_ns"]
        values = np.ascontiguousarray(block["equity"])
        peaks = _running_peaks(values, peak)
        falls = peaks - values
        is_below = falls > money_noises(peaks)
        drawdown = np.where(is_below, falls, 0.0) / peaks
        if np.isnan(drawdown).any():  # of a peak that is no number; the others count
            drawdown = np.nan_to_num(drawdown, nan=0.0, posinf=np.inf)
        deepest = int(drawdown.argmax())
        if drawdown[deepest] > worst:
            worst, worst_ns = float(drawdown[deepest]), int(ts_ns[deepest])
        at_peak = np.flatnonzero(~is_below)
        longest = max(longest, _longest_below(ts_ns, at_peak, peak_ns, was_below))
        if at_peak.size:
            peak_ns = int(ts_ns[at_peak[-1]])
        was_below = at_peak.size == 0 or int(at_peak[-1]) != len(values) - 1
        peak = max(peak, float(values.max()))
        total += float(values.sum())
        exposed += int(np.count_nonzero(block["gross_exposure"] > 0.0))
        _add_state_time(state_ns, equity[start : start + BLOCK + 1], len(block))
    last_ns = int(equity[-1]["ts_ns"])
    if was_below:
        longest = max(longest, last_ns - peak_ns)
    return CurveFacts(
        slices=len(equity),
        first_ns=int(equity[0]["ts_ns"]),
        last_ns=last_ns,
        final_equity=float(equity[-1]["equity"]),
        mean_equity=total / len(equity),
        max_drawdown_frac=worst,
        max_drawdown_ns=worst_ns,
        longest_drawdown_ns=longest,
        exposed_slices=exposed,
        state_ns=tuple(int(value) for value in state_ns),
        peak_equity=peak,
    )


@jit
def deepest_fall(equity, start_equity):  # type: ignore[no-untyped-def]
    """`max_drawdown_frac` of `curve_facts` from equities (f8), for those who read many curves."""
    peak, worst = start_equity, 0.0
    noise = money_noise(peak)
    for index in range(len(equity)):
        value = equity[index]
        if value > peak:
            peak = value
            noise = money_noise(peak)
        else:
            fall = peak - value
            if fall > noise and fall > worst * peak * NEARLY:  # a division only where it may count
                worst = max(worst, fall / peak)
    return worst


def _running_peaks(values: np.ndarray, peak: float) -> np.ndarray | float:
    """Highest equity so far at each row; one number where the block makes no new high."""
    if values.max() <= peak:
        return peak
    peaks = np.maximum.accumulate(values)
    return np.maximum(peaks, peak, out=peaks)


def _longest_below(ts_ns: np.ndarray, at_peak: np.ndarray, peak_ns: int, was_below: bool) -> int:
    """Longest completed time below a peak in a block; `peak_ns` is the last peak before it.

    `was_below` says whether the slice before the block was below. Slices that stay at the peak
    (flat, no position) are not below it: only a step over at least one lower slice counts.
    """
    if at_peak.size == 0:
        return 0
    first = int(at_peak[0])
    longest = int(ts_ns[first]) - peak_ns if first > 0 or was_below else 0
    steps = np.flatnonzero(np.diff(at_peak) > 1)
    if steps.size:
        below = ts_ns[at_peak[steps + 1]] - ts_ns[at_peak[steps]]
        longest = max(longest, int(below.max()))
    return longest


def _add_state_time(state_ns: np.ndarray, rows: np.ndarray, count: int) -> None:
    """Add the time from each of the first `count` rows to the next row to its state.

    `rows` has one row more than `count`, but at the end of the curve.
    """
    states, ts_ns = rows["trading_state"][:count], rows["ts_ns"]
    if not states.any():
        state_ns[TradingState.ACTIVE] += ts_ns[-1] - ts_ns[0]
        return
    steps = np.diff(ts_ns)
    states = states[: len(steps)]
    for state in range(STATES):
        state_ns[state] += int(steps[states == state].sum())


class SessionEnds(NamedTuple):
    """The sessions of a curve, from the first with a slice to the last."""

    dates: np.ndarray  # i8, days since 1970
    rows: np.ndarray  # of each, its last slice, or the last before it


def session_equity(equity: np.ndarray, ends: SessionEnds) -> np.ndarray:
    """Equity at the end of each session, float64.

    Sessions without a slice repeat the equity before them: nothing was traded and nothing
    re-valued.
    """
    return np.asarray(equity["equity"][ends.rows], np.float64)


def session_ends(ts_ns: np.ndarray, sessions: np.ndarray, period_ns: int) -> SessionEnds:
    """Of slices closing at `ts_ns`; which session one belongs to, `session_rows` decides."""
    if len(ts_ns) == 0 or len(sessions) == 0:
        return SessionEnds(np.empty(0, np.int64), np.empty(0, np.int64))
    dates = session_dates(sessions, ts_ns, period_ns)
    known = np.unique(sessions["session"])
    known = known[(known >= dates[0]) & (known <= dates[-1])]
    return SessionEnds(known, np.searchsorted(dates, known, side="right") - 1)
