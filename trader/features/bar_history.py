"""BAR records of several symbols, seen symbol by symbol.

Law: nothing is copied for a single symbol; for several, one index of the rows is made. A column is
made contiguous when it is first read and let go when no later reader is left.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

Rows = slice | np.ndarray  # of one symbol, in order of time; the slice is all rows
BLOCK_ROWS = 16_384  # a block of a column stays in the processor's cache between two looks at it


class BarHistory:
    """BAR records (n,) sorted by (ts_ns, symbol), with symbols from 0 to `n_symbols` − 1.

    `is_kept`: columns of a single symbol stay, for others that read the same history.
    """

    def __init__(self, bars: np.ndarray, n_symbols: int, is_kept: bool = False) -> None:
        self.bars = np.ascontiguousarray(bars)
        self.n_symbols = n_symbols
        self.kept: dict[str, tuple[np.ndarray, bool]] | None = None
        if is_kept and n_symbols == 1:
            self.kept = {}
        self._by_symbol: list[tuple[int, Rows]] | None = None

    def by_symbol(self) -> list[tuple[int, Rows]]:
        """Each symbol that has bars, with its rows in order of time."""
        if self._by_symbol is None:
            self._by_symbol = list(self._split())
        return self._by_symbol

    def _split(self) -> Iterator[tuple[int, Rows]]:
        symbols = self.bars["symbol"]
        if len(symbols) == 0:
            return
        if self.n_symbols == 1:
            yield 0, slice(None)
            return
        assert symbols.min() >= 0, "a symbol of the config"
        assert symbols.max() < self.n_symbols, "a symbol of the config"
        if self.n_symbols <= np.iinfo(np.int16).max:
            symbols = symbols.astype(np.int16)  # sorted by radix: 6 times faster
        order = np.argsort(symbols, kind="stable")
        bounds = np.searchsorted(symbols, np.arange(self.n_symbols + 1), sorter=order)
        for symbol, (first, last) in enumerate(itertools.pairwise(bounds.tolist())):
            if last > first:
                yield symbol, order[first:last]


class Columns:
    """Contiguous columns of one symbol's rows. `readers` are the columns each later reader asks
    for, in turn; a column is dropped after its last reader.
    """

    def __init__(self, history: BarHistory, rows: Rows, readers: Sequence[Sequence[str]]) -> None:
        self._bars, self._rows, self._kept = history.bars, rows, history.kept
        self._last_reader = {name: turn for turn, names in enumerate(readers) for name in names}
        self._readers = readers
        self._made: dict[str, np.ndarray] = {}
        self._whole: dict[str, bool] = {}

    def read(self, turn: int) -> tuple[list[np.ndarray], bool]:
        """The columns of reader `turn`, float64 (n,), and whether all their values are finite."""
        names = self._readers[turn]
        for name in names:
            if name not in self._made:
                self._made[name], self._whole[name] = self._column(name)
        columns = [self._made[name] for name in names]
        for name in set(names):
            if self._last_reader[name] == turn:
                del self._made[name]
        return columns, all(self._whole[name] for name in names)

    def _column(self, name: str) -> tuple[np.ndarray, bool]:
        if self._kept is None:
            return self._make(name)
        if name not in self._kept:
            self._kept[name] = self._make(name)
        return self._kept[name]

    def _make(self, name: str) -> tuple[np.ndarray, bool]:
        """The column, and whether it is finite throughout."""
        source, rows = self._bars[name], self._rows
        column = np.empty(len(source) if isinstance(rows, slice) else len(rows))
        whole = True
        for start in range(0, len(column), BLOCK_ROWS):
            block = column[start : start + BLOCK_ROWS]
            stop = start + len(block)
            block[:] = source[start:stop] if isinstance(rows, slice) else source[rows[start:stop]]
            whole = whole and bool(np.isfinite(block).all())
        return column, whole
