"""Write report.html: of a run that just ended, of a run folder, of several side by side.

Law: a report only reads. The bars of a run folder come from the files that its manifest names,
and only if they still are those files; otherwise the page says why it has no prices.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trader.config.load import load_config
from trader.errors import TraderError, UsageError
from trader.report.artifacts import CONFIG
from trader.report.html.page import REPORT, run_page, runs_page, sweep_page, write_page
from trader.report.html.source import (
    Market,
    decisions_in,
    decisions_of,
    folder_source,
    memory_source,
)
from trader.report.result import RunResult
from trader.report.runs import StoredRun
from trader.wiring import load_bars

NO_MARKET = Market(None, None, 0)


def write_report(folder: Path, result: RunResult, market: Market) -> None:
    """report.html into the folder of a run that just ended; its decisions are read from there."""
    page = run_page(memory_source(result, decisions_in(folder), market))
    write_page(folder / REPORT, page)


def memory_report(result: RunResult, decisions: np.ndarray, market: Market) -> str:
    """The page of a run that has no folder."""
    return run_page(memory_source(result, decisions_of(decisions, result), market))


def stored_report(runs: Sequence[StoredRun]) -> str:
    """The page of one run folder, or of several side by side."""
    if len(runs) == 1:
        return run_page(folder_source(runs[0], market_of(runs[0])))
    return runs_page([folder_source(run, NO_MARKET) for run in runs])


def stored_sweep(path: Path) -> str | None:
    """The page of a sweep's folder again; None where it is no folder of a finished sweep."""
    from trader.jobs.sweep.record import TABLE, about_sweep  # and all that runs trials

    about = about_sweep(path)
    if about is None:
        return None
    if about.get("state") != "done" or "document" not in about:
        raise UsageError(f"{path}: the sweep is not finished; the same `trader sweep` goes on")
    try:
        rows = pq.read_table(path / TABLE).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path / TABLE}: cannot be read: {error}") from error
    return sweep_page(about["document"], about["params"], rows)


def market_of(run: StoredRun) -> Market:
    """The bars and trading hours that a run folder was made from, as far as they are there."""
    named = [file.get("sha256") for file in run.manifest.get("data") or ()]
    if not named:
        return replace(NO_MARKET, why_not="the run names no data files")
    try:
        config = load_config(run.path / CONFIG, environ={}).config
        history = load_bars(config)
    except TraderError as error:
        return replace(NO_MARKET, why_not=f"the bars cannot be read again: {error}")
    if [source.sha256 for source in history.bar_set.sources] != named:
        return replace(NO_MARKET, why_not="the data files are no longer those that were run on")
    return Market(history.bar_set.bars, history.sessions, config.period_ns)
