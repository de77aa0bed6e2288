"""From the stamp of a bar to its open and close: seconds, days, weeks and months.

    seconds                 stamp + period; also days and weeks around the clock, in UTC
    days and weeks, 24x7    stamped at local midnight: to local midnight so many days later
    months, 24x7            calendar months in UTC
    days, weeks, months     of an exchange: its sessions; a bar opens and closes with them

Law: a bar of an exchange's day is the session, however it is stamped: at midnight (of the feed's
zone, the exchange's, or UTC: the date counts), at the open, at the close, or within. What a stamp
means does not depend on other stamps.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from trader.codes import DAY_NS
from trader.config.schema import Config
from trader.core.schema import BAR_STRETCH_SHIFT, NS_PER_SECOND
from trader.hours.calendars import calendar_years, zone_of
from trader.hours.tables import MARGIN_DAYS, is_always_open, year_of

if TYPE_CHECKING:
    import pandas as pd

AROUND_DAYS = 31 + MARGIN_DAYS  # a month is known whole, from the stamp at either end of it
THURSDAY = 4  # 1970-01-01, counted from Sunday


@dataclass(frozen=True)
class Spans:
    """Opens and closes of bars, int64 UTC nanoseconds; `known` is False where there is none."""

    open_ns: np.ndarray
    close_ns: np.ndarray
    known: np.ndarray


class BarClock(Protocol):
    """What stamps of one config's bars mean."""

    is_fixed: bool  # every bar is as long as the period: stamps can be compared as they are

    def spans(self, stamps_ns: np.ndarray) -> Spans:
        """Opens and closes of the bars with these stamps."""

    def opens(self, closes_ns: np.ndarray) -> np.ndarray:
        """Opens of bars from their closes, as `spans` made them."""

    def numbers(self, closes_ns: np.ndarray) -> np.ndarray:
        """Number of each bar, counted within one call: bars in a row have numbers in a row."""


def bar_clock(config: Config) -> BarClock:
    """The clock of a config's bars. `ConfigError` of the calendar, later, where it has one."""
    unit, hours = config.bar_unit, config.risk.market_hours
    by_close = config.feed.timestamp == "close"
    zone = config.feed.timezone
    if unit is not None and has_session_bars(config):
        return _SessionClock(hours, unit, by_close, zone)
    if unit == "month":
        return _MonthClock(by_close, zone)
    if unit is not None and zone not in (None, "UTC"):
        assert zone is not None
        return _LocalClock(config.period_ns, by_close, zone)
    return _FixedClock(config.period_ns, by_close)


def has_session_bars(config: Config) -> bool:
    """Whether bars are days, weeks or months of an exchange."""
    return config.bar_unit is not None and not is_always_open(config.risk.market_hours)


def stamp_zone(config: Config) -> str | None:
    """The zone that stamps without one are in: the feed's, or that of the exchange for its days."""
    if config.feed.timezone is None and has_session_bars(config):
        return zone_of(config.risk.market_hours)
    return config.feed.timezone


def stretch_flags(open_ns: np.ndarray, close_ns: np.ndarray, period_ns: int) -> np.ndarray:
    """i4: the seconds by which bars are longer than the period, as BAR keeps them in `flags`."""
    stretch_s = (close_ns - open_ns - period_ns) // NS_PER_SECOND
    return (stretch_s << BAR_STRETCH_SHIFT).astype(np.int32)


@dataclass(frozen=True)
class _FixedClock:
    period_ns: int
    by_close: bool
    is_fixed = True

    def spans(self, stamps_ns: np.ndarray) -> Spans:
        opens = stamps_ns - self.period_ns if self.by_close else stamps_ns
        return Spans(opens, opens + self.period_ns, np.ones(len(stamps_ns), bool))

    def opens(self, closes_ns: np.ndarray) -> np.ndarray:
        return closes_ns - self.period_ns

    def numbers(self, closes_ns: np.ndarray) -> np.ndarray:
        return closes_ns // self.period_ns


@dataclass(frozen=True)
class _LocalClock:
    """Days and weeks around the clock: 23 or 25 hours long where clocks change."""

    period_ns: int
    by_close: bool
    zone: str
    is_fixed = False

    def spans(self, stamps_ns: np.ndarray) -> Spans:
        other = self._moved(stamps_ns, -1 if self.by_close else 1)
        opens, closes = (other, stamps_ns) if self.by_close else (stamps_ns, other)
        return Spans(opens, closes, np.ones(len(stamps_ns), bool))

    def opens(self, closes_ns: np.ndarray) -> np.ndarray:
        return self._moved(closes_ns, -1)

    def numbers(self, closes_ns: np.ndarray) -> np.ndarray:
        return (closes_ns + self.period_ns // 2) // self.period_ns

    def _moved(self, times_ns: np.ndarray, periods: int) -> np.ndarray:
        """So many periods on, by the clock on the wall where a time is midnight there."""
        import pandas as pd

        plain = times_ns + periods * self.period_ns
        local = pd.DatetimeIndex(times_ns, tz="UTC").tz_convert(self.zone)
        there = (local.tz_localize(None) + pd.Timedelta(periods * self.period_ns)).tz_localize(
            self.zone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward"
        )
        is_midnight = (local == local.normalize()) & (there == there.normalize())
        return np.where(is_midnight, there.tz_convert("UTC").as_unit("ns").asi8, plain)


@dataclass(frozen=True)
class _MonthClock:
    """Calendar months in UTC; a stamp that is midnight in the feed's zone means its date there."""

    by_close: bool
    zone: str | None
    is_fixed = False

    def spans(self, stamps_ns: np.ndarray) -> Spans:
        dates, _ = label_dates(stamps_ns, (self.zone, "UTC"), "UTC")
        if self.by_close:
            dates = np.where(_is_first(dates), dates - 1, dates)
        months = _months(dates)
        return Spans(_month_ns(months), _month_ns(months + 1), np.ones(len(dates), bool))

    def opens(self, closes_ns: np.ndarray) -> np.ndarray:
        return _month_ns(self.numbers(closes_ns))

    def numbers(self, closes_ns: np.ndarray) -> np.ndarray:
        return _months((closes_ns - 1) // DAY_NS)


class _SessionClock:
    """Days, weeks and months of an exchange."""

    is_fixed = False

    def __init__(self, hours: str, unit: str, by_close: bool, zone: str | None) -> None:
        self._hours, self._unit, self._by_close = hours, unit, by_close
        self._exchange_zone = zone_of(hours)
        self._zones = (zone, self._exchange_zone, "UTC")

    def spans(self, stamps_ns: np.ndarray) -> Spans:
        if len(stamps_ns) == 0:
            return Spans(stamps_ns, stamps_ns, np.empty(0, bool))
        days = self._days(stamps_ns)
        dates = self._session_dates(days, stamps_ns)
        row, known = _found(days.period, self._period(dates))
        opens = np.where(known, days.open_ns[row], stamps_ns)
        closes = np.where(known, days.close_ns[row], stamps_ns)
        return Spans(opens, closes, known)

    def opens(self, closes_ns: np.ndarray) -> np.ndarray:
        if len(closes_ns) == 0:
            return closes_ns
        days = self._days(closes_ns)
        row, known = _found(days.close_ns, closes_ns)
        return np.where(known, days.open_ns[row], closes_ns)

    def numbers(self, closes_ns: np.ndarray) -> np.ndarray:
        if len(closes_ns) == 0:
            return closes_ns
        days = self._days(closes_ns)
        return np.searchsorted(days.close_ns, closes_ns)

    def _days(self, times_ns: np.ndarray) -> "_Periods":
        first = int(times_ns.min() // DAY_NS) - AROUND_DAYS
        last = int(times_ns.max() // DAY_NS) + AROUND_DAYS
        calendar = calendar_years(self._hours, year_of(first), year_of(last))
        return _periods(calendar.sessions, self._period(calendar.sessions["session"]))

    def _session_dates(self, days: "_Periods", stamps_ns: np.ndarray) -> np.ndarray:
        """The date that each stamp means."""
        dates, is_midnight = label_dates(stamps_ns, self._zones, self._exchange_zone)
        if self._by_close:
            dates = self._dates_of_ends(days, dates)
        row, inside = _inside(days, stamps_ns)
        dates = np.where(inside & ~is_midnight, days.session[row], dates)
        at_open, opens_now = _found(days.session_open_ns, stamps_ns)
        dates = np.where(opens_now, days.session[at_open], dates)
        at_close, closes_now = _found(days.session_close_ns, stamps_ns)
        wins = closes_now & (self._by_close | ~(opens_now | is_midnight))
        return np.where(wins, days.session[at_close], dates)

    def _dates_of_ends(self, days: "_Periods", dates: np.ndarray) -> np.ndarray:
        """Dates that end a week or month from outside: the Sunday after it, the first after it."""
        if self._unit == "week":
            _, is_session = _found(days.session, dates)
            return np.where(((dates + THURSDAY) % 7 == 0) & ~is_session, dates - 1, dates)
        if self._unit == "month":
            return np.where(_is_first(dates), dates - 1, dates)
        return dates

    def _period(self, dates: np.ndarray) -> np.ndarray:
        """Number of the day, the week (from Sunday on) or the month of each date."""
        if self._unit == "day":
            return dates
        return (dates + THURSDAY) // 7 if self._unit == "week" else _months(dates)


@dataclass(frozen=True)
class _Periods:
    """Sessions, and the periods they make up, in order."""

    session: np.ndarray  # dates
    session_open_ns: np.ndarray
    session_close_ns: np.ndarray
    period: np.ndarray  # its number
    open_ns: np.ndarray
    close_ns: np.ndarray


def _periods(sessions: np.ndarray, period: np.ndarray) -> _Periods:
    dates, first, last = _runs(sessions["session"])
    numbers, begins, ends = _runs(period)
    opens, closes = sessions["open_ns"], sessions["close_ns"]
    return _Periods(dates, opens[first], closes[last], numbers, opens[begins], closes[ends])


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(value, first row, last row) of each run of equal values, sorted as they are."""
    found, first = np.unique(values, return_index=True)
    return found, first, np.append(first[1:] - 1, len(values) - 1)


def _found(known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, is there) of each wanted value in the sorted ones."""
    if len(known) == 0:
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    row = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return row, known[row] == wanted


def _inside(days: _Periods, stamps_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, is inside) of the session that each stamp lies in."""
    row = np.maximum(np.searchsorted(days.session_open_ns, stamps_ns, "right") - 1, 0)
    opens, closes = days.session_open_ns[row], days.session_close_ns[row]
    return row, (stamps_ns >= opens) & (stamps_ns < closes)


def label_dates(
    stamps_ns: np.ndarray, zones: tuple[str | None, ...], otherwise: str
) -> tuple[np.ndarray, np.ndarray]:
    """(date, is midnight) of each stamp, in the first of `zones` where it is, or in `otherwise`."""
    import pandas as pd

    times = pd.DatetimeIndex(stamps_ns, tz="UTC")
    dates, is_midnight = _local_ns(times, otherwise) // DAY_NS, np.zeros(len(stamps_ns), bool)
    for zone in dict.fromkeys(zone for zone in zones if zone is not None):
        local_ns = _local_ns(times, zone)
        here = (local_ns % DAY_NS == 0) & ~is_midnight
        dates = np.where(here, local_ns // DAY_NS, dates)
        is_midnight |= here
    return dates, is_midnight


def _local_ns(times: "pd.DatetimeIndex", zone: str) -> np.ndarray:
    local = times if zone == "UTC" else times.tz_convert(zone)
    return np.asarray(local.tz_localize(None).as_unit("ns").asi8)


def _months(dates: np.ndarray) -> np.ndarray:
    """Months since 1970 of days since 1970."""
    return dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _month_ns(months: np.ndarray) -> np.ndarray:
    """UTC nanoseconds at which each month begins."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) * DAY_NS


def _is_first(dates: np.ndarray) -> np.ndarray:
    return dates == _month_ns(_months(dates)) // DAY_NS
