"""Trading hours as the gate measures in them; the table itself comes from `trader.hours`.

Law: only time inside trading hours counts: a night, a weekend and a lunch break are no gap.
"""

import numpy as np

from trader.hours.calendars import DAY_NS
from trader.hours.tables import bars_per_year, session_table, sessions_per_year

__all__ = [
    "DAY_NS",
    "bars_per_year",
    "off_grid",
    "session_table",
    "sessions_per_year",
    "trading_time_ns",
]
BLOCK = 1 << 16


def trading_time_ns(sessions: np.ndarray, ts_ns: np.ndarray) -> np.ndarray:
    """Trading nanoseconds from the table's start up to each time: flat while closed."""
    opens = np.ascontiguousarray(sessions["open_ns"])
    lengths = sessions["close_ns"] - opens
    before = np.concatenate([[0], np.cumsum(lengths)])
    clock = np.empty(len(ts_ns), np.int64)
    for start in range(0, len(ts_ns), BLOCK):  # in blocks: four arrays of a long history are much
        part = ts_ns[start : start + BLOCK]
        row = np.maximum(np.searchsorted(opens, part, "right") - 1, 0)
        clock[start : start + BLOCK] = before[row] + np.clip(part - opens[row], 0, lengths[row])
    return clock


def off_grid(sessions: np.ndarray, ts_ns: np.ndarray, period_ns: int) -> int:
    """How many bars inside trading hours do not open a whole number of periods after them."""
    if period_ns > DAY_NS:
        return 0
    opens, closes = (np.ascontiguousarray(sessions[name]) for name in ("open_ns", "close_ns"))
    count = 0
    for start in range(0, len(ts_ns), BLOCK):
        part = ts_ns[start : start + BLOCK]
        row = np.maximum(np.searchsorted(opens, part, "right") - 1, 0)
        inside = (part >= opens[row]) & (part < closes[row])
        count += int(np.count_nonzero(inside & ((part - opens[row]) % period_ns != 0)))
    return count
