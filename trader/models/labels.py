"""What a classifier is taught: the direction of the return over a fixed number of later bars.

Law: a label looks at later bars of its own symbol only and never past the end of the span; a row
whose horizon ends outside has no label. Bars are counted, not minutes: over a gap in the data the
horizon is longer in time.
"""

import numpy as np

from trader.core.schema import TradingAction
from trader.hours.bar_sessions import bar_opens

UNLABELLED = -1
FLOAT_BPS = 1e-7  # what binary floats make of a return; a move of exactly the threshold is HOLD


def bars_inside(
    bars: np.ndarray, period_ns: int, span_ns: tuple[int | None, int | None]
) -> np.ndarray:
    """bool (n,): BAR records that open at or after `span_ns[0]` and close by `span_ns[1]`."""
    start, end = span_ns
    inside = np.ones(len(bars), bool)
    if start is not None:
        inside &= bar_opens(bars, period_ns) >= start
    if end is not None:
        inside &= bars["ts_ns"] <= end
    return inside


def forward_labels(
    bars: np.ndarray, inside: np.ndarray, horizon_bars: int, threshold_bps: float
) -> np.ndarray:
    """int8 (n,) actions of BAR records (n,): BUY if the close `horizon_bars` later is more than
    `threshold_bps` above this one, SELL if as far below, else HOLD; UNLABELLED where `inside`
    (bool (n,)) does not hold for the bar or for the one it is compared with.
    """
    labels = np.full(len(bars), UNLABELLED, np.int8)
    for symbol in np.unique(bars["symbol"]).tolist():
        rows = np.flatnonzero(inside & (bars["symbol"] == symbol))
        if len(rows) <= horizon_bars:
            continue
        close = bars["close"][rows]
        now, later = close[:-horizon_bars], close[horizon_bars:]
        return_bps = (later - now) / now * 1e4
        label = np.full(len(return_bps), TradingAction.HOLD, np.int8)
        label[return_bps > threshold_bps + FLOAT_BPS] = TradingAction.BUY
        label[return_bps < -threshold_bps - FLOAT_BPS] = TradingAction.SELL
        labels[rows[:-horizon_bars]] = label
    return labels
