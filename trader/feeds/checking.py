"""A file through the gate without a config: symbols and bar period are what the file says.

Builds the plainest config that reads the file, and hands it to the gate; judges nothing.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from trader.config.scalars import MONTHS_S, PERIODS
from trader.config.schema import Config
from trader.core.schema import NS_PER_SECOND
from trader.errors import ConfigError, DataError, UsageError
from trader.feeds.feed import Files, check_present, judged, read_files
from trader.feeds.quality import QualityReport
from trader.feeds.raw import RawRows, SourceFile, existing
from trader.feeds.wide_files import ANY_SYMBOL
from trader.hours.tables import is_always_open

LIMITS_OFF = {
    "risk": dict.fromkeys(
        ("max_position_size", "max_order_size", "max_daily_loss", "max_position_concentration"),
        "none",
    ),
    "throttle": dict.fromkeys(
        ("max_volume_participation", "max_spread_bps", "max_volatility", "max_order_size"), "none"
    ),
}
OPTIONS = {
    "bar_period_seconds": "--period",
    "market_hours": "--market-hours",
    "timezone": "--timezone",
    "timestamp": "--timestamp",
}
SHOWN = 40
DAY_S = PERIODS["day"]
PERIODS_S = (*PERIODS.values(), *MONTHS_S)
GUESS_S = 60.0  # for a file of one row, which has no period


@dataclass(frozen=True)
class FileTerms:
    """What a file does not say of itself."""

    market_hours: str
    timezone: str | None = None
    timestamp: str = "open"
    symbol: str | None = None  # the only one to look at, or the name of the file's
    period_s: float | None = None  # None: the most frequent distance of two stamps
    settings: tuple[str, ...] = ()  # `feed.columns.volume=Vol`: keys of a config's feed section


@dataclass(frozen=True)
class GateVerdict:
    """What the gate says of one path of a config, or of one file."""

    sources: tuple[SourceFile, ...]
    quality: QualityReport
    absent: list[str]  # instruments without a bar, in a sentence
    period_s: float
    market_hours: str

    @property
    def failures(self) -> list[str]:
        """Why a backtest would refuse this data; empty if it would not."""
        return [*self.quality.failures, *self.absent]

    def document(self) -> dict[str, Any]:
        """What `trader data check --json` says of it."""
        return {
            "files": [asdict(source) for source in self.sources],
            "passed": not self.failures,
            "failures": self.failures,
            "bar_period_seconds": self.period_s,
            "market_hours": self.market_hours,
            **self.quality.to_dict(),
        }


def check_config(config: Config) -> GateVerdict:
    """The files of `config.feed` under its policies. Raises where no row can be judged."""
    return _checked(config.at_source, read_files(config.at_source))


def check_file(path: Path, terms: FileTerms) -> GateVerdict:
    """One file under the default policies. Raises where no row can be judged."""
    existing(path)  # its braces, if it has any, are no pattern
    files = _read(path, terms)
    raw = files.rows[0][0]
    symbols = _symbols(raw, path, terms.symbol)
    config = _plain(path, symbols, terms.period_s or _period_s(raw), terms)
    try:
        return _checked(config, files)
    except ConfigError as error:
        raise UsageError(f"--market-hours {terms.market_hours}: {error}") from error


def _read(path: Path, terms: FileTerms) -> Files:
    """The file's rows. Days of an exchange need no zone, and what they are only the rows say."""
    names = [terms.symbol or ANY_SYMBOL]
    try:
        return read_files(_plain(path, names, terms.period_s or GUESS_S, terms))
    except DataError:
        if terms.period_s is not None or is_always_open(terms.market_hours):
            raise
        try:
            files = read_files(_plain(path, names, DAY_S, terms))
        except ConfigError as error:
            raise UsageError(f"--market-hours {terms.market_hours}: {error}") from error
        except DataError:
            files = None
        if files is None or _period_s(files.rows[0][0]) not in PERIODS_S:
            raise
        return files


def _checked(config: Config, files: Files) -> GateVerdict:
    bar_set = judged(config, files)
    absent = []
    try:
        check_present(config, bar_set.quality)
    except DataError as error:
        absent.append(str(error))
    period_s = config.period_ns / NS_PER_SECOND
    hours = config.risk.market_hours
    return GateVerdict(bar_set.sources, bar_set.quality, absent, period_s, hours)


def _symbols(raw: RawRows, path: Path, wanted: str | None) -> list[str]:
    if raw.symbols is None:
        return [wanted or path.name.partition(".")[0]]
    there = np.unique(raw.symbols.codes)
    names = sorted(raw.symbols.names[code] for code in there)
    if wanted is not None and wanted not in names:
        raise DataError(f"{path}: no rows of {wanted}; the file has {', '.join(names[:8])}")
    if names[0] == "":
        row = int(np.flatnonzero(raw.symbols.codes == raw.symbols.names.index(""))[0])
        raise DataError(f"{raw.place(row)}: symbol is empty")
    return names if wanted is None else [wanted]


def _period_s(raw: RawRows) -> float:
    """The most frequent distance between two stamps of one symbol, in seconds."""
    stamps = raw.stamps_ns
    if raw.symbols is not None:
        stamps = stamps[raw.symbols.codes == raw.symbols.codes[0]]
    steps = np.abs(np.diff(stamps))
    found, counts = np.unique(steps[steps > 0], return_counts=True)
    if len(found) == 0:
        return GUESS_S
    return float(found[np.argmax(counts)]) / NS_PER_SECOND


def _plain(path: Path, symbols: list[str], period_s: float, terms: FileTerms) -> Config:
    with path.open("rb") as stream:
        is_parquet = stream.read(4) == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")
    kind = "parquet" if is_parquet else "csv"
    feed: dict[str, Any] = {
        "type": kind,
        "path": str(path),
        "timezone": terms.timezone or "none",
        "timestamp": terms.timestamp,
    }
    for setting in terms.settings:
        _put(feed, setting)
    settings = {
        "name": "check",
        "instruments": symbols,
        "feed": feed,
        "bar_period_seconds": str(period_s),
        "model": {"type": "rule", "buy": "close > 0", "sell": "close < 0"},
        "position_sizing": {"base_size": "1"},
        "risk": LIMITS_OFF["risk"] | {"market_hours": terms.market_hours},
        "throttle": LIMITS_OFF["throttle"],
        "broker": {"cash": "1"},
    }
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise _explained(error, path) from None


def _put(feed: dict[str, Any], setting: str) -> None:
    """Set one key of the feed section; `UsageError` for a key of another."""
    key, mark, value = setting.partition("=")
    first, *words = key.strip().split(".")
    if not mark or first != "feed" or not words or words[0] in ("type", "path"):
        raise UsageError(
            f"--set {setting}: with files, only keys of feed that say how to read them count, such "
            "as feed.columns.volume=Vol or feed.separator=tab"
        )
    place = feed
    for word in words[:-1]:
        place = place.setdefault(word, {})
    place[words[-1]] = value.strip()


def _explained(error: ValidationError, path: Path) -> DataError | UsageError:
    """The first thing the schema does not take, in the words of whoever gave it."""
    first = error.errors()[0]
    where, value = first["loc"], str(first["input"])[:SHOWN]
    if where[0] == "instruments":
        return DataError(f"{path}: symbol {value!r}: {first['msg'].removeprefix('Value error, ')}")
    option = OPTIONS.get(str(where[-1]), str(where[-1]))
    return UsageError(f"{option} {value}: {first['msg'].removeprefix('Value error, ')}")
