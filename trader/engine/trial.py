"""What a trial leaves instead of rows: the bytes that its digest is made of, and its equity.

Law: a `Trace` holds what `engine/digest.py` takes out of the rows of a run, written by the same
loop of the same core; nothing else of the rows is kept. A trial is the plain run to the last bit
(`tests/core/test_quiet.py`), and the one thing it saves is to write, pack and read rows of bars on
which nothing happens.
"""
# mypy: allow-untyped-defs

from typing import NamedTuple

import numpy as np

from trader.core.book import DECISIONS, EQUITIES, EVENTS, ORDERS, THROTTLES
from trader.core.schema import DECISION, TradingAction
from trader.jit import inlined

ACTIONS = len(TradingAction)
TRACED, VALUED, REQUESTED = range(3)  # indices into Trace.counts


class Trace(NamedTuple):
    """What a digest takes of a whole history, where nobody wants rows."""

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
    np.empty(0, DECISION),
    np.zeros(3, np.int64),
)


@inlined
def outcome_code(action, reason):
    """Action and reason of a decision as one number, as the digest takes it."""
    return reason * ACTIONS + action


@inlined
def is_traced(trace):
    """Whether the history leaves a trace rather than rows."""
    return len(trace.outcomes) > 0


@inlined
def trace_slice(out, trace):
    """Take what is digested of the rows of a slice out of `out`; fills, cash flows stay there."""
    counts = trace.counts
    for index in range(out.counts[DECISIONS]):
        decision = out.decisions[index]
        code = outcome_code(decision["action"], decision["reason"])
        trace.outcomes[counts[TRACED]] = code
        counts[TRACED] += 1
        if decision["requested_qty"] != 0.0:
            trace.requests[counts[REQUESTED]] = decision
            counts[REQUESTED] += 1
    for index in range(out.counts[EQUITIES]):
        trace.equity[counts[VALUED]] = out.equity[index]["equity"]
        counts[VALUED] += 1
    out.counts[DECISIONS] = out.counts[EQUITIES] = 0
    out.counts[THROTTLES] = out.counts[EVENTS] = out.counts[ORDERS] = 0


@inlined
def has_trace_room(trace, bars):
    """Whether the requests of a slice of `bars` fit; there is room for every bar of the history."""
    return trace.counts[REQUESTED] + bars <= len(trace.requests)


def seen_of(bars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(closes, spreads) of BAR records, as a `Trace` has them."""
    spreads = bars["ask"] - bars["bid"]
    is_quoted = bool(((spreads >= 0.0) & (spreads < np.inf)).any())
    return np.ascontiguousarray(bars["close"]), spreads if is_quoted else np.empty(0)


def new_trace(bars: int, requests: int) -> Trace:
    """Room for a history of `bars`, and so many requests until they are taken away."""
    return Trace(
        closes=np.empty(0),
        spreads=np.empty(0),
        outcomes=np.empty(max(bars, 1), np.int16),
        equity=np.empty(max(bars, 1)),
        requests=np.empty(requests, DECISION),
        counts=np.zeros(3, np.int64),
    )
