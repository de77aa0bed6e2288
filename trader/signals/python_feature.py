"""A user's own feature: `{type: python, target: module:Class, …}`.

Law: one instance a symbol, fed one bar after the other, in a backtest as in paper, so it can see
no later bar. It gets the bar's fields as plain attributes and keys, and cannot change them.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from trader.core.schema import BAR
from trader.errors import ConfigError, ModelError
from trader.signals.feature import Params
from trader.signals.targets import load_target, what_failed

FIELDS = tuple(name for name in BAR.names or () if name not in ("symbol", "flags"))


class PythonFeature:
    """A class of the user's with its arguments."""

    def __init__(self, params: Params, search_paths: Sequence[Path]) -> None:
        self._name = params.name
        target = params.take("target")
        key = params.key("target")
        if not isinstance(target, str) or ":" not in target:
            raise ConfigError("a python feature needs target: module:Class", key=key)
        self._class = load_target(target, key, search_paths)
        self._target = target
        self._arguments = params.rest()
        if not callable(self._class) or not callable(getattr(self._class, "update", None)):
            raise ConfigError(f"{target} has no method update(bar)", key=key)

    def batch(self, bars: np.ndarray) -> np.ndarray:
        """The stream over all of `bars`."""
        one = self.stream()
        return np.array([one.update(bar) for bar in bars], np.float64)

    def stream(self) -> "PythonStream":
        """A fresh instance."""
        try:
            instance = self._class(**self._arguments)
        except Exception as error:
            raise ConfigError(
                f"{self._target} cannot be made with {self._arguments}: {what_failed(error)}",
                key=f"features.{self._name}",
            ) from error
        return PythonStream(self._name, instance)


class PythonStream:
    """One instance of the user's class."""

    def __init__(self, name: str, instance: Any) -> None:
        self._name, self._instance = name, instance

    def update(self, bar: np.void) -> float:
        """The user's value; None and infinities are NaN, anything else not a number an error."""
        view = MappingProxyType({name: bar[name].item() for name in FIELDS})
        try:
            value = self._instance.update(view)
            number = math.nan if value is None else float(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            when = np.datetime64(int(bar["ts_ns"]), "ns")
            raise ModelError(
                f"feature {self._name} failed at the bar that closes at {when}Z: "
                f"{what_failed(error)}"
            ) from error
        return number if math.isfinite(number) else math.nan
