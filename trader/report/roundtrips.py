"""Round trips: from flat to flat in one symbol, folded out of the fills without a Python loop.

Law: a fill that turns a position over is split: the part that closes ends one round trip, the
part that opens begins the next; commission and slippage are shared by quantity, the realised
P&L belongs to the closing part. Positions are compared in whole lots, so that float dust never
keeps a trade open. What is still open at the end is counted, not listed.
"""

from dataclasses import dataclass

import numpy as np

from trader.core.schema import FILL, NS_PER_SECOND

ROUND_TRIP = np.dtype(
    [
        ("symbol", "<i8"),
        ("side", "<i8"),  # Side of the entry: +1 long, −1 short
        ("entry_ns", "<i8"),  # first fill
        ("exit_ns", "<i8"),  # last fill
        ("qty", "<f8"),  # largest absolute position on the way
        ("entry_price", "<f8"),  # average of the fills that entered, by quantity
        ("exit_price", "<f8"),  # average of the fills that left
        ("pnl", "<f8"),  # net of commission
        ("gross_pnl", "<f8"),
        ("commission", "<f8"),
        ("return_frac", "<f8"),  # pnl / (qty × entry price)
        ("duration_s", "<f8"),
        ("fills", "<i8"),  # a split fill counts in both trades
    ]
)


@dataclass(frozen=True)
class RoundTrips:
    """Closed trades, sorted by exit time and then symbol, and how many are still open."""

    closed: np.ndarray  # ROUND_TRIP
    open_count: int


def round_trips(fills: np.ndarray, lot_sizes: np.ndarray) -> RoundTrips:
    """Fold FILL rows, in order of execution, into round trips. `lot_sizes` is per symbol."""
    if len(fills) == 0:
        return RoundTrips(np.empty(0, ROUND_TRIP), 0)
    parts, held = _split_at_flat(fills, lot_sizes)
    entered = np.sign(parts["qty"]) == np.sign(np.where(held == 0.0, parts["qty"], held))
    begins = held == 0.0
    starts = np.flatnonzero(begins)
    after = held + parts["qty"]
    lots = lot_sizes[parts["symbol"]]
    ends = np.append(starts[1:], len(parts)) - 1
    is_closed = np.abs(after[ends]) < 0.5 * lots[ends]
    trades = _fold(parts, entered, np.maximum(np.abs(held), np.abs(after)), starts)
    closed = trades[is_closed]
    order = np.lexsort((closed["symbol"], closed["exit_ns"]))
    return RoundTrips(closed[order], int(np.count_nonzero(~is_closed)))


def _split_at_flat(fills: np.ndarray, lot_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fills sorted by symbol with reversals cut in two, and the position held before each part."""
    rows = fills[np.argsort(fills["symbol"], kind="stable")]
    lots = lot_sizes[rows["symbol"]]
    is_first = np.append(True, rows["symbol"][1:] != rows["symbol"][:-1])
    running = np.cumsum(np.rint(rows["qty"] / lots))  # whole lots: exact in float64
    before_symbol = np.append(0.0, running[:-1])[is_first]
    group = np.cumsum(is_first) - 1
    after = (running - before_symbol[group]) * lots
    held = np.where(is_first, 0.0, np.append(0.0, after[:-1]))
    turns = held * after < 0.0
    parts = np.repeat(rows, np.where(turns, 2, 1))
    held = np.repeat(held, np.where(turns, 2, 1))
    opening = np.flatnonzero(turns) + np.arange(1, int(np.count_nonzero(turns)) + 1)
    closing = opening - 1
    _share_out(parts, opening, closing, after[turns])
    held[opening] = 0.0
    return parts, held


def _share_out(
    parts: np.ndarray, opening: np.ndarray, closing: np.ndarray, opened_qty: np.ndarray
) -> None:
    """Give each half of a reversal its quantity and its share of the costs."""
    share = opened_qty / parts["qty"][opening]
    closed_qty = parts["qty"][closing] - opened_qty
    for field in ("commission", "slippage"):
        whole = parts[field][opening]
        parts[field][opening] = whole * share
        parts[field][closing] = whole - whole * share
    parts["qty"][opening] = opened_qty
    parts["qty"][closing] = closed_qty
    parts["realized_pnl"][opening] = 0.0


def _fold(
    parts: np.ndarray, entered: np.ndarray, size: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """One ROUND_TRIP for each run of `parts` that begins at `starts`."""
    assert parts.dtype == FILL
    ends = np.append(starts[1:], len(parts)) - 1
    quantity = np.abs(parts["qty"])
    notional = quantity * parts["price"]
    trades = np.zeros(len(starts), ROUND_TRIP)
    trades["symbol"] = parts["symbol"][starts]
    trades["side"] = np.sign(parts["qty"][starts]).astype(np.int64)
    trades["entry_ns"] = parts["ts_ns"][starts]
    trades["exit_ns"] = parts["ts_ns"][ends]
    trades["qty"] = np.maximum.reduceat(size, starts)
    trades["entry_price"] = _average(notional, quantity, entered, starts)
    trades["exit_price"] = _average(notional, quantity, ~entered, starts)
    trades["gross_pnl"] = np.add.reduceat(parts["realized_pnl"], starts)
    trades["commission"] = np.add.reduceat(parts["commission"], starts)
    trades["pnl"] = trades["gross_pnl"] - trades["commission"]
    trades["return_frac"] = trades["pnl"] / (trades["qty"] * trades["entry_price"])
    trades["duration_s"] = (trades["exit_ns"] - trades["entry_ns"]) / NS_PER_SECOND
    trades["fills"] = ends - starts + 1
    return trades


def _average(
    notional: np.ndarray, quantity: np.ndarray, chosen: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Average price of the chosen parts of each trade; NaN where a trade has none of them."""
    paid = np.add.reduceat(np.where(chosen, notional, 0.0), starts)
    units = np.add.reduceat(np.where(chosen, quantity, 0.0), starts)
    return np.divide(paid, units, out=np.full(len(starts), np.nan), where=units > 0.0)
