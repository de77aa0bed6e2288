"""The bundles the core passes around: one book of state, one set of rules, inputs and outputs.

Law: a `Book` is the whole state and is nothing but flat arrays: a snapshot is their bytes, in
field order. `Rules` never change during a run. `Out` is scratch: rows are appended at `counts`.
"""

from typing import NamedTuple

import numpy as np

from trader.core import schema
from trader.core.schema import MAX_WORKING_ORDERS, SizingMode, TradingState
from trader.jit import inlined

# indices into Out.counts
DECISIONS, EQUITIES, FILLS, THROTTLES, EVENTS, ORDERS, CASHFLOWS = range(7)
NO_FINER, NO_EDGES = np.empty(0, schema.BAR), np.empty(0, np.int64)
NO_REQUESTS = np.empty(0, schema.REQUEST)  # every action comes alone
NO_ENTRY = np.zeros(1, schema.ENTRY)  # market orders
NO_ENTRY["time_in_force"] = -1  # that of the broker
NO_EXITS = np.zeros(1, schema.EXITS)
NO_ADJUSTMENTS = np.empty(0, schema.ADJUSTMENT)
NEVER = -(2**40)  # bars ago
CASHFLOWS_PER_SYMBOL = 2  # that one slice can cause, beside corporate actions
FILLS_PER_BAR = 2 * MAX_WORKING_ORDERS  # more do not happen: what is left fills in the next bar
EVENTS_PER_SLICE = 12  # account-wide events one slice can cause, beside those per order


class Book(NamedTuple):
    """Everything that changes: accounts and positions, working orders, trailing windows."""

    account: np.ndarray  # ACCOUNT, (1,)
    positions: np.ndarray  # POSITION, (symbols,)
    orders: np.ndarray  # ORDER, (symbols, MAX_WORKING_ORDERS), oldest first
    volumes: np.ndarray  # f8, (symbols, ring): bars before the last one
    returns: np.ndarray  # f8, (symbols, ring)
    ranges: np.ndarray  # f8, (symbols, 3): true range averaged for stop, target, trailing stop
    carry: np.ndarray  # CARRY, (1,)


class Rules(NamedTuple):
    """Everything that does not change during a run. Where no length is given, it is one."""

    limits: np.ndarray  # LIMITS: of all; where any symbol has its own, then a row per symbol
    sizing: np.ndarray  # SIZING
    broker: np.ndarray  # BROKER
    instruments: np.ndarray  # INSTRUMENT, (symbols,)
    sessions: np.ndarray  # SESSION, sorted by open_ns, not overlapping
    entry: np.ndarray = NO_ENTRY  # ENTRY
    exits: np.ndarray = NO_EXITS  # EXITS
    adjustments: np.ndarray = NO_ADJUSTMENTS  # ADJUSTMENT (any number), sorted by ts_ns


class Inputs(NamedTuple):
    """Bars sorted by (ts_ns, symbol) with the action for each and why it is what it is."""

    bars: np.ndarray  # BAR, (n,)
    actions: np.ndarray  # i1, TradingAction
    reasons: np.ndarray  # i2, Reason: NONE, or why a HOLD is not the model's own
    requests: np.ndarray = NO_REQUESTS  # REQUEST (n,), or (0,) where every action comes alone
    finer: np.ndarray = (
        NO_FINER  # BAR (any number): those of bar i are `finer[edges[i] : edges[i + 1]]`
    )
    edges: np.ndarray = NO_EDGES


class Trace(NamedTuple):
    """What a digest takes of a whole history, where nobody wants rows; see `engine/trial.py`."""

    closes: np.ndarray  # f8 (bars,), an input: those of the bars side by side
    spreads: np.ndarray  # f8 (bars,), an input: ask − bid; (0,) where no bar has a quote
    outcomes: np.ndarray  # i2 (bars,): action and reason of every decision; (0,): rows are wanted
    equity: np.ndarray  # f8 (bars,): of every slice
    requests: np.ndarray  # DECISION (any number): those that asked for an order
    counts: np.ndarray  # i8 (3,): of outcomes, equity, requests


NO_TRACE = Trace(
    np.empty(0),
    np.empty(0),
    np.empty(0, np.int16),
    np.empty(0),
    np.empty(0, schema.DECISION),
    np.zeros(3, np.int64),
)


class Out(NamedTuple):
    """Row buffers and how many rows of each are used."""

    decisions: np.ndarray
    equity: np.ndarray
    fills: np.ndarray
    throttles: np.ndarray
    events: np.ndarray
    orders: np.ndarray  # ORDER: those that ended
    cashflows: np.ndarray
    counts: np.ndarray  # i8, (7,)


def new_book(rules: Rules) -> Book:
    """The book before the first bar: all cash, flat, ACTIVE."""
    symbols = len(rules.instruments)
    book = Book(
        account=np.zeros(1, schema.ACCOUNT),
        positions=np.zeros(symbols, schema.POSITION),
        orders=np.zeros((symbols, MAX_WORKING_ORDERS), schema.ORDER),
        volumes=np.zeros((symbols, ring_length(volume_window(rules)))),
        returns=np.zeros((symbols, ring_length(volatility_window(rules)))),
        ranges=np.zeros((symbols, 3)),
        carry=np.zeros(1, schema.CARRY),
    )
    account = book.account[0]
    cash = rules.broker[0]["cash"]
    for field in ("cash", "equity", "start_equity", "session_open_equity", "peak_equity"):
        account[field] = cash
    account["session"] = -1
    account["next_order_id"] = account["next_fill_id"] = 1
    account["second"] = -1
    account["trading_state"] = TradingState.ACTIVE
    for field in ("bid", "ask", "spread"):
        book.positions[field] = np.nan
    book.positions["exit_bar"] = NEVER
    multipliers = rules.instruments["multiplier"]
    in_account_currency = rules.instruments["rate"] == 0
    book.positions["is_financed"] = ~in_account_currency
    values = np.where(multipliers > 0.0, multipliers, 1.0)
    book.positions["unit_value"] = np.where(in_account_currency, values, 0.0)
    return book


@inlined
def limits_of(rules, symbol):
    """LIMITS of a symbol; what is judged of the whole account stands in `rules.limits[0]`."""
    return rules.limits[symbol + 1 if len(rules.limits) > 1 else 0]


def volume_window(rules: Rules) -> int:
    """Bars of volume the book must remember for the throttle."""
    is_asked = (rules.limits["max_volume_participation"] < np.inf).any()
    return int(rules.limits[0]["volume_window"]) if is_asked else 1


def volatility_window(rules: Rules) -> int:
    """Bars of returns the book must remember for throttle, kill and sizing."""
    limits, sizing = rules.limits, rules.sizing[0]
    windows = [1]
    if (limits["max_volatility"] < np.inf).any() or (limits["kill_volatility"] < np.inf).any():
        windows.append(int(limits[0]["volatility_window"]))
    if sizing["mode"] == SizingMode.VOLATILITY_TARGET:
        windows.append(int(sizing["volatility_window"]))
    return max(windows)


def ring_length(window: int) -> int:
    """The power of two that holds `window`: a ring's slot is then a mask away, not a division."""
    return 1 << (window - 1).bit_length()


def new_out(symbols: int, slices: int, adjustments: int = 0) -> Out:
    """Buffers for at least one slice of `symbols` bars, and about `slices` slices.

    `adjustments`: how many corporate actions the rules have.
    """
    rows = symbols * max(slices, 1)
    orders = symbols * MAX_WORKING_ORDERS
    fills = symbols * FILLS_PER_BAR
    return Out(
        decisions=np.zeros(rows, schema.DECISION),
        equity=np.zeros(max(slices, 1), schema.EQUITY),
        fills=np.zeros(fills + rows, schema.FILL),
        throttles=np.zeros(4 * rows, schema.THROTTLE),
        events=np.zeros(4 * orders + EVENTS_PER_SLICE + rows, schema.EVENT),
        orders=np.zeros(3 * orders + rows, schema.ORDER),
        cashflows=np.zeros(2 * adjustments + CASHFLOWS_PER_SYMBOL * rows + 1, schema.CASHFLOW),
        counts=np.zeros(7, np.int64),
    )


def snapshot(book: Book) -> bytes:
    """The whole state as bytes, in field order."""
    return b"".join(array.tobytes() for array in book)


def restore(book: Book, state: bytes) -> None:
    """Overwrite `book` with a `snapshot` of a book of the same shape; ValueError if not."""
    if len(state) != sum(array.nbytes for array in book):
        raise ValueError(f"a snapshot of {len(state)} bytes does not fit this book")
    offset = 0
    for array in book:
        part = np.frombuffer(state, array.dtype, array.size, offset)
        array[...] = part.reshape(array.shape)
        offset += array.nbytes
