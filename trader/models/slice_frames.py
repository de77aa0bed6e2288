"""`model.scope: slice`: a model asked once an instant, about all its symbols.

    rows of one close ─► DataFrame (symbols × features) ─► one action a symbol
    with a window     ─► DataFrame (symbols, bars × features), the newest bar is bar 0

Law: the frame has the symbols whose features are all defined, in config order; the others are
WARMUP. An answer with the symbols as its index is taken by name, any other by order.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.models.answers import AnswerError

if TYPE_CHECKING:
    import pandas as pd


def slice_frames(
    bars: np.ndarray,
    features: np.ndarray,
    names: Sequence[str],
    symbols: Sequence[str],
    window: int = 1,
) -> Iterator[tuple[slice, "pd.DataFrame"]]:
    """(rows, frame) of each instant of BAR (n,); the frame's `attrs["time"]` is the close."""
    import pandas as pd

    labels = pd.Index(symbols, name="symbol")
    columns = pd.Index(names)
    places = pd.RangeIndex(1 - window, 1, name="bar")
    edges = [0, *(np.flatnonzero(np.diff(bars["ts_ns"])) + 1).tolist(), len(bars)]
    for first, last in itertools.pairwise(edges):
        rows = slice(first, last)
        index: pd.Index = labels[bars["symbol"][rows]]
        if window > 1:
            index = pd.MultiIndex.from_product([index, places])
        frame = pd.DataFrame(features[rows].reshape(len(index), -1), index, columns)
        frame.attrs["time"] = pd.Timestamp(int(bars["ts_ns"][first]), unit="ns", tz="UTC")
        yield rows, frame


def symbols_of(frame: "pd.DataFrame") -> "pd.Index":
    """The symbols of a frame, in its order."""
    return frame.index if frame.index.nlevels == 1 else frame.index.unique(level=0)


def by_symbol(answer: Any, symbols: "pd.Index") -> Any:
    """An answer in the order of the symbols, where its index names symbols."""
    index = getattr(answer, "index", None)
    if index is None or callable(index) or index.equals(symbols):
        return answer
    try:
        has_all = len(index) == len(symbols) and set(index) == set(symbols)
    except TypeError:
        has_all = False
    if has_all:
        return answer.reindex(symbols)
    known = [name for name in index if name in set(symbols)]
    if known or len(index) != len(symbols):
        lacking = ", ".join(str(name) for name in symbols if name not in set(index))
        raise AnswerError(f"the answer lacks symbols of the frame: {lacking or 'one is doubled'}")
    return answer
