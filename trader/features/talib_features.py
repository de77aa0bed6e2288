"""TA-Lib's functions over a history, and by its stream handles bar by bar.

Law: the batch is TA-Lib's array function and the stream TA-Lib's own handle, which carries the
same recursion forward one bar at a time. The first value stands at bar `lookback` in both. A bar
without one of the inputs (no quote, say) is not part of what the function sees, and has no value;
what TA-Lib answers with NaN or an infinity is NaN. Features that differ only in `output` share a
call and a handle.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

import numpy as np
import talib
import talib.stream

from trader.core.schema import BAR
from trader.features.bar_history import BLOCK_ROWS, BarHistory, Columns, Rows
from trader.features.talib_call import TalibCall

ROWS_WORTH_THREADS = 100_000
PLACES = {name: place for place, name in enumerate(BAR.names or ())}


class TalibFeatures:
    """All TA-Lib features of a config. Satisfies `signals.feature.FeatureGroup`."""

    def __init__(self, chosen: Sequence[tuple[int, TalibCall, int]], n_symbols: int) -> None:
        """`chosen` are (column of the matrix, call, index of its output)."""
        calls: dict[TalibCall, list[tuple[int, int]]] = {}
        for column, call, output in chosen:
            calls.setdefault(call, []).append((column, output))
        self._calls = [SharedCall(call, targets) for call, targets in calls.items()]
        self._n_symbols = n_symbols

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """Fill the columns of `matrix` (n, features), one symbol after the other.

        Calls write different columns and TA-Lib lets go of the GIL, so long histories are
        computed on all cores; the values do not depend on it.
        """
        readers = [call.inputs for call in self._calls]
        workers = os.cpu_count() or 1 if len(matrix) >= ROWS_WORTH_THREADS else 1
        if min(workers, len(self._calls)) < 2:
            for _, rows in history.by_symbol():
                columns = Columns(history, rows, readers)
                for turn, call in enumerate(self._calls):
                    call.fill(matrix, rows, columns.read(turn))
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="features") as pool:
            for _, rows in history.by_symbol():
                columns = Columns(history, rows, readers)
                fills = [
                    pool.submit(call.fill, matrix, rows, columns.read(turn))
                    for turn, call in enumerate(self._calls)
                ]
                for filled in fills:
                    filled.result()

    def stream(self) -> "TalibStream":
        """Fresh streams for every symbol."""
        return TalibStream(self._calls, self._n_symbols)


class SharedCall:
    """One call and where its outputs go: `targets` are (column of the matrix, output)."""

    def __init__(self, call: TalibCall, targets: Sequence[tuple[int, int]]) -> None:
        self.inputs = call.inputs
        self.lookback = call.lookback
        self.columns = [column for column, _ in targets]
        self._targets = tuple(targets)
        self._arguments = dict(call.arguments)
        self._function = getattr(talib, call.function)
        self._open = getattr(talib.stream, call.function)

    def fill(self, matrix: np.ndarray, rows: Rows, columns: tuple[list[np.ndarray], bool]) -> None:
        """Put the values of one symbol's `rows` into `matrix` (n, features).

        `columns` are the inputs, float64 (rows,), and whether every value of them is finite.
        """
        inputs, whole = columns
        if not whole:
            present = np.logical_and.reduce([np.isfinite(column) for column in inputs])
            for column in self.columns:
                matrix[rows, column] = math.nan
            inputs = [column[present] for column in inputs]
            rows = np.flatnonzero(present) if isinstance(rows, slice) else rows[present]
        answer = self._function(*inputs, **self._arguments)
        outputs = answer if isinstance(answer, tuple | list) else (answer,)
        for column, output in self._targets:
            put_finite(matrix[:, column], rows, outputs[output])
            # whole numbers are 0 there
            matrix[_first(rows, self.lookback), column] = math.nan

    def open(self, history: Sequence[np.ndarray]) -> Any:
        """TA-Lib's handle after the bars in `history`, one float64 array an input."""
        return self._open(*history, **self._arguments)

    def place(self, answer: Any, row: np.ndarray) -> None:
        """Put a handle's answer into its places of `row`."""
        for column, output in self._targets:
            value = float(answer[output] if type(answer) is tuple else answer)
            row[column] = value if value - value == 0.0 else math.nan


def put_finite(column: np.ndarray, rows: Rows, values: np.ndarray) -> None:
    """Put `values` into `rows` of `column`, NaN where one is not finite; block after block, so
    that each is in the processor's cache when it is looked at and when it is copied.
    """
    for start in range(0, len(values), BLOCK_ROWS):
        block = values[start : start + BLOCK_ROWS]
        finite = np.isfinite(block)
        if not finite.all():
            block = np.where(finite, block, math.nan)
        stop = start + len(block)
        column[slice(start, stop) if isinstance(rows, slice) else rows[start:stop]] = block


def _first(rows: Rows, count: int) -> Rows:
    return slice(0, count) if isinstance(rows, slice) else rows[:count]


class TalibStream:
    """A stream of every call for every symbol."""

    def __init__(self, calls: Sequence[SharedCall], n_symbols: int) -> None:
        self._calls = calls
        self._lanes = [[Lane(call) for call in calls] for _ in range(n_symbols)]

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill the calls' places of `row` at the close of the bar with these `fields`."""
        for lane in self._lanes[bar["symbol"]]:
            lane.update(fields, row)

    def warm_up(self, history: BarHistory) -> None:
        """Take the history in: one call of TA-Lib for each handle that is not open yet."""
        readers = [call.inputs for call in self._calls]
        for symbol, rows in history.by_symbol():
            columns = Columns(history, rows, readers)
            for turn, lane in enumerate(self._lanes[symbol]):
                lane.warm_up(columns.read(turn)[0])


class Lane:
    """One call for one symbol: bars are kept until they are enough to open TA-Lib's handle."""

    def __init__(self, call: SharedCall) -> None:
        self._call = call
        self._fields = [PLACES[name] for name in call.inputs]
        self._pick = itemgetter(*self._fields)
        self._history: list[tuple[float, ...]] = []
        self._handle: Any = None

    def update(self, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Take one bar; its values go to their places in `row`."""
        picked = self._pick(fields)
        inputs = picked if type(picked) is tuple else (picked,)
        for value in inputs:
            if value - value != 0.0:
                row[self._call.columns] = math.nan
                return
        if self._handle is not None:
            self._call.place(self._handle.update(*inputs), row)
            return
        self._history.append(inputs)
        if len(self._history) <= self._call.lookback:
            row[self._call.columns] = math.nan
            return
        handle = self._open(np.array(self._history))
        self._call.place(handle.value, row)

    def warm_up(self, columns: Sequence[np.ndarray]) -> None:
        """Take many bars, one float64 array (n,) an input."""
        bars = np.column_stack(columns)
        bars = bars[np.isfinite(bars).all(axis=1)]
        if self._handle is not None:
            for values in bars.tolist():
                self._handle.update(*values)
            return
        if self._history:
            bars = np.concatenate([np.array(self._history), bars])
        if len(bars) > self._call.lookback:
            self._open(bars)
        else:
            self._history = [tuple(values) for values in bars.tolist()]

    def _open(self, bars: np.ndarray) -> Any:
        self._handle = self._call.open(list(bars.T.copy()))
        self._history = []
        return self._handle
