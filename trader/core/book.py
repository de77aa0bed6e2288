"""The bundles the core passes around: one book of state, one set of rules, inputs and outputs.

Law: a `Book` is the whole state and is nothing but flat arrays: a snapshot is their bytes, in
field order. `Rules` never change during a run. `Out` is scratch: rows are appended at `counts`.
`trader.books` makes them: the core allocates nothing.
"""

from typing import NamedTuple

import numpy as np

from trader.core import schema
from trader.core.schema import MAX_WORKING_ORDERS
from trader.jit import inlined

# indices into Out.counts
DECISIONS, EQUITIES, FILLS, THROTTLES, EVENTS, ORDERS, CASHFLOWS = range(7)
NO_FINER, NO_EDGES = np.empty(0, schema.BAR), np.empty(0, np.int64)
NO_REQUESTS = np.empty(0, schema.REQUEST)  # every action comes alone
NO_ENTRY = np.zeros(1, schema.ENTRY)  # market orders
NO_ENTRY["time_in_force"] = -1  # that of the broker
NO_EXITS = np.zeros(1, schema.EXITS)
NO_ADJUSTMENTS = np.empty(0, schema.ADJUSTMENT)
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


@inlined
def limits_of(rules, symbol):
    """LIMITS of a symbol; what is judged of the whole account stands in `rules.limits[0]`."""
    return rules.limits[symbol + 1 if len(rules.limits) > 1 else 0]
