"""Everything a run would refuse, found without a run. What `trader validate` calls.

Law: uses the very functions a backtest uses, in its order, on all of the data; the model is put a
sample of warm rows. Nothing is written.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.load import LoadedConfig
from trader.core.schema import TradingAction
from trader.engine.ruleset import build_rules
from trader.feeds.sessions import session_table
from trader.models.model import open_model, predict_rows
from trader.models.model_rows import HistoryRows, shape_of_model
from trader.models.signals_file import SignalsModel
from trader.user_code.hooks import load_hooks
from trader.wiring import (
    build_features,
    check_drivers,
    is_retrained,
    load_bars,
    retrained_model,
    search_paths,
)

SAMPLE_ROWS = 256  # of warm bars, spread over the history


@dataclass(frozen=True)
class Validation:
    """What was checked and found. `warnings` do not stop a run."""

    document: dict[str, Any]
    warnings: list[str]


def validate(loaded: LoadedConfig, config_files: Sequence[Path]) -> Validation:
    """Check config, data, trading hours, throttle drivers, features and model.

    Raises what a backtest would raise: `ConfigError`, `DataError`, `ModelError`.
    """
    config = loaded.config
    paths = search_paths(config_files)
    load_hooks(config, paths)
    if not config.feed.is_file:
        return _without_bars(loaded, paths)
    history = load_bars(config)
    bars = history.bar_set.bars
    check_drivers(config, bars)
    build_rules(config, history.sessions)
    features = build_features(config, history.sessions, paths)
    retrains = is_retrained(config)
    if not retrains:  # a file that cannot be loaded is told before the features are paid for
        model = open_model(config, features.names, config.symbols, paths)
    matrix = features.proved_batch(bars)
    if retrains:
        model = retrained_model(config, features.forward(bars), matrix, features.names)
    warm = np.flatnonzero(~np.isnan(matrix).any(axis=1))
    warnings = list(history.bar_set.quality.warnings)
    if len(warm) == 0:
        warnings.append("no bar has all its features: every action will be HOLD (WARMUP)")
    model.check_history(bars)
    primary = getattr(model, "primary", model)  # behind a filter
    if isinstance(primary, SignalsModel):
        primary.tell_held(bars[np.isnan(matrix).any(axis=1)])
    rows = warm[:: max(1, len(warm) // SAMPLE_ROWS)]
    asked = HistoryRows(shape_of_model(model), bars, matrix, rows).rows(slice(None))
    actions = predict_rows(model, features.forward(bars)[rows], asked).actions
    document = {
        "config_sha256": loaded.sha256,
        "bars": len(bars),
        "symbols": history.bar_set.quality.symbols,
        "warm_bars": len(warm),
        "features": list(features.names),
        "model": config.model.type,
        "sample": {action.name: int(np.sum(actions == action)) for action in TradingAction},
        "warnings": warnings,
    }
    return Validation(document, warnings)


def _without_bars(loaded: LoadedConfig, paths: Sequence[Path]) -> Validation:
    """What can be checked of a feed that has no bars before it runs."""
    config = loaded.config
    today_ns = time.time_ns()
    hours = session_table(config.risk.market_hours, today_ns, today_ns)
    build_rules(config, hours)
    features = build_features(config, hours, paths)
    open_model(config, features.names, config.symbols, paths)
    warnings = [f"a feed of type {config.feed.type} has no bars before it runs: none were checked"]
    document = {
        "config_sha256": loaded.sha256,
        "bars": 0,
        "symbols": {},
        "warm_bars": 0,
        "features": list(features.names),
        "model": config.model.type,
        "sample": {action.name: 0 for action in TradingAction},
        "warnings": warnings,
    }
    return Validation(document, warnings)
