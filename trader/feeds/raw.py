"""Rows as a source gave them, before anything is judged: columns, stamps still unparsed or parsed.

Law: a source turns a file into `RawRows` or raises `DataError` that names the file and line. It
changes no value and drops no row.
"""

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError, DataError

PRICES = ("open", "high", "low", "close")
REQUIRED = ("timestamp", *PRICES, "volume")
QUOTES = ("bid", "ask")
READ_BLOCK = 1 << 20


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
    symbols: np.ndarray | None  # names (object), None where the file has no such column
    first_line: int  # number of the first row for messages: 2 in a CSV, 0 in Parquet
    extra_columns: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """`data/acme.csv line 17` or `x.parquet row 15`."""
        word = "line" if self.first_line else "row"
        return f"{self.path} {word} {row + self.first_line}"

    def __len__(self) -> int:
        return len(self.stamps_ns)


@dataclass
class ColumnPlan:
    """Which column of a file is what: our name → the source's."""

    names: dict[str, str]
    symbol: str | None
    extra: tuple[str, ...] = field(default=())


def plan_columns(config: Config, path: Path, header: Sequence[str]) -> ColumnPlan:
    """Find our columns in `header`; `DataError` names what is missing and the nearest there is."""
    mapping = config.feed.columns
    present = list(header)
    missing = [name for name in REQUIRED if getattr(mapping, name) not in present]
    if missing:
        wanted = getattr(mapping, missing[0])
        near = difflib.get_close_matches(wanted.lower(), [name.lower() for name in present], 1)
        hint = f"; nearest is {near[0]!r}" if near else ""
        listed = ", ".join(repr(getattr(mapping, name)) for name in missing)
        raise DataError(
            f"{path}: missing column {listed}{hint}; the columns are {', '.join(present)}. "
            "Rename them, or map them under feed.columns"
        )
    names = {name: getattr(mapping, name) for name in REQUIRED}
    names |= {name: getattr(mapping, name) for name in QUOTES if getattr(mapping, name) in present}
    symbol = mapping.symbol if mapping.symbol in present else None
    used = {*names.values(), symbol}
    return ColumnPlan(names, symbol, tuple(name for name in present if name not in used))


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
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name the file in it", key="feed.path")
    if not path.exists():
        raise ConfigError(
            f"{path} does not exist (relative paths are taken from {Path.cwd()})", key="feed.path"
        )
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{path} cannot be read: permission denied", key="feed.path")
    return path


class Watched:
    """A file's hash, and the proof that it did not change while it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = self._facts()
        self.sha256 = self._hash()

    def _facts(self) -> tuple[int, int, int]:
        stat = self.path.stat()
        return stat.st_size, stat.st_mtime_ns, stat.st_ino

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
