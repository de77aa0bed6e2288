"""Round trips: from flat to flat in one symbol, folded out of the fills by one compiled loop.

Law: a fill that turns a position over is split: the part that closes ends one round trip, the
part that opens begins the next; commission and slippage are shared by quantity, the realised
P&L belongs to the closing part. A P&L below the tolerance of money is 0. Positions are compared
in whole lots, so that float dust never keeps a trade open. What is still open at the end is
counted, not listed.
"""

from dataclasses import dataclass

import numpy as np

from trader.core.schema import FILL, NS_PER_SECOND
from trader.jit import inlined, jit
from trader.record_arrays import taken
from trader.rounding import money_noise

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
        ("return_frac", "<f8"),  # pnl / (qty × entry price); NaN at a price of 0 or less
        ("duration_s", "<f8"),
        ("fills", "<i8"),  # a split fill counts in both trades
        ("exit_reason", "<i8"),  # OrderKind of the fill that closed it
    ]
)


@dataclass(frozen=True)
class RoundTrips:
    """Closed trades, sorted by exit time and then symbol, and how many are still open."""

    closed: np.ndarray  # ROUND_TRIP
    open_count: int


SPLIT_LEG = -1  # of a row among the fills that is a split
OPEN_TRADE = np.dtype(
    [
        ("lots", "<f8"),  # position now, in whole lots: float dust never keeps a trade open
        ("side", "<f8"),
        ("largest", "<f8"),  # lots
        ("entered", "<f8"),  # units and their notional
        ("entered_notional", "<f8"),  # in the units of the price
        ("entered_value", "<f8"),  # in account currency
        ("left", "<f8"),
        ("left_notional", "<f8"),
        ("gross_pnl", "<f8"),
        ("commission", "<f8"),
        ("entry_ns", "<i8"),
        ("fills", "<i8"),
    ]
)


def round_trips(fills: np.ndarray, lot_sizes: np.ndarray) -> RoundTrips:
    """Fold FILL rows, in order of execution, into round trips. `lot_sizes` is per symbol."""
    trades = np.empty(len(fills), ROUND_TRIP)  # a fill closes one trade at most
    working = np.zeros(len(lot_sizes), OPEN_TRADE)
    count = fold_fills(fills, np.asarray(lot_sizes, np.float64), working, trades)
    closed = trades[:count]
    order = np.lexsort((closed["symbol"], closed["exit_ns"]))
    return RoundTrips(taken(closed, order), int(np.count_nonzero(working["lots"])))


def closed_trips(fills: np.ndarray, lot_sizes: np.ndarray, room: np.ndarray) -> int:
    """How many `round_trips` are closed. `room`: ROUND_TRIP records to work in, one a fill."""
    return int(fold_fills(fills, lot_sizes, np.zeros(len(lot_sizes), OPEN_TRADE), room))


def with_splits(fills: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """FILL rows with a row for every split (CASHFLOW) between the fills that it lies between."""
    if not len(splits):
        return fills
    marks = np.zeros(len(splits), FILL)
    marks["leg"] = SPLIT_LEG
    for name in ("ts_ns", "symbol", "qty", "realized_pnl"):
        marks[name] = splits[name]
    marks["price"] = splits["value"]
    return np.insert(fills, np.searchsorted(fills["fill_id"], splits["fill_id"]), marks)


@jit
def fold_fills(fills, lot_sizes, working, trades):  # type: ignore[no-untyped-def]
    """Carry the OPEN_TRADE of each symbol through its fills; returns how many trades closed."""
    closed = 0
    for index in range(len(fills)):
        fill = fills[index]
        lot_size = lot_sizes[fill["symbol"]]
        state = working[fill["symbol"]]
        if fill["leg"] == SPLIT_LEG:
            closed += cross_split(state, fill, lot_size, trades[closed])
            continue
        lots = np.rint(fill["qty"] / lot_size)
        before = state["lots"]
        after = before + lots
        realized = fill["realized_pnl"]
        if before * after < 0.0:
            opening = after / lots  # share of the fill that opens the next trade
            kept = fill["commission"] - fill["commission"] * opening
            count_part(state, fill, 0.0 - before, lot_size, (realized, kept))
            close_trade(state, fill, lot_size, trades[closed])
            closed += 1
            count_part(state, fill, after, lot_size, (0.0, fill["commission"] * opening))
        else:
            count_part(state, fill, lots, lot_size, (realized, fill["commission"]))
            if after == 0.0:
                close_trade(state, fill, lot_size, trades[closed])
                closed += 1
    return closed


@inlined
def cross_split(state, mark, lot_size, trade):  # type: ignore[no-untyped-def]
    """Carry an open trade into the units after a split; 1 if the split ended it, otherwise 0.

    `mark` has the ratio in `price`, the change of units in `qty`.
    """
    if state["lots"] == 0.0:
        return 0
    ratio = mark["price"]
    lots = state["lots"] + np.rint(mark["qty"] / lot_size)
    worth = state["entered_notional"] / state["entered"]  # a unit before the split
    whole = state["lots"] * ratio
    rest = abs(whole - lots) * lot_size  # paid out
    state["entered"] *= ratio
    state["left"] *= ratio
    state["largest"] *= ratio
    state["left"] += rest
    gained = mark["realized_pnl"] * state["side"]
    if gained != 0.0:
        gained *= state["entered_notional"] / state["entered_value"]
    state["left_notional"] += rest * worth / ratio + gained
    state["gross_pnl"] += mark["realized_pnl"]
    state["lots"] = lots
    if lots == 0.0:
        close_trade(state, mark, lot_size, trade)
        return 1
    return 0


@inlined
def count_part(state, fill, lots, lot_size, money):  # type: ignore[no-untyped-def]
    """Take signed `lots` of `fill` into the trade; `money` is its (realised P&L, commission)."""
    if state["lots"] == 0.0:
        state["side"] = 1.0 if lots > 0.0 else -1.0
        state["entry_ns"] = fill["ts_ns"]
    units = abs(lots) * lot_size
    if lots * state["side"] > 0.0:
        state["entered"] += units
        state["entered_notional"] += units * fill["price"]
        state["entered_value"] += units * fill["price"] * fill["unit_value"]
    else:
        state["left"] += units
        state["left_notional"] += units * fill["price"]
    state["lots"] += lots
    state["largest"] = max(state["largest"], abs(state["lots"]))
    state["gross_pnl"] += money[0]
    state["commission"] += money[1]
    state["fills"] += 1


@inlined
def close_trade(state, fill, lot_size, trade):  # type: ignore[no-untyped-def]
    """Write the finished ROUND_TRIP and make the symbol's state flat again."""
    trade["symbol"] = fill["symbol"]
    trade["side"] = int(state["side"])
    trade["entry_ns"] = state["entry_ns"]
    trade["exit_ns"] = fill["ts_ns"]
    trade["qty"] = state["largest"] * lot_size
    trade["entry_price"] = state["entered_notional"] / state["entered"]
    trade["exit_price"] = state["left_notional"] / state["left"]
    noise = money_noise(state["entered_value"])
    gross, net = state["gross_pnl"], state["gross_pnl"] - state["commission"]
    trade["gross_pnl"] = gross if abs(gross) > noise else 0.0
    trade["commission"] = state["commission"]
    trade["pnl"] = net if abs(net) > noise else 0.0
    worth = trade["qty"] * (state["entered_value"] / state["entered"])
    trade["return_frac"] = trade["pnl"] / worth if worth > 0.0 else np.nan
    trade["duration_s"] = (trade["exit_ns"] - trade["entry_ns"]) / NS_PER_SECOND
    trade["fills"] = state["fills"]
    trade["exit_reason"] = fill["kind"]
    state["lots"] = 0.0
    state["largest"] = 0.0
    state["entered"] = 0.0
    state["entered_notional"] = 0.0
    state["entered_value"] = 0.0
    state["left"] = 0.0
    state["left_notional"] = 0.0
    state["gross_pnl"] = 0.0
    state["commission"] = 0.0
    state["fills"] = 0
