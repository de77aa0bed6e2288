"""What a report is made of: the documents of a run, its tables, and its bars where they are known.

Law: the same of a run folder and of a run in memory. Nothing is computed here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trader.errors import UsageError
from trader.report.artifacts import (
    CONFIG,
    DECISIONS,
    EQUITY_CURVE,
    FILLS,
    ORDERS,
    QUALITY,
    TRADES,
)
from trader.report.csvfiles import fills_csv, trades_csv
from trader.report.frames import csv_table
from trader.report.orderfile import order_table
from trader.report.parquet import decision_table, equity_table
from trader.report.provenance import manifest
from trader.report.result import RunResult
from trader.report.runs import StoredRun

PART_ROWS = 1 << 18
DRAWN = ["timestamp", "equity", "gross_exposure", "trading_state"]  # of equity.parquet


@dataclass(frozen=True)
class Market:
    """What a run folder does not hold: the bars it ran on and their trading hours."""

    bars: np.ndarray | None  # BAR
    sessions: np.ndarray | None  # SESSION
    period_ns: int
    why_not: str = ""  # why there are no bars


@dataclass(frozen=True)
class Source:
    """Everything one run can show."""

    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]
    quality: Mapping[str, Any]
    config_text: str
    fills: pa.Table
    trades: pa.Table
    equity: pa.Table
    orders: pa.Table | None  # None of a run before there was the file
    decisions: Iterable[pa.Table]  # part by part, read once
    market: Market

    @property
    def run_id(self) -> str:
        return str(self.manifest["run_id"])


def folder_source(run: StoredRun, market: Market) -> Source:
    """The source of a run folder; `UsageError` names a file that is missing or damaged."""
    folder = run.path
    has_orders = (folder / ORDERS).exists()
    return Source(
        manifest=run.manifest,
        metrics=run.metrics,
        quality=_json(folder / QUALITY),
        config_text=_bytes(folder / CONFIG).decode(errors="replace"),
        fills=_csv(folder / FILLS),
        trades=_csv(folder / TRADES),
        equity=_parquet(folder / EQUITY_CURVE),
        orders=_parquet(folder / ORDERS) if has_orders else None,
        decisions=decisions_in(folder),
        market=market,
    )


def memory_source(result: RunResult, decisions: Iterable[pa.Table], market: Market) -> Source:
    """The source of a run that is in memory; `decisions` are as decisions.parquet."""
    curve, _ = equity_table(result.equity, result.start_equity)
    return Source(
        manifest=manifest(result),
        metrics=result.metrics,
        quality=result.quality,
        config_text=result.resolved_yaml,
        fills=csv_table(fills_csv(result.fills, result.symbols)),
        trades=csv_table(trades_csv(result.trips.closed, result.symbols)),
        equity=curve.select(DRAWN),
        orders=order_table(result.order_rows, result.symbols),
        decisions=decisions,
        market=market,
    )


def bars_of(bars: np.ndarray, symbol: int) -> np.ndarray:
    """The BAR rows of a symbol; all of them are not copied."""
    is_ours = bars["symbol"] == symbol
    return bars if is_ours.all() else bars[is_ours]


def decisions_of(rows: np.ndarray, result: RunResult) -> Iterator[pa.Table]:
    """DECISION rows as decisions.parquet has them."""
    symbols = pa.array(list(result.symbols), pa.string())
    for start in range(0, len(rows), PART_ROWS):
        yield decision_table(rows[start : start + PART_ROWS], symbols)


def decisions_in(folder: Path) -> Iterator[pa.Table]:
    """decisions.parquet of a folder, whole or still being filled."""
    path = folder / DECISIONS
    content = _bytes(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        for batch in file.iter_batches(PART_ROWS):
            yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise _damaged(path, error) from error


def times(table: pa.Table, name: str = "timestamp") -> np.ndarray:
    """A column of times as UTC nanoseconds."""
    return np.asarray(table[name].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False))


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """A column of numbers as float64; null is NaN."""
    column = table[name].cast(pa.float64())
    return np.asarray(column.to_numpy(), np.float64)


def texts(table: pa.Table, name: str) -> list[str]:
    """A column of texts."""
    return [str(text) for text in table[name].cast(pa.string()).to_pylist()]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(path))
    except ValueError as error:
        raise UsageError(f"{path}: damaged, not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: damaged, not a JSON object")
    return found


def _csv(path: Path) -> pa.Table:
    try:
        return csv_table(_bytes(path))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: damaged: {error}") from error


def _parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(_bytes(path)))
    except pa.ArrowException as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path}: damaged, not Parquet: {error}")
