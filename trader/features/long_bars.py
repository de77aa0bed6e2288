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

from trader.core.schema import BAR, NS_PER_SECOND
from trader.errors import ConfigError
from trader.features.bar_history import BarHistory
from trader.features.feature import Params

if TYPE_CHECKING:
    from trader.features.feature_set import FeatureSet, FeatureStream

LONGEST_S = 86_400
LAST = ("close", "bid", "ask")


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


def long_ends(stamps_ns: np.ndarray, sessions: np.ndarray, long_ns: int) -> np.ndarray:
    """When the long bars close that bars closing at `stamps_ns` (n,) lie in.

    Outside of trading hours they are counted from midnight UTC and end where the next begin.
    """
    inside = stamps_ns - 1
    at = np.searchsorted(sessions["open_ns"], inside, side="right") - 1
    opens = np.append(sessions["open_ns"], np.iinfo(np.int64).max)
    closes = np.append(sessions["close_ns"], np.iinfo(np.int64).min)
    is_open = (at >= 0) & (inside < closes[at])
    start = np.where(is_open, opens[at], 0)
    ends = start + ((inside - start) // long_ns + 1) * long_ns
    ends = np.minimum(ends, np.where(is_open, closes[at], opens[at + 1]))
    return ends.astype(np.int64)


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
        ends = self.ends(bars["ts_ns"])
        first = np.flatnonzero(np.concatenate([[True], ends[1:] != ends[:-1]]))
        last = np.append(first[1:], len(bars)) - 1
        made = np.zeros(len(first), BAR)
        made["ts_ns"], made["symbol"] = ends[first], bars["symbol"][0]
        made["open"] = bars["open"][first]
        made["high"] = np.maximum.reduceat(bars["high"], first)
        made["low"] = np.minimum.reduceat(bars["low"], first)
        number = np.repeat(np.arange(len(first)), last - first + 1)
        made["volume"] = np.bincount(number, bars["volume"])  # one by one, as a stream adds
        for name in LAST:
            made[name] = bars[name][last]
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
        self._forming = np.zeros(inner.n_symbols, BAR)
        self._is_forming = [False] * inner.n_symbols
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
        forming = self._forming[symbol]
        if self._is_forming[symbol] and forming["ts_ns"] != end_ns:
            self._close(symbol)
        if not self._is_forming[symbol]:
            self._forming[symbol] = bar  # `forming` is a view of it
            forming["ts_ns"], forming["flags"], forming["volume"] = end_ns, 0, 0.0
            self._is_forming[symbol] = True
        forming["high"] = max(forming["high"], bar["high"])
        forming["low"] = min(forming["low"], bar["low"])
        forming["volume"] += bar["volume"]
        for name in LAST:
            forming[name] = bar[name]
        if end_ns == bar["ts_ns"]:
            self._close(symbol)

    def _close(self, symbol: int) -> None:
        self._values[symbol] = self._stream.update(self._forming[symbol])
        self._is_forming[symbol] = False
