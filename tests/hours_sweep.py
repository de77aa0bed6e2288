"""One calendar, one span: every period's bars through the core and through the naive twin."""

import numpy as np

from tests.hours_kit import (
    Hours,
    bar_dates,
    bar_opens,
    day_orders_differ,
    losses_differ,
    schedule_hours,
    walk,
)
from trader.feeds.sessions import session_table
from trader.hours.bar_sessions import session_dates

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
PERIODS = {
    "minute": MINUTE,
    "half hour": 30 * MINUTE,
    "hour": HOUR,
    "odd hours": 5 * HOUR,  # straddle opens and closes everywhere
    "day": DAY,
    "week": 7 * DAY,
}
MINUTE_DAYS = 15  # sessions of minutes that are looked at, spread over the span
TRADED_ROWS = 3_000  # rows of each that are traded, too


def differences(
    code: str, first: str, last: str, periods: dict[str, int], shift: int = 0
) -> list[str]:
    """What differs between core and twin, in words. `shift` plants a mistake in the twin."""
    hours = schedule_hours(code, first, last)
    table = session_table(code, int(hours.opens[0]), int(hours.closes[-1]))
    found = []
    for name, period_ns in periods.items():
        closes = _closes(hours, period_ns)
        wanted = bar_dates(hours, closes, period_ns).astype(np.int64) + shift
        got = session_dates(table, closes, period_ns)
        wrong = np.flatnonzero(got != wanted)
        if len(wrong):
            when = np.datetime64(int(closes[wrong[0]]), "ns")
            found.append(f"{code} {name}: {len(wrong)} sessions, first {when}")
        traded = closes[:TRADED_ROWS]
        bars = walk(len(closes), traded, bar_opens(hours, traded, period_ns), period_ns)
        for differ in (losses_differ, day_orders_differ):
            what = differ(hours, table, bars, period_ns)
            if what:
                found.append(f"{code} {name}: {differ.__name__}: {what}")
    return found


def _closes(hours: Hours, period_ns: int) -> np.ndarray:
    """Closes of bars: of days and weeks those of the sessions; otherwise of a grid in UTC, from
    two hours before each open to two hours after each close."""
    ends = np.flatnonzero(np.append(hours.dates[1:] != hours.dates[:-1], True))
    if period_ns == DAY:
        return hours.closes[ends]
    if period_ns == 7 * DAY:
        weeks = (hours.dates[ends].astype(np.int64) + 4) // 7
        return hours.closes[ends][np.append(weeks[1:] != weeks[:-1], True)][:-1]
    rows = np.arange(len(hours.opens))
    if period_ns == MINUTE:
        step = max(len(rows) // MINUTE_DAYS, 1)
        rows = rows[step // 2 :: step]
    grids = [
        np.arange(
            (hours.opens[row] - 2 * HOUR) // period_ns * period_ns,
            hours.closes[row] + 2 * HOUR,
            period_ns,
        )
        for row in rows
    ]
    closes = np.unique(np.concatenate(grids))
    return closes[(closes - period_ns >= hours.opens[0]) & (closes <= hours.closes[-1])]
