"""From a config to the objects a run is made of: the one place that knows concrete classes.

    config ─► sessions ─► history (bars, quality) ─► features ─► model ─► actions
           └► rules (limits, sizing, broker, instruments, sessions)

Law: wires and checks that the parts fit each other (a throttle has its driver, the model its
features); decides nothing about trading. Everything is checked before the first bar runs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.load import LoadedConfig
from trader.config.schema import Config
from trader.core.book import Inputs, Rules
from trader.core.schema import Reason
from trader.engine.ruleset import build_rules
from trader.errors import ConfigError
from trader.features.feature_set import FeatureSet
from trader.features.feature_types import FRAME
from trader.feeds.adjustments import load_adjustments
from trader.feeds.feed import BarSet, frame_history, load_history
from trader.models.child_model import StartedProcess
from trader.models.model import Model, finished, open_model, predict_actions, start_early
from trader.models.model_rows import shape_of, shape_of_model
from trader.models.prediction import Prediction
from trader.models.signals_file import SignalsModel
from trader.user_code.chance import Chance
from trader.user_code.hooks import load_hooks
from trader.user_code.seeds import seed_generators

__all__ = [
    "NOTHING",
    "BacktestInputs",
    "History",
    "InMemory",
    "Progress",
    "Timing",
    "actions_depend_on",
    "build_features",
    "build_model",
    "build_rules",
    "check_drivers",
    "history_model",
    "is_retrained",
    "load_bars",
    "load_hooks",
    "prepare",
    "retrained_model",
    "search_paths",
]

Progress = Callable[[str, int, int], None]  # stage, rows done, rows in all


@dataclass
class Timing:
    """Seconds by stage, as `timing` in the summary names them."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Book the time since the last lap under `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


@dataclass(frozen=True)
class History:
    """A config's bars, checked, with the trading hours they lie in."""

    bar_set: BarSet
    sessions: np.ndarray  # SESSION


@dataclass(frozen=True)
class BacktestInputs:
    """Everything a backtest runs on: rules and inputs, and what they were made from."""

    rules: Rules
    inputs: Inputs
    history: History
    features: FeatureSet
    model: Model


@dataclass(frozen=True)
class InMemory:
    """What a caller from Python has in memory already."""

    frame: Any = None  # a pandas DataFrame of bars, in place of the feed
    model: Any = None  # a fitted object, in place of a model file


NOTHING = InMemory()


def load_bars(config: Config, given: InMemory = NOTHING) -> History:
    """The config's history through the data gate, with its trading hours."""
    if given.frame is not None:
        bar_set = frame_history(config, given.frame)
    else:
        bar_set = load_history(config)
    return History(bar_set, bar_set.sessions)


def build_model(
    config: Config,
    features: Sequence[str],
    paths: Sequence[Path],
    given: InMemory = NOTHING,
    started: StartedProcess | None = None,
) -> Model:
    """The model that the config names, or the one given. `started`: its process, if it has one."""
    if given.model is not None:
        from trader.models.object_model import load_object

        names = (*features, *shape_of(config).extra)
        model = load_object(given.model, config, names, config.symbols)
        return finished(model, config, features, paths)
    return open_model(config, features, config.symbols, paths, started)


def check_drivers(config: Config, bars: np.ndarray) -> None:
    """`ConfigError` that tells every throttle and cost whose driver the feed does not carry."""
    by_quotes: list[ConfigError] = []
    if config.throttle.max_spread_bps is not None:
        told = "needs bid and ask, and the feed has none: add the columns, or write none"
        by_quotes.append(ConfigError(told, "throttle.max_spread_bps"))
    if config.broker.slippage.type == "half_spread":
        told = "half_spread needs bid and ask, and the feed has none: use bps or volume_share"
        by_quotes.append(ConfigError(told, "broker.slippage.type"))
    by_volume: list[ConfigError] = []
    told = "needs volume, and every volume of the feed is 0: write none"
    if config.throttle.max_volume_participation is not None:
        by_volume.append(ConfigError(told, "throttle.max_volume_participation"))
    if config.broker.max_fill_participation is not None:
        by_volume.append(ConfigError(told, "broker.max_fill_participation"))
    if config.broker.slippage.type == "volume_share":
        told = "volume_share needs volume, and every volume of the feed is 0: use bps"
        by_volume.append(ConfigError(told, "broker.slippage.type"))
    lacking: list[ConfigError] = []
    if by_quotes and not np.any(np.isfinite(bars["bid"]) & np.isfinite(bars["ask"])):
        lacking += by_quotes
    if by_volume and not np.any(bars["volume"] > 0.0):
        lacking += by_volume
    if lacking:
        raise ConfigError(str(lacking[0]), lacking[0].key, tuple(lacking[1:]))


def search_paths(config_files: Sequence[Path]) -> tuple[Path, ...]:
    """Where a user's own modules are looked for: the config's folder, the working directory."""
    return tuple(dict.fromkeys([*(Path(p).resolve().parent for p in config_files), Path.cwd()]))


def build_features(
    config: Config,
    sessions: np.ndarray,
    paths: Sequence[Path],
    adjustments: np.ndarray | None = None,
) -> FeatureSet:
    """The config's features, their parameters checked.

    They see prices through `adjustments` (ADJUSTMENT records), or those of the config's file.
    """
    if adjustments is None:
        adjustments = load_adjustments(config, sessions)
    seed_generators(config.seed)
    count = len(config.instruments)
    specs = {
        name: {"index": config.feed.timestamp, "type": spec.type, **spec.params}
        if spec.type == FRAME
        else spec
        for name, spec in config.features.items()
    }
    made = FeatureSet(specs, count, sessions, config.period_ns, paths, symbols=config.symbols)
    return made.adjusted_by(adjustments)


def prepare(
    loaded: LoadedConfig,
    config_files: Sequence[Path],
    timing: Timing,
    progress: Progress | None = None,
    given: InMemory = NOTHING,
) -> BacktestInputs:
    """Load, check and compute everything up to the actions. Raises the errors of each part."""
    config = loaded.config
    paths = search_paths(config_files)
    retrains = given.model is None and is_retrained(config)
    started = None if given.model is not None or retrains else start_early(config)
    history = load_bars(config, given)
    bars = history.bar_set.bars
    check_drivers(config, bars)
    timing.lap("load_s")
    of_features, of_model = Chance(config.seed), Chance(config.seed)
    with of_features.drawn():
        features = build_features(config, history.sessions, paths)
    if not retrains:
        with of_model.drawn():
            model = build_model(config, features.names, paths, given, started)
        timing.lap("model_s")
    features.prove(bars)
    with of_features.drawn():
        matrix = features.batch(bars)
    timing.lap("features_s")
    seen = features.forward(bars)
    if retrains:
        model = retrained_model(config, seen, matrix, features.names, progress)
    with of_model.drawn():
        tell = _model_progress(progress, len(bars))
        if shape_of_model(model).needs_position:  # asked by the loop, in turn
            said = Prediction(np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16))
        else:
            said = predict_actions(model, seen, matrix, progress=tell)
    timing.lap("model_s")
    primary = getattr(model, "primary", model)  # behind a filter
    if isinstance(primary, SignalsModel):
        primary.tell_held(bars[said.reasons == Reason.WARMUP])
    rules = build_rules(config, history.sessions)
    inputs = Inputs(bars, *said, *history.bar_set.detail)
    return BacktestInputs(rules, inputs, history, features, model)


def retrained_model(
    config: Config,
    seen: np.ndarray,
    matrix: np.ndarray,
    names: Sequence[str],
    progress: Progress | None = None,
) -> Model:
    """The walk-forward of `train.retrain` over a history as its features see it."""
    from trader.models.retraining import walk_forward

    told = None if progress is None else lambda done, count: progress("retrain", done, count)
    return walk_forward(config, seen, matrix, names, told)


def is_retrained(config: Config) -> bool:
    """Whether a history is traded by a walk-forward and not by the model's file."""
    return config.train is not None and config.train.retrain is not None


def history_model(
    config: Config,
    names: Sequence[str],
    paths: Sequence[Path],
    given: InMemory,
    known: tuple[np.ndarray, np.ndarray],
) -> Model:
    """What trades a history of which `known` is (bars as features see them, features)."""
    if given.model is None and is_retrained(config):
        return retrained_model(config, *known, names)
    return build_model(config, names, paths, given)


def actions_depend_on(config: Config) -> set[str]:
    """The sections that what a model says of given bars depends on."""
    walk_forward = {"train", "exits", "broker", "seed"} if is_retrained(config) else set()
    return {"features", "model", "instruments"} | walk_forward


def _model_progress(progress: Progress | None, rows: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress("model", done, rows)
