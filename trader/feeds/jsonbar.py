"""One line of JSON as a BAR record, or what is wrong with it.

Law: `parse` returns, whatever the line; nothing is repaired or guessed. Whether the values make
a sane bar is the gate's question: here they only have to be finite numbers.
"""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR, NS_PER_SECOND
from trader.errors import ConfigError, DataError
from trader.feeds.json_keys import Counter, LineKeys, Tell
from trader.feeds.live import BadBar
from trader.feeds.raw import wanted_columns
from trader.feeds.renames import load_renames
from trader.hours.periods import bar_clock, stamp_zone, stretch_flags

SHOWN = 200  # characters of a bad line that are kept
PRICES = ("open", "high", "low", "close", "volume")
QUOTES = ("bid", "ask")
STAMP = re.compile(
    r"(\d{4}[-./]\d\d[-./]\d\d)"
    r"(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?(Z|z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
COUNT = re.compile(r"\d{1,20}(?:\.\d{1,9})?", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
LONGEST_NUMBER = 400  # characters of a number that came as text
ENDS_ITS_DAY = ("24:00", "24:00:00")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 1678, 2261  # what nanoseconds in an int64 reach


class NoBar(ValueError):
    """Why a line is no bar. Never leaves this module."""

    def __init__(self, reason: str, symbol: int = -1) -> None:
        super().__init__(reason)
        self.symbol = symbol


class BarParser:
    """Lines of one config's feed."""

    def __init__(self, config: Config, tell: Tell | None = None) -> None:
        self._own = wanted_columns(config).mapping
        self._keys = LineKeys(config, tell)
        self._counter = Counter(config, self._keys.say)
        self._decimal = config.feed.decimal
        self._symbols = {name: index for index, name in enumerate(config.symbols)}
        self._renames = load_renames(config)
        zone = stamp_zone(config)
        self._zone = None if zone is None else ZoneInfo(zone)
        self._clock = bar_clock(config)
        self._period_ns = config.period_ns
        self._offset_ns = config.period_ns if config.feed.timestamp == "open" else 0
        self._hours = config.risk.market_hours

    def parse(self, line: bytes, received_ns: int) -> np.void | BadBar:
        """The BAR record of a line, or a `BadBar`."""
        try:
            return self._bar(line)
        except NoBar as error:
            return BadBar(shown(line), str(error), received_ns, error.symbol)
        except RecursionError:
            return BadBar(shown(line), "nested too deeply to be a bar", received_ns)
        except UnicodeDecodeError as error:
            return BadBar(shown(line), f"not UTF-8 ({error.reason})", received_ns)
        except ValueError as error:  # json's own complaint
            return BadBar(shown(line), f"not one JSON object: {error}", received_ns)

    def _bar(self, line: bytes) -> np.void:
        text = line.decode("utf-8").strip("\ufeff \t\r\n")
        fields = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
        if not isinstance(fields, dict):
            raise NoBar(f"a {type(fields).__name__} where an object was expected")
        try:
            plan = self._keys.plan(tuple(fields))
        except DataError as error:
            raise NoBar(str(error)) from None
        named = {**self._own, **plan.names}
        named["symbol"] = plan.symbol or named["symbol"]
        symbol = self._symbol(fields, named["symbol"], (named["timestamp"], plan.clock))
        try:
            values = [self._price(fields, name, named[name]) for name in PRICES]
            quotes = [self._quote(fields, named[name]) for name in QUOTES]
            stamp_ns = self._stamp_ns(fields, named["timestamp"], plan.clock)
            close_ns, stretch = self._close_ns(stamp_ns)
        except NoBar as error:
            raise NoBar(str(error), symbol) from None
        return np.array([(close_ns, *values, *quotes, symbol, stretch)], BAR)[0]

    def _close_ns(self, stamp_ns: int) -> tuple[int, int]:
        """(close, seconds that the bar is longer than the period) from its stamp."""
        if self._clock.is_fixed:
            return stamp_ns + self._offset_ns, 0
        try:
            spans = self._clock.spans(np.array([stamp_ns]))
        except ConfigError as error:  # a date that the calendar does not reach
            raise NoBar(str(error)) from None
        if not spans.known[0]:
            day = np.datetime64(stamp_ns, "ns").astype("datetime64[s]")
            raise NoBar(f"{day}Z is in no session of {self._hours}")
        stretch = stretch_flags(spans.open_ns, spans.close_ns, self._period_ns)
        return int(spans.close_ns[0]), int(stretch[0])

    def _open_ns(self, fields: dict[str, Any], stamp: tuple[str, str | None]) -> int:
        """When a bar opens, from the keys of its stamp and of its clock."""
        return int(self._clock.spans(np.array([self._stamp_ns(fields, *stamp)])).open_ns[0])

    def _symbol(self, fields: dict[str, Any], key: str, stamp: tuple[str, str | None]) -> int:
        name = fields.get(key)
        if name is None and len(self._symbols) == 1:
            return 0
        if name is None:
            raise NoBar(f"no {key!r}, and there are several instruments")
        index = self._symbols.get(name) if isinstance(name, str) else None
        if index is None and isinstance(name, str) and name in self._renames.names:
            index = self._renames.symbol_at(name, self._open_ns(fields, stamp))
        if index is None:
            raise NoBar(f"{shorter(name)} is not an instrument of the config")
        return index

    def _price(self, fields: dict[str, Any], name: str, key: str) -> float:
        if key in fields:
            return self._number(fields, key)
        if name == "volume" and not self._keys.needs_volume:
            return 0.0
        raise NoBar(f"no {key!r}")

    def _number(self, fields: dict[str, Any], key: str) -> float:
        value = fields[key]
        if type(value) is str:
            value = self._number_in(value)
        if type(value) not in (int, float):
            raise NoBar(f"{key} is {shorter(fields[key])}, not a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise NoBar(f"{key} is not finite")
        return number

    def _number_in(self, text: str) -> float | None:
        """A number that came as text; None where it is none."""
        text = text.strip()
        if self._decimal == ",":
            text = text.replace(".", "x").replace(",", ".")
        if len(text) > LONGEST_NUMBER or NUMBER.fullmatch(text) is None:
            return None
        return float(text)

    def _quote(self, fields: dict[str, Any], key: str) -> float:
        return math.nan if fields.get(key) is None else self._number(fields, key)

    def _count_ns(self, key: str, value: Any) -> int:
        if not COUNT.fullmatch(text := str(value)):
            raise NoBar(f"{key} is {shorter(value)}, no time")
        try:
            return self._counter.ns(Decimal(text))
        except DataError as error:
            raise NoBar(f"{key} {error}") from None

    def _stamp_ns(self, fields: dict[str, Any], key: str, clock_key: str | None) -> int:
        value = fields.get(key)
        if clock_key is not None and isinstance(value, str):
            value = f"{value} {fields.get(clock_key)}"
        if isinstance(value, str):
            value = value.strip()
        is_huge = _is_huge(value)
        if type(value) in (int, float) and not is_huge:
            return self._count_ns(key, value)
        if isinstance(value, str) and COUNT.fullmatch(value):
            return self._count_ns(key, value)
        match = STAMP.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise NoBar(f"{key} is {shorter(value)}, not an ISO-8601 time (2024-03-04T14:30:00Z)")
        day, clock, fraction, zone = match.groups()
        day, clock = day.replace("/", "-").replace(".", "-"), clock or "00:00"
        try:
            if clock in ENDS_ITS_DAY and not int(fraction or "0"):
                moment = datetime.fromisoformat(f"{day}T00:00{_offset(zone)}") + timedelta(days=1)
            else:
                moment = datetime.fromisoformat(f"{day}T{clock}{_offset(zone)}")
            if not FIRST_YEAR <= moment.year <= LAST_YEAR:
                raise NoBar(f"{key} {shorter(value)}: the year is outside 1678 to 2261")
            if moment.tzinfo is None:
                moment = self._localised(key, moment)
        except NoBar:
            raise
        except (ValueError, OverflowError) as error:
            raise NoBar(f"{key} is {shorter(value)}: {error}") from None
        seconds = (moment - EPOCH) // timedelta(seconds=1)
        return seconds * NS_PER_SECOND + int((fraction or "0").ljust(9, "0"))

    def _localised(self, key: str, moment: datetime) -> datetime:
        """A naive time in the feed's zone; one that happens twice or never is refused."""
        if self._zone is None:
            raise NoBar(f"{key} {moment} has no time zone; set feed.timezone to the zone it is in")
        local = moment.replace(tzinfo=self._zone)
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            raise NoBar(
                f"{key} {moment} happens twice or never in {self._zone.key}; stamp the data in UTC"
            )
        return local


def _offset(zone: str | None) -> str:
    if zone is None:
        return ""
    return "+00:00" if zone in "Zz" else zone


def _no_constant(name: str) -> float:
    raise NoBar(f"holds {name}, which is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NoBar("a key appears twice")
    return fields


def shorter(value: object) -> str:
    """A value short enough for a message."""
    text = "an integer too long to print" if _is_huge(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 1_000


def shown(line: bytes) -> str:
    """The beginning of a line, for messages and the journal; control characters escaped."""
    text = line[:SHOWN].decode("utf-8", "backslashreplace").rstrip("\r\n")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
