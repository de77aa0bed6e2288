"""Features that TA-Lib lacks, as one compiled loop over bars.

Law: batch and stream run this very loop, over many bars or over one, on the same state; they are
equal by construction. Plain sums in a stated order, `x * x`, no NumPy reductions. A division is
guarded, so that interpreted and compiled agree; a value that is not finite leaves as NaN.

State is float64, one row a symbol: where in the session table the search goes on, then the slots
of each kernel from its `offset`. A trailing window is kept twice in a row, so that it lies there
from the oldest to the newest value without a break. Times do not fit into float64 and are never
kept: a session is known by its date.
"""
# mypy: allow-untyped-defs

import math

import numpy as np

from trader.jit import inlined, jit
from trader.session_rows import bar_row, session_cursor, session_open_ns

NS_PER_MINUTE = 60_000_000_000
NS_PER_DAY = 86_400_000_000_000
THURSDAY = 3  # 1970-01-01, counted from Monday
BPS = 10_000.0

KERNEL = np.dtype(
    [
        ("kind", "<i8"),  # RETURNS … GAP
        ("field", "<i8"),  # index into feature.INPUT_FIELDS
        ("window", "<i8"),  # bars
        ("offset", "<i8"),  # of its slots in a symbol's state
        ("column", "<i8"),  # of the feature matrix
    ]
)


# kinds of kernels; the order matters to `kernel_value`
RETURNS, LOG_RETURNS, ZSCORE, VOLUME_RATIO = range(4)  # of a trailing window
TIME_OF_DAY_SIN, TIME_OF_DAY_COS, DAY_OF_WEEK = range(4, 7)  # of the UTC clock
SPREAD_BPS = 7
SESSION_VWAP, VWAP_DISTANCE, MINUTES_SINCE_OPEN, GAP = range(8, 12)  # of the session


@inlined
def is_finite(value):
    """Neither NaN nor infinite."""
    return value - value == 0.0


@inlined
def field_value(bar, field):
    """The bar's field by its index in `INPUT_FIELDS`."""
    if field == 3:
        return bar["close"]
    if field == 0:
        return bar["open"]
    if field == 1:
        return bar["high"]
    if field == 2:
        return bar["low"]
    if field == 4:
        return bar["volume"]
    return bar["bid"] if field == 5 else bar["ask"]


@inlined
def cursor_of(sessions, row, ts_ns):
    """`session_cursor` of a time; `row` is that of another bar, or −1."""
    if row < 0 or row > len(sessions) or (row > 0 and sessions[row - 1]["close_ns"] >= ts_ns):
        row = 0
    return session_cursor(sessions, row, ts_ns)


@inlined
def push(slots, at, window, value):
    """Take `value` into the trailing window; where it begins then, −1 while it is not full.

    `slots[at]` counts the values taken; the 2 × `window` slots after it hold them.
    """
    seen = int(slots[at])
    slots[at] = seen + 1.0
    place = at + 1 + seen % window
    slots[place] = value
    slots[place + window] = value
    return place + 1 if seen + 1 >= window else -1


@inlined
def change(slots, at, window, value, logarithm):
    """Newest over oldest of `window` values − 1, or the logarithm of the ratio; NaN without it."""
    if not is_finite(value):
        return math.nan
    first = push(slots, at, window, value)
    if first < 0 or slots[first] == 0.0:
        return math.nan
    ratio = value / slots[first]
    if not logarithm:
        return ratio - 1.0
    return math.log(ratio) if ratio > 0.0 else math.nan


@inlined
def zscore(slots, at, window, value):
    """Distance from the mean of the last `window` values in sample standard deviations.

    The value itself is one of them. Values that are all equal have no deviation: 0. Differences
    from the newest value are summed, which loses no digits however far prices are from 0; four
    partial sums each, because one alone waits for its last addition.
    """
    if not is_finite(value):
        return math.nan
    first = push(slots, at, window, value)
    if first < 0:
        return math.nan
    sum_0 = sum_1 = sum_2 = sum_3 = 0.0
    square_0 = square_1 = square_2 = square_3 = 0.0
    fours = first + window - window % 4
    for index in range(first, fours, 4):
        d_0 = slots[index] - value
        d_1 = slots[index + 1] - value
        d_2 = slots[index + 2] - value
        d_3 = slots[index + 3] - value
        sum_0 += d_0
        sum_1 += d_1
        sum_2 += d_2
        sum_3 += d_3
        square_0 += d_0 * d_0
        square_1 += d_1 * d_1
        square_2 += d_2 * d_2
        square_3 += d_3 * d_3
    for index in range(fours, first + window):
        d_0 = slots[index] - value
        sum_0 += d_0
        square_0 += d_0 * d_0
    total = (sum_0 + sum_1) + (sum_2 + sum_3)
    squares = (square_0 + square_1) + (square_2 + square_3)
    mean = total / window
    variance = (squares - total * mean) / (window - 1)
    return (0.0 - mean) / math.sqrt(variance) if variance > 0.0 else 0.0


@inlined
def mean_ratio(slots, at, window, value):
    """`value` over the mean of the last `window` values, itself among them; NaN if that is 0."""
    if not is_finite(value):
        return math.nan
    first = push(slots, at, window, value)
    if first < 0:
        return math.nan
    sum_0 = sum_1 = sum_2 = sum_3 = 0.0
    fours = first + window - window % 4
    for index in range(first, fours, 4):
        sum_0 += slots[index]
        sum_1 += slots[index + 1]
        sum_2 += slots[index + 2]
        sum_3 += slots[index + 3]
    for index in range(fours, first + window):
        sum_0 += slots[index]
    mean = ((sum_0 + sum_1) + (sum_2 + sum_3)) / window
    return value / mean if mean > 0.0 else math.nan


@inlined
def session_vwap(slots, at, bar, day):
    """Mean of (high + low + close) / 3 weighted by volume since the session's first bar.

    NaN while the session has no volume. Slots: date of the session, Σ price × volume, Σ volume.
    """
    if slots[at] != day:
        slots[at] = day
        slots[at + 1] = 0.0
        slots[at + 2] = 0.0
    typical = (bar["high"] + bar["low"] + bar["close"]) / 3.0
    volume = bar["volume"]
    if is_finite(typical) and is_finite(volume):
        slots[at + 1] += typical * volume
        slots[at + 2] += volume
    return slots[at + 1] / slots[at + 2] if slots[at + 2] > 0.0 else math.nan


@inlined
def opening_gap(slots, at, bar, day):
    """Session's first open over the last close of the session before − 1, all session long.

    Slots: date of the session, last close, gap; NaN before there are any.
    """
    if slots[at] != day:
        slots[at] = day
        slots[at + 2] = math.nan
        if slots[at + 1] > 0.0:
            slots[at + 2] = bar["open"] / slots[at + 1] - 1.0
    if is_finite(bar["close"]):
        slots[at + 1] = bar["close"]
    return slots[at + 2]


@inlined
def quoted_spread(bar):
    """(ask − bid) over their middle in basis points; NaN without both quotes."""
    middle = (bar["bid"] + bar["ask"]) / 2.0
    if not (middle > 0.0):
        return math.nan
    return (bar["ask"] - bar["bid"]) / middle * BPS


@inlined
def minutes_since_open(sessions, row, ts_ns):
    """Minutes from the session's first opening to `ts_ns`; a lunch break counts."""
    return (ts_ns - session_open_ns(sessions, row)) / NS_PER_MINUTE


@inlined
def clock_value(kind, ts_ns):
    """The kernels of the UTC clock. A bar that closes at midnight belongs to the day it ends."""
    if kind == DAY_OF_WEEK:
        return float(((ts_ns - 1) // NS_PER_DAY + THURSDAY) % 7)
    angle = 2.0 * math.pi * ((ts_ns % NS_PER_DAY) / NS_PER_DAY)
    return math.sin(angle) if kind == TIME_OF_DAY_SIN else math.cos(angle)


@inlined
def session_value(kernel, sessions, row, bar, slots):
    """The kernels of the session in table row `row`; NaN outside trading hours (row −1)."""
    kind = kernel["kind"]
    if row < 0:
        return math.nan
    if kind == MINUTES_SINCE_OPEN:
        return minutes_since_open(sessions, row, bar["ts_ns"])
    day = sessions[row]["session"]
    at = kernel["offset"]
    if kind == GAP:
        return opening_gap(slots, at, bar, day)
    vwap = session_vwap(slots, at, bar, day)
    if kind == SESSION_VWAP:
        return vwap
    return bar["close"] / vwap - 1.0 if vwap > 0.0 else math.nan


@inlined
def kernel_value(kernel, sessions, row, bar, slots):
    """One bar into one kernel."""
    kind = kernel["kind"]
    if kind > SPREAD_BPS:
        return session_value(kernel, sessions, row, bar, slots)
    if kind == SPREAD_BPS:
        return quoted_spread(bar)
    if kind > VOLUME_RATIO:
        return clock_value(kind, bar["ts_ns"])
    at, window = kernel["offset"], kernel["window"]
    value = field_value(bar, kernel["field"])
    if kind == ZSCORE:
        return zscore(slots, at, window, value)
    if kind == VOLUME_RATIO:
        return mean_ratio(slots, at, window, value)
    return change(slots, at, window, value, kind == LOG_RETURNS)


@jit
def run_kernels(kernels, sessions, period_ns, state, bars, out):
    """Feed BAR records to KERNEL records; float64 `out` (features, n) gets their columns.

    `sessions` may be empty where no kernel asks for them. Which session a bar belongs
    to, `session_rows` decides. Returns the number of bars taken: fewer than all if a symbol is
    not in `state`.
    """
    for index in range(len(bars)):
        bar = bars[index]
        symbol = bar["symbol"]
        if symbol < 0 or symbol >= len(state):
            return index
        slots = state[symbol]
        cursor = cursor_of(sessions, int(slots[0]), bar["ts_ns"])
        slots[0] = cursor
        row = bar_row(sessions, cursor, bar["ts_ns"], period_ns)
        for turn in range(len(kernels)):
            value = kernel_value(kernels[turn], sessions, row, bar, slots)
            out[kernels[turn]["column"], index] = value if is_finite(value) else math.nan
    return len(bars)
