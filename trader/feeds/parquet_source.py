"""Parquet: the timestamp as a column or as the index that pandas stored.

Law: stamps must be Parquet timestamps (any unit), dates, or ISO-8601 text; plain integers are
refused because they do not say their unit. Columns are read as float64, one by one, no row dropped.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.errors import DataError
from trader.feeds.raw import SHOWN, RawRows, place_of, plan_columns, symbol_column
from trader.feeds.stamps import REMEDY, Codes, as_ns, localised, parse_texts, within_reach
from trader.hours.periods import stamp_zone

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FIRST_ROW = 0
INDEX_NAMES = ("__index_level_0__", "index", "Index", "date", "datetime", "time")


def read_parquet(path: Path, config: Config) -> RawRows:
    """The rows of one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        header = file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({error})") from error
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} stands twice; keep one of them")
    stamp = config.feed.columns.timestamp
    index = _index_name(file.schema_arrow)
    renamed = stamp not in header and index is not None
    plan = plan_columns(config, path, [stamp if renamed and n == index else n for n in header])
    if renamed and index is not None:
        plan.names["timestamp"] = index
    if file.metadata.num_rows == 0:
        raise DataError(f"{path}: columns and no rows")
    columns = _Columns(file, path)
    symbols = None
    if plan.symbol is not None:
        symbols = symbol_column(columns.read(plan.symbol))
    codes = None if symbols is None else symbols.codes
    zone = stamp_zone(config)
    stamps = _stamps(columns.read(plan.names["timestamp"]), path, zone, codes)
    numbers = {
        name: columns.numbers(source) for name, source in plan.names.items() if name != "timestamp"
    }
    pa.default_memory_pool().release_unused()
    return RawRows(path, stamps, numbers, symbols, FIRST_ROW, plan.extra)


def _index_name(schema: "pa.Schema") -> str | None:
    """The index of times that pandas stored, by its own word, or else by a usual name."""
    import pyarrow as pa

    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    for name in stored:
        if name in schema.names and pa.types.is_timestamp(schema.field(name).type):
            return str(name)
    return next((name for name in INDEX_NAMES if name in schema.names), None)


class _Columns:
    """Columns of one open file, read one by one: arrow's copy of each goes before the next."""

    def __init__(self, file: "pq.ParquetFile", path: Path) -> None:
        self._file, self._path = file, path

    def read(self, name: str) -> "pa.ChunkedArray":
        import pyarrow as pa

        try:
            return self._file.read(columns=[name])[name]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: damaged Parquet file ({error})") from error

    def numbers(self, name: str) -> np.ndarray:
        import pyarrow as pa

        column = self.read(name)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.string())  # arrow's own cast of a decimal is off by a bit
        try:
            if pa.types.is_boolean(column.type):
                raise pa.ArrowInvalid("true and false are no numbers")
            return column.cast(pa.float64()).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(_no_numbers(column, name, self._path)) from error


def _no_numbers(column: "pa.ChunkedArray", name: str, path: Path) -> str:
    """Which cell of a column is no number, as far as cells can be looked at one by one."""
    import pyarrow as pa

    kind = str(column.type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return f"{path}: column {name!r} is of type {kind}, which holds no numbers; store numbers"
    for row, text in enumerate(column.to_pylist()):
        try:
            pa.scalar(text, pa.string()).cast(pa.float64())
        except pa.ArrowInvalid:
            return (
                f"{place_of(path, FIRST_ROW, row)}: {name} is {text[:SHOWN]!r}, which is no "
                f"number; the column holds text ({kind}): mend the cell, and store numbers"
            )
    return f"{path}: column {name!r} is of type {kind}, which holds no numbers; store numbers"


def _stamps(column: "pa.ChunkedArray", path: Path, zone: str | None, codes: Codes) -> np.ndarray:
    import pyarrow as pa

    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise DataError(f"{path} row {row}: timestamp is empty")
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return parse_texts(column.cast(pa.string()), path, zone, FIRST_ROW, codes)
    if pa.types.is_date(kind):  # days: midnight in feed.timezone
        column = column.cast(pa.timestamp("ms"))
        kind = column.type
    if not pa.types.is_timestamp(kind):
        raise DataError(
            f"{path}: the timestamp column is {kind}, which does not say its unit; store it as "
            "a timestamp with a time zone"
        )
    if kind.tz is None and zone is None:
        raise DataError(f"{path} row 0: timestamp {column[0]} has no time zone; {REMEDY}")
    if kind.tz is None:
        assert zone is not None
        return localised(column.to_pandas(), path, zone, FIRST_ROW, codes)
    try:
        stamps = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return as_ns(column.to_pandas(), path, FIRST_ROW)
    return within_reach(stamps, path, FIRST_ROW)
