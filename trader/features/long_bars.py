"""Features on a longer period: `{type: rsi, period: 14, bars: 3600}`, closed bars only.

    bars ─► long bars (open first, high, low, close last, volume in all) ─► features ─► held until
                                                                            the next one closes

Law: a bar sees the newest long bar that has closed by its own close, never the one that forms. Long
bars begin at the opening of their stretch of trading hours (24x7: midnight UTC) and the last of a
stretch closes with it. A history and a stream make the same long bars, bit for bit.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.core.schema import NS_PER_SECOND
from trader.errors import ConfigError
from trader.features.bar_history import BarHistory
from trader.features.feature import Params
from trader.hours.long_periods import FormingBars, long_bars, long_ends

if TYPE_CHECKING:
    from trader.features.feature_set import FeatureSet, FeatureStream

LONGEST_S = 86_400


def read_long_period(params: Params, period_ns: int) -> int:
    """`bars` of a feature, taken out of its parameters, in nanoseconds."""
    value, key = params.take("bars"), params.key("bars")
    own_s = period_ns / NS_PER_SECOND
    if isinstance(value, bool) or not isinstance(value, int | float) or not own_s < value:
        raise ConfigError(
            f"must be the seconds of a longer bar, above bar_period_seconds ({own_s:g}); "
            f"got {value!r}",
            key=key,
        )
    long_ns = round(value * NS_PER_SECOND)
    if value > LONGEST_S or long_ns % period_ns:
        raise ConfigError(
            f"must be a multiple of bar_period_seconds ({own_s:g}) and at most a day "
            f"({LONGEST_S}); got {value!r}",
            key=key,
        )
    return long_ns


class LongFeatures:
    """The features of one longer period. Satisfies `features.feature.FeatureGroup`."""

    def __init__(self, inner: "FeatureSet", columns: Sequence[int], sessions: np.ndarray) -> None:
        """`inner` over long bars; `columns` are the places of its features in the matrix."""
        self.inner, self.columns = inner, list(columns)
        self.sessions = sessions

    def ends(self, stamps_ns: np.ndarray) -> np.ndarray:
        """See `long_ends`."""
        return long_ends(stamps_ns, self.sessions, self.inner.period_ns)

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """Fill the columns of `matrix` (n, features)."""
        for _, rows in history.by_symbol():
            bars = history.bars[rows]
            closed = self._closed(bars)
            values = np.full((len(closed) + 1, len(self.columns)), np.nan)
            values[1:] = self.inner.batch(closed)
            seen = np.searchsorted(closed["ts_ns"], bars["ts_ns"], side="right")
            for number, column in enumerate(self.columns):
                matrix[rows, column] = values[seen, number]

    def _closed(self, bars: np.ndarray) -> np.ndarray:
        """The long bars of one symbol that the last of `bars` has seen close."""
        made = long_bars(bars, self.ends(bars["ts_ns"]))
        return made[made["ts_ns"] <= bars["ts_ns"][-1]]

    def stream(self) -> "LongStream":
        """Fresh streams for every symbol."""
        return LongStream(self)


class LongStream:
    """The long bar that forms, of every symbol, and the values of the newest that closed."""

    def __init__(self, features: LongFeatures) -> None:
        inner = features.inner
        self._features, self._columns = features, features.columns
        self._stream: FeatureStream = inner.stream()
        self._forming = FormingBars(inner.n_symbols)
        self._values = np.full((inner.n_symbols, len(self._columns)), np.nan)

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill the features' places of `row` at the close of `bar`."""
        symbol = int(fields[8])
        self._take(bar, symbol, int(self._features.ends(np.array([fields[0]], np.int64))[0]))
        row[self._columns] = self._values[symbol]

    def warm_up(self, history: BarHistory) -> None:
        """Take the history in."""
        ends = self._features.ends(history.bars["ts_ns"])
        for bar, end in zip(history.bars, ends.tolist(), strict=True):
            self._take(bar, int(bar["symbol"]), end)

    def _take(self, bar: np.void, symbol: int, end_ns: int) -> None:
        if self._forming.end_ns(symbol) not in (None, end_ns):
            self._close(symbol)
        self._forming.add(bar, end_ns)
        if end_ns == bar["ts_ns"]:
            self._close(symbol)

    def _close(self, symbol: int) -> None:
        self._values[symbol] = self._stream.update(self._forming.take(symbol))
