"""Pandas functions over a history and bar by bar: `{type: frame, …}` of a config.

    history   in blocks: the function sees a block and the `window` − 1 bars before it
    stream    the same block as far as it has come

Law: a row comes of a call whose first bar is the same in both, and a function that does not look
ahead gives a row the same bits whatever follows it: so backtest and paper agree to the last bit,
where "the last `window` bars" at each bar would begin its running sums anew. `prove` shows that
the function is of that kind, and that whatever lies before the window changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trader.core.schema import BAR
from trader.features.bar_history import BarHistory
from trader.features.frame_function import FrameFunction
from trader.features.python_feature import FeatureError, FutureUseError, TwoValues
from trader.moments import iso_utc

WINDOWS_PER_BLOCK = 4
SHORTEST_BLOCK = 2_000  # bars; a call of pandas costs about as much as so many rows
RELATIVE, OF_LARGEST = 1e-7, 1e-9  # how near whole history and window must be: running sums round
PROVED_ROWS = 12  # of each symbol, beside the first rows and those without quotes
WHOLE_ROWS = 200_000  # of a symbol's history, that the window is compared with


class FrameFeatures:
    """All frame features of a config. Satisfies `features.feature.FeatureGroup`."""

    def __init__(
        self, functions: Sequence[tuple[FrameFunction, int]], symbols: Sequence[str]
    ) -> None:
        """`functions` with the first column of the matrix that each fills."""
        self._functions = tuple(functions)
        self._symbols = tuple(symbols)

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """Fill the functions' columns of `matrix` (n, features)."""
        for symbol, rows in history.by_symbol():
            bars = history.bars[rows]
            for function, first in self._functions:
                values = _in_blocks(function, bars, self._symbols[symbol])
                matrix[rows, first : first + len(function.columns)] = values

    def stream(self) -> "FrameStream":
        """Fresh streams for every symbol."""
        return FrameStream(self._functions, self._symbols)

    def prove(self, history: BarHistory) -> None:
        """`FeatureError` where history and stream would differ, on sampled rows of every symbol."""
        for symbol, rows in history.by_symbol():
            bars = history.bars[rows]
            for function, _ in self._functions:
                _prove(function, bars, self._symbols[symbol])


class FrameStream:
    """The bars of every symbol as far as the functions need them."""

    def __init__(
        self, functions: Sequence[tuple[FrameFunction, int]], symbols: Sequence[str]
    ) -> None:
        self._functions = functions
        self._symbols = symbols
        self._lanes = [[_Lane(function) for function, _ in functions] for _ in symbols]

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill the functions' places of `row` at the close of `bar`."""
        symbol = fields[8]
        for (function, first), lane in zip(self._functions, self._lanes[symbol], strict=True):
            seen = lane.add(bar)
            values = function.values(seen, self._symbols[symbol])
            row[first : first + len(function.columns)] = values[-1]

    def warm_up(self, history: BarHistory) -> None:
        """Take the history in."""
        for symbol, rows in history.by_symbol():
            for lane in self._lanes[symbol]:
                lane.add_all(history.bars[rows])


class _Lane:
    """The bars of one symbol since the first that its block sees."""

    def __init__(self, function: FrameFunction) -> None:
        self._before, self._block = function.window - 1, block_rows(function)
        self._bars = np.zeros(self._before + self._block, BAR)
        self._held = 0  # bars in `_bars`
        self._done = 0  # bars of the block

    def add(self, bar: np.void) -> np.ndarray:
        """Take a bar in; what the function is to see at its close."""
        if self._done == self._block:
            keep = min(self._before, self._held)
            self._bars[:keep] = self._bars[self._held - keep : self._held].copy()
            self._held, self._done = keep, 0
        self._bars[self._held] = bar
        self._held += 1
        self._done += 1
        return self._bars[: self._held]

    def add_all(self, bars: np.ndarray) -> None:
        """Take bars in, one after the other."""
        for bar in bars:
            self.add(bar)


def block_rows(function: FrameFunction) -> int:
    """Bars of a block."""
    return max(WINDOWS_PER_BLOCK * function.window, SHORTEST_BLOCK)


def _first_seen(function: FrameFunction, row: int) -> int:
    """The first bar that the block of `row` sees."""
    block = block_rows(function)
    return max(0, row // block * block - (function.window - 1))


def _in_blocks(function: FrameFunction, bars: np.ndarray, symbol: str) -> np.ndarray:
    values = np.empty((len(bars), len(function.columns)))
    block = block_rows(function)
    for start in range(0, len(bars), block):
        first = _first_seen(function, start)
        part = function.values(bars[first : start + block], symbol)
        values[start : start + block] = part[start - first :]
    return values


def _prove(function: FrameFunction, bars: np.ndarray, symbol: str) -> None:
    """Compare a row's block whole and cut after it; then the blocks with one call over all."""
    bars = bars[:WHOLE_ROWS]
    values = _in_blocks(function, bars, symbol)
    scale = _scales(values)
    for row in _sample(bars, function.window):
        first = _first_seen(function, row)
        alone = function.values(bars[first : row + 1], symbol)[-1]
        column = _first_difference(values[row], alone)
        if column is None:
            continue
        place = _place(function, column, bars[row], symbol)
        shown = f"{_shown(values[row, column])} over a history, {_shown(alone[column])} when it"
        if _are_near(values[row], alone, scale)[column]:
            raise FeatureError(
                f"{place}: {shown} is the newest bar, and they differ in the last digits alone: "
                "the function sums in another order when later bars follow (np.convolve, FFT and "
                "matrix products do); round the column, or use rolling()"
            )
        time = iso_utc(int(bars[row]["ts_ns"]))
        two = float(values[row, column]), float(alone[column])
        raise FutureUseError(
            f"{place}: {shown} is the newest bar. The future was used: the same bars give another "
            "value once later ones follow (shift(-n), center=True, bfill, a mean over the whole "
            "frame, resample labelled left)",
            TwoValues(function.columns[column], symbol, time, *two),
        )
    whole = function.values(bars, symbol)
    near = _are_near(whole, values, scale)
    if not near.all():
        row, column = np.argwhere(~near)[0].tolist()
        place = _place(function, column, bars[row], symbol)
        raise FeatureError(
            f"{place}: {_shown(whole[row, column])} over the whole history, "
            f"{_shown(values[row, column])} from the last {function.window} bars or more. The "
            f"window is too short: bars before it count; raise features.{function.name}.window"
        )
    for row in _window_rows(function, len(bars)):
        first = row + 1 - function.window
        alone = function.values(bars[first : row + 1], symbol)[-1]
        near = _are_near(whole[row], alone, scale)
        if not near.all():
            column = int(np.flatnonzero(~near)[0])
            place = _place(function, column, bars[row], symbol)
            raise FeatureError(
                f"{place}: {_shown(whole[row, column])} over the whole history, "
                f"{_shown(alone[column])} from the last {function.window} bars. The window is too "
                f"short: bars before it count; raise features.{function.name}.window"
            )


def _sample(bars: np.ndarray, window: int) -> list[int]:
    """Rows to cut after: the first ones, some of all, some without quotes among rows with."""
    count = len(bars)
    rows = {0, 1, 2, 4, 9, window // 2, window - 1, window, count - 1}
    rows |= set(np.random.default_rng(count).integers(0, count, PROVED_ROWS).tolist())
    unquoted = np.isnan(bars["bid"]) | np.isnan(bars["ask"])
    if unquoted.any() and not unquoted.all():
        without = np.flatnonzero(unquoted)
        rows |= set(without[:: max(1, len(without) // 3)][:3].tolist())
    return sorted(row for row in rows if 0 <= row < count)


def _window_rows(function: FrameFunction, count: int) -> Iterator[int]:
    """Rows before which more bars lie than the window has, spread over the history."""
    first = function.window
    if count > first:
        yield from sorted({*np.linspace(first, count - 1, PROVED_ROWS).astype(int).tolist()})


def _first_difference(one: np.ndarray, other: np.ndarray) -> int | None:
    """The first column that is not equal to the last bit."""
    differ = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    return int(np.argmax(differ)) if differ.any() else None


def _scales(values: np.ndarray) -> np.ndarray:
    """The largest amount of each column; 0 where it has no value."""
    return np.max(np.abs(np.nan_to_num(values)), axis=0, initial=0.0)


def _are_near(one: np.ndarray, other: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Where two are equal but for rounding, or both have no value."""
    with np.errstate(invalid="ignore"):
        most = RELATIVE * np.maximum(np.abs(one), np.abs(other)) + OF_LARGEST * scale
        near: np.ndarray = (np.abs(one - other) <= most) | (np.isnan(one) & np.isnan(other))
    return near


def _place(function: FrameFunction, column: int, bar: np.void, symbol: str) -> str:
    name = function.columns[column]
    when = iso_utc(int(bar["ts_ns"]))
    return f"feature {function.name}: column {name} of {symbol}, bar closing {when}"


def _shown(value: float) -> str:
    return "no value" if np.isnan(value) else repr(float(value))
