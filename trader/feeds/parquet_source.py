"""Parquet: the timestamp as a column or as the index that pandas stored.

Law: stamps are times of any unit, dates, texts, or counts whose unit the whole column tells.
Columns are read as float64, one by one, no row dropped.
"""

import ast
from pathlib import Path
from typing import TYPE_CHECKING

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
from trader.tables.columns import numbers_of, stamps_of
from trader.tables.dialect import Notes, Places
from trader.tables.names import plan_columns
from trader.tables.parquet import open_parquet, stored_index
from trader.tables.stamps import StampColumn
from trader.tables.symbols import symbol_column

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FIRST_ROW = 0


def read_parquet(path: Path, config: Config) -> RawRows:
    """The rows of one Parquet file."""
    import pyarrow as pa

    file = open_parquet(path)
    header = file.schema_arrow.names
    if file.metadata.num_rows == 0:
        raise DataError(f"{path}: columns and no rows")
    notes, dialect, wanted = Notes(path), dialect_of(config), wanted_columns(config)
    named = _without_tickers(header, path, notes)  # the name that says what it is → the column's
    index = stored_index(file.schema_arrow)
    plan = plan_columns(path, [*named], wanted, notes, index)
    check_stamp(config, path, plan)
    places = Places(path, FIRST_ROW)
    columns = _Columns(file, path, named)
    symbols = None if plan.symbol is None else symbol_column(columns.read(plan.symbol))
    of = StampColumn(places, dialect, notes, None if symbols is None else symbols.codes)
    clock = None if plan.clock is None else columns.read(plan.clock)
    stamps = stamps_of(columns.read(plan.names.pop("timestamp")), of, clock)
    numbers: dict[str, np.ndarray] = {
        name: numbers_of(columns.read(source), source, places)
        for name, source in plan.names.items()
    }
    ticks = None if plan.ticks is None else columns.read(plan.ticks)
    volumes_of(
        numbers,
        None if ticks is None else numbers_of(ticks, str(plan.ticks), places),
        len(stamps),
        notes,
    )
    pa.default_memory_pool().release_unused()
    return RawRows(path, stamps, numbers, symbols, FIRST_ROW, plan.extra, recognised=notes.sentence)


def _without_tickers(header: list[str], path: Path, notes: Notes) -> dict[str, str]:
    """yfinance's names of two levels, such as `('Close', 'AAPL')`, as the word of the price."""
    pairs = {name: _pair(name) for name in header}
    levels = [pair for pair in pairs.values() if pair is not None]
    if len(levels) < 4:
        return {name: name for name in header}
    words = [{pair[level] for pair in levels} for level in (0, 1)]
    level = 0 if "Close" in words[0] else 1
    tickers = sorted(words[1 - level] - {""})
    if len(tickers) > 1:
        raise DataError(
            f"{path}: {len(tickers)} tickers side by side ({', '.join(tickers[:8])}); save one "
            "file each (path: data/{symbol}.parquet), or stack them: frame.stack('Ticker')"
        )
    notes.format = "yahoo"
    notes.add(f"ticker {', '.join(tickers)}")
    return {name if pair is None else pair[level]: name for name, pair in pairs.items()}


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

    def read(self, name: str) -> "pa.ChunkedArray":
        import pyarrow as pa

        stored = self._named[name]
        try:
            return self._file.read(columns=[stored])[stored]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: damaged Parquet file ({error})") from error
