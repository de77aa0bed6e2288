"""One slice through the core: session, settle, mark, decide. The whole control flow.

    on_slice      settle every bar's working orders → mark → trading state → decide every bar
    submit        an intent passed the gate: it works from the next bar on
    abort         an intent was refused by the gate: it becomes a denial

Law: pure and deterministic: no clock, no chance, no I/O, no exception for business reasons. All
bars of a slice are settled, then all marked, then all decided, in config order, so every decision
of a slice sees the same equity and none sees its own fill.
"""

from trader.core import accounting, execution, tradingstate
from trader.core.book import DECISIONS
from trader.core.decide import decide
from trader.core.jit import inlined, jit
from trader.core.rows import write_equity, write_order_event, write_state_event
from trader.core.schema import EventKind, OrderStatus, Reason
from trader.core.settle import settle
from trader.core.watch import watch_limits

NONE = int(Reason.NONE)
INTENT = int(OrderStatus.INTENT)
WORKING = int(OrderStatus.WORKING)
EVENT_ABORTED = int(EventKind.ORDER_ABORTED)


@jit
def on_slice(book, rules, inputs, start, stop, out):
    """Take the bars [start, stop) of one instant; rows for what happened are appended to `out`.

    Orders are left as intents: `submit` or `abort` every one before the next slice.
    """
    take_slice(book, rules, inputs, start, stop, out)


@inlined
def take_slice(book, rules, inputs, start, stop, out):
    """`on_slice` without a function boundary, for the batch loop."""
    account = book.account[0]
    account["ts_ns"] = inputs.bars[start]["ts_ns"]
    if accounting.enter_session(account, rules.sessions, rules.broker[0]["period_ns"]):
        before = account["trading_state"]
        if tradingstate.change_state(account, tradingstate.SESSION_ROLL, NONE):
            write_state_event(account, before, out)
    for index in range(start, stop):
        settle(book, rules, inputs.bars[index], out)
    for index in range(start, stop):
        bar = inputs.bars[index]
        symbol = bar["symbol"]
        accounting.mark_position(
            book.positions[symbol], bar, book.volumes[symbol], book.returns[symbol]
        )
    accounting.mark_to_market(account, book.positions)
    watch_limits(book, rules, inputs.bars[start:stop], out)
    for index in range(start, stop):
        decide(book, rules, inputs, index, out)
    write_equity(account, out)


@jit
def submit(book, symbol):
    """The symbol's intents passed the gate: they work from the next bar on."""
    submit_intents(book, symbol)


@inlined
def submit_intents(book, symbol):
    """`submit` without a function boundary, for the batch loop."""
    for index in range(book.positions[symbol]["working_orders"]):
        book.orders[symbol][index]["status"] = WORKING


@jit
def abort(book, rules, symbol, reason, out):
    """The symbol's intents were refused by the gate: withdraw them and deny their decisions.

    The decisions must still be in `out`, as `on_slice` left them. Rate counters keep counting
    an order that was refused.
    """
    account = book.account[0]
    position = book.positions[symbol]
    orders = book.orders[symbol]
    first = account["decisions"] - out.counts[DECISIONS]
    for index in range(position["working_orders"]):
        order = orders[index]
        if order["status"] == INTENT:
            write_order_event(account, order, EVENT_ABORTED, reason, out)
            decision = out.decisions[order["decision"] - first]
            decision["approved_qty"] = 0.0
            decision["reason"] = reason
            order["qty"] = 0.0
    execution.recount_working(position, orders, rules.instruments[symbol]["lot_size"])
