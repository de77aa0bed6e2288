"""One trial: the config with its parameters, run over the shared bars, and what came of it.

Law: a trial is the config run alone: the same loading, the same checks, features, model, rules and
core, so that its digest is that of `trader backtest --set …`. Whatever is wrong with a combination
is its result, not the end of the sweep.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trader.config.layers import merged
from trader.config.load import LoadedConfig, checked_tree
from trader.config.python_values import python_layer
from trader.config.schema import Config
from trader.config.yaml_nodes import Node
from trader.core.book import Inputs
from trader.core.schema import TradingState
from trader.errors import ConfigError, TraderError
from trader.features.feature_set import FeatureSet
from trader.feeds.sessions import sessions_per_year
from trader.jobs.sweep.lean import LeanRecord, LeanRunner
from trader.jobs.sweep.space import Assignment
from trader.jobs.sweep.store import ArrayStore, key_of
from trader.models.model import CHUNK_ROWS, Model, Prediction, predict_actions
from trader.report.curve import curve_facts, session_equity
from trader.report.metrics import EquityFacts, return_values
from trader.report.overfitting import blocks_for, moments
from trader.report.ratios import annual_ratios, daily_returns
from trader.report.roundtrips import round_trips
from trader.wiring import (
    NOTHING,
    Given,
    build_features,
    build_model,
    build_rules,
    check_drivers,
    load_bars,
    search_paths,
)

Made = TypeVar("Made")
COLUMNS_KEPT = 64  # maps of feature columns a worker holds open
WARM_ROWS = 64
NUMBERS = ("final_equity", "total_return", "sharpe", "sortino", "max_drawdown")  # of the table
PREDICTIONS_KEPT = 2  # of the trials before: the next one often differs in exits or limits only


@dataclass(frozen=True)
class Sweepable:
    """All that a worker needs to know, small enough to send along."""

    tree: Node  # the config
    files: tuple[str, ...]  # it came from
    folder: str  # shared arrays
    folds: int = 0
    given: Given = NOTHING


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


class Recent:
    """The last few things made, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, make: Callable[[], Made]) -> Made:
        """What was made for `key`, or is made now."""
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = make()
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        made: Made = self._kept[key]
        return made


@dataclass(frozen=True)
class Market:
    """The bars of a trial, shared by all that read the same."""

    key: str
    bars: np.ndarray
    sessions: np.ndarray


class Workshop:
    """Runs trials of one sweep, one after another, in this process."""

    def __init__(self, job: Sweepable) -> None:
        self.job = job
        self.store = ArrayStore(Path(job.folder))
        self._paths = search_paths([Path(file) for file in job.files])
        self._runner = LeanRunner()
        self._markets, self._checked = Recent(2), Recent(64)
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
        market = self.market(config)
        few = Market(market.key, market.bars[:WARM_ROWS].copy(), market.sessions)
        actions, reasons = np.zeros(len(few.bars), np.int8), np.zeros(len(few.bars), np.int16)
        try:
            build_features(config, few.sessions, self._paths).batch(few.bars)
            inputs = Inputs(few.bars, actions, reasons)
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
        key = market_key(config)
        return self._markets.get(key, lambda: self._open_market(key, config))

    def _open_market(self, key: str, config: Config) -> Market:
        def load() -> None:
            history = load_bars(config, self.job.given)
            self.store.put(f"sessions-{key}", np.array(history.sessions))
            self.store.put(f"bars-{key}", history.bar_set.bars)

        self.store.ensure(f"bars-{key}", load)
        bars, sessions = self.store.open(f"bars-{key}"), self.store.open(f"sessions-{key}")
        return Market(key, bars, sessions)

    def _run(self, config: Config) -> tuple[dict[str, Any], list[list[float]], list[list[float]]]:
        market = self.market(config)
        drivers = config.throttle.model_dump_json() + config.broker.model_dump_json()
        self._checked.get(market.key + drivers, lambda: check_drivers(config, market.bars))
        said = self._prediction(config, market)
        rules = build_rules(config, market.sessions)
        record = self._runner.run(rules, Inputs(market.bars, *said))
        return self._numbers(config, market, record)

    def _prediction(self, config: Config, market: Market) -> Prediction:
        features = build_features(config, market.sessions, self._paths)
        about = config.model_dump(include={"features", "model", "instruments"}, mode="json")
        key = key_of(market.key, list(about["features"].items()), about)

        def ask() -> Prediction:
            matrix = self._matrix(config, market, features)
            model = self._model(config, features)
            rows = config.model.chunk_rows if config.model.type == "sklearn" else CHUNK_ROWS
            return predict_actions(model, market.bars, matrix, rows)

        return self._said.get(key, ask)

    def _model(self, config: Config, features: FeatureSet) -> Model:
        return build_model(config, features.names, self._paths, self.job.given)

    def _matrix(self, config: Config, market: Market, features: FeatureSet) -> np.ndarray:
        """The features of a trial, each column out of the shared folder."""
        if features.names != tuple(config.features):  # a feature of several columns
            return features.proved_batch(market.bars)
        matrix = np.empty((len(market.bars), len(features.names)), order="F")
        for column, name in enumerate(features.names):
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
        by_session = session_equity(record.equity, market.sessions, config.period_ns)
        curve = curve_facts(record.equity, start) if len(record.equity) else None
        facts = EquityFacts(start, curve, by_session)
        per_year = sessions_per_year(config.risk.market_hours)
        found = return_values(facts, per_year, {})
        lots = np.array([instrument.lot_size for instrument in config.instruments])
        values: dict[str, Any] = {name: _finite(found[name]) for name in NUMBERS}
        values |= {
            "trades": len(round_trips(record.fills, lots).closed),
            "digest": record.digest,
            "trading_state": TradingState(int(account["trading_state"])).name,
        }
        returns = daily_returns(by_session, start)
        sums = moments(returns, blocks_for(len(returns))).tolist()
        folds = moments(returns, self.job.folds).tolist() if self.job.folds else []
        return values, sums, folds


def _finite(value: float | None) -> float | None:
    """As in metrics.json: what is no finite number is None."""
    return value if value is not None and math.isfinite(value) else None


def market_key(config: Config) -> str:
    """Equal for two configs that read the same bars and the same trading hours."""
    about = config.model_dump(include={"instruments", "feed", "bar_period_seconds"}, mode="json")
    return key_of(about, config.risk.market_hours)
