"""Parquet: the timestamp as a column or as the index that pandas stored.

Law: stamps are times of any unit, dates, texts, or counts whose unit the whole column tells.
Columns are read as float64, one by one, no row dropped.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trader.config.schema import Config
from trader.errors import DataError
from trader.feeds.raw import (
    RawRows,
    check_stamp,
    dialect_of,
    volumes_of,
    wanted_columns,
)
from trader.feeds.wide_files import stacked, stored_columns, taken_tickers
from trader.tables.column_names import WantedColumns, plan_columns
from trader.tables.dialect import Notes, Places
from trader.tables.parquet import open_parquet, stored_index
from trader.tables.stamps import StampColumn
from trader.tables.symbols import symbol_column
from trader.tables.typed_columns import numbers_of, stamps_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FIRST_ROW = 0


def read_parquet(path: Path, config: Config, wanted: WantedColumns | None = None) -> RawRows:
    """The rows of one Parquet file; `wanted`: its columns, where it need not have all of a bar."""
    wanted = wanted or wanted_columns(config)
    import pyarrow as pa

    file = open_parquet(path)
    header = file.schema_arrow.names
    if file.metadata.num_rows == 0:
        raise DataError(f"{path}: columns and no rows")
    notes, dialect = Notes(path), dialect_of(config)
    named, tickers = _header(header, notes)
    taken = taken_tickers(path, tickers, config.symbols, notes) if tickers else {}
    index = stored_index(file.schema_arrow)
    plan = plan_columns(path, [*named, *next(iter(taken.values()), ())], wanted, notes, index)
    check_stamp(config, path, plan)
    places = Places(path, FIRST_ROW)
    columns = _Columns(file, path, named)
    symbols = None if plan.symbol is None else symbol_column(columns.read(plan.symbol))
    of = StampColumn(places, dialect, notes, None if symbols is None else symbols.codes)
    clock = None if plan.clock is None else columns.read(plan.clock)
    stamps = stamps_of(columns.read(plan.names.pop("timestamp")), of, clock)
    raw = RawRows(path, stamps, {}, symbols, FIRST_ROW, plan.extra)
    if taken:
        wide = stored_columns(path, plan, taken)
        raw = stacked(raw, {one: columns.numbers(wide[one], places) for one in wide}, notes)
    else:
        raw.numbers = columns.numbers(plan.names, places)
    ticks = None if plan.ticks is None else columns.read(plan.ticks)
    counts = None if ticks is None else numbers_of(ticks, str(plan.ticks), places)
    volumes_of(raw.numbers, counts, len(raw), notes)
    pa.default_memory_pool().release_unused()
    raw.recognised = notes.sentence
    return raw


class _Header(NamedTuple):
    """The columns of a file: names that say what they are → as they are stored."""

    named: dict[str, str]
    tickers: dict[str, dict[str, str]]  # several side by side; `named` is what they share


def _header(stored: list[str], notes: Notes) -> _Header:
    """yfinance's names of two levels, such as `('Close', 'AAPL')`, as the word of the price."""
    pairs = {name: _pair(name) for name in stored}
    levels = [pair for pair in pairs.values() if pair is not None]
    if len(levels) < 4:
        return _Header({name: name for name in stored}, {})
    words = [{pair[level] for pair in levels} for level in (0, 1)]
    level = 0 if "Close" in words[0] else 1
    found = sorted(words[1 - level] - {""})
    if len(found) <= 1:
        notes.format = "yahoo"
        notes.add(f"ticker {', '.join(found)}")
        return _Header(
            {name if pair is None else pair[level]: name for name, pair in pairs.items()}, {}
        )
    shared: dict[str, str] = {}
    tickers: dict[str, dict[str, str]] = {}
    for name, pair in pairs.items():
        ticker = "" if pair is None else pair[1 - level]
        columns = tickers.setdefault(ticker, {}) if ticker else shared
        columns[name if pair is None else pair[level]] = name
    return _Header(shared, tickers)


def _pair(name: str) -> tuple[str, str] | None:
    """The two texts of a name that pandas wrote for a column of two levels."""
    if not name.startswith("("):
        return None
    try:
        value = ast.literal_eval(name)
    except (ValueError, SyntaxError):
        return None
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, str) for v in value):
        return value
    return None


class _Columns:
    """Columns of one open file, read one by one: arrow's copy of each goes before the next."""

    def __init__(self, file: "pq.ParquetFile", path: Path, named: dict[str, str]) -> None:
        self._file, self._path, self._named = file, path, named

    def numbers(self, sources: Mapping[str, str], places: Places) -> dict[str, np.ndarray]:
        """float64 columns by our names."""
        return {name: numbers_of(self.read(one), one, places) for name, one in sources.items()}

    def read(self, name: str) -> "pa.ChunkedArray":
        import pyarrow as pa

        stored = self._named.get(name, name)
        try:
            return self._file.read(columns=[stored])[stored]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: damaged Parquet file ({error})") from error
