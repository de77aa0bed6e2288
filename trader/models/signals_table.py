"""Reads a file of actions, a text (packed or not) or Parquet, into plain columns.

Law: every row is read or the file is refused with the first row at fault; nothing is guessed. It is
read as files of bars are: same separators, same forms of a time. Rows are counted from 0; a row of
a text also has its line.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trader.core.book import NO_REQUESTS
from trader.core.schema import REQUEST, TradingAction
from trader.errors import DataError, ModelError
from trader.models.answers import ALLOWED, AnswerError, to_actions
from trader.tables.column_names import ColumnPlan, WantedColumns, plan_columns
from trader.tables.content import check_text, content_of
from trader.tables.dialect import Dialect, Notes, Places
from trader.tables.layout import layout_of
from trader.tables.parquet import open_parquet, stored_index
from trader.tables.stamps import StampColumn
from trader.tables.textfile import TextFile
from trader.tables.typed_columns import decoded, stamps_of

COLUMNS = ("timestamp", "symbol", "action")
BESIDE = REQUEST.names or ()  # what may come beside an action; an empty field is none
NUMBERS = "".join(str(int(action)) for action in TradingAction)
WHOLE = re.compile(rf"[{NUMBERS}](\.0*)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignalRows:
    """The file's rows in file order; `symbol` is −1 where the config has no such instrument."""

    path: str
    places: Places
    stamp_ns: np.ndarray  # int64 (n,), as stamped by the file, UTC
    symbol: np.ndarray  # int32 (n,)
    action: np.ndarray  # int8 (n,)
    requests: np.ndarray  # REQUEST (n,), or (0,) where the file has no such column
    unknown: tuple[str, ...]  # symbols that the config does not have

    def label(self, row: int) -> str:
        """Where a row stands, for messages: `row 5 (from 0; line 7)`."""
        return row_label(self.places, row)


def row_label(places: Places, row: int) -> str:
    """`row 5 (from 0; line 7)` of a text, `row 5 (from 0)` of a Parquet file."""
    line = f"; line {places.line(row)}" if places.first_line else ""
    return f"row {row} (from 0{line})"


def read_signals(path: str, symbols: Sequence[str], dialect: Dialect) -> SignalRows:
    """The rows of the file at `path`; `ModelError` naming file, row and rule if it is unusable.

    Naive times are in the dialect's zone; without one they are an error. The symbol column may be
    missing if there is one instrument.
    """
    notes = Notes(Path(path))
    try:
        table, places, plan = _table(Path(path), len(symbols) == 1, dialect, notes)
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"model.path {path}: cannot be read: {reason}") from error
    except DataError as error:
        raise ModelError(_of_signals(str(error))) from error
    if table.num_rows == 0:
        raise ModelError(f"{path}: holds no signals, only a header")

    def fail(row: int, message: str) -> NoReturn:
        raise ModelError(f"{places.at(row)}: {message}")

    for name in table.column_names:
        if name in BESIDE:
            continue
        if table[name].null_count:
            fail(_first(pc.is_null(table[name])), f"{name} is empty")
        if table[name].type == pa.string() and pc.any(pc.equal(table[name], "")).as_py():
            fail(_first(pc.equal(table[name], "")), f"{name} is empty")
    clock = table["clock"] if plan.clock is not None else None
    try:
        stamps = stamps_of(table["timestamp"], StampColumn(places, dialect, notes), clock)
    except DataError as error:
        raise ModelError(str(error)) from error
    if "symbol" in table.column_names:
        codes, unknown = _symbols(table["symbol"], symbols)
    else:
        codes, unknown = np.zeros(table.num_rows, np.int32), ()
    actions = _actions(table["action"], fail)
    if notes.sentence:
        _log.info("%s", notes.sentence)
    requests = _requests(table, actions, fail)
    return SignalRows(path, places, stamps, codes, actions, requests, unknown)


def _of_signals(message: str) -> str:
    """The same words for a file whose columns no key of the config maps."""
    return message.replace("; say which with feed.columns.", "; keep one column of ")


def _table(
    path: Path, is_single: bool, dialect: Dialect, notes: Notes
) -> tuple[pa.Table, Places, ColumnPlan]:
    """The columns by our names, where their rows stand, and what they are called in the file."""
    required = ("timestamp", "action") if is_single else COLUMNS
    optional = (*(("symbol",) if is_single else ()), *BESIDE)
    mapping = {name: name for name in (*COLUMNS, *BESIDE)}
    wanted = WantedColumns(mapping, required, optional, remedy=f"needed are {', '.join(required)}")
    with path.open("rb") as stream:
        is_parquet = stream.read(4) == b"PAR1"
    if is_parquet:
        file = open_parquet(path)
        names = file.schema_arrow.names
        plan = plan_columns(path, names, wanted, notes, stored_index(file.schema_arrow))
        places = Places(path, 0, naming=lambda row: f"{path}: {row_label(places, row)}")
        there = _sources(plan)
        try:
            read = file.read(columns=[*there.values()])
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as CSV or Parquet: {error}") from error
        columns = {name: decoded(read[source]) for name, source in there.items()}
        return pa.table(columns), places, plan
    content = content_of(path, notes)
    check_text(path, content)
    layout = layout_of(path, content, dialect, (), notes)
    if layout.tickers:
        raise DataError(
            f"{path}: columns of {len(layout.tickers)} symbols side by side; give each row its "
            "symbol in a column, or save one file each"
        )
    plan = plan_columns(path, layout.names, wanted, notes)
    file = TextFile(path, content, layout)
    there = _sources(plan)
    read = file.table([], [*there.values()], None)
    places = Places(
        path,
        file.first_line,
        lambda: file.lines(read.num_rows),
        lambda row: f"{path}: {row_label(places, row)}",
    )
    return pa.table({name: read[source] for name, source in there.items()}), places, plan


def _sources(plan: ColumnPlan) -> dict[str, str]:
    """Our name of each column to read → the file's."""
    there = dict(plan.names)
    if plan.symbol is not None:
        there["symbol"] = plan.symbol
    if plan.clock is not None:
        there["clock"] = plan.clock
    return there


def _first(mask: Any) -> int:
    return int(np.argmax(np.asarray(mask)))


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
    if pa.types.is_string(column.type):
        encoded = pc.dictionary_encode(column).combine_chunks()
        codes = [_action(name) for name in encoded.dictionary.to_pylist()]
        actions = np.array(codes, np.int8)[np.asarray(encoded.indices)]
        if -1 in codes:
            row = _first(actions < 0)
            fail(row, f"action {column[row].as_py()!r} is not an action ({ALLOWED})")
        return actions
    try:
        return to_actions(column.to_numpy(), len(column))
    except AnswerError as error:
        row = error.row or 0
        fail(row, f"action {column[row].as_py()!r} is not an action ({ALLOWED})")


def _requests(table: pa.Table, actions: np.ndarray, fail: Callable[..., NoReturn]) -> np.ndarray:
    """REQUEST (n,) of the columns beside the action; (0,) where there is none of them."""
    there = [name for name in BESIDE if name in table.column_names]
    if not there:
        return NO_REQUESTS
    requests = np.full(len(actions) * len(BESIDE), np.nan).view(REQUEST)
    for name in there:
        column = table[name]
        if pa.types.is_string(column.type):
            column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
        try:
            values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowException:
            row = next(row for row, text in enumerate(column.to_pylist()) if not _is_number(text))
            fail(row, f"{name} {column[row].as_py()!r} is not a number")
        wrong = np.isinf(values) if name == "score" else np.isinf(values) | (values <= 0.0)
        if wrong.any():
            row = _first(wrong)
            fail(row, f"{name} is {values[row]:g}; it must be finite and above 0, or empty")
        requests[name] = values
    return requests


def _is_number(text: object) -> bool:
    try:
        float(text or "nan")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _action(text: str) -> int:
    """The action's number, −1 if it is none. A text has no types: `1` and `1.0` are `BUY`."""
    word = text.strip()
    try:
        return int(TradingAction.parse(int(word[0]) if WHOLE.fullmatch(word) else word))
    except ValueError:
        return -1
