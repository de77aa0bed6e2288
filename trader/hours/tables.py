"""Trading hours as SESSION records: of an exchange, of the FX week, or around the clock.

Law: the core and the gate never ask a calendar; they get this table, in UTC nanoseconds, sorted
and without overlap. A lunch break makes two rows of one session. `24x7` is one row per UTC day.
"""

from functools import lru_cache

import numpy as np

from trader.codes import DAY_NS
from trader.core.schema import NS_PER_SECOND, SESSION
from trader.hours.calendars import ALWAYS_OPEN, Calendar, calendar_years, out_of_reach

MARGIN_DAYS = 12  # longer than any holiday closure but wars, so the next session is in the table
YEAR_S = 365.25 * 86_400.0
WEEKS_PER_YEAR = 365.2425 / 7.0
MONTHS_PER_YEAR = 12.0


def session_table(market_hours: str, start_ns: int, end_ns: int) -> np.ndarray:
    """SESSION records that cover [start_ns, end_ns] and MARGIN_DAYS on either side.

    The margin ends where the calendar's knowledge does. Raises `ConfigError` for an unknown
    calendar code, one that cannot be built, and for dates it does not reach.
    """
    first_day, last_day = int(start_ns // DAY_NS), int(end_ns // DAY_NS)
    if is_always_open(market_hours):
        days = np.arange(first_day - MARGIN_DAYS, last_day + MARGIN_DAYS + 1)
        table = np.zeros(len(days), SESSION)
        table["open_ns"] = days * DAY_NS
        table["close_ns"] = (days + 1) * DAY_NS
        table["session"] = days
        return table
    margin_first, margin_last = first_day - MARGIN_DAYS, last_day + MARGIN_DAYS
    calendar = calendar_years(market_hours, year_of(margin_first), year_of(margin_last))
    if first_day + 1 < calendar.known_from or last_day - 1 > calendar.known_to:
        # a day of grace on either side: what is a day depends on the zone of the exchange
        raise out_of_reach(market_hours, calendar, first_day, last_day)
    dates = calendar.sessions["session"]
    return calendar.sessions[(dates >= margin_first) & (dates <= margin_last)]


def is_always_open(market_hours: str) -> bool:
    return market_hours.lower() == ALWAYS_OPEN


def year_of(day: int) -> int:
    """The year of a day since 1970."""
    return int(np.datetime64(day, "D").astype("datetime64[Y]").astype(np.int64)) + 1970


def calendar_around(market_hours: str, ts_ns: int) -> Calendar:
    """The calendar of the year of an instant."""
    year = year_of(int(ts_ns // DAY_NS))
    return calendar_years(market_hours, year, year)


def last_known_ns(market_hours: str, ts_ns: int) -> int:
    """End of the last day whose holidays the calendar knows; asked at `ts_ns`."""
    if is_always_open(market_hours):
        return 2**62
    return (calendar_around(market_hours, ts_ns).known_to + 1) * DAY_NS - 1


@lru_cache(maxsize=8)
def sessions_per_year(market_hours: str) -> float:
    """Sessions in a year: 365.25 around the clock, the mean of whole past years otherwise."""
    if is_always_open(market_hours):
        return 365.25
    return len(np.unique(_four_years(market_hours)["session"])) / 4.0


@lru_cache(maxsize=8)
def bars_per_year(market_hours: str, period_s: float) -> float:
    """Bars of `period_s` seconds in a year of trading hours; one a session from a day on."""
    if period_s >= 28 * 86_400.0 and not is_always_open(market_hours):
        return MONTHS_PER_YEAR
    if period_s >= 7 * 86_400.0 and not is_always_open(market_hours):
        return WEEKS_PER_YEAR
    if is_always_open(market_hours):
        return YEAR_S / period_s
    if period_s >= 86_400.0:
        return sessions_per_year(market_hours)
    table = _four_years(market_hours)
    open_s = float(np.sum(table["close_ns"] - table["open_ns"])) / NS_PER_SECOND
    return open_s / 4.0 / period_s


def _four_years(market_hours: str) -> np.ndarray:
    """2021 to 2024: whole years, a leap year among them, in every calendar's default reach."""
    return calendar_years(market_hours, 2021, 2024).sessions
