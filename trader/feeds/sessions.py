"""Trading hours as the gate measures in them; the table itself comes from `trader.hours`.

Law: only time inside trading hours counts: a night, a weekend and a lunch break are no gap.
"""

import bisect

import numpy as np

from trader.codes import DAY_NS
from trader.hours.tables import bars_per_year, session_table, sessions_per_year

__all__ = [
    "bars_per_year",
    "off_grid",
    "session_table",
    "sessions_per_year",
    "trading_time_ns",
]
BLOCK = 1 << 16


def is_open(sessions: np.ndarray, ts_ns: int) -> bool:
    """Whether SESSION rows say that trading hours hold `ts_ns`."""
    row = bisect.bisect_right(sessions["open_ns"], ts_ns) - 1
    return row >= 0 and bool(ts_ns < sessions[row]["close_ns"])


def trading_time_ns(sessions: np.ndarray, ts_ns: np.ndarray) -> np.ndarray:
    """Trading nanoseconds from the table's start up to each time: flat while closed."""
    opens = np.ascontiguousarray(sessions["open_ns"])
    lengths = sessions["close_ns"] - opens
    before = np.concatenate([[0], np.cumsum(lengths)])
    clock = np.empty(len(ts_ns), np.int64)
    for start in range(0, len(ts_ns), BLOCK):  # in blocks: four arrays of a long history are much
        part = ts_ns[start : start + BLOCK]
        row = np.maximum(_rows_of(opens, part), 0)
        clock[start : start + BLOCK] = before[row] + np.clip(part - opens[row], 0, lengths[row])
    return clock


def _rows_of(opens: np.ndarray, ts_ns: np.ndarray) -> np.ndarray:
    """Of each time the last opening at or before it, −1 where there is none; fast in order."""
    if len(ts_ns) and (ts_ns[1:] >= ts_ns[:-1]).all():
        firsts = np.searchsorted(ts_ns, opens, "left")
        lengths = np.diff(np.concatenate([[0], firsts, [len(ts_ns)]]))
        return np.repeat(np.arange(-1, len(opens)), lengths)
    return np.searchsorted(opens, ts_ns, "right") - 1


def off_grid(sessions: np.ndarray, ts_ns: np.ndarray, period_ns: int) -> int:
    """How many bars inside trading hours do not open a whole number of periods after them."""
    if period_ns > DAY_NS:
        return 0
    opens, closes = (np.ascontiguousarray(sessions[name]) for name in ("open_ns", "close_ns"))
    count = 0
    for start in range(0, len(ts_ns), BLOCK):
        part = ts_ns[start : start + BLOCK]
        row = np.maximum(_rows_of(opens, part), 0)
        inside = (part >= opens[row]) & (part < closes[row])
        count += int(np.count_nonzero(inside & ((part - opens[row]) % period_ns != 0)))
    return count
