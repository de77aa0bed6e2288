"""Rows as a source gave them, before anything is judged: columns, stamps still unparsed or parsed.

Law: a source turns a file into `RawRows` or raises `DataError` that names the file and line. It
changes no value and drops no row.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError, DataError
from trader.hours.periods import has_session_bars, stamp_zone
from trader.tables.column_names import MOMENTS, ColumnPlan, WantedColumns, plain_name
from trader.tables.dialect import Dialect, Notes
from trader.tables.symbols import SymbolColumn

PRICES = ("open", "high", "low", "close")
REQUIRED = ("timestamp", *PRICES)
QUOTES = ("bid", "ask")
READ_BLOCK = 1 << 20
VOLUME = re.compile(r"volume|vwap|obv|mfi|\bad\b|adosc")  # in a feature's type and inputs


@dataclass(frozen=True)
class SourceFile:
    """A file that bars came from, and what was in it."""

    path: str
    sha256: str
    bytes: int
    rows: int


@dataclass
class RawRows:
    """One file's rows, in file order. Arrays have one length."""

    path: Path
    stamps_ns: np.ndarray  # i8, the source's stamp in UTC
    numbers: dict[str, np.ndarray]  # f8: prices, volume, and the quotes it has
    symbols: SymbolColumn | None  # None where the file has no such column
    first_line: int  # number of the first row for messages: 2 in a CSV, 0 in Parquet
    extra_columns: tuple[str, ...] = ()
    is_open_ended: bool = False  # the last line has no line end: it may have been cut
    lines: np.ndarray | None = None  # of each row, where rows and lines do not go together
    recognised: str = ""  # what of the file is not as ours are, in a sentence

    def place(self, row: int) -> str:
        """`data/acme.csv line 17` or `x.parquet row 15`."""
        number = row + self.first_line if self.lines is None else self.lines[row]
        return f"{self.path} {'line' if self.first_line else 'row'} {number}"

    def release(self) -> dict[str, np.ndarray]:
        """The columns, of which the rows here let go: the caller frees each as it is copied."""
        numbers, self.numbers = dict(self.numbers), {}
        return numbers

    def __len__(self) -> int:
        return len(self.stamps_ns)


def oldest_first(raw: RawRows) -> RawRows:
    """The rows turned round, and told, where those of every symbol stand newest first."""
    stamps, symbols = raw.stamps_ns, raw.symbols
    if len(stamps) < 2 or stamps[0] <= stamps[-1]:
        return raw
    codes = np.zeros(len(stamps), np.int32) if symbols is None else symbols.codes
    order = np.argsort(codes, kind="stable")
    steps, same = np.diff(stamps[order]), np.diff(codes[order]) == 0
    if (steps[same] > 0).any():
        return raw
    lines = np.arange(len(stamps)) + raw.first_line if raw.lines is None else raw.lines
    told = f"{raw.recognised}; " if raw.recognised else f"{raw.path}: read: "
    return replace(
        raw,
        stamps_ns=stamps[::-1].copy(),
        numbers={name: values[::-1].copy() for name, values in raw.release().items()},
        symbols=None if symbols is None else SymbolColumn(symbols.names, codes[::-1].copy()),
        lines=lines[::-1],
        recognised=f"{told}the newest row stands first",
    )


def volume_reader(config: Config) -> str:
    """What of the config cannot do without volumes; "" where nothing is known to need them."""
    if config.throttle.max_volume_participation is not None:
        return "throttle.max_volume_participation"
    if config.broker.max_fill_participation is not None:
        return "broker.max_fill_participation"
    if config.broker.slippage.type == "volume_share":
        return "broker.slippage"
    for name, feature in config.features.items():
        words = [feature.type, *_words(feature.params)]
        if any(VOLUME.search(word.lower()) for word in words):
            return f"features.{name}"
    model = config.model
    if model.type == "rule" and any(
        VOLUME.search(rule.lower()) for rule in (model.buy, model.sell)
    ):
        return "model"
    return ""


def _words(value: object) -> list[str]:
    """Every text in a feature's parameters."""
    if isinstance(value, dict):
        return [word for part in value.values() for word in _words(part)]
    if isinstance(value, list | tuple):
        return [word for part in value for word in _words(part)]
    return [value] if isinstance(value, str) else []


def wanted_columns(config: Config) -> WantedColumns:
    """The columns that a bar has, by the names that the config gives them."""
    mapping = {
        name: getattr(config.feed.columns, name) for name in type(config.feed.columns).model_fields
    }
    reader = volume_reader(config)
    is_asked = bool(reader) or mapping["volume"] != "volume"
    required = (*REQUIRED, "volume") if is_asked else REQUIRED
    optional = (*QUOTES, "symbol") if is_asked else ("volume", *QUOTES, "symbol")
    reasons = {"volume": f" ({reader} needs it)"} if reader else {}
    return WantedColumns(mapping, required, optional, reasons, config.feed.format == "plain")


def dialect_of(config: Config) -> Dialect:
    """How the config says the files are to be read."""
    feed = config.feed
    return Dialect(
        stamp_zone(config),
        feed.format,
        feed.separator,
        feed.decimal,
        feed.time_unit,
        feed.date_order,
    )


def check_stamp(config: Config, path: Path, plan: ColumnPlan) -> None:
    """`ConfigError` where a stamp's own name says that it is not what feed.timestamp says."""
    if has_session_bars(config):
        return  # a day is its session, whichever end of it is stamped
    name = plan.names["timestamp"]
    is_open = plain_name(name) in MOMENTS[0]
    wanted = "close" if plan.marks_close else "open" if is_open else config.feed.timestamp
    is_named = config.feed.columns.timestamp == name
    if wanted != config.feed.timestamp and not is_named:
        raise ConfigError(
            f"is {config.feed.timestamp}, but {name!r} of {path} marks the {wanted} of a bar; set "
            f"feed.timestamp: {wanted}, or map the column under feed.columns.timestamp",
            key="feed.timestamp",
        )


def volumes_of(
    numbers: dict[str, np.ndarray], ticks: np.ndarray | None, rows: int, notes: Notes
) -> None:
    """Put the volume among `numbers` where a file has none, or counts of trades instead."""
    if "volume" not in numbers:
        numbers["volume"] = np.zeros(rows)
        notes.add("no volume: 0")
    elif ticks is not None and not numbers["volume"].any():
        numbers["volume"] = ticks
        notes.add("volumes are all 0: the counts of ticks are taken")


def source_paths(config: Config) -> list[tuple[Path, str | None]]:
    """(path, symbol) of every file; symbol is None where one file holds them all."""
    template = config.feed.path
    if template is None:
        raise ConfigError(f"is required for type {config.feed.type}", key="feed.path")
    if "{symbol}" not in template:
        return [(existing(Path(template)), None)]
    return [
        (existing(Path(template.replace("{symbol}", symbol))), symbol) for symbol in config.symbols
    ]


def existing(path: Path) -> Path:
    """`path` if it is a readable file; `ConfigError` for feed.path otherwise."""
    try:
        is_there, is_file, is_folder = path.exists(), path.is_file(), path.is_dir()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", key="feed.path") from error
    if is_folder and parts_of(path):
        return path
    if is_folder:
        raise ConfigError(f"{path} is a folder; name the file in it", key="feed.path")
    if not is_there:
        raise ConfigError(
            f"{path} does not exist (relative paths are taken from {Path.cwd()})", key="feed.path"
        )
    if not is_file:
        raise ConfigError(
            f"{path} is not a regular file; for a pipe use type: stdin", key="feed.path"
        )
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{path} cannot be read: permission denied", key="feed.path")
    return path


def parts_of(folder: Path) -> list[Path]:
    """The Parquet files of a folder of parts, in the order of their names."""
    return sorted(folder.glob("*.parquet"))


def joined(parts: Sequence[RawRows], folder: Path) -> RawRows:
    """The rows of every part of a folder, one after the other."""
    first = parts[0]
    names = set(first.numbers)
    if any(set(part.numbers) != names or part.symbols is not None for part in parts):
        raise DataError(f"{folder}: its files have different columns, or a column of symbols")
    numbers = {name: np.concatenate([part.numbers[name] for part in parts]) for name in names}
    stamps = np.concatenate([part.stamps_ns for part in parts])
    return RawRows(folder, stamps, numbers, None, first.first_line, first.extra_columns)


class FileFingerprint:
    """A file's hash, and the proof that it did not change while it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = self._facts()
        self.sha256 = self._hash()

    def _facts(self) -> tuple[int, int, int, int]:
        stat = self.path.stat()  # ctime: cp -p and rsync -t set the time of the bytes back
        return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino

    def _hash(self) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as stream:
            while block := stream.read(READ_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def source(self, rows: int) -> SourceFile:
        """Call after reading: `DataError` if the file is not what was hashed."""
        if self._facts() != self._before:
            raise DataError(
                f"{self.path} changed while it was being read; run again when nothing writes to it"
            )
        return SourceFile(str(self.path), self.sha256, self._before[0], rows)
