"""Trading hours as SESSION records, from exchange_calendars or around the clock.

Law: the core and the gate never ask a calendar; they get this table, in UTC nanoseconds, sorted
and without overlap. A lunch break makes two rows of one session. `24x7` is one row per UTC day.
"""

import bisect
import difflib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.core.schema import NS_PER_SECOND, SESSION
from trader.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

ALWAYS_OPEN = "24x7"
DAY_NS = 86_400 * NS_PER_SECOND
MARGIN_DAYS = 12  # longer than any holiday closure but wars, so the next session is in the table
BLOCK = 1 << 16
YEAR_S = 365.25 * 86_400.0
MARKET_HOURS_KEY = "risk.market_hours"


def session_table(market_hours: str, start_ns: int, end_ns: int) -> np.ndarray:
    """SESSION records that cover [start_ns, end_ns] and MARGIN_DAYS on either side.

    Raises `ConfigError` for an unknown calendar code, or dates it does not reach.
    """
    first_day, last_day = start_ns // DAY_NS - MARGIN_DAYS, end_ns // DAY_NS + MARGIN_DAYS
    if market_hours.lower() == ALWAYS_OPEN:
        days = np.arange(first_day, last_day + 1)
        table = np.zeros(len(days), SESSION)
        table["open_ns"] = days * DAY_NS
        table["close_ns"] = (days + 1) * DAY_NS
        table["session"] = days
        return table
    return _exchange_table(market_hours, int(first_day), int(last_day))


@lru_cache(maxsize=8)
def _exchange_table(code: str, first_day: int, last_day: int) -> np.ndarray:
    schedule = _calendar(code, first_day, last_day).schedule
    opens, closes = _ns(schedule["open"]), _ns(schedule["close"])
    breaks, resumes = _ns(schedule["break_start"]), _ns(schedule["break_end"])
    days = schedule.index.values.astype("datetime64[D]").astype(np.int64)
    whole = breaks == _NOT_A_TIME
    rows = len(schedule) + int(np.count_nonzero(~whole))
    table = np.zeros(rows, SESSION)
    order = np.argsort(np.concatenate([opens, resumes[~whole]]), kind="stable")
    table["open_ns"] = np.concatenate([opens, resumes[~whole]])[order]
    firsts = np.where(whole, closes, breaks)
    table["close_ns"] = np.concatenate([firsts, closes[~whole]])[order]
    table["session"] = np.concatenate([days, days[~whole]])[order]
    table.flags.writeable = False
    return table


_NOT_A_TIME = np.iinfo(np.int64).min


def _ns(column: "pd.Series[Any]") -> np.ndarray:
    """A column of UTC times as int64 nanoseconds; missing ones as the smallest int64."""
    return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]").view("i8")


def _calendar(code: str, first_day: int, last_day: int) -> Any:
    import exchange_calendars as xcals

    known = xcals.get_calendar_names(include_aliases=True)
    if code not in known:
        near = difflib.get_close_matches(code.upper(), known, 3) or ["XNYS", "XLON", ALWAYS_OPEN]
        raise ConfigError(
            f"{code!r} is no exchange calendar; nearest: {', '.join(near)} (or {ALWAYS_OPEN})",
            key=MARKET_HOURS_KEY,
        )
    start = str(np.datetime64(first_day, "D"))
    end = str(np.datetime64(last_day, "D"))
    try:
        return xcals.get_calendar(code, start=start, end=end)
    except (ValueError, xcals.errors.CalendarError) as error:
        raise ConfigError(
            f"the calendar {code} does not reach from {start} to {end}: {error}",
            key=MARKET_HOURS_KEY,
        ) from error


@lru_cache(maxsize=8)
def sessions_per_year(market_hours: str) -> float:
    """Sessions in a year: 365.25 around the clock, the mean of whole past years otherwise."""
    if market_hours.lower() == ALWAYS_OPEN:
        return 365.25
    return len(np.unique(_four_years(market_hours)["session"])) / 4.0


@lru_cache(maxsize=8)
def bars_per_year(market_hours: str, period_s: float) -> float:
    """Bars of `period_s` seconds in a year of trading hours."""
    if market_hours.lower() == ALWAYS_OPEN:
        return YEAR_S / period_s
    table = _four_years(market_hours)
    open_s = float(np.sum(table["close_ns"] - table["open_ns"])) / NS_PER_SECOND
    return open_s / 4.0 / period_s


def _four_years(market_hours: str) -> np.ndarray:
    """2021 to 2024: whole years, a leap year among them, in every calendar's default reach."""
    first = int(np.datetime64("2021-01-01", "D").astype(np.int64))
    last = int(np.datetime64("2024-12-31", "D").astype(np.int64))
    return _exchange_table(market_hours, first, last)


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
