"""Everything that can happen to the account, one function an event. Nothing else changes a book.

    on_slice      BAR, ACTION   settle working orders → mark → trading state → decide every bar
                  ADJUSTMENT    a split, dividend, delisting or funding, before the bar it precedes
                  CASHFLOW      what holding and borrowing cost; a margin call after the marks
    submit        SUBMITTED     an intent passed the gate: it works from the next bar on
    refuse        REFUSED       the gate kept an intent: it becomes a denial
    doubt         UNKNOWN       an intent left or not: it blocks what opens until that is known
    cancel        CANCELLED     a working order ends from outside
    close_out     EXECUTION     a kill with `flatten` takes a position to zero at its last close
    halt, rearm   HALT, REARM   the latch of the core, and its release

What a broker outside says. Its orders fill and end by this alone, never by a bar.

    hand_over      ACK          the broker has an order; it may have been UNKNOWN
    execute        EXECUTION    so much of it was filled, at that price and commission
    end_outside    CANCELLED, REJECTED   the broker ended the rest of it
    place_closing  SUBMITTED    the order of a kill with `flatten`, which has left

An order that is not in the table is left at that: whoever calls has to know it.
Cash and positions change in `ledger` alone, orders in `orders`; `venue` says what a bar fills.

Law: pure and deterministic: no clock, no chance, no I/O, no exception for business reasons. All
bars of a slice are settled, then all marked, then all decided, in config order, so every decision
of a slice sees the same equity and none sees its own fill.
"""

from trader.core import execution, financing, ledger, market, orders, tradingstate
from trader.core.adjustments import adjust_book
from trader.core.book import DECISIONS
from trader.core.decide import decide
from trader.core.rows import write_equity, write_order_event, write_state_event
from trader.core.schema import EventKind, OrderKind, OrderStatus, Reason
from trader.core.settle import settle
from trader.core.tradingstate import breach, watch_limits
from trader.jit import inlined, jit


@jit
def on_slice(book, rules, inputs, start, stop, out):
    """Take the bars [start, stop) of one instant; rows for what happened are appended to `out`.

    Orders are left as intents: `submit` or `refuse` every one before the next slice.
    """
    take_slice(book, rules, inputs, start, stop, out)


@inlined
def take_slice(book, rules, inputs, start, stop, out):
    """`on_slice` without a function boundary, for the batch loop."""
    account = book.account[0]
    elapsed_ns = inputs.bars[start]["ts_ns"] - account["ts_ns"]
    account["ts_ns"] += elapsed_ns
    is_new = ledger.enter_session(account, rules.sessions, rules.broker[0]["period_ns"])
    if is_new:
        before = account["trading_state"]
        if tradingstate.change_state(account, tradingstate.SESSION_ROLL, Reason.NONE):
            write_state_event(account, before, out)
    if financing.costs_by_time(rules.broker[0]):
        financing.charge_time(book, rules, elapsed_ns, is_new, out)
    if book.carry[0]["adjustments"] < len(rules.adjustments):
        adjust_book(book, rules, inputs.bars[start], out)
    for index in range(start, stop):
        settle(book, rules, inputs, index, out)
    measures_range = rules.exits[0]["legs"] > 0
    for index in range(start, stop):
        bar = inputs.bars[index]
        symbol = bar["symbol"]
        position = book.positions[symbol]
        if measures_range:
            market.average_range(position, bar, book.ranges[symbol], rules.exits[0])
        market.take_bar(position, bar, book.volumes[symbol], book.returns[symbol])
        position["session"] = account["session"]
    if rules.broker[0]["converts"] != 0:
        ledger.take_rates(book, rules)
    ledger.mark_to_market(account, book.positions)
    watch_limits(book, rules, inputs.bars[start:stop], out)
    if financing.is_below_maintenance(account, rules.broker[0]):
        financing.call_margin(book, rules, inputs.bars[start:stop], out)
    for index in range(start, stop):
        decide(book, rules, inputs, index, out)
    write_equity(account, out)


@jit
def submit(book, symbol, order_id):
    """An intent passed the gate: it works from the next bar on, an exit once its entry fills."""
    position = book.positions[symbol]
    for index in range(position["working_orders"]):
        if book.orders[symbol][index]["order_id"] == order_id:
            orders.submit_order(book.orders[symbol][index], position["qty"])


@jit
def refuse(book, rules, symbol, order_id, reason, out):
    """The gate kept an intent: it ends, and its decision is denied as far as it came from it.

    The decision must still be in `out`, as `on_slice` left it. Rate counters keep counting an
    order that was refused. Exits of a refused entry are the caller's to refuse.
    """
    account = book.account[0]
    first = account["decisions"] - out.counts[DECISIONS]
    for index in range(book.positions[symbol]["working_orders"]):
        order = book.orders[symbol][index]
        if order["order_id"] == order_id and order["status"] == OrderStatus.INTENT:
            write_order_event(account, order, EventKind.ORDER_ABORTED, reason, out)
            if not orders.is_exit(order):
                decision = out.decisions[order["decision"] - first]
                decision["approved_qty"] -= order["qty"]
                decision["reason"] = reason
            order["ended_qty"] = order["qty"]
            order["qty"] = 0.0
            order["status"] = OrderStatus.REFUSED
            order["reason"] = reason
    orders.recount(book, rules, symbol, out)


@jit
def doubt(book, symbol, order_id):
    """Whether an order left is not known: it is kept, fills nothing, and blocks what opens."""
    for index in range(book.positions[symbol]["working_orders"]):
        if book.orders[symbol][index]["order_id"] == order_id:
            book.orders[symbol][index]["status"] = OrderStatus.UNKNOWN
            book.positions[symbol]["resting"] += 1  # no plain market order any more


@jit
def cancel(book, rules, symbol, order_id, reason, out):
    """End one working order from outside the core."""
    for index in range(book.positions[symbol]["working_orders"]):
        order = book.orders[symbol][index]
        if order["order_id"] == order_id:
            orders.end_order(book.account[0], order, reason, out)
    orders.recount(book, rules, symbol, out)


@jit
def close_out(book, rules, symbol, out):
    """Fill an order that takes the symbol's position to zero; a FILL row tells. No-op if flat.

    What `trader kill --flatten` asks of the broker, whatever the trading state. There is no bar
    to fill at, so the price is the last close, moved and rounded as any fill. The caller has
    ended every working order of the symbol before.
    """
    account = book.account[0]
    position = book.positions[symbol]
    if position["qty"] == 0.0:
        return
    order = flattening_order(book, symbol)
    qty = order["qty"]
    basis = (position["mark"], account["ts_ns"], position["volume"])
    price = execution.fill_price(rules.broker[0], qty, basis, position, rules.instruments[symbol])
    ledger.book_execution(book, rules, order, basis, (qty, price), out)
    orders.recount(book, rules, symbol, out)
    ledger.mark_to_market(account, book.positions)


@jit
def halt(book, rules, reason, out):
    """Latch HALTED for `reason` from outside the core (an operator's kill, a system error)."""
    breach(book, rules, (tradingstate.HALT, reason, 0.0, 0.0), out)


@jit
def rearm(book, out):
    """Take an operator's re-arm: ACTIVE again, and what counts towards a halt counts anew.

    Losses are not forgiven: a limit still broken halts again at the next mark.
    """
    account = book.account[0]
    before = account["trading_state"]
    if tradingstate.change_state(account, tradingstate.REARM, Reason.NONE):
        write_state_event(account, before, out)
        account["executions"] = 0
        for symbol in range(len(book.positions)):
            book.positions[symbol]["volatile_bars"] = 0


@jit
def hand_over(book, symbol, order_id):
    """An order is with the broker from here on."""
    position = book.positions[symbol]
    for index in range(position["working_orders"]):
        order = book.orders[symbol][index]
        is_new = order["status"] == OrderStatus.INTENT or order["status"] == OrderStatus.UNKNOWN
        if order["order_id"] == order_id and is_new:
            order["status"] = OrderStatus.AT_BROKER
            position["resting"] += 1  # no bar fills it


@jit
def execute(book, rules, symbol, order_id, terms, out):
    """Book one execution; `terms` is (signed qty, price, commission). Its time is the last close.

    Slippage is measured from the price at which the order was decided.
    """
    account = book.account[0]
    position = book.positions[symbol]
    qty, price, commission = terms
    for index in range(position["working_orders"]):
        order = book.orders[symbol][index]
        if order["order_id"] != order_id:
            continue
        order["filled_qty"] += qty
        order["filled_notional"] += abs(qty * price * position["unit_value"])
        order["commission"] += commission
        basis = (order["reference"], account["ts_ns"], position["volume"])
        ledger.enter_execution(book, rules, order, basis, terms, out)
        if orders.unfilled_qty(order, rules.instruments[symbol]["lot_size"]) == 0.0:
            order["reason"] = Reason.NONE  # a cancellation that was asked for came too late
    orders.recount(book, rules, symbol, out)
    ledger.mark_to_market(account, book.positions)


@jit
def end_outside(book, rules, symbol, order_id, how, out):
    """The broker ended the rest of an order; `how` is (OrderStatus, Reason)."""
    account = book.account[0]
    for index in range(book.positions[symbol]["working_orders"]):
        order = book.orders[symbol][index]
        if order["order_id"] == order_id:
            order["status"], order["reason"] = how
            write_order_event(account, order, EventKind.ORDER_CANCELLED, order["reason"], out)
            order["ended_qty"] += order["qty"] - order["filled_qty"]
            order["qty"] = order["filled_qty"]
    orders.recount(book, rules, symbol, out)
    ledger.mark_to_market(account, book.positions)


@jit
def place_closing(book, rules, symbol, out):
    """Put the order that takes a position to zero into the table; it has left. No-op if flat."""
    if book.positions[symbol]["qty"] != 0.0:
        order = flattening_order(book, symbol)
        order["status"] = OrderStatus.AT_BROKER
        orders.recount(book, rules, symbol, out)


@inlined
def flattening_order(book, symbol):
    """Enter the order of a kill with `flatten`: all that is held, whatever else works."""
    qty = 0.0 - book.positions[symbol]["qty"]
    order = orders.place_order(book, symbol, qty, orders.NO_DECISION)
    order["kind"] = OrderKind.FLATTEN
    order["closing"] = qty
    return order
