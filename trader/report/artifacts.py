"""The files of a run folder that are written when the run is over.

Law: each file appears whole or not at all, manifest.json last: a folder with a manifest is
complete. decisions.parquet is streamed during the run by its writer (`report/parquet.py`);
equity.parquet is too, or is written here from the records the run kept.

A backtest writes a folder like this:

    folder = create_partial(parent, "backtest", config.name, started_at)
    try:
        with DecisionWriter(folder.path / DECISIONS, symbols) as decisions:
            ...
        write_run(folder.path, result)
        folder.publish()
    finally:
        folder.discard()
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trader.report.csvfiles import cashflows_csv, fills_csv, trades_csv
from trader.report.document import json_text
from trader.report.folder import write_file
from trader.report.orderfile import write_orders
from trader.report.parquet import EquityWriter
from trader.report.provenance import manifest
from trader.report.result import RunResult

MANIFEST = "manifest.json"
CONFIG = "config.resolved.yaml"
FILLS = "fills.csv"
CASHFLOWS = "cashflows.csv"
TRADES = "trades.csv"
EQUITY_CURVE = "equity.parquet"
DECISIONS = "decisions.parquet"
ORDERS = "orders.parquet"
METRICS = "metrics.json"
QUALITY = "data_quality.json"
COMPLETE = (
    MANIFEST,
    CONFIG,
    FILLS,
    CASHFLOWS,
    TRADES,
    EQUITY_CURVE,
    DECISIONS,
    ORDERS,
    METRICS,
    QUALITY,
)


def write_run(run_dir: Path, result: RunResult) -> dict[str, float]:
    """Write every file but decisions.parquet into `run_dir`; TraderError if one cannot be.

    Returns the timing as written into the manifest: `report_s` and `total_s` count what this
    took so far on top of the result's own.
    """
    began = time.perf_counter()
    write_file(run_dir / CONFIG, result.resolved_yaml)
    write_file(run_dir / QUALITY, _json_file(result.quality))
    write_file(run_dir / FILLS, fills_csv(result.fills, result.symbols))
    write_file(run_dir / CASHFLOWS, cashflows_csv(result.cashflows, result.symbols))
    write_file(run_dir / TRADES, trades_csv(result.trips.closed, result.symbols))
    write_orders(run_dir / ORDERS, result.order_rows, result.symbols)
    write_file(run_dir / METRICS, _json_file(result.metrics))
    if not (run_dir / EQUITY_CURVE).exists():
        with EquityWriter(run_dir / EQUITY_CURVE, result.start_equity) as writer:
            writer.write(result.equity)
    took = time.perf_counter() - began
    timing = dict(result.timing)
    for stage in ("report_s", "total_s"):
        timing[stage] = timing.get(stage, 0.0) + took
    write_file(run_dir / MANIFEST, _json_file(manifest(result, timing)))
    return timing


def _json_file(document: Mapping[str, Any]) -> str:
    return json_text(document) + "\n"
