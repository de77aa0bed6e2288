"""Features that TA-Lib lacks, as one compiled loop over bars of one symbol.

Law: batch and stream run this very loop, over many bars or over one, on the same state; they are
equal by construction. Plain sums in a stated order, `x * x`, no NumPy reductions.

State is float64: SCRATCH numbers of a kernel's own, then its ring of `window` values. A kernel is
told by its code; NaN means not warm, or not defined for this bar.
"""

import math
from enum import IntEnum

import numpy as np

from trader.core.jit import inlined, jit

SCRATCH = 8
NS_PER_MINUTE = 60_000_000_000
NS_PER_DAY = 86_400_000_000_000
BPS = 10_000.0
SEEN, SESSION_DAY, CURSOR = 0, 1, 2  # scratch slots every kernel shares
FIRST, SECOND, THIRD = 3, 4, 5  # scratch slots a kernel uses as it likes
THURSDAY = 3  # 1970-01-01


class Kernel(IntEnum):
    """What a kernel computes."""

    RETURNS = 0
    LOG_RETURNS = 1
    ZSCORE = 2
    VOLUME_RATIO = 3
    SESSION_VWAP = 4
    VWAP_DISTANCE = 5
    SPREAD_BPS = 6
    TIME_OF_DAY_SIN = 7
    TIME_OF_DAY_COS = 8
    DAY_OF_WEEK = 9
    MINUTES_SINCE_OPEN = 10
    GAP = 11


RETURNS = int(Kernel.RETURNS)
LOG_RETURNS = int(Kernel.LOG_RETURNS)
ZSCORE = int(Kernel.ZSCORE)
VOLUME_RATIO = int(Kernel.VOLUME_RATIO)
SESSION_VWAP = int(Kernel.SESSION_VWAP)
VWAP_DISTANCE = int(Kernel.VWAP_DISTANCE)
SPREAD_BPS = int(Kernel.SPREAD_BPS)
TIME_OF_DAY_SIN = int(Kernel.TIME_OF_DAY_SIN)
TIME_OF_DAY_COS = int(Kernel.TIME_OF_DAY_COS)
DAY_OF_WEEK = int(Kernel.DAY_OF_WEEK)
MINUTES_SINCE_OPEN = int(Kernel.MINUTES_SINCE_OPEN)
GAP = int(Kernel.GAP)


def new_state(window: int) -> np.ndarray:
    """State of a kernel that has seen no bar."""
    state = np.zeros(SCRATCH + window)
    state[SESSION_DAY] = math.nan
    return state


@inlined
def session_row(state, sessions, ts_ns):
    """Row of the session table that a bar closing at `ts_ns` belongs to; the last one beyond it."""
    row = int(state[CURSOR])
    while row + 1 < len(sessions) and sessions[row]["close_ns"] < ts_ns:
        row += 1
    state[CURSOR] = row
    return row


@inlined
def enters_session(state, day):
    """Whether this is the first bar of session `day`; remembers it."""
    if state[SESSION_DAY] == day:
        return False
    state[SESSION_DAY] = day
    return True


@inlined
def lagged_return(state, window, close, logarithm):
    """close / close `window` bars ago − 1, or its logarithm."""
    slot = SCRATCH + int(state[SEEN]) % window
    earlier = state[slot]
    state[slot] = close
    if state[SEEN] < window:
        return math.nan
    return math.log(close / earlier) if logarithm else close / earlier - 1.0


@inlined
def zscore(state, window, value):
    """Distance from the mean of the last `window` values in sample standard deviations.

    This value is one of them. Values that are all equal have no deviation: 0.
    """
    seen = int(state[SEEN])
    state[SCRATCH + seen % window] = value
    if seen + 1 < window:
        return math.nan
    total = 0.0
    for back in range(window):
        total += state[SCRATCH + (seen + 1 + back) % window]
    mean = total / window
    squares = 0.0
    for back in range(window):
        deviation = state[SCRATCH + (seen + 1 + back) % window] - mean
        squares += deviation * deviation
    spread = math.sqrt(squares / (window - 1))
    return (value - mean) / spread if spread > 0.0 else 0.0


@inlined
def volume_ratio(state, window, volume):
    """Volume over the mean of the `window` bars before this one; 0 where those had none."""
    seen = int(state[SEEN])
    slot = SCRATCH + seen % window
    total = 0.0
    if seen >= window:
        for back in range(window):
            total += state[SCRATCH + (seen + back) % window]
    state[slot] = volume
    if seen < window:
        return math.nan
    return volume * window / total if total > 0.0 else 0.0


@inlined
def session_vwap(state, bar, day):
    """Volume-weighted mean of (high + low + close) / 3 since the session's first bar."""
    if enters_session(state, day):
        state[FIRST] = 0.0
        state[SECOND] = 0.0
    typical = (bar["high"] + bar["low"] + bar["close"]) / 3.0
    state[FIRST] += typical * bar["volume"]
    state[SECOND] += bar["volume"]
    return state[FIRST] / state[SECOND] if state[SECOND] > 0.0 else typical


@inlined
def opening_gap(state, bar, day):
    """Session's first open over the last close of the session before − 1, all session long."""
    if enters_session(state, day):
        state[FIRST] = bar["open"] / state[SECOND] - 1.0 if state[SECOND] > 0.0 else math.nan
    state[SECOND] = bar["close"]
    return state[FIRST]


@inlined
def quoted_spread(bar):
    """(ask − bid) over mid in basis points; NaN without both."""
    middle = (bar["bid"] + bar["ask"]) / 2.0
    return (bar["ask"] - bar["bid"]) / middle * BPS if middle > 0.0 else math.nan


@inlined
def day_fraction(ts_ns):
    """Part of the UTC day that has passed, 0 to 1."""
    return (ts_ns % NS_PER_DAY) / NS_PER_DAY


@inlined
def kernel_value(kernel, state, window, bar, session):
    """One bar into one kernel. `session` is the session-table record the bar belongs to."""
    day = session["session"]
    if kernel in (RETURNS, LOG_RETURNS):
        return lagged_return(state, window, bar["close"], kernel == LOG_RETURNS)
    if kernel == ZSCORE:
        return zscore(state, window, bar["close"])
    if kernel == VOLUME_RATIO:
        return volume_ratio(state, window, bar["volume"])
    if kernel == SESSION_VWAP:
        return session_vwap(state, bar, day)
    if kernel == VWAP_DISTANCE:
        return (bar["close"] / session_vwap(state, bar, day) - 1.0) * BPS
    if kernel == SPREAD_BPS:
        return quoted_spread(bar)
    if kernel == TIME_OF_DAY_SIN:
        return math.sin(2.0 * math.pi * day_fraction(bar["ts_ns"]))
    if kernel == TIME_OF_DAY_COS:
        return math.cos(2.0 * math.pi * day_fraction(bar["ts_ns"]))
    if kernel == DAY_OF_WEEK:
        return float((day + THURSDAY) % 7)
    if kernel == MINUTES_SINCE_OPEN:
        return (bar["ts_ns"] - session["open_ns"]) / NS_PER_MINUTE
    return opening_gap(state, bar, day)


@jit
def run_kernel(kernel, bars, sessions, state, out):
    """Feed BAR records of one symbol to one kernel; `out` float64 gets a value for each."""
    window = len(state) - SCRATCH
    for index in range(len(bars)):
        bar = bars[index]
        row = session_row(state, sessions, bar["ts_ns"])
        out[index] = kernel_value(kernel, state, window, bar, sessions[row])
        state[SEEN] += 1.0
