"""A small CSV of things that happen at instants: corporate actions, funding.

Law: a date without a time is the open of that date's session. What is not understood is an error
with its line.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from trader.config.schema import Config
from trader.core.schema import NS_PER_SECOND
from trader.errors import ConfigError, DataError
from trader.tables.column_names import columns_text

DATE_LENGTH = len("2020-08-31")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimedRows:
    """The rows of a small CSV of things that happen at instants, as texts, each with its place."""

    path: Path
    places: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    key: str  # of the config, that names the file
    columns: tuple[str, ...]

    def day(self, row: int) -> int:
        """Days since 1970 of a row's date, as it stands there."""
        return (self._moment(row).date() - EPOCH.date()).days

    def _moment(self, row: int) -> datetime:
        text = self.rows[row]["timestamp"]
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise DataError(
                f"{self.places[row]}: timestamp {text!r} is not an ISO-8601 time "
                "(2020-08-31 or 2020-08-31T13:30:00Z)"
            ) from None

    def stamp_ns(self, row: int, config: Config, sessions: np.ndarray) -> int:
        """When a row happens, in UTC nanoseconds; a bare date is the open of its session."""
        text, moment = self.rows[row]["timestamp"], self._moment(row)
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
        raise DataError(f"{path} is not UTF-8 text: {error.reason}") from error
    reader = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(reader, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        named, needed = columns_text(missing), ", ".join(columns)
        raise DataError(f"{path} line 1: missing {named}; it needs {needed}")
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
    return TimedRows(path, tuple(places), tuple(rows), key, columns)
