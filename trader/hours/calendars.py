"""Trading hours of one calendar and whole years, as SESSION records; kept on disk.

Law: a table depends on the calendar's code, the years and the version of exchange_calendars, and
on nothing else; these name its file. A file that is not what it should be is made again.
"""

import difflib
import importlib.metadata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from trader.core.schema import SESSION
from trader.errors import ConfigError
from trader.hours.upstream import mended_calendar
from trader.kept_files import keep, kept

if TYPE_CHECKING:
    import pandas as pd

ALWAYS_OPEN = "24x7"
FOREX = "FX"  # Sunday 17:00 to Friday 17:00 in New York, five sessions that begin at 17:00
FOREX_ZONE = "America/New_York"
MARKET_HOURS_KEY = "risk.market_hours"
LAYOUT = 2  # of the files; a change of what is in them takes the next number
FIRST_DAY, LAST_DAY = -106_000, 106_000  # of what has no bounds: the years 1679 to 2260
HEAD = np.dtype([("known_from", "<i8"), ("known_to", "<i8"), ("zone", "S64")])
FOLDER = "calendars"
_NOT_A_TIME = np.iinfo(np.int64).min


def day_number(text: str) -> int:
    """Days since 1970 of an ISO date."""
    return int(np.datetime64(text, "D").astype(np.int64))


def iso_date(day: int) -> str:
    """`day_number` back."""
    return str(np.datetime64(day, "D"))


@dataclass(frozen=True)
class Calendar:
    """What a calendar says of some whole years, as far as it knows them."""

    sessions: np.ndarray  # SESSION, read-only
    known_from: int  # first and last day whose holidays it knows, days since 1970
    known_to: int
    zone: str  # IANA


def calendar_years(code: str, first_year: int, last_year: int) -> Calendar:
    """The calendar over whole years.

    `ConfigError` for an unknown code, one that cannot be built, and years it knows none of.
    """
    if code.upper() == FOREX:
        return _forex(first_year, last_year)
    return _kept(code, first_year, last_year)


@lru_cache(maxsize=32)
def _kept(code: str, first_year: int, last_year: int) -> Calendar:
    name = f"{code.replace('/', '-')}-{first_year}-{last_year}-{_version()}-{LAYOUT}.bin"
    found = kept(FOLDER, name)
    if found is not None:
        return _read(found)
    made = _computed(code, first_year, last_year)
    keep(FOLDER, name, _written(made))
    return made


@lru_cache(maxsize=1)
def _version() -> str:
    return importlib.metadata.version("exchange_calendars")


def _read(body: bytes) -> Calendar:
    head, rows = body[: HEAD.itemsize], body[HEAD.itemsize :]
    facts = np.frombuffer(head, HEAD)[0]
    sessions = np.frombuffer(rows, SESSION)
    zone = facts["zone"].decode()
    return Calendar(sessions, int(facts["known_from"]), int(facts["known_to"]), zone)


def _written(calendar: Calendar) -> bytes:
    facts = (calendar.known_from, calendar.known_to, calendar.zone.encode())
    return np.array([facts], HEAD).tobytes() + calendar.sessions.tobytes()


@lru_cache(maxsize=32)
def _forex(first_year: int, last_year: int) -> Calendar:
    """Monday to Friday, each from 17:00 of the evening before to 17:00 in New York; no holidays."""
    import pandas as pd

    days = np.arange(day_number(f"{first_year}-01-01"), day_number(f"{last_year}-12-31") + 1)
    days = days[(days + 3) % 7 < 5]  # 1970-01-01 was a Thursday
    rolls = pd.DatetimeIndex(days.astype("datetime64[D]").astype("datetime64[ns]"))
    table = np.zeros(len(days), SESSION)
    hour = pd.Timedelta(hours=1)
    for name, roll in (("open_ns", rolls - 7 * hour), ("close_ns", rolls + 17 * hour)):
        table[name] = roll.tz_localize(FOREX_ZONE).tz_convert("UTC").as_unit("ns").asi8
    table["session"] = days
    table.flags.writeable = False
    return Calendar(table, FIRST_DAY, LAST_DAY, FOREX_ZONE)


def _computed(code: str, first_year: int, last_year: int) -> Calendar:
    factory = _factory(code)
    known_from = _day(factory.bound_min(), FIRST_DAY)
    known_to = _day(factory.bound_max(), LAST_DAY)
    first = max(day_number(f"{first_year}-01-01"), known_from)
    last = min(day_number(f"{last_year}-12-31"), known_to)
    zone = factory.tz.key if isinstance(factory.tz, ZoneInfo) else str(factory.tz)
    sessions = np.empty(0, SESSION)
    if first <= last:
        sessions = _records(_calendar(code, iso_date(first), iso_date(last)).schedule)
    sessions.flags.writeable = False
    return Calendar(sessions, known_from, known_to, zone)


def _day(bound: "pd.Timestamp | None", otherwise: int) -> int:
    return otherwise if bound is None else day_number(str(bound.date()))


def _records(schedule: "pd.DataFrame") -> np.ndarray:
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
    return table


def _ns(column: "pd.Series[Any]") -> np.ndarray:
    """A column of UTC times as int64 nanoseconds; missing ones as the smallest int64."""
    return column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]").view("i8")


def out_of_reach(code: str, calendar: Calendar, first_day: int, last_day: int) -> ConfigError:
    """The error for data of days of which a calendar does not know all."""
    since = f" from {iso_date(calendar.known_from)}" if calendar.known_from > FIRST_DAY else ""
    until = f" to {iso_date(calendar.known_to)}" if calendar.known_to < LAST_DAY else ""
    return ConfigError(
        f"the calendar {code} does not reach from {iso_date(first_day)} to {iso_date(last_day)}: "
        f"exchange_calendars {_version()} knows its sessions{since}{until}; cut the data with "
        "feed.start and feed.end, or install a newer exchange_calendars",
        key=MARKET_HOURS_KEY,
    )


def zone_of(code: str) -> str:
    """The IANA zone of an exchange."""
    return calendar_years(code, 2021, 2024).zone


def _factory(code: str) -> Any:
    from exchange_calendars import calendar_utils, get_calendar_names

    known = get_calendar_names(include_aliases=True)
    if code not in known:
        raise _unknown(code, known)
    name = calendar_utils.resolve_alias(code)
    return calendar_utils._default_calendar_factories[name]


def _unknown(code: str, known: list[str]) -> ConfigError:
    names = sorted({*known, FOREX, ALWAYS_OPEN})
    near = difflib.get_close_matches(code.upper(), names, 3) or ["XNYS", "XLON", ALWAYS_OPEN]
    return ConfigError(
        f"{code!r} is not an exchange calendar; nearest: {', '.join(near)} (or {ALWAYS_OPEN}, "
        f"{FOREX}); known: {', '.join(names)}",
        key=MARKET_HOURS_KEY,
    )


def _calendar(code: str, start: str, end: str) -> Any:
    try:
        return mended_calendar(_factory(code), start, end)
    except Exception as error:
        import pandas as pd

        detail = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"the installed exchange_calendars {_version()} cannot build {code} with pandas "
            f"{pd.__version__} ({detail[:120]}); use another code, or install another version",
            key=MARKET_HOURS_KEY,
        ) from error
