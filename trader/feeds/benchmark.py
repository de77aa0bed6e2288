"""What `benchmark:` names: one of the config's symbols, or a file of bars of anything else.

Law: a price counts from the close of its bar on, and for the session that it closes in or, where
it has none, for the next. A file is read as the feed's files are, whatever the length of its bars.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.config.sections.feed import Columns
from trader.errors import ConfigError, DataError
from trader.feeds.csv_source import read_csv
from trader.feeds.parquet_source import read_parquet
from trader.feeds.raw import FileFingerprint, RawRows, wanted_columns
from trader.hours.calendars import zone_of
from trader.hours.periods import bar_clock
from trader.hours.tables import is_always_open
from trader.tables.column_names import WantedColumns

KEY = "benchmark"
NEEDED = ("timestamp", "close")
DAY_S = 86_400.0
NEARLY_A_DAY_S = 20 * 3600.0  # bars farther apart are days


@dataclass(frozen=True)
class Prices:
    """Closes in order of time, and the open of the first (its close, where opens are unknown)."""

    name: str
    close_ns: np.ndarray
    closes: np.ndarray
    first_open: float
    facts: Mapping[str, object]


def file_prices(config: Config) -> Prices | None:
    """The file that `benchmark` names; None where it names a symbol, or nothing.

    Raises `ConfigError` for what is neither, `DataError` for a file that is no bars of one thing.
    """
    named = config.benchmark
    if named is None or named in config.symbols:
        return None
    path = Path(named)
    if not path.is_file():
        known = ", ".join(config.symbols[:8])
        raise ConfigError(
            f"{named} is no file (relative paths are taken from {Path.cwd()}) and no symbol of "
            f"this config ({known})",
            key=KEY,
        )
    watched = FileFingerprint(path)
    rows, seconds = _rows(path, config)
    order = np.argsort(rows.stamps_ns, kind="stable")
    stamps, closes = rows.stamps_ns[order], rows.numbers["close"][order]
    spans = bar_clock(_read_as(config, seconds)).spans(stamps)
    sound = spans.known & np.isfinite(closes) & (closes > 0.0)
    if not sound.any():
        raise DataError(f"{path}: has no close above 0 on a day of {config.risk.market_hours}")
    opens = rows.numbers.get("open", rows.numbers["close"])
    first = float(opens[order][sound][0])
    facts = {"path": str(path), "sha256": watched.source(len(rows)).sha256}
    return Prices(path.name, spans.close_ns[sound], closes[sound], first, facts)


def symbol_prices(config: Config, bars: np.ndarray) -> Prices | None:
    """The bars of the symbol that `benchmark` names; None where it names none."""
    if config.benchmark not in config.symbols:
        return None
    mine = bars[bars["symbol"] == config.symbols.index(config.benchmark)]
    first = float(mine["open"][0]) if len(mine) else np.nan
    return Prices(config.benchmark, mine["ts_ns"], np.array(mine["close"]), first, {})


def session_closes(prices: Prices, sessions: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(dates, close at the end of each, price before the first close) over a session table."""
    dates, first = np.unique(sessions["session"], return_index=True)
    ends = np.append(first[1:], len(sessions)) - 1
    before = np.searchsorted(prices.close_ns, sessions["close_ns"][ends], side="right") - 1
    closes = np.where(before >= 0, prices.closes[np.maximum(before, 0)], np.nan)
    row = -1
    if len(dates):
        row = int(np.searchsorted(prices.close_ns, sessions["open_ns"][0], side="right")) - 1
    return dates, closes, float(prices.closes[row]) if row >= 0 else prices.first_open


def _rows(path: Path, config: Config) -> tuple[RawRows, float]:
    """The rows of a file, and how long its bars are; dates of days need no time zone."""
    reader = read_parquet if path.suffix.lower() in (".parquet", ".pq") else read_csv
    rows = reader(path, *_reading(config, DAY_S))
    if rows.symbols is not None and len(np.unique(rows.symbols.codes)) > 1:
        raise DataError(f"{path}: has several symbols; a benchmark is a file of one")
    if not len(rows):
        raise DataError(f"{path}: has no bars")
    gaps = np.diff(np.unique(rows.stamps_ns))
    seconds = float(np.median(gaps)) / 1e9 if len(gaps) else DAY_S
    if seconds >= NEARLY_A_DAY_S:
        return rows, DAY_S
    return reader(path, *_reading(config, seconds)), seconds


def _reading(config: Config, seconds: float) -> tuple[Config, WantedColumns]:
    """The config as one that reads a file of such bars, of which it needs time and close."""
    reading = _read_as(config, seconds)
    columns = wanted_columns(reading)
    names = (*columns.required, *columns.optional)
    others = tuple(name for name in names if name not in NEEDED)
    return reading, replace(columns, required=NEEDED, optional=others)


def _read_as(config: Config, seconds: float) -> Config:
    """The config with the feed and the bar period of such a file."""
    changed: dict[str, object] = {"columns": Columns(), "type": "csv"}
    if seconds == DAY_S and config.feed.timezone is None:
        hours = config.risk.market_hours
        changed["timezone"] = "UTC" if is_always_open(hours) else zone_of(hours)
    feed = config.feed.model_copy(update=changed)
    return config.model_copy(update={"feed": feed, "bar_period_seconds": seconds})
