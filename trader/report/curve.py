"""Facts read off the equity curve in one pass: drawdown, exposure, time per trading state.

Law: one pass over the EQUITY records, no copy of the whole history, no pandas. Drawdown is
measured on every slice (not on daily closes), against the highest equity so far, the starting
equity included; what is below the tolerance of money is none. A trading state lasts from its
slice to the next one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trader.core.schema import TradingState
from trader.extremes import extremes
from trader.hours.bar_sessions import session_runs
from trader.jit import jit
from trader.rounding import money_noise

BLOCK = 16_384  # rows that are summed at once
STATES = len(TradingState)
NEARLY = 1.0 - 1e-9
STRETCH = 512  # equities that are looked at together


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
    state_ns = np.zeros(STATES, np.int64)
    peak, worst, worst_ns, longest_ns, exposed = fold_curve(equity, float(start_equity), state_ns)
    return CurveFacts(
        slices=len(equity),
        first_ns=int(equity[0]["ts_ns"]),
        last_ns=int(equity[-1]["ts_ns"]),
        final_equity=float(equity[-1]["equity"]),
        mean_equity=_sum(equity["equity"]) / len(equity),
        max_drawdown_frac=float(worst),
        max_drawdown_ns=int(worst_ns),
        longest_drawdown_ns=int(longest_ns),
        exposed_slices=int(exposed),
        state_ns=tuple(int(value) for value in state_ns),
        peak_equity=float(peak),
    )


def _sum(values: np.ndarray) -> float:
    total = 0.0
    for start in range(0, len(values), BLOCK):
        total += float(np.ascontiguousarray(values[start : start + BLOCK]).sum())
    return total


@jit
def fold_curve(equity, start_equity, state_ns):  # type: ignore[no-untyped-def]
    """(peak, worst drawdown, its time, longest time below a peak, slices with a position).

    `state_ns` takes the time in each state.
    """
    peak, noise, is_below = start_equity, money_noise(start_equity), False
    peak_ns = worst_ns = since_ns = equity[0]["ts_ns"]
    worst, longest_ns, exposed = 0.0, 0, 0
    state = equity[0]["trading_state"]
    for index in range(len(equity)):
        row = equity[index]
        value, ts_ns = row["equity"], row["ts_ns"]
        if value > peak:
            peak = value
            noise = money_noise(peak)
        fall = peak - value
        if fall > noise:
            is_below = True
            if fall > worst * peak * NEARLY and fall / peak > worst:
                worst, worst_ns = fall / peak, ts_ns
        else:
            if is_below and ts_ns - peak_ns > longest_ns:
                longest_ns = ts_ns - peak_ns
            peak_ns, is_below = ts_ns, False
        if row["gross_exposure"] > 0.0:
            exposed += 1
        if row["trading_state"] != state:
            state_ns[state] += ts_ns - since_ns
            state, since_ns = row["trading_state"], ts_ns
    last_ns = equity[len(equity) - 1]["ts_ns"]
    state_ns[state] += last_ns - since_ns
    if is_below and last_ns - peak_ns > longest_ns:
        longest_ns = last_ns - peak_ns
    return peak, worst, worst_ns, longest_ns, exposed


@jit
def deepest_fall(equity, start_equity):  # type: ignore[no-untyped-def]
    """`max_drawdown_frac` of `curve_facts` from equities (f8), for those who read many curves.

    A stretch whose lowest, seen as below its highest, is no deeper than what is known has nothing
    that is: rounded arithmetic is monotone.
    """
    peak, worst = start_equity, 0.0
    for start in range(0, len(equity), STRETCH):
        values = equity[start : start + STRETCH]
        low, high, is_known = extremes(values)
        top = high if high > peak else peak
        fall = top - low
        is_shallow = fall <= worst * peak * NEARLY or fall <= money_noise(peak)
        if is_known and peak > 0.0 and is_shallow:
            peak = top
            continue
        for index in range(len(values)):
            value = values[index]
            if value > peak:
                peak = value
            fall = peak - value
            if fall > worst * peak * NEARLY and fall > money_noise(peak):
                worst = max(worst, fall / peak)
    return worst


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
    dates, lasts = session_runs(sessions, ts_ns, period_ns)
    known = np.unique(sessions["session"])
    known = known[(known >= dates[0]) & (known <= dates[-1])]
    return SessionEnds(known, lasts[np.searchsorted(dates, known, side="right") - 1])
