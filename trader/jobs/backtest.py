"""A whole backtest as one function: load, wire, run, write. What `trader backtest` calls.

Law: everything that can be refused is refused before the folder is made; a run
that fails leaves no folder; what is returned has been written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader import jit
from trader.config.load import LoadedConfig
from trader.core.schema import TradingState
from trader.engine.batch import RowKeeper, RowSink, RunRecord, run_history
from trader.errors import HaltedError
from trader.feeds.benchmark import Prices, file_prices, session_closes, symbol_prices
from trader.feeds.sessions import sessions_per_year
from trader.jobs.report import NO_MARKET, write_report
from trader.models.in_sample import in_sample
from trader.models.model_card import card_of
from trader.models.model_rows import shape_of_model
from trader.report.artifacts import DECISIONS, write_run
from trader.report.comparative import Benchmark
from trader.report.folder import create_partial, run_id_stem
from trader.report.html.source import Market
from trader.report.metrics import market_facts
from trader.report.parquet import DecisionWriter
from trader.report.result import RunResult
from trader.report.tally import DecisionTally
from trader.user_code.own_files import OwnFile, is_code, own_files
from trader.wiring import (
    NOTHING,
    BacktestInputs,
    InMemory,
    Progress,
    Timing,
    prepare,
    search_paths,
)

RUNS = Path("runs")


@dataclass(frozen=True)
class Order:
    """What the command line asked for."""

    loaded: LoadedConfig
    config_files: Sequence[Path]
    engine: str  # batch, loop
    parent: Path  # where run folders go
    command_line: Sequence[str]
    given: InMemory = NOTHING  # by a caller from Python
    sinks: tuple[RowSink, ...] = ()  # what else takes the decisions


@dataclass(frozen=True)
class WrittenRun:
    """A written run and the timing as its manifest has it."""

    result: RunResult
    timing: Mapping[str, float]
    market: Market = NO_MARKET  # what it ran on


def compile_notice(engine: str = "batch") -> str | None:
    """What to say before an engine's first run on a machine; None where nothing is compiled."""
    if not jit.needs_compiling("compiled_loop" if engine == "batch" else "apply"):
        return None
    what = "for history" if engine == "batch" else "for bars as they come"
    return f"compiling the trading core {what}, once on this machine: about half a minute"


def backtest(order: Order, progress: Progress | None = None) -> WrittenRun:
    """Run a config over its history and write the run folder.

    Raises the errors of config, data and model, and `TraderError` where nothing can be written.
    """
    begun = _begin(order, progress)
    folder = create_partial(order.parent, "backtest", order.loaded.config.name, begun.at)
    try:
        with DecisionWriter(folder.path / DECISIONS, order.loaded.config.symbols) as decisions:
            result = _run(order, begun, (decisions.write, *order.sinks), progress)
        result = replace(
            result,
            run_id=folder.run_id,
            run_dir=folder.final,
            resolved_yaml=order.loaded.resolved_yaml(),
        )
        written = write_run(folder.path, result)
        if order.loaded.config.report:
            write_report(folder.path, result, _market(order, begun))
        folder.publish()
    finally:
        folder.discard()
    return WrittenRun(result, written, _market(order, begun))


def backtest_in_memory(order: Order, progress: Progress | None = None) -> WrittenRun:
    """The same run without a folder: nothing is written, `order.parent` is not looked at."""
    begun = _begin(order, progress)
    result = _run(order, begun, order.sinks, progress)
    return WrittenRun(result, dict(result.timing), _market(order, begun))


@dataclass(frozen=True)
class _ReadyRun:
    """A run whose parts are made and whose first bar has not run."""

    at: datetime
    timing: Timing
    model: Mapping[str, Any]  # for the manifest
    benchmark: Prices | None  # of a file
    prepared: BacktestInputs


def _begin(order: Order, progress: Progress | None) -> _ReadyRun:
    at, timing = datetime.now(UTC), Timing()
    model = model_facts(order.loaded, model_files(order))  # before it is loaded
    benchmark = file_prices(order.loaded.config)
    prepared = prepare(order.loaded, order.config_files, timing, progress, order.given)
    return _ReadyRun(at, timing, model, benchmark, prepared)


def _benchmark(order: Order, begun: _ReadyRun) -> Benchmark | None:
    """What the result is compared with."""
    prepared = begun.prepared
    prices = begun.benchmark or symbol_prices(order.loaded.config, prepared.inputs.bars)
    if prices is None:
        return None
    closes = session_closes(prices, prepared.history.bar_set.sessions)
    return Benchmark(prices.name, *closes, prices.facts)


def _market(order: Order, begun: _ReadyRun) -> Market:
    """The bars and trading hours of the run, for its report."""
    prepared = begun.prepared
    return Market(prepared.inputs.bars, prepared.history.sessions, order.loaded.config.period_ns)


def _run(
    order: Order, begun: _ReadyRun, sinks: Sequence[RowSink], progress: Progress | None
) -> RunResult:
    """Run the core; what is returned has the id that a folder would begin with, and no folder."""
    prepared, timing = begun.prepared, begun.timing
    tally = DecisionTally()
    rows = len(prepared.inputs.bars)
    keeper = RowKeeper(rows, (tally.add, *sinks))
    report = None if progress is None else (lambda done: progress("backtest", done, rows))
    if _engine(order, begun) == "loop":
        from trader.engine.loop import run_history_with_loop  # and asyncio with it

        record = run_history_with_loop(
            prepared.rules, prepared.inputs, prepared.features, prepared.model, keeper, report
        )
    else:
        record = run_history(prepared.rules, prepared.inputs, keeper, report)
    timing.lap("core_s")
    return _result(order, begun, record, tally)


def _result(order: Order, begun: _ReadyRun, record: RunRecord, tally: DecisionTally) -> RunResult:
    prepared, timing = begun.prepared, begun.timing
    config = order.loaded.config
    bar_set = prepared.history.bar_set
    halted = record.book.account[0]["trading_state"] == TradingState.HALTED
    per_year = sessions_per_year(config.risk.market_hours)
    market = market_facts(prepared.inputs.bars, len(config.symbols), per_year)
    seen = in_sample(config, prepared.inputs.bars) if order.given.model is None else None
    if seen is not None:
        seen = seen.with_profit(record.equity, float(record.book.account[0]["start_equity"]))
    timing.lap("report_s")
    timing.seconds["total_s"] = sum(timing.seconds.values())
    return RunResult(
        run_id=run_id_stem("backtest", config.name, begun.at),
        run_dir=Path(),
        command="backtest",
        engine=_engine(order, begun),
        command_line=order.command_line,
        started_at=begun.at,
        finished_at=datetime.now(UTC),
        exit_code=HaltedError.exit_code if halted else 0,
        config=config,
        config_sha256=order.loaded.sha256,
        resolved_yaml="",  # only a folder has it, and it takes longer than the core
        sources=[asdict(source) for source in bar_set.sources],
        model={**begun.model, **_walk_forward(prepared)},
        quality=bar_set.quality.to_dict(),
        bars=len(prepared.inputs.bars),
        orders=record.orders,
        digest=record.digest,
        tally=tally,
        account=record.book.account[0],
        positions=record.book.positions,
        limits=prepared.rules.limits[0],
        fills=record.fills,
        equity=record.equity,
        events=record.events,
        order_rows=record.order_rows,
        cashflows=record.cashflows,
        fees_due=record.fees_due,
        sessions=bar_set.sessions,
        market=market,
        timing=timing.seconds,
        in_sample=None if seen is None else seen.document(),
        model_card=card_of(config) if order.given.model is None else None,
        benchmark=_benchmark(order, begun),
    )


def _walk_forward(prepared: BacktestInputs) -> dict[str, Any]:
    """The models of a walk-forward, for the manifest."""
    told = getattr(prepared.model, "document", None)
    return {} if told is None else {"walk_forward": told()}


def _engine(order: Order, begun: _ReadyRun) -> str:
    """The engine that was asked for, or the one that a model needs which is asked bar by bar."""
    return "loop" if shape_of_model(begun.prepared.model).needs_position else order.engine


def model_files(order: Order) -> dict[str, OwnFile]:
    """The user's own files behind model and features, as they are now."""
    return own_files(order.loaded.config, search_paths(order.config_files))


def model_facts(loaded: LoadedConfig, files: Mapping[str, OwnFile]) -> dict[str, Any]:
    """What the manifest says of the model: its section of the config, hash included, and the
    hashes of the user's own code behind it and the features."""
    code = {key: file.sha256 for key, file in files.items() if is_code(key)}
    return {**model_section(loaded), **({"code_sha256": code} if code else {})}


def model_section(loaded: LoadedConfig) -> dict[str, Any]:
    """The model's section of the config."""
    return loaded.config.model.model_dump(mode="json")
