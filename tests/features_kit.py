"""Builders for tests of features: bars that misbehave in every allowed way, real bars, comparing.

Law: equality is of bits, but that any NaN equals any other.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.core_kit import always_open
from trader.core.schema import BAR, NS_PER_SECOND
from trader.features.feature_set import FeatureSet
from trader.features.feature_types import FRAME, OWN, PYTHON, FeatureType, feature_types

MINUTE = 60 * NS_PER_SECOND
PERIOD = 10 * MINUTE
START = 17_600 * 86_400 * NS_PER_SECOND + 3 * PERIOD  # 2018-03-10T00:30Z, a Saturday
TYPES = {kind.name: kind for kind in feature_types()}


def walk_bars(rows: int, symbols: int = 1, seed: int = 1, flat: bool = True) -> np.ndarray:
    """Ten-minute bars of a random walk, `rows` in all, some of them missing.

    With `flat`, a stretch of each symbol has one constant price, another overlapping one no
    volume, and a third no quotes.
    """
    chance = np.random.default_rng(seed)
    each = -(-rows // symbols) * 11 // 10 + 2
    parts = [_walk(chance, each, symbol, flat) for symbol in range(symbols)]
    joined = np.concatenate([part[chance.random(each) > 0.04] for part in parts])
    return joined[np.lexsort((joined["symbol"], joined["ts_ns"]))][:rows]


def _walk(chance: np.random.Generator, rows: int, symbol: int, flat: bool) -> np.ndarray:
    bars = np.zeros(rows, BAR)
    step = chance.normal(0.0, 0.004, rows)
    still = slice(rows * 2 // 5, rows // 2) if flat else slice(0, 0)
    step[still] = 0.0
    close = 100.0 * np.exp(np.cumsum(step))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(chance.normal(0.0, 0.001, rows))
    open_[still] = close[still]
    up, down = chance.exponential(0.002, (2, rows))
    up[still] = down[still] = 0.0
    bars["open"], bars["close"] = open_, close
    bars["high"] = np.maximum(open_, close) * (1.0 + up)
    bars["low"] = np.minimum(open_, close) * (1.0 - down)
    bars["volume"] = np.round(chance.exponential(500.0, rows), 3)
    bars["bid"], bars["ask"] = close * (1.0 - up), close * (1.0 + down)
    if flat:
        bars["volume"][rows * 9 // 20 : rows * 11 // 20] = 0.0
        bars["bid"][rows * 7 // 10 : rows * 3 // 4] = np.nan
        bars["ask"][rows * 3 // 5 : rows * 13 // 20] = np.nan
    bars["ts_ns"] = START + (np.arange(rows) + 1) * PERIOD
    bars["symbol"] = symbol
    return bars


def real_bars(path: Path, rows: int | None = None) -> np.ndarray:
    """BAR records of a real minute file, `rows` from the start; symbols in the order of names."""
    table = pd.read_csv(path, nrows=rows)
    bars = np.zeros(len(table), BAR)
    for name in ("open", "high", "low", "close", "volume", "bid", "ask"):
        bars[name] = table.get(name, np.nan)
    stamps = pd.to_datetime(table["timestamp"], format="ISO8601", utc=True)
    bars["ts_ns"] = stamps.dt.tz_localize(None).to_numpy("datetime64[ns]").view("i8") + MINUTE
    if "symbol" in table:
        bars["symbol"] = table["symbol"].astype("category").cat.codes
    return bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]


def feature_set(features: dict[str, Any], bars: np.ndarray, **more: Any) -> FeatureSet:
    """The set for these bars: around the clock and ten minutes, if nothing else is said."""
    sessions = more.pop("sessions", None)
    if sessions is None:
        sessions = always_open(int(bars["ts_ns"].min()), int(bars["ts_ns"].max()))
    n_symbols = more.pop("n_symbols", int(bars["symbol"].max()) + 1)
    return FeatureSet(features, n_symbols, sessions, more.pop("period_ns", PERIOD), **more)


def values(spec: dict[str, Any], bars: np.ndarray, **more: Any) -> np.ndarray:
    """Batch values (n,) of one feature."""
    return feature_set({"one": spec}, bars, **more).batch(bars)[:, 0]


def streamed(features: FeatureSet, bars: np.ndarray) -> np.ndarray:
    """The matrix a fresh stream gives, bar by bar."""
    stream = features.stream()
    rows = [stream.update(bar) for bar in bars]
    return np.array(rows).reshape(len(bars), len(features.names))


def same(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where two float64 arrays have the same bits, or both are NaN."""
    bits = left.copy(order="C").view("i8") == right.copy(order="C").view("i8")
    return bits | (np.isnan(left) & np.isnan(right))


def differences(left: np.ndarray, right: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """One line for each column that differs; empty if the matrices are equal."""
    assert left.shape == right.shape
    equal = same(left, right)
    return [
        f"{name}: {np.count_nonzero(~equal[:, column])} rows, first {np.argmin(equal[:, column])}"
        for column, name in enumerate(names)
        if not equal[:, column].all()
    ]


def specs_of(kind: FeatureType) -> dict[str, dict[str, Any]]:
    """One spec for every output of a type, with default parameters."""
    spec: dict[str, Any] = {"type": kind.name}
    if "periods" in kind.inputs:
        spec["inputs"] = ["close", "volume"]
    if not kind.outputs:
        return {kind.name: spec}
    return {f"{kind.name}_{output}": {**spec, "output": output} for output in kind.outputs}


def short_specs_of(kind: FeatureType) -> dict[str, dict[str, Any]]:
    """The same with other parameters: short windows, another average, halves."""
    changed = {
        name: 5 if name.endswith("matype") else max(2, default // 2)
        for name, default in kind.params.items()
        if isinstance(default, int) and not isinstance(default, bool)
    } | {name: default / 2 for name, default in kind.params.items() if isinstance(default, float)}
    if kind.group == OWN:
        changed = dict.fromkeys(kind.params, 3)
    return {name: spec | changed for name, spec in specs_of(kind).items()} if changed else {}


def every_spec() -> dict[str, dict[str, Any]]:
    """Every output of every type but the user's own."""
    found: dict[str, dict[str, Any]] = {}
    for kind in TYPES.values():
        if kind.name not in (PYTHON, FRAME):
            found |= specs_of(kind)
    return found
