"""One trial: the config with its parameters, run over the shared bars, and what came of it.

Law: a trial is the config run alone: the same loading, the same checks, features, model, rules and
core, so that its digest is that of `trader backtest --set …`. Whatever is wrong with a combination
is its result, not the end of the sweep.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.layers import merged
from trader.config.load import LoadedConfig, checked_tree
from trader.config.python_values import python_layer
from trader.config.schema import Config
from trader.config.yaml_nodes import Node
from trader.core.book import NO_REQUESTS, Inputs, Rules
from trader.core.schema import CashflowKind
from trader.engine.in_turn import answers_in_turn
from trader.errors import ConfigError, TraderError
from trader.features.feature import INPUT_FIELDS
from trader.features.forward_prices import ForwardPrices
from trader.feeds.adjustments import load_adjustments
from trader.feeds.sessions import sessions_per_year
from trader.jobs.sweep.lean import LeanRecord, LeanRunner
from trader.jobs.sweep.market import Market, market_key, opened_market, put_market
from trader.jobs.sweep.recent import Recent
from trader.jobs.sweep.space import Assignment
from trader.jobs.sweep.store import ArrayStore, key_of
from trader.models.model import CHUNK_ROWS, Model, predict_actions
from trader.models.model_rows import HistoryRows, shape_of
from trader.models.prediction import Prediction
from trader.report.curve import deepest_fall, session_ends
from trader.report.metrics import profit_of
from trader.report.overfitting import blocks_for, moments
from trader.report.ratios import annual_ratios, daily_returns
from trader.report.risk import state_name
from trader.report.roundtrips import round_trips, with_splits
from trader.wiring import (
    NOTHING,
    InMemory,
    actions_depend_on,
    build_features,
    build_rules,
    check_drivers,
    history_model,
    search_paths,
)

COLUMNS_KEPT = 64  # maps of feature columns a worker holds open
WARM_ROWS = 64
BARS_DEPEND_ON = ("feed", "instruments", "bar_period_seconds", "risk.market_hours")
NUMBERS = ("final_equity", "total_return", "sharpe", "sortino", "max_drawdown")  # of the table
PREDICTIONS_KEPT = 2  # of the trials before: the next one often differs in exits or limits only


@dataclass(frozen=True)
class Sweepable:
    """All that a worker needs to know, small enough to send along."""

    tree: Node  # the config
    files: tuple[str, ...]  # it came from
    folder: str  # shared arrays
    folds: int = 0
    varied: tuple[str, ...] = BARS_DEPEND_ON  # the keys that trials set
    given: InMemory = NOTHING


@dataclass(frozen=True)
class Outcome:
    """What came of one trial. Numbers that are not defined are None."""

    trial: int
    params: Assignment
    state: str  # done, failed
    error: str = ""
    values: dict[str, Any] = field(default_factory=dict)  # by column of the table
    sums: list[list[float]] = field(default_factory=list)  # moments by stretch of time
    fold_sums: list[list[float]] = field(default_factory=list)  # and by fold
    span: tuple[float, float] = (0.0, 0.0)  # monotonic seconds: when it began and ended


class Workshop:
    """Runs trials of one sweep, one after another, in this process."""

    def __init__(self, job: Sweepable) -> None:
        self.job = job
        self.store = ArrayStore(Path(job.folder))
        self._paths = search_paths([Path(file) for file in job.files])
        self._runner = LeanRunner()
        self._markets, self._checked, self._ends = Recent(2), Recent(64), Recent(4)
        self._known: dict[str, tuple[str, ...]] = {}  # definition of a feature: its columns
        self._fixed: Market | None = None  # where no parameter names what bars depend on
        self._columns, self._said = Recent(COLUMNS_KEPT), Recent(PREDICTIONS_KEPT)

    def run(self, number: int, params: Assignment) -> Outcome:
        """Run one trial; a `TraderError` is its outcome."""
        began = time.monotonic()
        loaded: LoadedConfig | None = None
        try:
            loaded = self.config(params)
            values, sums, folds = self._run(loaded.config)
        except TraderError as error:
            told = str(error)
            if isinstance(error, ConfigError) and loaded is not None:
                told = loaded.explain(error)
            span = (began, time.monotonic())
            return Outcome(number, params, "failed", told, span=span)
        span = (began, time.monotonic())
        return Outcome(number, params, "done", "", values, sums, folds, span)

    def warm_up(self) -> None:
        """Load compiled code and libraries by a run over the first few bars."""
        config = checked_tree(self.job.tree, []).config
        self.fix_market(self.job.varied)
        market = self.market(config)
        bars, detail = market.bars[:WARM_ROWS].copy(), market.detail.rows(0, WARM_ROWS)
        few = Market(market.key, bars, market.sessions, detail)
        actions, reasons = np.zeros(len(few.bars), np.int8), np.zeros(len(few.bars), np.int16)
        try:
            build_features(config, few.sessions, self._paths).batch(few.bars)
            inputs = Inputs(few.bars, actions, reasons, NO_REQUESTS, *few.detail)
            record = self._runner.run(build_rules(config, few.sessions), inputs)
            self._numbers(config, few, record)
        except TraderError:
            return  # the trials tell
        annual_ratios(np.array([0.01, -0.01, 0.02]), 250.0)

    def config(self, params: Assignment) -> LoadedConfig:
        """The config of one combination, checked as a config of its own."""
        layer, problems = python_layer(params)
        tree = self.job.tree if layer is None else merged(self.job.tree, layer)
        return checked_tree(tree, problems)

    def market(self, config: Config) -> Market:
        """The bars that a config reads, from the shared folder."""
        if self._fixed is not None:
            return self._fixed
        key = market_key(config)
        return self._markets.get(key, lambda: self._open_market(key, config))

    def fix_market(self, params: Iterable[str]) -> None:
        """Keep the base config's bars where no parameter names what they depend on."""
        if not any(key.startswith(BARS_DEPEND_ON) for key in params):
            self._fixed = self.market(checked_tree(self.job.tree, []).config)

    def _open_market(self, key: str, config: Config) -> Market:
        def load() -> None:
            put_market(self.store, config, self.job.varied, self.job.given)

        self.store.ensure(f"bars-{key}", load)
        return opened_market(self.store, key)

    def _run(self, config: Config) -> tuple[dict[str, Any], list[list[float]], list[list[float]]]:
        market = self.market(config)
        drivers = config.throttle.model_dump_json() + config.broker.model_dump_json()
        self._checked.get(market.key + drivers, lambda: check_drivers(config, market.bars))
        rules = build_rules(config, market.sessions)
        if shape_of(config).needs_position:  # what it says depends on every key
            said = self._said_in_turn(config, market, rules)
        else:
            said = self._prediction(config, market)
        record = self._runner.run(rules, Inputs(market.bars, *said, *market.detail))
        return self._numbers(config, market, record)

    def _prediction(self, config: Config, market: Market) -> Prediction:
        about = config.model_dump(include=actions_depend_on(config), mode="json")
        key = key_of(market.key, list(about["features"].items()), about)

        def ask() -> Prediction:
            rows = config.model.chunk_rows if config.model.type == "sklearn" else CHUNK_ROWS
            model, seen, matrix = self._asked(config, market)
            return predict_actions(model, seen, matrix, rows)

        return self._said.get(key, ask)

    def _said_in_turn(self, config: Config, market: Market, rules: Rules) -> Prediction:
        """What a model says that is told its position, bar by bar."""
        model, _, matrix = self._asked(config, market)
        rows = HistoryRows(shape_of(config), market.bars, matrix)
        nothing = np.zeros(len(market.bars), np.int8), np.zeros(len(market.bars), np.int16)
        inputs = Inputs(market.bars, *nothing, NO_REQUESTS, *market.detail)
        return answers_in_turn(rules, model, inputs, rows)

    def _asked(self, config: Config, market: Market) -> tuple[Model, np.ndarray, np.ndarray]:
        """The model, the bars as features see them, and the features."""
        matrix, names = self._matrix(config, market), self._names(config, market)
        adjustments = load_adjustments(config, market.sessions)
        seen = ForwardPrices(adjustments, config.period_ns).take(market.bars)
        model = history_model(config, names, self._paths, self.job.given, (seen, matrix))
        return model, seen, matrix

    def _names(self, config: Config, market: Market) -> tuple[str, ...]:
        """Columns of the features; each definition is checked when it is first seen."""
        if _reads_another(config) or not all(
            self._definition(market, name, config) for name in config.features
        ):
            return build_features(config, market.sessions, self._paths).names
        return tuple(config.features)

    def _definition(self, market: Market, name: str, config: Config) -> bool:
        """Whether a feature is one column, of its own name."""
        spec = config.features[name]
        key = f"{market.key} {name} {spec!r}"
        if key not in self._known:
            alone = config.model_copy(update={"features": {name: spec}})
            self._known[key] = build_features(alone, market.sessions, self._paths).names
        return self._known[key] == (name,)

    def _matrix(self, config: Config, market: Market) -> np.ndarray:
        """The features of a trial, each column out of the shared folder."""
        is_single = not _reads_another(config)
        if not is_single or self._names(config, market) != tuple(config.features):
            return build_features(config, market.sessions, self._paths).proved_batch(market.bars)
        matrix = np.empty((len(market.bars), len(config.features)), order="F")
        for column, name in enumerate(config.features):
            matrix[:, column] = self._column(config, market, name)
        return matrix

    def _column(self, config: Config, market: Market, name: str) -> np.ndarray:
        """One feature, computed the first time that any worker asks for its definition."""
        spec = config.features[name]
        key = f"feature-{key_of(market.key, spec.type, dict(spec.params))}"

        def compute() -> None:
            alone = config.model_copy(update={"features": {name: spec}})
            made = build_features(alone, market.sessions, self._paths)
            self.store.put(key, np.ascontiguousarray(made.batch(market.bars)[:, 0]))

        def opened() -> np.ndarray:
            self.store.ensure(key, compute)
            return self.store.open(key)

        return self._columns.get(key, opened)

    def _numbers(
        self, config: Config, market: Market, record: LeanRecord
    ) -> tuple[dict[str, Any], list[list[float]], list[list[float]]]:
        account = record.book.account[0]
        start = float(account["start_equity"])
        final = float(record.equity["equity"][-1]) if len(record.equity) else start
        ends = self._ends.get(
            f"{market.key} {len(record.equity)}",
            lambda: session_ends(record.equity["ts_ns"], market.sessions, config.period_ns).rows,
        )
        returns = daily_returns(record.equity["equity"][ends], start)
        ratios, _ = annual_ratios(returns, sessions_per_year(config.risk.market_hours))
        found = {
            "final_equity": final,
            "total_return": profit_of(final, start) / start,
            "sharpe": ratios["sharpe"],
            "sortino": ratios["sortino"],
            "max_drawdown": float(deepest_fall(record.equity, start)),
        }
        lots = np.array([instrument.lot_size for instrument in config.instruments])
        splits = record.cashflows[record.cashflows["kind"] == CashflowKind.SPLIT]
        values: dict[str, Any] = {name: _finite(found[name]) for name in NUMBERS}
        values |= {
            "trades": len(round_trips(with_splits(record.fills, splits), lots).closed),
            "digest": record.digest,
            "trading_state": state_name(account),
        }
        sums = moments(returns, blocks_for(len(returns))).tolist()
        folds = moments(returns, self.job.folds).tolist() if self.job.folds else []
        return values, sums, folds


def _reads_another(config: Config) -> bool:
    """Whether a feature is the input of another, so that none can be computed alone."""
    inputs = (spec.params.get("input") for spec in config.features.values())
    return any(isinstance(name, str) and name not in INPUT_FIELDS for name in inputs)


def _finite(value: float | None) -> float | None:
    """As in metrics.json: what is no finite number is None."""
    return value if value is not None and math.isfinite(value) else None
