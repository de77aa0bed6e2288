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
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

PRICES = ("open", "high", "low", "close")
REQUIRED = ("timestamp", *PRICES, "volume")
QUOTES = ("bid", "ask")
READ_BLOCK = 1 << 20
SHOWN, LISTED = 40, 400  # characters of a name, of all names, in a message


@dataclass(frozen=True)
class SourceFile:
    """A file that bars came from, and what was in it."""

    path: str
    sha256: str
    bytes: int
    rows: int


@dataclass
class SymbolColumn:
    """A symbol per row: `names[code]`."""

    names: list[str]
    codes: np.ndarray  # i4


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

    def place(self, row: int) -> str:
        """`data/acme.csv line 17` or `x.parquet row 15`."""
        if self.lines is not None:
            return f"{self.path} line {self.lines[row]}"
        return place_of(self.path, self.first_line, row)

    def release(self) -> dict[str, np.ndarray]:
        """The columns, of which the rows here let go: the caller frees each as it is copied."""
        numbers, self.numbers = dict(self.numbers), {}
        return numbers

    def __len__(self) -> int:
        return len(self.stamps_ns)


def place_of(path: Path, first_line: int, row: int) -> str:
    """`x.csv line 17` where the rows have lines, `x.parquet row 15` where they have none."""
    return f"{path} {'line' if first_line else 'row'} {row + first_line}"


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
        known = {name[:SHOWN].lower(): name[:SHOWN] for name in present}
        near = difflib.get_close_matches(wanted.lower(), known, 1)
        hint = f"; nearest is {known[near[0]]!r}" if near else ""
        shown = ", ".join(known.values())
        shown = shown if len(shown) <= LISTED else f"{shown[:LISTED]}…"
        listed = ", ".join(repr(getattr(mapping, name)) for name in missing)
        raise DataError(
            f"{path}: missing column {listed}{hint}; the columns are {shown}. "
            "Rename them, or map them under feed.columns"
        )
    names = {name: getattr(mapping, name) for name in REQUIRED}
    names |= {name: getattr(mapping, name) for name in QUOTES if getattr(mapping, name) in present}
    symbol = mapping.symbol if mapping.symbol in present else None
    used = {*names.values(), symbol}
    return ColumnPlan(names, symbol, tuple(name for name in present if name not in used))


def symbol_column(column: "pa.ChunkedArray") -> SymbolColumn:
    """A column of names (texts, or what can be written as one); an empty cell is the name ""."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not pa.types.is_dictionary(kind):
        column = pc.dictionary_encode(column.cast(pa.string()))
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    names = [str(name) for name in whole.dictionary.to_pylist()]
    codes = whole.indices.fill_null(len(names)).to_numpy().astype(np.int32)
    return SymbolColumn([*names, ""], codes)


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
    if is_folder:
        raise ConfigError(f"{path} is a folder; name the file in it", key="feed.path")
    if not is_there:
        raise ConfigError(
            f"{path} does not exist (relative paths are taken from {Path.cwd()})", key="feed.path"
        )
    if not is_file:
        raise ConfigError(f"{path} is no regular file; use type: stdin to pipe", key="feed.path")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{path} cannot be read: permission denied", key="feed.path")
    return path


class Watched:
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
