"""Columns that have types (Parquet, Arrow) as stamps, texts and numbers.

Law: every type that holds a time, a text or a number is read, in whatever layout it is stored;
what holds none of them is a `DataError` that names the column and its type.
"""

from typing import TYPE_CHECKING

import numpy as np

from trader.errors import DataError
from trader.tables.dialect import Places
from trader.tables.epochs import from_counts, from_floats, from_fractions
from trader.tables.stamps import REMEDY, StampColumn, as_ns, localised, parse_texts, within_reach
from trader.tables.stamptexts import joined

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 40


def decoded(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """The column with dictionaries and run-ends as plain values, and every text as `string`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_run_end_encoded(kind):
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks])
        kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if is_text(kind) and kind != pa.string():
        column = column.cast(pa.string())
    return column


def is_text(kind: "pa.DataType") -> bool:
    """Whether a type holds texts: short, long, views, and bytes, which have to be UTF-8."""
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def numbers_of(column: "pa.ChunkedArray", name: str, places: Places) -> np.ndarray:
    """float64 of one column."""
    import pyarrow as pa

    kind = column.type
    column = decoded(column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())  # arrow's own cast of a decimal is off by a bit
    try:
        if pa.types.is_boolean(column.type):
            raise pa.ArrowInvalid("true and false are not numbers")
        return column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(_no_numbers(column, str(kind), name, places)) from error


def _no_numbers(column: "pa.ChunkedArray", kind: str, name: str, places: Places) -> str:
    """Which cell of a column is no number, as far as cells can be looked at one by one."""
    import pyarrow as pa

    if pa.types.is_string(column.type):
        for row, text in enumerate(column.to_pylist()):
            try:
                pa.scalar(text, pa.string()).cast(pa.float64())
            except pa.ArrowInvalid:
                return (
                    f"{places.at(row)}: {name} is {text[:SHOWN]!r}, which is not a "
                    f"number; the column holds text ({kind}): mend the cell, and store numbers"
                )
    return (
        f"{places.path}: column {name!r} is of type {kind}, which holds no numbers; store numbers"
    )


def stamps_of(
    column: "pa.ChunkedArray", of: StampColumn, clock: "pa.ChunkedArray | None" = None
) -> np.ndarray:
    """int64 UTC nanoseconds of a column of times, the time of day in `clock` if it is apart."""
    import pyarrow as pa

    column = decoded(column)
    _require_filled(column, of)
    if clock is not None:
        clock = decoded(clock)
        _require_filled(clock, of)
        column = joined(_text(column), _text(clock), of)
    kind = column.type
    if pa.types.is_string(kind):
        return parse_texts(column, of)
    if pa.types.is_integer(kind):
        return from_counts(_whole(column, of), of)
    if pa.types.is_floating(kind):
        return from_floats(column.cast(pa.float64()).to_numpy(), of)
    if pa.types.is_decimal(kind):
        return from_fractions(column.to_pylist(), of)
    if pa.types.is_date(kind):  # days: midnight in feed.timezone
        column = column.cast(pa.timestamp("ms"))
        kind = column.type
    if not pa.types.is_timestamp(kind):
        raise DataError(
            f"{of.places.path}: the timestamp column is of type {kind}, which holds no times; "
            "store it as a timestamp with a time zone"
        )
    if kind.tz is None and of.dialect.zone is None:
        raise DataError(f"{of.places.at(0)}: timestamp {column[0]} has no time zone; {REMEDY}")
    if kind.tz is None:
        return localised(column.to_pandas(), of)
    try:
        stamps = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return as_ns(column.to_pandas(), of.places)
    return within_reach(stamps, of.places)


def _require_filled(column: "pa.ChunkedArray", of: StampColumn) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise DataError(f"{of.places.at(row)}: timestamp is empty")


def _text(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _whole(column: "pa.ChunkedArray", of: StampColumn) -> np.ndarray:
    import pyarrow as pa

    try:
        return column.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise DataError(f"{of.places.path}: the timestamp column holds {error}") from error
