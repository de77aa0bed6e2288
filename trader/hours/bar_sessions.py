"""Sessions and openings of whole arrays of bars, by the rules of `session_rows`."""
# mypy: allow-untyped-defs

import numpy as np

from trader.core.schema import BAR_STRETCH_SHIFT, NS_PER_SECOND
from trader.jit import jit
from trader.session_rows import bar_row, session_cursor


@jit
def number_sessions(sessions, ts_ns, period_ns, dates):
    """Fill `dates` (i8) with the trading date of the session of the slice closing at each time.

    `ts_ns` is sorted. A bar in no session gets that of the session that opens next, and after the
    table that of the one before it: what `ledger.enter_session` makes of them.
    """
    cursor = 0
    for index in range(len(ts_ns)):
        cursor = session_cursor(sessions, cursor, ts_ns[index])
        row = bar_row(sessions, cursor, ts_ns[index], period_ns)
        if row < 0:
            row = min(cursor, len(sessions) - 1)
        dates[index] = sessions[row]["session"]


def session_dates(sessions: np.ndarray, ts_ns: np.ndarray, period_ns: int) -> np.ndarray:
    """i8 (n,): trading date (days since 1970) of the session of each slice; times are sorted."""
    dates = np.empty(len(ts_ns), np.int64)
    if len(sessions) and len(ts_ns):
        number_sessions(sessions, np.ascontiguousarray(ts_ns), int(period_ns), dates)
    return dates


def bar_opens(bars: np.ndarray, period_ns: int) -> np.ndarray:
    """i8 (n,): when each BAR opened, UTC nanoseconds."""
    stretch_s = bars["flags"].astype(np.int64) >> BAR_STRETCH_SHIFT
    return bars["ts_ns"] - period_ns - stretch_s * NS_PER_SECOND
