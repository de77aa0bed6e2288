"""Builders for tests of models: a config section, bars in a row, features, files of models.

Law: configs are made by the real schema and models by the real loader, from real files.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR, NS_PER_SECOND
from trader.models.model import Model, load_model
from trader.models.skops_file import dump_skops

MINUTE = 60 * NS_PER_SECOND
START = 17_600 * 86_400 * NS_PER_SECOND  # 2018-03-10T00:00Z, the first bar's open


def make_config(model: dict[str, Any], **sections: Any) -> Config:
    """A whole config around a model section; `sections` replace others."""
    tree: dict[str, Any] = {
        "name": "test",
        "instruments": ["ACME"],
        "feed": {"type": "csv", "path": "bars.csv", "timezone": "UTC"},
        "bar_period_seconds": 60,
        "features": {},
        "model": model,
        "position_sizing": {"mode": "target", "base_size": 1},
        "risk": {
            "max_position_size": None,
            "max_order_size": None,
            "min_order_size": 1,
            "max_daily_loss": None,
            "max_position_concentration": None,
            "market_hours": "24x7",
        },
        "throttle": {
            "max_volume_participation": None,
            "max_spread_bps": None,
            "max_volatility": None,
            "max_order_size": None,
        },
        "broker": {"cash": 1000},
    }
    return Config.model_validate(tree | sections)


def make_model(
    section: dict[str, Any],
    names: tuple[str, ...] = ("a", "b"),
    paths: tuple[Path, ...] = (),
    **sections: Any,
) -> Model:
    """The model of a section, loaded as a run loads it."""
    config = make_config(section, **sections)
    return load_model(config, names, config.symbols, paths)


def make_bars(rows: int, symbols: int = 1, close: np.ndarray | None = None) -> np.ndarray:
    """BAR records a minute apart, `symbols` to each minute, with a price that walks."""
    bars = np.zeros(rows, BAR)
    bars["ts_ns"] = START + (np.arange(rows) // symbols + 1) * MINUTE
    bars["symbol"] = np.arange(rows) % symbols
    if close is None:
        close = 100.0 * np.exp(np.random.default_rng(7).normal(0, 0.001, rows).cumsum())
    for name in ("open", "high", "low", "close"):
        bars[name] = close
    bars["volume"] = 10.0
    bars["bid"] = bars["ask"] = np.nan
    return bars


def make_features(rows: int, columns: int = 2, seed: int = 1) -> np.ndarray:
    """float64 (rows, columns) of seeded normal numbers."""
    return np.random.default_rng(seed).normal(size=(rows, columns))


def save_skops(path: Path, estimator: Any) -> dict[str, Any]:
    """Write a fitted estimator; the model section that names and pins it."""
    data = dump_skops(estimator)
    path.write_bytes(data)
    return pinned(path)


def pinned(path: Path) -> dict[str, Any]:
    """The model section that pins the skops file at `path` as it is now."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"type": "sklearn", "path": str(path), "sha256": sha256}
