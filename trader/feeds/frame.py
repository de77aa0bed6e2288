"""A pandas frame of bars as BAR records, for those who call the loop from Python.

Law: a frame says when its bars close, in a zone, in order and once each; anything else raises.
Values are judged by the data gate, not here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trader.core.schema import BAR
from trader.errors import DataError
from trader.record_arrays import taken

if TYPE_CHECKING:
    import pandas as pd

PRICES = ("open", "high", "low", "close", "volume")
QUOTES = ("bid", "ask")


def bars_from_frame(
    frame: "pd.DataFrame", symbols: Sequence[str] = (), symbol: str = ""
) -> np.ndarray:
    """BAR (n,) sorted by (close, symbol) from a frame indexed by the closes of its bars.

    The index is a tz-aware DatetimeIndex; columns are open, high, low, close, volume, and bid, ask
    where known (NaN otherwise). `symbols` are the instruments in config order; the bars are of
    `symbol`, or of the column `symbol`, or of the only instrument. `DataError` for an index that
    is no DatetimeIndex, has no zone, holds NaT, is out of order or repeats a bar, for columns that
    are missing or hold no numbers, and for unknown symbols.
    """
    import pandas as pd

    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(
            f"the frame's index is a {type(index).__name__}, not a DatetimeIndex of the bars' "
            "closes; set one with frame.set_index and pd.to_datetime(..., utc=True)"
        )
    if index.tz is None:
        raise DataError(
            "the frame's DatetimeIndex has no time zone; say which with index.tz_localize"
        )
    if index.hasnans:
        raise DataError(f"row {int(np.argmax(index.isna()))}: the index holds NaT")
    bars = np.zeros(len(frame), BAR)
    bars["ts_ns"] = index.tz_convert("UTC").as_unit("ns").asi8
    for name in (*PRICES, *QUOTES):
        bars[name] = _numbers(frame, name)
    bars["symbol"] = _codes(frame, symbols, symbol)
    _require_order(bars, index)
    return taken(bars, np.lexsort((bars["symbol"], bars["ts_ns"])))


def _numbers(frame: "pd.DataFrame", name: str) -> np.ndarray:
    if name not in frame.columns:
        if name in QUOTES:
            return np.full(len(frame), np.nan)
        raise DataError(f"the frame has no column {name!r}; it needs {', '.join(PRICES)}")
    try:
        return frame[name].to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {name!r} of the frame holds no numbers: {error}") from None


def _codes(frame: "pd.DataFrame", symbols: Sequence[str], symbol: str) -> np.ndarray:
    """Indices of `symbols` for every row."""
    known = {name: number for number, name in enumerate(symbols)}
    if symbol or "symbol" not in frame.columns:
        if not symbol and len(symbols) > 1:
            raise DataError("the frame has no column 'symbol', and there are several instruments")
        if symbol and symbol not in known:
            raise DataError(f"{symbol!r} is not an instrument; there are {', '.join(symbols)}")
        return np.full(len(frame), known.get(symbol, 0), np.int32)
    names = frame["symbol"].tolist()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(f"{unknown[0]!r} is not an instrument; there are {', '.join(symbols)}")
    return np.array([known[name] for name in names], np.int32)


def _require_order(bars: np.ndarray, index: "pd.DatetimeIndex") -> None:
    """`DataError` where a symbol's bars are out of order or doubled."""
    for code in np.unique(bars["symbol"]).tolist():
        rows = np.flatnonzero(bars["symbol"] == code)
        steps = np.diff(bars["ts_ns"][rows])
        if len(steps) and not (steps > 0).all():
            row = int(rows[1:][np.argmax(steps <= 0)])
            what = "twice" if (steps == 0).any() else "before the one above it"
            raise DataError(f"row {row}: a bar closes at {index[row]} {what}")
