"""What a broker outside says of the account's orders, one function an event.

    hand_over      SUBMITTED, ACK          the broker has it; it may have been UNKNOWN
    execute        EXECUTION               so much was filled, at that price and commission
    end_outside    CANCELLED, REJECTED     the broker ended the rest
    place_closing  EXECUTION asked for     an order of a kill with `flatten`, which has left

Law: such an order fills and ends by these alone, never by a bar. An order that is not in the
table is left at that: the caller has to know it.
"""

from trader.core import ledger, orders
from trader.core.rows import write_fill, write_order_event
from trader.core.schema import EventKind, OrderKind, OrderStatus, Reason
from trader.jit import jit


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
    lot_size = rules.instruments[symbol]["lot_size"]
    qty, price, commission = terms
    for index in range(position["working_orders"]):
        order = book.orders[symbol][index]
        if order["order_id"] != order_id:
            continue
        held = position["qty"]
        realized = ledger.apply_fill(account, position, qty, price, commission, lot_size)
        order["filled_qty"] += qty
        order["filled_notional"] += abs(qty * price * position["unit_value"])
        order["commission"] += commission
        basis = (order["reference"], account["ts_ns"], position["volume"])
        fill = write_fill(account, position, order, basis, (qty, price, commission, realized), out)
        if order["closing"] != 0.0 and held * qty >= 0.0:
            fill["kind"] = OrderKind.ENTRY  # the rest of a reversal
        if orders.unfilled_qty(order, lot_size) == 0.0:
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
    qty = 0.0 - book.positions[symbol]["qty"]
    if qty != 0.0:
        order = orders.place_order(book, symbol, qty, orders.NO_DECISION)
        order["kind"] = OrderKind.FLATTEN
        order["closing"] = qty
        order["status"] = OrderStatus.AT_BROKER
        orders.recount(book, rules, symbol, out)
