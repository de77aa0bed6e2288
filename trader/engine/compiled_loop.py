"""The compiled loop of `on_slice` over history, in chunks of rows.

Decides nothing. It cuts bars into slices, submits every intent at once (history has no
gate), and stops when a buffer might not hold one more slice, so memory stays bounded however
long the history is.
"""
# mypy: allow-untyped-defs

from trader.core import orders
from trader.core.apply import take_slice
from trader.core.book import (
    CASHFLOWS,
    CASHFLOWS_PER_SYMBOL,
    DECISIONS,
    EQUITIES,
    EVENTS,
    EVENTS_PER_SLICE,
    FILLS,
    FILLS_PER_BAR,
    ORDERS,
    THROTTLES,
)
from trader.core.schema import MAX_WORKING_ORDERS
from trader.core.tradingstate import is_bankrupt
from trader.engine.quiet import end_of_session, take_quiet
from trader.engine.trial import has_trace_room, is_traced, trace_slice
from trader.jit import inlined, jit


@inlined
def has_room(out, bars, symbols, adjustments):
    """Whether every buffer holds the most rows that a slice of `bars` can append."""
    counts = out.counts
    return (
        counts[DECISIONS] + bars <= len(out.decisions)
        and counts[EQUITIES] < len(out.equity)
        and counts[FILLS] + bars * FILLS_PER_BAR + symbols <= len(out.fills)
        and counts[CASHFLOWS] + 2 * adjustments + CASHFLOWS_PER_SYMBOL * symbols
        < len(out.cashflows)
        and counts[THROTTLES] + 4 * bars <= len(out.throttles)
        and counts[ORDERS] + 2 * symbols * MAX_WORKING_ORDERS <= len(out.orders)
        and counts[EVENTS] + 3 * symbols * MAX_WORKING_ORDERS + EVENTS_PER_SLICE + bars
        <= len(out.events)
    )


@inlined
def submit_intents(book, symbol):
    """`apply.submit` of every intent of a symbol: history has no gate."""
    position = book.positions[symbol]
    for index in range(position["working_orders"]):
        orders.submit_order(book.orders[symbol][index], position["qty"])


@jit
def run_slices(book, rules, inputs, start, out, trace):
    """Run slices from row `start` until the bars end or a buffer is full; returns the next row.

    A bankrupt account takes none: the row after the last is then returned at once.

    The caller takes the rows in `out` away and calls again. Buffers are `books.new_out`; if the
    row returned is `start`, they do not hold a single slice. With a `trace` (`NO_TRACE` is none)
    that is written instead of all rows but fills and cash flows.
    """
    bars = inputs.bars
    count = len(bars)
    symbols = len(rules.instruments)
    session_stop = start  # the first bar that is not of the open session, once one is
    while start < count:
        if symbols == 1:
            if start >= session_stop:
                session_stop = end_of_session(book, rules, bars, start)
            if start < session_stop:
                start = take_quiet(book, rules, inputs, (start, session_stop), out, trace)
                if start == count:
                    break
        stop = start + 1
        while stop < count and bars[stop]["ts_ns"] == bars[start]["ts_ns"]:
            stop += 1
        if not has_room(out, stop - start, symbols, len(rules.adjustments)):
            break
        if is_traced(trace) and not has_trace_room(trace, stop - start):
            break
        take_slice(book, rules, inputs, start, stop, out)
        for index in range(start, stop):
            symbol = bars[index]["symbol"]
            if book.positions[symbol]["working_orders"] > 0:
                submit_intents(book, symbol)
        if is_traced(trace):
            trace_slice(out, trace)
        start = count if is_bankrupt(book.account[0]) else stop
    return start
