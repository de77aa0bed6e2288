"""The table of orders: what becomes of one order, from its intent to its end.

    INTENT ─► WORKING ─► PARTLY_FILLED ─► FILLED
      │  └─► SUBMITTED (an exit that waits for its entry) ─► WORKING
      ├─► REFUSED      by our own gate
      ├─► UNKNOWN      sent or not: nothing is assumed until the broker has said
      └─► AT_BROKER    with a broker outside: ends by what that says
    WORKING, SUBMITTED, PARTLY_FILLED ─► CANCELLED | EXPIRED | REJECTED

Law: an order is found by its id, never by its symbol alone. Every order that ends is written out
once, as an ORDER row. An exit rests beside the position: it is in no sum of what works, it never
opens, and it ends when there is nothing left that it could close.
"""

import math

import numpy as np

from trader.core.exposure import count_exposure
from trader.core.rows import write_event, write_order, write_order_event
from trader.core.schema import ORDER, EventKind, OrderKind, OrderStatus, OrderType, Reason
from trader.jit import inlined, outlined
from trader.rounding import nearest_lot

NO_ORDER = np.zeros(1, ORDER)  # INTENT, MARKET, ENTRY: every code of it is 0
NO_DECISION = -1  # of an order that no decision sent
KEEP_NONE, KEEP_CLOSING, KEEP_MARKET_CLOSING = range(3)  # what `restrain` leaves


@inlined
def is_exit(order):
    """Whether an order rests beside a position only to close it: stop, target, trailing stop."""
    return order["kind"] >= OrderKind.STOP_LOSS and order["kind"] <= OrderKind.TRAILING_STOP


@inlined
def unfilled_qty(order, lot_size):
    """Signed rest of an order."""
    return nearest_lot(order["qty"] - order["filled_qty"], lot_size)


@inlined
def closing_rest(order):
    """Signed part of what is left of an order that only closes: it comes first."""
    closing = order["closing"]
    left = closing - order["filled_qty"]
    return left if left * closing > 0.0 else 0.0


@inlined
def is_outside(order):
    """Whether only a broker outside can say what becomes of an order."""
    return order["status"] == OrderStatus.UNKNOWN or order["status"] == OrderStatus.AT_BROKER


@inlined
def doubt_about(order):
    """Why an order keeps its symbol from opening more; NONE if it does not."""
    if order["status"] == OrderStatus.UNKNOWN:
        return Reason.ORDER_UNKNOWN
    if order["status"] == OrderStatus.AT_BROKER and order["reason"] != Reason.NONE:
        return Reason.CANCEL_PENDING
    return Reason.NONE


@inlined
def add_working(position, qty):
    """Count signed `qty` in (or, with the opposite sign of its side, out of) the working sums."""
    if qty > 0.0:
        position["working_buy"] += qty
    else:
        position["working_sell"] -= qty


@inlined
def place_order(book, symbol, qty, decision):
    """Enter an intent of signed `qty` for `decision` into the table; returns its order.

    It is a plain market order that opens; the caller writes what else it is, and counts it.
    """
    account = book.account[0]
    position = book.positions[symbol]
    count = position["working_orders"]
    book.orders[symbol][count] = NO_ORDER[0]
    order = book.orders[symbol][count]
    order["symbol"] = symbol
    order["order_id"] = account["next_order_id"]
    order["ts_ns"] = account["ts_ns"]
    order["decision"] = decision
    order["session"] = account["session"]
    order["qty"] = qty
    order["reference"] = position["mark"]
    order["volume"] = position["volume"]
    account["next_order_id"] += 1
    position["working_orders"] = count + 1
    position["calm_low"] = math.inf  # the next bar looks at every order
    return order


@inlined
def end_order(account, order, reason, out):
    """End what is left of an order; the caller recounts the table. No-op if nothing is left.

    One that only a broker outside can end keeps the reason, which asks for its cancellation there.
    """
    rest = order["qty"] - order["filled_qty"]
    if is_outside(order):
        order["reason"] = reason
    elif rest != 0.0 and order["status"] != OrderStatus.REFUSED:
        write_order_event(account, order, EventKind.ORDER_CANCELLED, reason, out)
        is_expired = reason == Reason.TIME_IN_FORCE
        order["ended_qty"] += rest
        order["qty"] = order["filled_qty"]
        order["status"] = OrderStatus.EXPIRED if is_expired else OrderStatus.CANCELLED
        order["reason"] = reason


@inlined
def trim_order(account, order, parts, reason, out):
    """Leave a part of what is left of an order; `parts` is (signed rest, signed part kept)."""
    rest, kept = parts
    if is_outside(order):
        order["reason"] = reason
        return
    what = (EventKind.ORDER_TRIMMED, reason, order["symbol"], order["order_id"])
    write_event(account, what, rest - kept, 0.0, out)
    order["qty"] = order["filled_qty"] + kept
    order["ended_qty"] += rest - kept


@inlined
def submit_order(order, held):
    """An intent passed the gate: it works from the next bar on; an exit waits for its entry."""
    if order["status"] == OrderStatus.INTENT:
        waits = is_exit(order) and not (order["qty"] * held < 0.0)
        order["status"] = OrderStatus.SUBMITTED if waits else OrderStatus.WORKING


@outlined
def end_idle_exits(account, position, orders, out):
    """End exits that neither close what is held nor wait for an order that may still open.

    One that filled to its end stays while the rest of an entry is open: it is the exit of that too.
    """
    held = position["qty"]
    for index in range(position["working_orders"]):
        order = orders[index]
        if not is_exit(order) or order["status"] == OrderStatus.INTENT or order["qty"] * held < 0.0:
            continue
        awaited = 0.0
        for other in range(position["working_orders"]):
            entry = orders[other]
            if not is_exit(entry):
                opening = entry["qty"] - entry["filled_qty"] - closing_rest(entry)
                awaited += opening if opening * order["qty"] < 0.0 else 0.0
        if awaited != 0.0 and order["qty"] != order["filled_qty"]:
            order["status"] = OrderStatus.SUBMITTED
        elif awaited != 0.0 and order["status"] == OrderStatus.WORKING:
            order["status"] = OrderStatus.SUBMITTED
            order["qty"] -= awaited
        elif order["qty"] != order["filled_qty"]:
            was_active = order["status"] != OrderStatus.SUBMITTED
            reason = Reason.POSITION_CLOSED if was_active else Reason.ENTRY_ENDED
            end_order(account, order, reason, out)


@inlined
def recount(book, rules, symbol, out):
    """Write out and drop finished orders, keeping the order of the others; sum what works."""
    account = book.account[0]
    position = book.positions[symbol]
    orders = book.orders[symbol]
    lot_size = rules.instruments[symbol]["lot_size"]
    if position["resting"] > 0:
        end_idle_exits(account, position, orders, out)
    kept = 0
    position["working_buy"] = 0.0
    position["working_sell"] = 0.0
    position["resting"] = 0
    position["exits"] = 0
    position["calm_low"] = math.inf
    for index in range(position["working_orders"]):
        order = orders[index]
        rest = unfilled_qty(order, lot_size)
        if rest == 0.0:
            if order["status"] < OrderStatus.FILLED or is_outside(order):
                order["status"] = OrderStatus.FILLED
            order["ended_ns"] = account["ts_ns"]
            write_order(order, out)
            continue
        if is_exit(order):
            position["resting"] += 1
            if rest * position["qty"] < 0.0:
                position["exits"] += 1
        else:
            add_working(position, rest)
            if order["type"] != OrderType.MARKET or is_outside(order):
                position["resting"] += 1
            if order["filled_qty"] != 0.0 and order["status"] == OrderStatus.WORKING:
                order["status"] = OrderStatus.PARTLY_FILLED
        if kept != index:
            orders[kept] = orders[index]
        kept += 1
    position["working_orders"] = kept
    count_exposure(account, position)


@inlined
def restrain(book, rules, terms, out):
    """End working orders of every symbol, or leave only what closes and the exits.

    `terms` is (KEEP_…, reason of what ends, reason of what is trimmed to what closes).
    """
    keeps, reason, trim_reason = terms
    account = book.account[0]
    for symbol in range(len(book.positions)):
        position = book.positions[symbol]
        count = position["working_orders"]
        if count == 0:
            continue
        table = book.orders[symbol]
        lot_size = rules.instruments[symbol]["lot_size"]
        held = position["qty"]
        for index in range(count):
            order = table[index]
            rest = unfilled_qty(order, lot_size)
            if keeps != KEEP_NONE and is_exit(order):
                continue  # beside the position; without one it ends in the recount
            is_kept = keeps == KEEP_CLOSING
            if keeps == KEEP_MARKET_CLOSING:  # what rests at a price may never fill
                is_kept = order["type"] == OrderType.MARKET
            keep = 0.0
            if is_kept and rest * held < 0.0:
                keep = min(abs(rest), abs(held))
            kept = keep if rest > 0.0 else 0.0 - keep
            if keep == 0.0:
                end_order(account, order, reason, out)
            elif keep < abs(rest):
                trim_order(account, order, (rest, kept), trim_reason, out)
            held += kept
        recount(book, rules, symbol, out)
