"""Which session a bar belongs to, and which session an instant belongs to: decided here alone.

Law: a bar belongs to the session that it lies in for its most part; where two hold as much of
it, to the later one; one that ends exactly when a stretch of trading hours ends belongs to that,
however long it is (a week belongs to its last session); one that lies in none belongs to the
session that opens next. An instant belongs to the session that is open then or opens next: the
close of one is no part of it. Everything is a function of the session table, the bar's close and
the bar period.

`sessions` is SESSION[], sorted and not overlapping. Rows are indices into it; `len(sessions)` is
"after the table". A cursor is the first row that closes at or after a time.
"""

import numpy as np

from trader.codes import BAR_STRETCH_SHIFT, NS_PER_SECOND
from trader.jit import inlined


@inlined
def session_cursor(sessions, row, ts_ns):
    """First row, from `row` on, that closes at or after `ts_ns`."""
    while row < len(sessions) and sessions[row]["close_ns"] < ts_ns:
        row += 1
    return row


@inlined
def bar_row(sessions, cursor, close_ns, period_ns):
    """Row of the bar's session, −1 where the bar lies in none.

    `cursor` is `session_cursor` of its close.
    """
    open_ns = close_ns - period_ns
    if cursor < len(sessions):
        if sessions[cursor]["close_ns"] == close_ns or sessions[cursor]["open_ns"] <= open_ns:
            return cursor
    return widest_row(sessions, cursor, open_ns, close_ns)


@inlined
def widest_row(sessions, cursor, open_ns, close_ns):
    """Row of the session that [open, close) overlaps most, −1 if none: a bar across an edge."""
    best, most = -1, 0
    row = min(cursor, len(sessions) - 1)
    while row >= 0 and sessions[row]["close_ns"] > open_ns:
        session, last, overlap = sessions[row]["session"], row, 0
        while row >= 0 and sessions[row]["session"] == session:
            begins = max(sessions[row]["open_ns"], open_ns)
            ends = min(sessions[row]["close_ns"], close_ns)
            overlap += max(ends - begins, 0)
            row -= 1
        if overlap > most:
            best, most = last, overlap
    return best


@inlined
def instant_row(sessions, cursor, ts_ns):
    """Row that is open at `ts_ns` or opens next; `cursor` is `session_cursor` of it or later."""
    row = cursor
    while row > 0 and sessions[row - 1]["close_ns"] > ts_ns:
        row -= 1
    if row < len(sessions) and sessions[row]["close_ns"] <= ts_ns:
        row += 1
    return row


@inlined
def instant_session(sessions, cursor, ts_ns):
    """Trading date of the session that is open at `ts_ns` or opens next; after the table, its end's
    next day, so that nothing lives on from a session that is known."""
    row = instant_row(sessions, cursor, ts_ns)
    if row < len(sessions):
        return sessions[row]["session"]
    if row == 0:
        return 0
    return sessions[len(sessions) - 1]["session"] + 1


@inlined
def session_open_ns(sessions, row):
    """First opening of the session in `row`; a lunch break is inside it."""
    session = sessions[row]["session"]
    while row > 0 and sessions[row - 1]["session"] == session:
        row -= 1
    return sessions[row]["open_ns"]


@inlined
def session_close_ns(sessions, row):
    """Last close of the session in `row`."""
    session = sessions[row]["session"]
    while row + 1 < len(sessions) and sessions[row + 1]["session"] == session:
        row += 1
    return sessions[row]["close_ns"]


@inlined
def bar_open_ns(bar, period_ns):
    """When a BAR opened: `flags` holds the seconds that it is longer than the bar period."""
    stretch_s = np.int64(bar["flags"]) >> BAR_STRETCH_SHIFT
    return bar["ts_ns"] - period_ns - stretch_s * NS_PER_SECOND
