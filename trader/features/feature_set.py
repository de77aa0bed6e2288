"""All features of a config together: a matrix for a history, a row for a bar.

Law: columns stand in config order and never mix symbols; a stream fed the same bars gives the rows
of `batch` to the last bit, and a longer history never changes an earlier row. Which type a word
means is decided here; what its parameters mean, in the module of the type.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trader.core.book import NO_ADJUSTMENTS
from trader.errors import ConfigError
from trader.features.bar_history import BarHistory
from trader.features.feature import FeatureGroup, Params, did_you_mean
from trader.features.feature_types import PYTHON, feature_types
from trader.features.forward_prices import ForwardPrices
from trader.features.friendly_names import FRIENDLY
from trader.features.kernel_features import TYPES, KernelFeatures, read_kernel
from trader.features.python_feature import PythonFeature, PythonFeatures
from trader.features.talib_call import TalibCall, read_call, talib_functions
from trader.features.talib_features import TalibFeatures


class FeatureSet:
    """The features of a config, for `n_symbols` symbols and their trading hours.

    `features` maps names to specs with `.type` and `.params`, or to mappings with a `type` key.
    `sessions` are SESSION records; `symbols` are names for messages. Raises `ConfigError` with
    the key at fault, `FeatureError` if a user's feature cannot be made.
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        n_symbols: int,
        sessions: np.ndarray,
        period_ns: int,
        search_paths: Sequence[Path] = (),
        symbols: Sequence[str] = (),
    ) -> None:
        self.names = tuple(features)
        self.n_symbols = n_symbols
        self.period_ns = period_ns
        self._adjustments = NO_ADJUSTMENTS
        kernels: list[np.void] = []
        calls: list[tuple[int, TalibCall, int]] = []
        own: list[PythonFeature] = []
        for column, (name, spec) in enumerate(features.items()):
            params = Params(name, spec)
            if params.kind in TYPES:
                kernels.append(read_kernel(params, column))
            elif params.kind == PYTHON:
                own.append(PythonFeature(params, column, search_paths))
            elif params.kind in FRIENDLY or params.kind in talib_functions():
                calls.append((column, *read_call(params)))
            else:
                raise ConfigError(_no_type(params), key=params.key("type"))
        self._groups: list[FeatureGroup] = []
        if kernels:
            self._groups.append(KernelFeatures(kernels, n_symbols, sessions, period_ns))
        if calls:
            self._groups.append(TalibFeatures(calls, n_symbols))
        if own:
            names = symbols or [f"symbol {index}" for index in range(n_symbols)]
            self._groups.append(PythonFeatures(own, names))

    def adjusted_by(self, adjustments: np.ndarray) -> "FeatureSet":
        """The same set, which sees prices through ADJUSTMENT records from now on."""
        self._adjustments = adjustments
        return self

    def forward(self, bars: np.ndarray) -> np.ndarray:
        """BAR records as features and models see them: each price times the splits so far."""
        return ForwardPrices(self._adjustments, self.period_ns).take(bars)

    def batch(self, bars: np.ndarray) -> np.ndarray:
        """float64 (n, features) of BAR records (n,) sorted by (ts_ns, symbol), from the first on.

        NaN where a feature is not ready. Memory is by column (Fortran order), as features are
        written and rules read.
        """
        matrix = np.empty((len(bars), len(self.names)), order="F")
        history = BarHistory(self.forward(bars), self.n_symbols)
        for group in self._groups:
            group.batch(history, matrix)
        return matrix

    def stream(self) -> "FeatureStream":
        """Fresh streams for every symbol."""
        prices = ForwardPrices(self._adjustments, self.period_ns)
        return FeatureStream(self._groups, self.n_symbols, len(self.names), prices)


class FeatureStream:
    """The features of every symbol, bar by bar.

    Symbols share no state: different ones may be updated in different threads. A stream cannot be
    pickled; after a restart make a new one and `warm_up` with the bars since the first.
    """

    def __init__(
        self,
        groups: Sequence[FeatureGroup],
        n_symbols: int,
        width: int,
        prices: ForwardPrices | None = None,
    ) -> None:
        self.prices = prices or ForwardPrices()
        self._streams = [group.stream() for group in groups]
        self._n_symbols = n_symbols
        self._width = width

    @property
    def width(self) -> int:
        """Number of features."""
        return self._width

    def update(self, bar: np.void | np.ndarray) -> np.ndarray:
        """float64 (features,) at the close of `bar`, one BAR record (or an array of one)."""
        record: Any = bar.reshape(())[()] if isinstance(bar, np.ndarray) else bar
        if self.prices.has_splits:
            record = self.prices.take(np.array([record], record.dtype))[0]
        fields = record.item()
        assert 0 <= fields[8] < self._n_symbols, "a symbol of the config"
        row = np.empty(self._width)
        for stream in self._streams:
            stream.update(record, fields, row)
        return row

    def warm_up(self, bars: np.ndarray) -> None:
        """Take in BAR records (n,) as `update` would one by one, faster and without values."""
        history = BarHistory(self.prices.take(bars), self._n_symbols)
        for stream in self._streams:
            stream.warm_up(history)


def _no_type(params: Params) -> str:
    near = did_you_mean(params.kind, [kind.name for kind in feature_types()])
    return f"unknown feature type {params.kind!r}{near} (docs/features.md lists them all)"
