"""Parquet files: opened, and the index of times that pandas stored in one.

Law: a damaged file and a column that appears twice are a `DataError` that names them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from trader.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def open_parquet(path: Path) -> "pq.ParquetFile":
    """The file, whose columns have one name each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        header = file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({error})") from error
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} appears twice; keep one of them")
    return file


def stored_index(schema: "pa.Schema") -> str | None:
    """The index of times that pandas stored, by its own word."""
    import pyarrow as pa

    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    for name in stored:
        if isinstance(name, str) and name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                return name
    return None
