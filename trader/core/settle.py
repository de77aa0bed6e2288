"""Settle: working orders × this bar → fills → accounts.

Law: called for every bar of a slice before anything is marked. Orders fill in the order they
were sent and share the bar's volume.
"""

import math

from trader.core import accounting, execution
from trader.core.jit import inlined
from trader.core.rows import write_fill, write_order_event
from trader.core.schema import EventKind, Reason, TimeInForce
from trader.core.sessions import instant_session

PRICE_COLLAR = int(Reason.PRICE_COLLAR)
TIME_IN_FORCE = int(Reason.TIME_IN_FORCE)
DAY = int(TimeInForce.DAY)
IOC = int(TimeInForce.IOC)
EVENT_CANCELLED = int(EventKind.ORDER_CANCELLED)


@inlined
def settle(book, rules, bar, out):
    """Working orders of the bar's symbol × this bar → fills."""
    symbol = bar["symbol"]
    position = book.positions[symbol]
    if position["working_orders"] == 0:
        return
    account = book.account[0]
    broker = rules.broker[0]
    instrument = rules.instruments[symbol]
    basis = execution.fill_basis(broker, position, bar)
    session = 0
    if broker["time_in_force"] == DAY:  # of the instant at which this bar would fill
        session = instant_session(rules.sessions, account["session_cursor"], basis[1])
    capacity = math.inf
    if broker["max_fill_participation"] < math.inf:
        capacity = broker["max_fill_participation"] * basis[2]
    orders = book.orders[symbol]
    executions_allowed = rules.limits[0]["max_executions_without_review"]
    for index in range(position["working_orders"]):
        order = orders[index]
        if not (account["executions"] < executions_allowed):
            break  # the review is due: `watch` halts on this slice, and cancels what is left
        if broker["time_in_force"] == DAY and order["session"] != session:
            cancel_order(account, order, TIME_IN_FORCE, out)
            continue
        if execution.is_outside_collar(
            basis[0], order["reference"], rules.limits[0]["price_collar"]
        ):
            cancel_order(account, order, PRICE_COLLAR, out)
            continue
        qty = execution.fill_qty(order, capacity, instrument["lot_size"])
        if qty != 0.0:
            capacity -= abs(qty)
            price = execution.fill_price(broker, qty, basis, position, instrument)
            commission = execution.charge_commission(broker, order, qty, price)
            realized = accounting.apply_fill(
                account, position, qty, price, commission, instrument["lot_size"]
            )
            write_fill(account, order, basis, (qty, price, commission, realized), out)
        if broker["time_in_force"] == IOC:
            cancel_order(account, order, TIME_IN_FORCE, out)
    execution.recount_working(position, orders, instrument["lot_size"])


@inlined
def cancel_order(account, order, reason, out):
    """End what is left of an order; the caller recounts the table. No-op if nothing is left."""
    rest = order["qty"] - order["filled_qty"]
    if rest != 0.0:
        write_order_event(account, order, EVENT_CANCELLED, reason, out)
        order["qty"] = order["filled_qty"]
