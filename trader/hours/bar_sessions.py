"""Sessions and openings of whole arrays of bars, by the rules of `session_rows`."""
# mypy: allow-untyped-defs

import numpy as np

from trader.core.schema import BAR_STRETCH_SHIFT, NS_PER_SECOND
from trader.jit import inlined, jit
from trader.session_rows import bar_row, session_cursor

ALIKE = 256  # rows that are mostly of one session, so that the first and the last tell of all


@jit
def find_runs(sessions, ts_ns, period_ns, dates, lasts):
    """Into `dates`, `lasts` (i8): the dates of the slices, and the last row of each; how many.

    `ts_ns` is sorted, and so are the dates: what lies between two slices of one session is of it.
    """
    cursor, index, count = 0, 0, 0
    while index < len(ts_ns):
        cursor = session_cursor(sessions, cursor, ts_ns[index])
        date = session_date(sessions, cursor, ts_ns[index], period_ns)
        last = min(index + ALIKE, len(ts_ns)) - 1
        while last > index:
            further = session_cursor(sessions, cursor, ts_ns[last])
            if session_date(sessions, further, ts_ns[last], period_ns) == date:
                break
            last = (index + last) // 2
        if count == 0 or dates[count - 1] != date:
            if count == len(dates):
                return -1
            dates[count] = date
            count += 1
        lasts[count - 1] = last
        index = last + 1
    return count


@inlined
def session_date(sessions, cursor, ts_ns, period_ns):
    """Trading date of the slice that closes at `ts_ns`; `cursor` is `session_cursor` of it."""
    row = bar_row(sessions, cursor, ts_ns, period_ns)
    if row < 0:
        row = min(cursor, len(sessions) - 1)
    return sessions[row]["session"]


def session_runs(
    sessions: np.ndarray, ts_ns: np.ndarray, period_ns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Trading dates (days since 1970) of slices closing at sorted times, each with its last row.

    A bar in no session has the date of the session that opens next, and after the table that of
    the one before it: what `ledger.enter_session` makes of them.
    """
    dates, lasts = np.empty(len(sessions), np.int64), np.empty(len(sessions), np.int64)
    if len(sessions) == 0 or len(ts_ns) == 0:
        return dates[:0], lasts[:0]
    count = find_runs(sessions, ts_ns, int(period_ns), dates, lasts)
    assert count >= 0, "the dates of sorted times are sorted"
    return dates[:count], lasts[:count]


def session_dates(sessions: np.ndarray, ts_ns: np.ndarray, period_ns: int) -> np.ndarray:
    """i8 (n,): the trading date of each slice, by `session_runs`; 0 without sessions."""
    dates, lasts = session_runs(sessions, ts_ns, period_ns)
    if len(dates) == 0:
        return np.zeros(len(ts_ns), np.int64)
    return np.repeat(dates, np.diff(lasts, prepend=-1))


def bar_opens(bars: np.ndarray, period_ns: int) -> np.ndarray:
    """i8 (n,): when each BAR opened, UTC nanoseconds."""
    stretch_s = bars["flags"].astype(np.int64) >> BAR_STRETCH_SHIFT
    return bars["ts_ns"] - period_ns - stretch_s * NS_PER_SECOND
