"""What one row of a question is made of: one bar's features, or more.

    window: 60         the features of the last 60 bars of the symbol, this one included
    needs_position     beside the features, what is held of the symbol when it is asked
    scope: slice       all symbols of an instant are asked about at once

Law: a history and a stream make equal rows, bit for bit. A row in which anything is undefined is
NaN there, and so is WARMUP. A row is flat, (window × features); who asks the model gives it shape.
"""

from typing import NamedTuple

import numpy as np

from trader.config.schema import Config

POSITION_COLUMNS = ("position_side", "position_qty", "position_return", "position_bars")
MOST_VALUES = 1 << 22  # of a question about a history: 32 MiB


class RowShape(NamedTuple):
    """What a model wants beside one bar's features."""

    window: int = 1
    needs_position: bool = False
    by_slice: bool = False

    @property
    def extra(self) -> tuple[str, ...]:
        """Names of what stands behind the features."""
        return POSITION_COLUMNS if self.needs_position else ()


PLAIN = RowShape()


def shape_of(config: Config) -> RowShape:
    """What the config says of its model."""
    model = config.model
    return RowShape(
        int(getattr(model, "window", 1)),
        bool(getattr(model, "needs_position", False)),
        getattr(model, "scope", "row") == "slice",
    )


def shape_of_model(model: object) -> RowShape:
    """What `load_model` noted of a model."""
    return getattr(model, "row_shape", PLAIN)


class HistoryWindows:
    """The last `window` rows of each symbol, for every row of a history."""

    def __init__(self, bars: np.ndarray, features: np.ndarray, window: int) -> None:
        """BAR (n,) in order of time and their features (n, k)."""
        self._features, self._window = features, window
        symbols = bars["symbol"]
        self._order = np.argsort(symbols, kind="stable")
        self._place = np.empty(len(bars), np.int64)  # of a row, among those sorted by symbol
        self._place[self._order] = np.arange(len(bars))
        firsts = np.searchsorted(symbols, np.arange(symbols.max(initial=0) + 1), sorter=self._order)
        self._first = firsts[symbols] if len(bars) else self._place

    def rows(self, chosen: slice | np.ndarray) -> np.ndarray:
        """float64 (m, window × k); NaN before the first bar of a symbol."""
        back = np.arange(1 - self._window, 1)
        places = self._place[chosen][:, None] + back
        is_there = places >= self._first[chosen][:, None]
        found = self._features[self._order[np.maximum(places, 0)]]
        found[~is_there] = np.nan
        return found.reshape(len(found), -1)


class RowMemory:
    """Rows as bars come: the features of the last bars of each symbol, and what is held."""

    def __init__(self, shape: RowShape, n_symbols: int, width: int) -> None:
        self.shape = shape
        self._last = np.full((n_symbols, shape.window, width), np.nan) if shape.window > 1 else None

    def take(
        self, bars: np.ndarray, features: np.ndarray, positions: np.ndarray | None = None
    ) -> np.ndarray:
        """The rows of BAR (n,) and their features (n, k); POSITION (n,) where they are needed."""
        if self.shape.needs_position:
            assert positions is not None, "who asks such a model knows what is held"
            return with_positions(features, positions)
        if self._last is None:
            return features
        rows = np.empty((len(bars), self.shape.window * features.shape[1]))
        for at, symbol in enumerate(bars["symbol"].tolist()):
            last = self._last[symbol]
            last[:-1] = last[1:]
            last[-1] = features[at]
            rows[at] = last.reshape(-1)
        return rows

    def needed_from(self, bars: np.ndarray) -> int:
        """The first of BAR (n,) whose features a memory must have seen to go on after them."""
        if self._last is None:
            return len(bars)
        first = len(bars)
        for symbol in np.unique(bars["symbol"]).tolist():
            own = np.flatnonzero(bars["symbol"] == symbol)
            first = min(first, int(own[max(0, len(own) - self.shape.window)]))
        return first


def with_positions(features: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Features (n, k) with POSITION_COLUMNS behind them, of POSITION (n,)."""
    qty, average = positions["qty"], positions["avg_price"]
    side = np.sign(qty)
    is_held = side != 0.0
    moved = np.divide(positions["mark"], average, out=np.ones(len(qty)), where=is_held) - 1.0
    since = np.where(is_held, positions["bars"] - positions["entry_bar"], 0)
    return np.column_stack([features, side, qty, side * moved, since.astype(np.float64)])


def flat_rows(features: np.ndarray) -> np.ndarray:
    """Features with POSITION_COLUMNS of nothing held."""
    return np.column_stack([features, np.zeros((len(features), len(POSITION_COLUMNS)))])


def history_rows(
    shape: RowShape, bars: np.ndarray, features: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """The questions about some rows of a history, as if nothing were held."""
    if shape.needs_position:
        return flat_rows(features[chosen])
    if shape.window > 1:
        return HistoryWindows(bars, features, shape.window).rows(chosen)
    return features[chosen]
