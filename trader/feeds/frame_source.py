"""A pandas frame as a source of history, for `trader.backtest(config, bars=frame)`.

Law: a frame is read as a file of the same rows would be: the config's `feed` section says whether
stamps are opens or closes and in which zone naive ones are, and the data gate judges the rows. The
frame is copied, never changed.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.feed import Columns
from trader.errors import DataError
from trader.feeds.raw import RawRows, SourceFile, dialect_of, volumes_of, wanted_columns
from trader.tables.column_names import ColumnPlan, plan_columns
from trader.tables.dialect import Notes, Places
from trader.tables.stamps import StampColumn
from trader.tables.symbols import SymbolColumn, symbol_column
from trader.tables.typed_columns import stamps_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NAME = Path("DataFrame")  # where a file has its path
FIRST_ROW = 0


def read_frame(frame: "pd.DataFrame", config: Config) -> tuple[RawRows, SourceFile]:
    """The rows of a frame and what it was.

    Stamps are the index if it holds times, a level of it, or the column that
    `feed.columns.timestamp` names; symbols a level of the index or a column. Column names are
    found as `feed.columns` has them, as ours, or in another case. `DataError` for what no file
    may have either.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"bars is a {type(frame).__name__}; give a pandas DataFrame of bars")
    flat = _with_index_as_columns(frame, config.feed.columns)
    if len(flat) == 0:
        raise DataError(f"{NAME}: columns and no rows")
    notes = Notes(NAME)
    found = _found_columns(flat, config, notes)
    codes = None if found.symbols is None else found.symbols.codes
    of = StampColumn(Places(NAME, FIRST_ROW), dialect_of(config), notes, codes)
    stamps = stamps_of(_arrow(found.stamps), of, found.clock)
    volumes_of(found.numbers, None, len(stamps), notes)
    rows = RawRows(
        NAME,
        stamps,
        found.numbers,
        found.symbols,
        FIRST_ROW,
        found.extra,
        recognised=notes.sentence,
    )
    return rows, _source(rows)


class _FrameColumns:
    """The columns of a frame under our names."""

    def __init__(self, flat: "pd.DataFrame", plan: ColumnPlan) -> None:
        import pyarrow as pa

        self.extra = plan.extra
        self.stamps: pd.Series[Any] = flat[plan.names["timestamp"]]
        self.clock = None if plan.clock is None else _arrow(flat[plan.clock])
        self.symbols: SymbolColumn | None = None
        if plan.symbol is not None:
            column = pa.array(flat[plan.symbol].astype(object), from_pandas=True)
            self.symbols = symbol_column(pa.chunked_array([column]))
        self.numbers = {
            name: _numbers(flat[source], source)
            for name, source in plan.names.items()
            if name != "timestamp"
        }


def _found_columns(flat: "pd.DataFrame", config: Config, notes: Notes) -> _FrameColumns:
    flat.columns = _as_the_config_names_them(flat, config.feed.columns)
    twice = next((name for name in flat.columns if list(flat.columns).count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{NAME}: column {twice!r} appears twice; keep one of them")
    return _FrameColumns(
        flat, plan_columns(NAME, list(flat.columns), wanted_columns(config), notes)
    )


def _with_index_as_columns(frame: "pd.DataFrame", columns: Columns) -> "pd.DataFrame":
    """A shallow copy whose index is columns, where the index holds times or symbols."""
    import pandas as pd

    index = frame.index
    flat = frame.copy(deep=False)
    if isinstance(index, pd.MultiIndex):
        for level in range(index.nlevels):
            values = index.get_level_values(level)
            name = columns.symbol
            if isinstance(values, pd.DatetimeIndex):
                name = columns.timestamp
            elif index.names[level] is not None and level > 1:
                name = str(index.names[level])
            flat[name] = values
    elif isinstance(index, pd.DatetimeIndex):
        flat[columns.timestamp] = index
    return flat.reset_index(drop=True)


def _as_the_config_names_them(flat: "pd.DataFrame", columns: Columns) -> list[str]:
    """The frame's column names, where one is ours in another case or the plain word for ours."""
    names = [name if isinstance(name, str) else str(name) for name in flat.columns]
    present = set(names)
    for ours in Columns.model_fields:
        wanted = getattr(columns, ours)
        if wanted in present:
            continue
        same = [at for at, name in enumerate(names) if name.lower() in (wanted.lower(), ours)]
        if len(same) == 1:
            names[same[0]] = wanted
    return names


def _numbers(column: "pd.Series[Any]", name: str) -> np.ndarray:
    """float64 values of a column, NaN where one is missing; `DataError` for what is no number."""
    if column.dtype.kind == "b":
        raise DataError(f"{NAME}: column {name!r} holds true and false, which are not numbers")
    try:
        return np.ascontiguousarray(column.to_numpy(np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise DataError(f"{NAME}: column {name!r} holds no numbers: {error}") from None


def _arrow(column: "pd.Series[Any]") -> "pa.ChunkedArray":
    """The column as arrow has it; objects of several kinds as texts."""
    import pyarrow as pa

    try:
        values = pa.array(column, from_pandas=True)
    except pa.ArrowException:
        values = pa.array([str(value) for value in column], pa.string())
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _source(rows: RawRows) -> SourceFile:
    """The frame as the manifest names it: the hash is of its values, column by column."""
    digest = hashlib.sha256(b"trader-frame/1")
    size = 0
    codes = [] if rows.symbols is None else [rows.symbols.codes]
    names = "" if rows.symbols is None else "\0".join(rows.symbols.names)
    digest.update("\0".join([*rows.numbers, names]).encode())
    for values in (rows.stamps_ns, *codes, *rows.numbers.values()):
        data = np.ascontiguousarray(values).data
        size += data.nbytes
        digest.update(data)
    return SourceFile(str(NAME), digest.hexdigest(), size, len(rows))
