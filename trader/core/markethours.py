"""Step 6 of the pre-trade check: whether the market takes an order at this instant."""

from trader.core.jit import inlined
from trader.core.schema import Reason
from trader.core.sessions import DAY_NS, instant_row, session_close_ns, session_open_ns

MARKET_CLOSED = int(Reason.MARKET_CLOSED)
CALENDAR_UNKNOWN = int(Reason.CALENDAR_UNKNOWN)
PASSED = (int(Reason.NONE), 0.0, 0.0)


@inlined
def check_market_hours(account, sessions, limits, period_ns):
    """Step 6: (reason, observed, limit). Trading hours are [open, close), less the guards.

    The guards keep off the open and the close of the session, not of its lunch break. An order
    decided on a bar of a day or more is one for the next session's open, whatever the time.
    """
    ts_ns = account["ts_ns"]
    row = account["session_cursor"]
    if row >= len(sessions) or ts_ns < sessions[0]["open_ns"]:
        return CALENDAR_UNKNOWN, 0.0, 0.0
    row = instant_row(sessions, row, ts_ns)
    if period_ns >= DAY_NS:
        return PASSED if row < len(sessions) else (CALENDAR_UNKNOWN, 0.0, 0.0)
    if row >= len(sessions) or not (sessions[row]["open_ns"] <= ts_ns):
        return MARKET_CLOSED, 0.0, 0.0
    opens = session_open_ns(sessions, row) + limits["open_guard_ns"]
    closes = session_close_ns(sessions, row) - limits["close_guard_ns"]
    if not (opens <= ts_ns and ts_ns < closes):
        return MARKET_CLOSED, 0.0, 0.0
    return PASSED
