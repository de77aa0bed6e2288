"""What an approved quantity is sent as: market, limit, stop; one order, or a close and an entry.

Law: only what opens is sent as `orders.entry` says; what closes is a market order, unless the
model gave a limit price for it. What the exchange would refuse as worth too little is not sent.
"""

import math

import numpy as np

from trader.core import orders, sizing
from trader.core.exposure import count_exposure
from trader.core.schema import NS_PER_SECOND, REQUEST, Leg, OrderKind, OrderType, Reason
from trader.jit import inlined
from trader.rounding import is_money_within, tick_against
from trader.session_rows import instant_session

NO_REQUEST = np.full(1, np.nan, REQUEST)


@inlined
def place(book, rules, symbol, approved, kind, limit_price):
    """Enter the intents of an approved qty; (order id, signed part that opens).

    `limit_price` came beside the action, or is NaN.
    """
    account = book.account[0]
    position = book.positions[symbol]
    closing = sizing.closing_qty(position, approved)
    opening = approved - closing
    decision = account["decisions"]
    entry_type = type_of_entry(rules, limit_price)
    main = approved
    if is_split(closing, opening, entry_type):
        enter(book, rules, symbol, (closing, closing, decision, kind), Leg.CLOSING)
        main = opening
    part = closing if main == approved else 0.0
    order = enter(book, rules, symbol, (main, part, decision, kind), 0)
    count_order(account, position)
    if main != part or limit_price == limit_price:
        sent_as = entry_type if main != part else OrderType.LIMIT
        dress(order, rules, symbol, position, (sent_as, limit_price))
    return order["order_id"], opening


@inlined
def type_of_entry(rules, limit_price):
    """OrderType of what opens."""
    if rules.entry[0]["type"] == OrderType.STOP_LIMIT or limit_price != limit_price:
        return rules.entry[0]["type"]
    return OrderType.LIMIT


@inlined
def is_split(closing, opening, entry_type):
    """Whether a reversal is sent as two orders: a close at the market, and an entry."""
    return closing != 0.0 and opening != 0.0 and entry_type != OrderType.MARKET


@inlined
def enter(book, rules, symbol, terms, leg):
    """Enter one intent; `terms` is (signed qty, its closing part, decision, OrderKind)."""
    qty, closing, decision, kind = terms
    account = book.account[0]
    position = book.positions[symbol]
    order = orders.place_order(book, symbol, qty, decision)
    orders.add_working(position, qty)
    count_exposure(account, position)
    order["session"] = instant_session(rules.sessions, account["session_cursor"], account["ts_ns"])
    order["closing"] = closing
    if kind != OrderKind.LIQUIDATION:  # which works until it is done
        order["time_in_force"] = rules.broker[0]["time_in_force"]
    order["leg"] = leg
    order["kind"] = OrderKind.SIGNAL if closing != 0.0 and kind == OrderKind.ENTRY else kind
    return order


@inlined
def dress(order, rules, symbol, position, terms):
    """Make an intent the type of order it is sent as.

    `terms` is (OrderType, limit price or NaN). A limit is rounded to the tick that is better for
    us, a stop to the worse one.
    """
    kind, limit_price = terms
    entry = rules.entry[0]
    order["type"] = kind
    if entry["time_in_force"] >= 0:
        order["time_in_force"] = entry["time_in_force"]
        order["bars_left"] = entry["bars"]
    if kind == OrderType.MARKET:
        return
    position["resting"] += 1
    limit, stop = entry_levels(rules, symbol, position, order["qty"])
    if limit_price == limit_price:
        tick_size = rules.instruments[symbol]["tick_size"]
        limit = tick_against(limit_price, 0.0 - order["qty"], tick_size)
    if kind == OrderType.LIMIT or kind == OrderType.STOP_LIMIT:
        order["limit_price"] = limit
    if kind == OrderType.STOP or kind == OrderType.STOP_LIMIT:
        order["stop_price"] = stop


@inlined
def asked_beside(inputs, index):
    """The REQUEST beside an action; every field of it NaN where none came."""
    return inputs.requests[index] if len(inputs.requests) > 0 else NO_REQUEST[0]


@inlined
def is_absent_or_positive(value):
    """Whether a number that may be left out (NaN) is left out, or finite and above 0."""
    return value != value or (value > 0.0 and value < math.inf)


@inlined
def entry_price(rules, symbol, position, qty, limit_price):
    """Price an order that opens is expected to fill at: its own, or the last."""
    if limit_price == limit_price:
        return limit_price
    limit, stop = entry_levels(rules, symbol, position, qty)
    kind = rules.entry[0]["type"]
    if kind == OrderType.LIMIT:
        return limit
    return stop if kind == OrderType.STOP or kind == OrderType.STOP_LIMIT else position["mark"]


@inlined
def entry_levels(rules, symbol, position, qty):
    """(limit price, stop price) of an entry by `orders.entry`, on ticks; 0 for what it has not."""
    entry = rules.entry[0]
    tick_size = rules.instruments[symbol]["tick_size"]
    sign = 1.0 if qty > 0.0 else -1.0
    close = position["mark"]
    away = close * entry["offset_bps"] / 10_000.0
    if entry["type"] == OrderType.LIMIT:
        return tick_against(close - sign * away, 0.0 - qty, tick_size), 0.0
    stop = tick_against(close + sign * away, qty, tick_size)
    if entry["type"] == OrderType.STOP:
        return 0.0, stop
    beyond = stop * entry["limit_offset_bps"] / 10_000.0
    return tick_against(stop + sign * beyond, qty, tick_size), stop


@inlined
def count_order(account, position):
    """Bump the order-rate counters: orders entered, not executions, in event time."""
    second = account["ts_ns"] // NS_PER_SECOND
    if account["second"] != second:
        account["second"] = second
        account["orders_this_second"] = 0
    account["orders_this_second"] += 1
    account["orders_this_session"] += 1
    if position["orders_ns"] != account["ts_ns"]:
        position["orders_ns"] = account["ts_ns"]
        position["orders_this_bar"] = 0
    position["orders_this_bar"] += 1


@inlined
def deny_below_least(rules, symbol, position, decision, limit_price):
    """Take from a decision's approved qty the orders that the exchange would refuse as too little.

    Each is judged as `place` sends it, at the price it is expected to fill at, in the currency of
    the instrument.
    """
    instrument = rules.instruments[symbol]
    approved, least = decision["approved_qty"], instrument["min_notional"]
    if not (least > 0.0) or approved == 0.0:
        return
    closing = sizing.closing_qty(position, approved)
    price = entry_price(rules, symbol, position, approved, limit_price)
    kept, part = 0.0, approved
    if approved == closing:
        price = limit_price if limit_price == limit_price else position["mark"]
    elif is_split(closing, approved - closing, type_of_entry(rules, limit_price)):
        kept, part = closing, approved - closing
        if not is_enough(instrument, closing, position["mark"]):
            kept, part, price = 0.0, closing, position["mark"]
    if not is_enough(instrument, part, price):
        decision["approved_qty"] = kept
        decision["reason"] = Reason.BELOW_MIN_NOTIONAL
        decision["observed"] = own_notional(instrument, part, price)
        decision["limit"] = least


@inlined
def is_enough(instrument, qty, price):
    """Whether the exchange takes such an order."""
    return is_money_within(instrument["min_notional"], own_notional(instrument, qty, price))


@inlined
def own_notional(instrument, qty, price):
    """What an order is worth in the instrument's own currency."""
    multiplier = instrument["multiplier"] if instrument["multiplier"] > 0.0 else 1.0
    return abs(qty * price) * multiplier
