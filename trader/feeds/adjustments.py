"""Corporate actions and funding from files: splits, dividends, delistings, rates.

    timestamp,symbol,kind,value
    2020-08-31,AAPL,split,4          four new for one old; 0.1 (or 1:10) is a reverse split
    2020-11-06,AAPL,dividend,0.205   a unit, in the units of that day
    2021-03-01,GONE,delist,          at the last close, or at the price given

Law: a date without a time is the open of that date's session. Rows of other symbols are left out
and counted. What is not understood is an error with its line.
"""

import csv
import hashlib
import io
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from trader.config.schema import Config
from trader.core.book import NO_ADJUSTMENTS
from trader.core.schema import ADJUSTMENT, NS_PER_SECOND, AdjustmentKind
from trader.errors import ConfigError, DataError
from trader.feeds.raw import SourceFile

_log = logging.getLogger(__name__)
KEY = "feed.adjustments"
COLUMNS = ("timestamp", "symbol", "kind", "value")
KINDS = {
    kind.name.lower(): kind
    for kind in (AdjustmentKind.SPLIT, AdjustmentKind.DIVIDEND, AdjustmentKind.DELIST)
}
FUNDING_KEY = "broker.funding"
FUNDING_COLUMNS = ("timestamp", "symbol", "rate")
MOST_FUNDING = 0.5  # of the notional at once: more is a percentage written as one
DATE_LENGTH = len("2020-08-31")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimedRows:
    """The rows of a small CSV of things that happen at instants, as texts, each with its place."""

    path: Path
    places: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    is_funding: bool = False

    def stamp_ns(self, row: int, config: Config, sessions: np.ndarray) -> int:
        """When a row happens, in UTC nanoseconds; a bare date is the open of its session."""
        text = self.rows[row]["timestamp"]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise DataError(
                f"{self.places[row]}: timestamp {text!r} is no ISO-8601 time "
                "(2020-08-31 or 2020-08-31T13:30:00Z)"
            ) from None
        if len(text) == DATE_LENGTH:
            day = (moment.date() - EPOCH.date()).days
            later = np.flatnonzero(sessions["session"] >= day)
            if len(later) and config.risk.market_hours.lower() != "24x7":
                return int(sessions[later[0]]["open_ns"])
        if moment.tzinfo is None:
            zone = config.feed.timezone
            if zone is None and len(text) != DATE_LENGTH:
                raise DataError(
                    f"{self.places[row]}: timestamp {text!r} has no time zone; end it with Z, or "
                    "set feed.timezone"
                )
            moment = moment.replace(tzinfo=ZoneInfo(zone or "UTC"))
        passed = moment - EPOCH
        seconds = passed.days * 86_400 + passed.seconds
        return seconds * NS_PER_SECOND + passed.microseconds * 1_000


def read_timed_rows(text_path: str, key: str, columns: tuple[str, ...]) -> TimedRows:
    """The rows of the file at `text_path`, with at least `columns`.

    `ConfigError` at `key` where it cannot be read, `DataError` where it lacks a column.
    """
    path = Path(text_path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", key=key) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: {error.reason}") from error
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path} line 1: no column {', '.join(missing)}; it needs {', '.join(columns)}"
        )
    places, rows = [], []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{path} line {reader.line_num}"
        if len(cells) > len(header):
            raise DataError(f"{place}: {len(cells)} cells under {len(header)} columns")
        padded = [*cells, *[""] * (len(header) - len(cells))]
        places.append(place)
        rows.append({name: cell.strip() for name, cell in zip(header, padded, strict=True)})
    return TimedRows(path, tuple(places), tuple(rows), key == FUNDING_KEY)


def source_of(text_path: str, rows: int) -> SourceFile:
    """What the manifest says of a file."""
    content = Path(text_path).read_bytes()
    return SourceFile(text_path, hashlib.sha256(content).hexdigest(), len(content), rows)


def adjustment_sources(config: Config) -> tuple[SourceFile, ...]:
    """The files of corporate actions and of funding that a run depends on."""
    files = (
        (config.feed.adjustments, KEY, COLUMNS),
        (config.broker.funding, FUNDING_KEY, FUNDING_COLUMNS),
    )
    return tuple(
        source_of(path, len(read_timed_rows(path, key, columns).rows))
        for path, key, columns in files
        if path is not None
    )


def load_adjustments(config: Config, sessions: np.ndarray, is_told: bool = True) -> np.ndarray:
    """ADJUSTMENT rows of the config's files, by time; those of one instant as in the file.

    Funding of an instant comes after its corporate actions. `is_told`: whether a line says whose
    rows were left out.
    """
    parts = [NO_ADJUSTMENTS]
    if config.feed.adjustments is not None:
        timed = read_timed_rows(config.feed.adjustments, KEY, COLUMNS)
        parts.append(_rows(timed, config, sessions, is_told))
    if config.broker.funding is not None:
        timed = read_timed_rows(config.broker.funding, FUNDING_KEY, FUNDING_COLUMNS)
        parts.append(_rows(timed, config, sessions, is_told))
    adjustments = np.concatenate(parts)
    return adjustments[np.argsort(adjustments["ts_ns"], kind="stable")]


def _rows(timed: TimedRows, config: Config, sessions: np.ndarray, is_told: bool) -> np.ndarray:
    """ADJUSTMENT rows of one file, as in the file; one with a column `rate` is of funding."""
    numbers = {name: index for index, name in enumerate(config.symbols)}
    found: list[tuple[int, float, int, int]] = []
    others: set[str] = set()
    for row, cells in enumerate(timed.rows):
        symbol = numbers.get(cells["symbol"])
        place = timed.places[row]
        kind = AdjustmentKind.FUNDING if timed.is_funding else _kind(cells["kind"], place)
        if symbol is None:
            others.add(cells["symbol"])
            continue
        text = cells["rate" if timed.is_funding else "value"]
        value = _rate(text, place) if timed.is_funding else _value(kind, text, place)
        found.append((timed.stamp_ns(row, config, sessions), value, symbol, int(kind)))
    if others and not found:
        raise DataError(
            f"{timed.path}: no row is of {', '.join(config.symbols)}; it has "
            f"{', '.join(sorted(others)[:8])}"
        )
    if others and is_told:
        _log.info("%s: left out rows of %s", timed.path, ", ".join(sorted(others)[:8]))
    return np.array(found, ADJUSTMENT)


def _rate(text: str, place: str) -> float:
    """A funding rate: a fraction of the notional, of either sign."""
    try:
        rate = float(text)
    except ValueError:
        raise DataError(f"{place}: rate {text!r} is no number") from None
    if not abs(rate) <= MOST_FUNDING:
        raise DataError(
            f"{place}: rate {text!r} is a fraction of the notional (0.0001 is 0.01 %), at most "
            f"{MOST_FUNDING:g} either way"
        )
    return rate


def _kind(text: str, place: str) -> AdjustmentKind:
    try:
        return KINDS[text.lower()]
    except KeyError:
        raise DataError(f"{place}: kind {text!r} is none of {', '.join(KINDS)}") from None


def _value(kind: AdjustmentKind, text: str, place: str) -> float:
    """The number of a row; a split may be written new:old."""
    if kind == AdjustmentKind.DELIST and not text:
        return math.nan
    try:
        new, colon, old = text.partition(":")
        value = float(new) / float(old) if colon and kind == AdjustmentKind.SPLIT else float(text)
    except (ValueError, ZeroDivisionError):
        raise DataError(f"{place}: value {text!r} is no number") from None
    least_is_allowed = kind != AdjustmentKind.SPLIT
    if not (0.0 < value < math.inf or (least_is_allowed and value == 0.0)):
        wanted = {
            AdjustmentKind.SPLIT: "new units for one old, above 0 (2, 0.1 or 1:10)",
            AdjustmentKind.DIVIDEND: "an amount a unit, 0 or more",
            AdjustmentKind.DELIST: "a price of 0 or more, or nothing for the last close",
        }
        raise DataError(f"{place}: value {text!r} of a {kind.name.lower()} must be {wanted[kind]}")
    return value
