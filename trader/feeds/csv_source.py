"""Text files of bars: CSV and its kin, packed or not, as vendors write them.

Law: what the file is, is decided by its first lines and its whole columns, and told; a value is
never changed. Anything that could be two things is a `DataError` that names the key to set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.feeds.raw import (
    RawRows,
    check_stamp,
    dialect_of,
    volumes_of,
    wanted_columns,
)
from trader.feeds.wide_files import stacked, stored_columns, taken_tickers
from trader.tables.column_names import WantedColumns, plan_columns
from trader.tables.content import check_text, content_of
from trader.tables.dialect import Notes, Places
from trader.tables.layout import layout_of
from trader.tables.stamps import StampColumn, parse_texts
from trader.tables.stamptexts import joined
from trader.tables.symbols import symbol_column
from trader.tables.textfile import TextFile, decimal_of

if TYPE_CHECKING:
    import pyarrow as pa


def read_csv(path: Path, config: Config, wanted: WantedColumns | None = None) -> RawRows:
    """The rows of one text file; `wanted`: its columns, where it need not have all of a bar."""
    wanted = wanted or wanted_columns(config)
    dialect, notes = dialect_of(config), Notes(path)
    content = content_of(path, notes)
    check_text(path, content)
    layout = layout_of(path, content, dialect, wanted.mapping.values(), notes)
    taken = taken_tickers(path, layout.tickers, config.symbols, notes) if layout.tickers else {}
    header = [*layout.shared, *next(iter(taken.values()))] if taken else layout.names
    plan = plan_columns(path, header, wanted, notes)
    check_stamp(config, path, plan)
    file = TextFile(path, content, layout, decimal_of(path, content, layout, dialect, notes))
    stamp = plan.names.pop("timestamp")
    clock = [] if plan.clock is None else [plan.clock]
    ticks = [] if plan.ticks is None else [plan.ticks]
    wide = stored_columns(path, plan, taken)
    sources = [one for columns in wide.values() for one in columns.values()]
    table = file.table([*(sources or plan.names.values()), *ticks], [stamp, *clock], plan.symbol)
    rows = table.num_rows
    lines = file.lines(rows)
    symbols = None if plan.symbol is None else symbol_column(table[plan.symbol])
    codes = None if symbols is None else symbols.codes
    of = StampColumn(Places(path, file.first_line, lambda: lines), dialect, notes, codes)
    texts = joined(table[stamp], table[clock[0]], of) if clock else table[stamp]
    stamps = parse_texts(texts, of)
    is_cut = not content.endswith((b"\n", b"\r"))
    raw = RawRows(path, stamps, {}, symbols, file.first_line, plan.extra, is_cut, lines)
    if wide:
        raw = stacked(raw, {one: _numbers(table, wide[one]) for one in wide}, notes)
    else:
        raw.numbers = _numbers(table, plan.names)
    volumes_of(raw.numbers, table[ticks[0]].to_numpy() if ticks else None, len(raw), notes)
    raw.recognised = notes.sentence
    return raw


def _numbers(table: "pa.Table", sources: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {name: table[source].to_numpy(zero_copy_only=False) for name, source in sources.items()}
