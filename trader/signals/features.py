"""All features of a config together: a matrix for a history, a row for a bar.

Law: columns stand in config order. Symbols are computed apart and never mix. `batch` and a
stream fed the same bars agree to the last bit.
"""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trader.core.schema import BAR
from trader.errors import ConfigError
from trader.signals.feature import Params, Stream, SymbolFeature
from trader.signals.kernel_features import KINDS, KernelFeature
from trader.signals.python_feature import PythonFeature
from trader.signals.talib_features import (
    FRIENDLY,
    TalibFeature,
    nearest_function,
    offered_functions,
)


def offered_types() -> tuple[str, ...]:
    """Every feature type a config can name."""
    return (*KINDS, *FRIENDLY, "python", *offered_functions())


def build_feature(
    name: str, spec: Any, sessions: np.ndarray, search_paths: Sequence[Path]
) -> SymbolFeature:
    """The feature of one config entry; `ConfigError` names the key at fault."""
    params = Params(name, spec.type, spec.params)
    if spec.type in KINDS:
        return KernelFeature(params, sessions)
    if spec.type == "python":
        return PythonFeature(params, search_paths)
    if spec.type in FRIENDLY or spec.type in offered_functions():
        return TalibFeature(params)
    ours = difflib.get_close_matches(spec.type.lower(), [*KINDS, *FRIENDLY, "python"], 2)
    near = ", ".join([*ours, *nearest_function(spec.type)]) or "sma, ema, rsi, returns"
    raise ConfigError(
        f"there is no feature type {spec.type!r}; nearest: {near}", key=f"features.{name}.type"
    )


class FeatureSet:
    """The features of a config, for `n_symbols` symbols and their trading hours."""

    def __init__(
        self,
        features: Mapping[str, Any],
        n_symbols: int,
        sessions: np.ndarray,
        period_ns: int,
        search_paths: Sequence[Path] = (),
    ) -> None:
        self.names = tuple(features)
        self.n_symbols = n_symbols
        self.period_ns = period_ns
        self._features = [
            build_feature(name, spec, sessions, search_paths) for name, spec in features.items()
        ]

    def batch(self, bars: np.ndarray) -> np.ndarray:
        """float64 (n, features) for BAR records (n,) of all symbols, in order of time.

        Columns are contiguous (Fortran order): features are written, and rules read, by column.
        """
        matrix = np.empty((len(bars), len(self.names)), order="F")
        if not self._features:
            return matrix
        if self.n_symbols == 1:
            self._fill(matrix, slice(None), bars)
            return matrix
        order = np.argsort(bars["symbol"], kind="stable")
        bounds = np.searchsorted(bars["symbol"][order], np.arange(self.n_symbols + 1))
        for first, last in itertools.pairwise(bounds):
            if last > first:
                rows = order[first:last]
                self._fill(matrix, rows, bars[rows])
        return matrix

    def _fill(self, matrix: np.ndarray, rows: slice | np.ndarray, bars: np.ndarray) -> None:
        """Every feature of one symbol; columns that several read are made contiguous once."""
        columns = _Columns(bars)
        for index, feature in enumerate(self._features):
            if isinstance(feature, TalibFeature):
                matrix[rows, index] = feature.values(columns)
            else:
                matrix[rows, index] = feature.batch(bars)

    def stream(self) -> "FeatureStream":
        """Fresh streams for every symbol."""
        return FeatureStream(self._features, self.n_symbols)


class _Columns(dict[str, np.ndarray]):
    """Contiguous columns of BAR records, each made when it is first read."""

    def __init__(self, bars: np.ndarray) -> None:
        super().__init__()
        self._bars = bars

    def __missing__(self, name: str) -> np.ndarray:
        self[name] = column = np.ascontiguousarray(self._bars[name])
        return column


class FeatureStream:
    """The features of every symbol, bar by bar."""

    def __init__(self, features: Sequence[SymbolFeature], n_symbols: int) -> None:
        self._width = len(features)
        self._streams: list[list[Stream]] = [
            [feature.stream() for feature in features] for _ in range(n_symbols)
        ]

    def update(self, bar: np.void) -> np.ndarray:
        """float64 (features,) at the close of `bar`, a BAR record."""
        row = np.empty(self._width)
        for index, stream in enumerate(self._streams[int(bar["symbol"])]):
            row[index] = stream.update(bar)
        return row

    def warm_up(self, bars: np.ndarray) -> None:
        """Feed a history (BAR records of all symbols) without asking for the values."""
        assert bars.dtype == BAR
        for bar in bars:
            self.update(bar)
