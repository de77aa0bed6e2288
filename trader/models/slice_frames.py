"""`scope: slice`: a callable of the user's asked once an instant, about all its symbols.

    rows of one close ─► DataFrame (symbols × features) ─► one action a symbol

Law: the frame has the symbols whose features are all defined, in config order; the others are
WARMUP. An answer with the symbols as its index is taken by name, any other by order.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.models.actions import AnswerError

if TYPE_CHECKING:
    import pandas as pd


def slice_frames(
    bars: np.ndarray, features: np.ndarray, names: Sequence[str], symbols: Sequence[str]
) -> Iterator[tuple[slice, "pd.DataFrame"]]:
    """(rows, frame) of each instant of BAR (n,); the frame's `attrs["time"]` is the close."""
    import pandas as pd

    labels = pd.Index(symbols, name="symbol")
    columns = pd.Index(names)
    edges = [0, *(np.flatnonzero(np.diff(bars["ts_ns"])) + 1).tolist(), len(bars)]
    for first, last in itertools.pairwise(edges):
        rows = slice(first, last)
        frame = pd.DataFrame(features[rows], labels[bars["symbol"][rows]], columns)
        frame.attrs["time"] = pd.Timestamp(int(bars["ts_ns"][first]), unit="ns", tz="UTC")
        yield rows, frame


def by_symbol(answer: Any, frame: "pd.DataFrame") -> Any:
    """An answer in the order of the frame, where its index names symbols."""
    index = getattr(answer, "index", None)
    if index is None or callable(index) or index.equals(frame.index):
        return answer
    try:
        has_all = len(index) == len(frame) and set(index) == set(frame.index)
    except TypeError:
        has_all = False
    if has_all:
        return answer.reindex(frame.index)
    known = [name for name in index if name in set(frame.index)]
    if known or len(index) != len(frame):
        lacking = ", ".join(str(name) for name in frame.index if name not in set(index))
        raise AnswerError(f"the answer lacks symbols of the frame: {lacking or 'one is doubled'}")
    return answer
