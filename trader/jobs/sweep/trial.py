"""Trials: the config with its parameters, run over the shared bars, and what came of it.

Law: a trial is the config run alone: the same loading, the same checks, features, model, rules and
core, so that its digest is that of `trader backtest --set …`. Whatever is wrong with a combination
is its result, not the end of the sweep. Some trials are run together, a step of all of them after
the other: what a step needs is then still in the processor's caches.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from trader.config.layers import merged
from trader.config.load import LoadedConfig, checked_tree
from trader.config.python_values import python_layer
from trader.config.schema import Config
from trader.config.yaml_nodes import Node
from trader.core.book import NO_REQUESTS, Inputs, Rules
from trader.errors import ConfigError, TraderError
from trader.jobs.sweep.figures import OutcomeReader, TrialOutcome, figures, last_slices
from trader.jobs.sweep.lean import LeanRunner
from trader.jobs.sweep.market import Market, market_key, opened_market, put_market
from trader.jobs.sweep.predictions import Predictions, Recent, prediction_key
from trader.jobs.sweep.space import Assignment
from trader.jobs.sweep.store import ArrayStore, StoreError
from trader.models.model_rows import shape_of
from trader.wiring import (
    NOTHING,
    InMemory,
    build_features,
    build_rules,
    check_drivers,
    search_paths,
)

WARM_ROWS = 64
BARS_DEPEND_ON = ("feed", "instruments", "bar_period_seconds", "risk.market_hours")
RULES_DEPEND_ON = (
    "feed",
    "instruments",
    "bar_period_seconds",
    "position_sizing",
    "orders",
    "exits",
    "risk",
    "throttle",
    "broker",
)
Task = tuple[int, Assignment]


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


@dataclass
class Trial:
    """One trial on its way."""

    number: int
    params: Assignment
    loaded: LoadedConfig | None = None
    market: Market | None = None
    rules: Rules | None = None
    prediction: str = ""  # its key
    outcome: TrialOutcome | None = None
    error: TraderError | None = None


class Workshop:
    """Runs trials of one sweep, some at a time, in this process."""

    def __init__(self, job: Sweepable) -> None:
        self.job = job
        self.store = ArrayStore(Path(job.folder))
        self._paths = search_paths([Path(file) for file in job.files])
        self._predictions = Predictions(self.store, self._paths, job.given)
        self._runner, self._reader = LeanRunner(), OutcomeReader()
        self._markets, self._checked, self._ends = Recent(2), Recent(64), Recent(4)
        self._base: Config | None = None
        self._fixed: Market | None = None  # where no parameter names what bars depend on
        self._rules: tuple[Market, Config, Rules] | None = None  # the last that were made

    def run(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Run some trials; a `TraderError` is an outcome, but for that of a full disk."""
        began = time.monotonic()
        trials = [Trial(number, params) for number, params in tasks]
        for step in (self._prepare, self._trade):
            for trial in trials:
                if trial.error is None:
                    try:
                        step(trial)
                    except StoreError:
                        raise
                    except TraderError as error:
                        trial.error = error
        done = [self._outcome(trial) for trial in trials]
        each = (time.monotonic() - began) / max(len(trials), 1)
        spans = [began + each * place for place in range(len(trials) + 1)]
        return [
            Outcome(trial.number, trial.params, *outcome, (spans[place], spans[place + 1]))
            for place, (trial, outcome) in enumerate(zip(trials, done, strict=True))
        ]

    def warm_up(self) -> None:
        """Load compiled code and libraries by a run over the first few bars; read all bars once."""
        config = checked_tree(self.job.tree, []).config
        self.fix_market(self.job.varied)
        market = self.market(config)
        bars, detail = market.bars[:WARM_ROWS].copy(), market.detail.rows(0, WARM_ROWS)
        few = Market(market.key, bars, market.sessions, detail)
        actions, reasons = np.zeros(len(few.bars), np.int8), np.zeros(len(few.bars), np.int16)
        try:
            build_features(config, few.sessions, self._paths).batch(few.bars)
            inputs = Inputs(few.bars, actions, reasons, NO_REQUESTS, *few.detail)
            record = self._runner.run(build_rules(config, few.sessions), inputs, few.seen)
            ends = last_slices(few, len(record.equity), config.period_ns)
            figures(config, self._reader.read(config, record, ends), self.job.folds)
            self._last_slices(config, market, market.slices)
            _ = market.seen  # made here, and kept for every trial
        except TraderError:
            return  # the trials tell

    def config(self, params: Assignment) -> LoadedConfig:
        """The config of one combination, checked as a config of its own.

        A section that no parameter names has been checked already, and is taken as it is.
        """
        layer, problems = python_layer(params)
        tree = self.job.tree if layer is None else merged(self.job.tree, layer)
        if self._base is None:
            with suppress(ConfigError):
                self._base = checked_tree(self.job.tree, []).config
        if self._base is not None and not problems:
            varied = {key.partition(".")[0] for key in params}
            raw = {
                name: node.raw if name in varied else self._section(name, node)
                for name, node in tree.children
            }
            with suppress(ValidationError):  # of which the whole config tells
                return LoadedConfig(Config.model_validate(raw), tree)
        return checked_tree(tree, problems)

    def _section(self, name: str, node: Node) -> Any:
        value = getattr(self._base, name, None)
        return value if isinstance(value, BaseModel) else node.raw

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

    def _prepare(self, trial: Trial) -> None:
        """Check the config, find its bars, make its rules."""
        trial.loaded = self.config(trial.params)
        config = trial.loaded.config
        market = trial.market = self.market(config)
        drivers = config.throttle.model_dump_json() + config.broker.model_dump_json()
        self._checked.get(market.key + drivers, lambda: check_drivers(config, market.bars))
        trial.prediction = prediction_key(config, market)
        trial.rules = self._rules_of(config, market)

    def _rules_of(self, config: Config, market: Market) -> Rules:
        if self._rules is not None:
            known, last, rules = self._rules
            if known is market and all(_same(config, last, name) for name in RULES_DEPEND_ON):
                return rules
        rules = build_rules(config, market.sessions)
        self._rules = (market, config, rules)
        return rules

    def _trade(self, trial: Trial) -> None:
        """Ask the model, and run the core."""
        assert trial.loaded is not None
        assert trial.market is not None
        assert trial.rules is not None
        config, market = trial.loaded.config, trial.market
        if shape_of(config).needs_position:  # what it says depends on every key
            said = self._predictions.in_turn(config, market, trial.rules)
        else:
            said = self._predictions.get(config, market, trial.prediction)
        record = self._runner.run(
            trial.rules, Inputs(market.bars, *said, *market.detail), market.seen
        )
        ends = self._last_slices(config, market, len(record.equity))
        trial.outcome = self._reader.read(config, record, ends)

    def _last_slices(self, config: Config, market: Market, slices: int) -> np.ndarray:
        return self._ends.get(
            (market.key, slices), lambda: last_slices(market, slices, config.period_ns)
        )

    def _outcome(self, trial: Trial) -> tuple[str, str, dict[str, Any], list[Any], list[Any]]:
        """(state, error, numbers, moments, moments of folds) of a trial."""
        if trial.error is not None:
            told = str(trial.error)
            if isinstance(trial.error, ConfigError) and trial.loaded is not None:
                told = trial.loaded.explain(trial.error)
            return "failed", told, {}, [], []
        assert trial.loaded is not None
        assert trial.outcome is not None
        return "done", "", *figures(trial.loaded.config, trial.outcome, self.job.folds)


def _same(config: Config, other: Config, name: str) -> bool:
    mine, theirs = getattr(config, name), getattr(other, name)
    return mine is theirs or mine == theirs
