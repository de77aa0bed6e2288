"""Reads a file of actions, CSV (.gz too) or Parquet, into plain columns.

Law: every row is read or the file is refused with the first row at fault; nothing is guessed.
Rows are counted from 0; a CSV row also has its line, where line 1 is the header.
"""

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trader.core.schema import TradingAction
from trader.errors import ModelError
from trader.models.actions import ALLOWED, AnswerError, to_actions

COLUMNS = ("timestamp", "symbol", "action")
NUMBERS = tuple(str(int(action)) for action in TradingAction)
OFFSET = r"(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"  # of an ISO time; a date alone never ends like it
_DATE_ONLY = r"^\d{4}-\d\d(?:-\d\d)?$"


@dataclass(frozen=True)
class SignalRows:
    """The file's rows in file order; `symbol` is −1 where the config has no such instrument."""

    path: str
    is_csv: bool
    stamp_ns: np.ndarray  # int64 (n,), as stamped by the file, UTC
    symbol: np.ndarray  # int32 (n,)
    action: np.ndarray  # int8 (n,)
    unknown: tuple[str, ...]  # symbols that the config does not have

    def label(self, row: int) -> str:
        """Where a row stands, for messages."""
        return row_label(self.is_csv, row)


def row_label(is_csv: bool, row: int) -> str:
    """`row 5 (from 0; line 7)` of a CSV, `row 5 (from 0)` of a Parquet file."""
    return f"row {row} (from 0; line {row + 2})" if is_csv else f"row {row} (from 0)"


def read_signals(path: str, symbols: Sequence[str], timezone: str | None) -> SignalRows:
    """The rows of the file at `path`; `ModelError` naming file, row and rule if it is unusable.

    Naive times are in `timezone`; without one they are an error. The symbol column may be
    missing if there is one instrument.
    """
    is_csv, table = _table(path)
    for name in COLUMNS:
        if name not in table.column_names and (name != "symbol" or len(symbols) != 1):
            raise ModelError(
                f"{path}: there is no column {name!r}; it has {', '.join(table.column_names)} "
                f"and needs {', '.join(COLUMNS)}"
            )
    if table.num_rows == 0:
        raise ModelError(f"{path}: holds no signals, only a header")

    def fail(row: int, message: str) -> NoReturn:
        raise ModelError(f"{path}: {row_label(is_csv, row)}: {message}")

    for name in table.column_names:
        if table[name].null_count:
            fail(_first(pc.is_null(table[name])), f"{name} is empty")
    stamps = _stamps(table["timestamp"], timezone, fail)
    if "symbol" in table.column_names:
        codes, unknown = _symbols(table["symbol"], symbols)
    else:
        codes, unknown = np.zeros(table.num_rows, np.int32), ()
    return SignalRows(path, is_csv, stamps, codes, _actions(table["action"], fail), unknown)


def _table(path: str) -> tuple[bool, pa.Table]:
    """Whether the file is CSV, and its columns of ours."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
        if head == b"PAR1":
            import pyarrow.parquet as pq

            there = pq.read_schema(path).names
            table = pq.read_table(path, columns=[c for c in COLUMNS if c in there] or there)
            return False, _decoded(table)
        return True, _csv(path, "gzip" if head[:2] == b"\x1f\x8b" else None)
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"model.path {path}: cannot be read: {reason}") from error
    except (pa.ArrowException, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise ModelError(f"{path}: is no readable CSV or Parquet file: {error}") from error


def _decoded(table: pa.Table) -> pa.Table:
    """The table with its dictionary columns (pandas' categories) as plain ones."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table.column(i).cast(field.type.value_type)
            table = table.set_column(i, field.name, plain)
    return table


def _csv(path: str, compression: str | None) -> pa.Table:
    from pyarrow import csv

    with gzip.open(path) if compression else Path(path).open("rb") as file:
        head = file.readline().decode("utf-8-sig")
    names = [name.strip().strip('"') for name in head.split(",")]
    with pa.input_stream(path, compression=compression) as stream:
        table = csv.read_csv(
            stream,
            read_options=csv.ReadOptions(use_threads=False),  # its errors then name the row
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    kept = [name for name in COLUMNS if name in table.column_names]
    return table.select(kept) if kept else table


def _first(mask: Any) -> int:
    return int(np.argmax(np.asarray(mask)))


def _stamps(column: pa.ChunkedArray, zone: str | None, fail: Callable[..., NoReturn]) -> np.ndarray:
    """UTC nanoseconds int64 of ISO text or of a Parquet time column."""
    import pandas as pd

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        aware = np.asarray(pc.match_substring_regex(column, OFFSET)) & ~np.asarray(
            pc.match_substring_regex(column, _DATE_ONLY)
        )
        if aware.any() and not aware.all():
            fail(int(np.argmin(aware == aware[0])), "a time with an offset among times without")
        times = pd.to_datetime(
            column.to_pandas(), format="ISO8601", utc=bool(aware[0]), errors="coerce"
        )
        naive = not aware[0]
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        times = pd.to_datetime(column.to_pandas())
        naive = getattr(column.type, "tz", None) is None
    else:
        fail(0, f"timestamp is of type {column.type}; write ISO 8601 times")
    bad = np.asarray(times.isna())
    if bad.any():
        row = _first(bad)
        fail(row, f"timestamp {column[row].as_py()!r} is no ISO 8601 time")
    if naive:
        if zone is None:
            fail(0, f"timestamp {column[0].as_py()!r} has no time zone; set feed.timezone")
        times = times.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        bad = np.asarray(times.isna())
        if bad.any():
            row = _first(bad)
            fail(
                row,
                f"timestamp {column[row].as_py()!r} happens twice or never in {zone}; write UTC",
            )
    try:
        return times.dt.tz_convert("UTC").dt.as_unit("ns").astype("int64").to_numpy()
    except pd.errors.OutOfBoundsDatetime:
        row = _first((times.dt.year < 1678) | (times.dt.year > 2261))
        fail(row, f"timestamp {column[row].as_py()!r} is outside the years 1678 to 2261")


def _symbols(column: pa.ChunkedArray, symbols: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Index into `symbols` of each row, −1 where unknown, and the unknown ones."""
    encoded = pc.dictionary_encode(column.cast(pa.string())).combine_chunks()
    names = encoded.dictionary.to_pylist()
    place = {symbol: i for i, symbol in enumerate(symbols)}
    codes = np.array([place.get(name, -1) for name in names], np.int32)
    unknown = tuple(name for name in names if name not in place)
    return codes[np.asarray(encoded.indices)], unknown


def _actions(column: pa.ChunkedArray, fail: Callable[..., NoReturn]) -> np.ndarray:
    """int8 of names or of 0 to 3, as text or as numbers."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        encoded = pc.dictionary_encode(column).combine_chunks()
        codes = [_action(name) for name in encoded.dictionary.to_pylist()]
        actions = np.array(codes, np.int8)[np.asarray(encoded.indices)]
        if -1 in codes:
            row = _first(actions < 0)
            fail(row, f"action {column[row].as_py()!r} is no action ({ALLOWED})")
        return actions
    try:
        return to_actions(column.to_numpy(), len(column))
    except AnswerError as error:
        row = error.row or 0
        fail(row, f"action {column[row].as_py()!r} is no action ({ALLOWED})")


def _action(text: str) -> int:
    """The action's number, −1 if it is none. A file has no types: `1` is as good as `BUY`."""
    word = text.strip()
    try:
        return int(TradingAction.parse(int(word) if word in NUMBERS else word))
    except ValueError:
        return -1
