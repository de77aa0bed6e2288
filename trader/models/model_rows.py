"""What one row of a question is made of: one bar's features, or more.

    window: 60         the features of the last 60 bars of the symbol, this one included
    needs_position     beside the features of each bar, what is held of the symbol when it is asked
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


class HistoryRows:
    """The rows that a model is asked, of a history and its features; nothing is held."""

    def __init__(
        self,
        shape: RowShape,
        bars: np.ndarray,
        features: np.ndarray,
        chosen: np.ndarray | None = None,
    ) -> None:
        """BAR (n,) in order of time, their features (n, k), and which of them are asked about:
        all where it is not said."""
        self._shape, self._features, self._chosen = shape, features, chosen
        self.width = shape.window * (features.shape[1] + len(shape.extra))
        if shape.window > 1:
            symbols = bars["symbol"]
            self._order = np.argsort(symbols, kind="stable")
            self._place = np.empty(len(bars), np.int64)  # of a row, among those sorted by symbol
            self._place[self._order] = np.arange(len(bars))
            known = np.arange(symbols.max(initial=0) + 1)
            firsts = np.searchsorted(symbols, known, sorter=self._order)
            self._first = firsts[symbols] if len(bars) else self._place

    def rows(self, part: slice, positions: np.ndarray | None = None) -> np.ndarray:
        """float64 (m, window × k), the rows `part` of those asked about; NaN before the first bar
        of a symbol. POSITION (m,): what is held, where a model needs it."""
        rows = part if self._chosen is None else self._chosen[part]
        features = self._features[rows] if self._shape.window == 1 else self._windows(rows)
        if not self._shape.needs_position:
            return features
        if positions is None:
            return _beside(features, np.zeros((len(features), len(POSITION_COLUMNS))), self._shape)
        return with_positions(features, positions, self._shape)

    def _windows(self, rows: slice | np.ndarray) -> np.ndarray:
        back = np.arange(1 - self._shape.window, 1)
        places = self._place[rows][:, None] + back
        is_there = places >= self._first[rows][:, None]
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
        rows = self.note(bars, features)
        if not self.shape.needs_position:
            return rows
        assert positions is not None, "who asks such a model knows what is held"
        return with_positions(rows, positions, self.shape)

    def note(self, bars: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Keep the features of BAR (n,); their rows without what is held."""
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


def with_positions(rows: np.ndarray, positions: np.ndarray, shape: RowShape) -> np.ndarray:
    """Rows with POSITION_COLUMNS of POSITION (n,): behind the features of each bar of a window
    stands the same, what is held when the model is asked."""
    qty, average = positions["qty"], positions["avg_price"]
    side = np.sign(qty)
    is_held = side != 0.0
    moved = np.divide(positions["mark"], average, out=np.ones(len(qty)), where=is_held) - 1.0
    since = np.where(is_held, positions["bars"] - positions["entry_bar"], 0)
    held = np.column_stack([side, qty, side * moved, since.astype(np.float64)])
    return _beside(rows, held, shape)


def _beside(rows: np.ndarray, held: np.ndarray, shape: RowShape) -> np.ndarray:
    """float64 (n, window × (k + 4)) of rows (n, window × k) and what is held (n, 4)."""
    if shape.window == 1:
        return np.column_stack([rows, held])
    count = len(rows)
    bars = rows.reshape(count, shape.window, rows.shape[1] // shape.window)
    again = np.broadcast_to(held[:, None, :], (count, shape.window, held.shape[1]))
    return np.concatenate([bars, again], axis=2).reshape(count, -1)
