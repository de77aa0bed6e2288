"""Several tickers side by side in one file, as yfinance downloads them: put one below the other.

Law: the tickers that are instruments of the config are taken, by name, and the others are told. A
row without a price of a ticker (another market was open) is no bar of it: it is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trader.errors import DataError
from trader.feeds.raw import PRICES, RawRows
from trader.tables.column_names import ColumnPlan, columns_text
from trader.tables.dialect import Notes
from trader.tables.symbols import SymbolColumn

ANY_SYMBOL = "?"  # in place of a config's instruments: whatever the file has
LISTED = 8

Tickers = Mapping[str, Mapping[str, str]]  # ticker → name, as of one ticker → the file's column


def taken_tickers(path: Path, there: Tickers, symbols: Sequence[str], notes: Notes) -> Tickers:
    """Those of `there` that are instruments; `DataError` that lists them where none is."""
    taken = {name: there[name] for name in there if name in symbols or ANY_SYMBOL in symbols}
    if not taken:
        raise DataError(
            f"{path}: {len(there)} tickers side by side ({_listed(there)}), and none is an "
            f"instrument of the config ({_listed(symbols)}); name the instrument as the ticker, "
            "or save one file each (path: data/{symbol}" + f"{path.suffix})"
        )
    others = [name for name in there if name not in taken]
    unused = f"; not used: {_listed(others)}" if others else ""
    notes.format = "yahoo"
    notes.add(f"{len(there)} tickers side by side, taken: {_listed(taken)}{unused}")
    return taken


def stored_columns(path: Path, plan: ColumnPlan, taken: Tickers) -> dict[str, dict[str, str]]:
    """Ticker → our name → the file's column; `plan` is that of the first ticker."""
    found: dict[str, dict[str, str]] = {}
    for ticker, columns in taken.items():
        missing = [source for source in plan.names.values() if source not in columns]
        if missing:
            named = columns_text([repr(source) for source in missing])
            raise DataError(f"{path}: {ticker} is missing {named}")
        found[ticker] = {name: columns[source] for name, source in plan.names.items()}
    return found


def stacked(raw: RawRows, tables: Mapping[str, dict[str, np.ndarray]], notes: Notes) -> RawRows:
    """Rows of every ticker (its columns by our names), from `raw` with the stamps of all."""
    lines = raw.lines
    if lines is None:
        lines = np.arange(len(raw)) + raw.first_line
    kept = []
    for ticker, table in tables.items():
        is_there = ~np.logical_and.reduce([np.isnan(table[name]) for name in PRICES])
        left_out = len(raw) - int(np.count_nonzero(is_there))
        if left_out:
            notes.add(f"{left_out} rows without a price of {ticker} left out")
        kept.append(np.flatnonzero(is_there))
    codes = np.repeat(np.arange(len(kept), dtype=np.int32), [len(rows) for rows in kept])
    every = np.concatenate(kept)
    names = next(iter(tables.values()))
    numbers = {
        name: np.concatenate(
            [table[name][rows] for table, rows in zip(tables.values(), kept, strict=True)]
        )
        for name in names
    }
    return replace(
        raw,
        stamps_ns=raw.stamps_ns[every],
        numbers=numbers,
        symbols=SymbolColumn([*tables], codes),
        lines=lines[every],
    )


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    shown = ", ".join(list(names)[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
