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
from trader.features.chained_features import (
    SEEN_AS,
    ChainedFeature,
    ChainedStream,
    in_order,
    named_input,
)
from trader.features.feature import FeatureGroup, Params, did_you_mean
from trader.features.feature_types import FRAME, PYTHON, feature_types
from trader.features.forward_prices import ForwardPrices
from trader.features.frame_features import FrameFeatures
from trader.features.frame_function import FrameFunction
from trader.features.friendly_names import FRIENDLY
from trader.features.kernel_features import TYPES, KernelFeatures, read_kernel
from trader.features.long_bars import LongFeatures, read_long_period
from trader.features.python_feature import (
    PythonFeature,
    PythonFeatures,
    own_feature,
    packaged_feature,
)
from trader.features.registry import FEATURES
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
        self.n_symbols = n_symbols
        self.period_ns = period_ns
        self._adjustments = NO_ADJUSTMENTS
        kernels: list[np.void] = []
        calls: list[tuple[int, TalibCall, int]] = []
        own: list[PythonFeature] = []
        frames: list[tuple[FrameFunction, int]] = []
        columns: list[str] = []
        long: dict[int, dict[str, Any]] = {}  # features by the period of their own bars
        places: dict[int, list[int]] = {}
        chained: dict[str, tuple[str, int, dict[str, Any]]] = {}  # input, column and spec by name
        for name, spec in features.items():
            params, column = Params(name, spec), len(columns)
            columns.append(name)
            if "bars" in params and params.kind != PYTHON:
                long_ns = read_long_period(params, period_ns)
                long.setdefault(long_ns, {})[name] = {"type": params.kind, **params.rest()}
                places.setdefault(long_ns, []).append(column)
                if params.kind == FRAME:
                    raise ConfigError("has no meaning for type frame", key=params.key("bars"))
            elif params.kind not in (PYTHON, FRAME) and (source := named_input(params)) is not None:
                of_input = {**params.rest(), "type": params.kind, "input": SEEN_AS}
                chained[name] = source, column, of_input
            elif params.kind in TYPES:
                kernels.append(read_kernel(params, column))
            elif params.kind == FRAME:
                frames.append((FrameFunction(params, search_paths, period_ns), column))
                columns[column:] = frames[-1][0].columns
            elif params.kind == PYTHON:
                own.append(own_feature(params, column, search_paths))
            elif params.kind in FRIENDLY or params.kind in talib_functions():
                calls.append((column, *read_call(params)))
            elif (entry := FEATURES.find(params.kind)) is not None:
                own.append(packaged_feature(params, column, entry))
            else:
                raise ConfigError(_no_type(params), key=params.key("type"))
        _check_names(columns, frames)
        self.names = tuple(columns)
        self._groups: list[FeatureGroup] = []
        if kernels:
            self._groups.append(KernelFeatures(kernels, n_symbols, sessions, period_ns))
        if calls:
            self._groups.append(TalibFeatures(calls, n_symbols))
        for long_ns, specs in long.items():
            inner = FeatureSet(specs, n_symbols, sessions, long_ns, search_paths, symbols)
            self._groups.append(LongFeatures(inner, places[long_ns], sessions))
        named = symbols or [f"symbol {index}" for index in range(n_symbols)]
        if own:
            self._groups.append(PythonFeatures(own, named))
        self._frames = FrameFeatures(frames, named) if frames else None
        if self._frames is not None:
            self._groups.append(self._frames)
        for name in in_order({name: of[0] for name, of in chained.items()}, columns):
            source, column, spec = chained[name]
            inner = FeatureSet({name: spec}, n_symbols, sessions, period_ns, search_paths, symbols)
            self._groups.append(ChainedFeature(inner, columns.index(source), column))

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
        return self.batch_of(BarHistory(self.forward(bars), self.n_symbols))

    def batch_of(self, history: BarHistory) -> np.ndarray:
        """`batch` of bars whose prices are `forward` already."""
        matrix = np.empty((len(history.bars), len(self.names)), order="F")
        for group in self._groups:
            group.batch(history, matrix)
        return matrix

    def prove(self, bars: np.ndarray) -> None:
        """Show on sampled rows of a history that functions of the user's give a stream the same.

        Raises `FeatureError` with column, time and both values where one does not.
        """
        if self._frames is not None and len(bars):
            self._frames.prove(BarHistory(self.forward(bars), self.n_symbols))

    def proved_batch(self, bars: np.ndarray) -> np.ndarray:
        """`batch`, once `prove` has passed."""
        self.prove(bars)
        return self.batch(bars)

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
        if any(isinstance(stream, ChainedStream) for stream in self._streams):
            for bar in bars:
                self.update(bar)
            return
        history = BarHistory(self.prices.take(bars), self._n_symbols)
        for stream in self._streams:
            stream.warm_up(history)


def _check_names(names: Sequence[str], frames: Sequence[tuple[FrameFunction, int]]) -> None:
    """`ConfigError` where a column of a frame has the name of another feature."""
    for function, first in frames:
        for column in range(first, first + len(function.columns)):
            if names.count(names[column]) > 1:
                raise ConfigError(
                    f"{function.target} gives a column {names[column]}, and another feature has "
                    "that name: rename one",
                    key=f"features.{function.name}",
                )


def _no_type(params: Params) -> str:
    known = [*(kind.name for kind in feature_types()), *FEATURES.names()]
    near = did_you_mean(params.kind, known)
    return f"unknown feature type {params.kind!r}{near} (docs/feature-types.md lists them)"
