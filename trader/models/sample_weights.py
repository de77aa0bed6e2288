"""Weights of training rows by how alone their labels are (López de Prado 2018, chapter 4).

Law: at a bar that c labels of one symbol look at, each has 1 / c of it; a row's weight is the mean
of that over the bars its label looks at, scaled so that weights average 1.
"""

import numpy as np


def uniqueness(symbols: np.ndarray, rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """float64 (m,) weights of training `rows`, whose labels look at (row, end] of their symbol.

    `symbols` (n,) is the symbol of every bar; `rows` and `ends` (m,) are numbers of bars.
    """
    weights = np.ones(len(rows))
    for symbol in np.unique(symbols[rows]).tolist():
        own = np.flatnonzero(symbols == symbol)  # the symbol's bars, counted from 0
        mine = symbols[rows] == symbol
        first = np.searchsorted(own, rows[mine]) + 1
        last = np.searchsorted(own, ends[mine])
        change = np.zeros(len(own) + 1)
        np.add.at(change, first, 1.0)
        np.add.at(change, last + 1, -1.0)
        looking = np.cumsum(change[:-1])
        share = np.divide(1.0, looking, out=np.zeros(len(own)), where=looking > 0)
        total = np.concatenate([[0.0], np.cumsum(share)])
        weights[mine] = (total[last + 1] - total[first]) / (last + 1 - first)
    return weights / weights.mean()
