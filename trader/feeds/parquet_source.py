"""Parquet: the timestamp as a column or as the index that pandas stored.

Law: stamps must be Parquet timestamps (any unit), or ISO-8601 text; plain integers are refused
because they do not say their unit. Columns are read as float64, one table, no row dropped.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.errors import DataError
from trader.feeds.raw import ColumnPlan, RawRows, plan_columns
from trader.feeds.stamps import REMEDY, as_ns, localised, parse_texts

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_ROW = 0
INDEX_NAMES = ("__index_level_0__", "index", "Index", "date", "datetime", "time")


def read_parquet(path: Path, config: Config) -> RawRows:
    """The rows of one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        header = file.schema_arrow.names
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({error})") from error
    stamp = config.feed.columns.timestamp
    index = next((name for name in INDEX_NAMES if name in header), None)
    renamed = stamp not in header and index is not None
    plan = plan_columns(config, path, [stamp if renamed and n == index else n for n in header])
    if renamed and index is not None:
        plan.names["timestamp"] = index
    wanted = [*plan.names.values(), *([plan.symbol] if plan.symbol else [])]
    try:
        table = file.read(columns=wanted)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: damaged Parquet file ({error})") from error
    if table.num_rows == 0:
        raise DataError(f"{path}: columns and no rows")
    stamps = _stamps(table[plan.names["timestamp"]], path, config.feed.timezone)
    numbers = _numbers(table, plan, path)
    symbols = None
    if plan.symbol is not None:
        symbols = np.asarray(table[plan.symbol].to_pandas(), dtype=object)
    return RawRows(path, stamps, numbers, symbols, FIRST_ROW, plan.extra)


def _numbers(table: "pa.Table", plan: ColumnPlan, path: Path) -> dict[str, np.ndarray]:
    import pyarrow as pa

    numbers = {}
    for name, source in plan.names.items():
        if name == "timestamp":
            continue
        try:
            numbers[name] = table[source].cast(pa.float64()).to_numpy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"{path}: column {source!r} holds no numbers ({error})") from error
    return numbers


def _stamps(column: "pa.ChunkedArray", path: Path, zone: str | None) -> np.ndarray:
    import pyarrow as pa

    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise DataError(f"{path} row {row}: timestamp is empty")
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return parse_texts(column.to_pandas(), path, zone, FIRST_ROW)
    if not pa.types.is_timestamp(kind):
        raise DataError(
            f"{path}: the timestamp column is {kind}, which does not say its unit; store it as "
            "a timestamp with a time zone"
        )
    if kind.tz is None and zone is None:
        raise DataError(f"{path} row 0: timestamp {column[0]} has no time zone; {REMEDY}")
    if kind.tz is None:
        assert zone is not None
        return as_ns(localised(column.to_pandas(), path, zone, FIRST_ROW), path, FIRST_ROW)
    try:
        return column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return as_ns(column.to_pandas(), path, FIRST_ROW)
