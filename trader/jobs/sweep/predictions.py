"""What the models of trials say of a market, with each feature computed once for all of them.

Law: actions and reasons are those of `predict_actions` over the same features. A rule over columns
that begin with undefined rows and have none later needs no matrix: the columns are read where they
lie, in the folder that all workers share.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trader.config.schema import Config
from trader.config.sections.model import RuleModel as RuleConfig
from trader.core.book import NO_REQUESTS, Inputs, Rules
from trader.core.schema import Reason
from trader.engine.needs_position import answers_in_turn
from trader.features.bar_history import BarHistory
from trader.features.feature import INPUT_FIELDS
from trader.features.forward_prices import ForwardPrices
from trader.feeds.adjustments import load_adjustments
from trader.jobs.sweep.market import Market
from trader.jobs.sweep.store import ArrayStore, key_of
from trader.models.model import CHUNK_ROWS, Model, predict_actions
from trader.models.model_rows import HistoryRows, shape_of
from trader.models.prediction import Prediction
from trader.models.rule_model import RuleModel
from trader.wiring import InMemory, actions_depend_on, build_features, history_model, is_retrained

Made = TypeVar("Made")
COLUMNS_KEPT = 64  # maps of feature columns a worker holds open
PREDICTIONS_KEPT = 2  # of the trials before: the next one often differs in exits or limits only
RULES_KEPT = 8


class Recent:
    """The last few things made, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], Made]) -> Made:
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
class FeatureColumn:
    """One feature of a market."""

    values: np.ndarray  # f8 (bars,)
    cold: int  # undefined rows that it begins with
    is_whole: bool  # whether those are all

    @classmethod
    def of(cls, values: np.ndarray) -> "FeatureColumn":
        """With what is undefined of it."""
        undefined = np.isnan(values)
        cold = len(values) if undefined.all() else int(undefined.argmin())
        return cls(values, cold, not undefined[cold:].any())


class Predictions:
    """Asks the models of one sweep, in this process."""

    def __init__(self, store: ArrayStore, paths: Sequence[Path], given: InMemory) -> None:
        self._store, self._paths, self._given = store, paths, given
        self._known: dict[str, tuple[str, ...]] = {}  # definition of a feature: its columns
        self._columns, self._said = Recent(COLUMNS_KEPT), Recent(PREDICTIONS_KEPT)
        self._rules, self._reasons = Recent(RULES_KEPT), Recent(COLUMNS_KEPT)
        self._histories = Recent(1)

    def get(self, config: Config, market: Market, key: str) -> Prediction:
        """What the config's model says of the market; `key` is that of `prediction_key`."""
        return self._said.get(key, lambda: self._ask(config, market))

    def _ask(self, config: Config, market: Market) -> Prediction:
        by_rule = self._by_rule(config, market)
        if by_rule is not None:
            return by_rule
        rows = config.model.chunk_rows if config.model.type == "sklearn" else CHUNK_ROWS
        model, seen, matrix = self._opened(config, market)
        return predict_actions(model, seen, matrix, rows)

    def in_turn(self, config: Config, market: Market, rules: Rules) -> Prediction:
        """What a model says that is told its position, bar by bar."""
        model, _, matrix = self._opened(config, market)
        rows = HistoryRows(shape_of(config), market.bars, matrix)
        nothing = np.zeros(len(market.bars), np.int8), np.zeros(len(market.bars), np.int16)
        inputs = Inputs(market.bars, *nothing, NO_REQUESTS, *market.detail)
        return answers_in_turn(rules, model, inputs, rows)

    def _opened(self, config: Config, market: Market) -> tuple[Model, np.ndarray, np.ndarray]:
        """The model, the bars as features see them, and the features."""
        matrix, names = self._matrix(config, market), self._names(config, market)
        adjustments = load_adjustments(config, market.sessions)
        seen = ForwardPrices(adjustments, config.period_ns).take(market.bars)
        model = history_model(config, names, self._paths, self._given, (seen, matrix))
        return model, seen, matrix

    def _by_rule(self, config: Config, market: Market) -> Prediction | None:
        """What a rule says of columns as they lie; None where it is not as simple as that."""
        rule = config.model
        if not isinstance(rule, RuleConfig) or self._given.model is not None:
            return None
        may_split = config.feed.adjustments is not None
        if rule.filter is not None or may_split or is_retrained(config):
            return None
        if not self._are_single(config, market):
            return None
        columns = [self._column(config, market, name) for name in config.features]
        if not all(column.is_whole for column in columns):
            return None
        names, cold = tuple(config.features), max((one.cold for one in columns), default=0)
        model = self._rules.get(
            (rule.buy, rule.sell, names), lambda: RuleModel(rule, names, config.symbols)
        )
        warm = slice(cold, None)
        actions = np.zeros(len(market.bars), np.int8)
        actions[warm] = model.predict_columns(market.bars[warm], [c.values[warm] for c in columns])
        reasons = self._reasons.get((market.key, cold), lambda: _warmup(market, cold))
        return Prediction(actions, reasons)

    def _are_single(self, config: Config, market: Market) -> bool:
        """Whether every feature is one column of its own name, made of bars alone.

        Each definition is checked when it is first seen.
        """
        return not _reads_another(config) and all(
            self._definition(market, name, config) for name in config.features
        )

    def _names(self, config: Config, market: Market) -> tuple[str, ...]:
        """Columns of the features."""
        if self._are_single(config, market):
            return tuple(config.features)
        return build_features(config, market.sessions, self._paths).names

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
        if not self._are_single(config, market):
            return build_features(config, market.sessions, self._paths).proved_batch(market.bars)
        matrix = np.empty((len(market.bars), len(config.features)), order="F")
        for column, name in enumerate(config.features):
            matrix[:, column] = self._column(config, market, name).values
        return matrix

    def _column(self, config: Config, market: Market, name: str) -> FeatureColumn:
        """One feature, computed the first time that any worker asks for its definition."""
        spec = config.features[name]

        def compute(key: str) -> None:
            alone = config.model_copy(update={"features": {name: spec}})
            made = build_features(alone, market.sessions, self._paths)
            if config.feed.adjustments is None:
                history = self._histories.get(
                    market.key, lambda: BarHistory(market.bars, made.n_symbols, is_kept=True)
                )
                matrix = made.batch_of(history)
            else:
                matrix = made.batch(market.bars)
            self._store.put(key, np.ascontiguousarray(matrix[:, 0]))

        def opened() -> FeatureColumn:
            key = f"feature-{key_of(market.key, spec.type, dict(spec.params))}"
            self._store.ensure(key, lambda: compute(key))
            return FeatureColumn.of(self._store.open(key))

        return self._columns.get(f"{market.key} {spec!r}", opened)


def _warmup(market: Market, cold: int) -> np.ndarray:
    """Reasons of a history whose first `cold` bars have an undefined feature."""
    reasons = np.zeros(len(market.bars), np.int16)
    reasons[:cold] = Reason.WARMUP
    return reasons


def prediction_key(config: Config, market: Market) -> str:
    """Equal for two configs whose models say the same of the market."""
    about = config.model_dump(include=actions_depend_on(config), mode="json")
    return key_of(market.key, list(about["features"].items()), about)


def _reads_another(config: Config) -> bool:
    """Whether a feature is the input of another, so that none can be computed alone."""
    inputs = (spec.params.get("input") for spec in config.features.values())
    return any(isinstance(name, str) and name not in INPUT_FIELDS for name in inputs)
