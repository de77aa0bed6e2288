"""Exits: the stop, the target and the trailing stop that rest beside a position.

Law: an exit only closes. It is sent with its entry and there from the entry's fill on; while it
is there its rest is the position, whatever size that has. Its price follows the average entry
price and is on a tick, on the side that is worse for us. A trailing stop moves on closed bars
only, and never back.
"""

import math

import numpy as np

from trader.core.market import range_terms
from trader.core.orders import closing_rest, end_order, is_exit, place_order, trim_order
from trader.core.schema import ExitType, Leg, LevelUnit, OrderKind, OrderStatus, OrderType, Reason
from trader.jit import inlined, outlined
from trader.rounding import tick_against

TYPE_OF_LEG = np.array([OrderType.MARKET, OrderType.STOP, OrderType.LIMIT, OrderType.TRAILING_STOP])


@inlined
def exit_distance(terms, true_range, bars):
    """How far an exit lies from its entry, in its unit; NaN while the range is not known.

    `terms` is (ExitType, value, bars of ATR), `true_range` the average after `bars` bars.
    """
    kind, value, period = terms
    if kind == ExitType.PERCENT:
        return value / 100.0
    if kind == ExitType.ATR:
        return value * true_range if bars > period and true_range > 0.0 else math.nan
    return value


@inlined
def distance_of(book, rules, symbol, leg):
    """(ExitType, distance) of a leg by the config."""
    terms = range_terms(rules.exits[0], leg)
    bars = book.positions[symbol]["bars"]
    return terms[0], exit_distance(terms, book.ranges[symbol, leg - 1], bars)


@inlined
def exits_refusal(book, rules, symbol, sign, terms):
    """Why an entry of side `sign` cannot be protected as asked; NONE if it can.

    `terms` is (price it will fill at, stop_loss, take_profit), the last two NaN if not given.
    """
    price, stop, target = terms
    for leg in range(Leg.STOP_LOSS, Leg.TRAILING_STOP + 1):
        given = stop if leg == Leg.STOP_LOSS else (target if leg == Leg.TAKE_PROFIT else math.nan)
        if given == given:
            gain = (given - price) * sign
            right_side = gain < 0.0 if leg == Leg.STOP_LOSS else gain > 0.0
            if not (right_side and given > 0.0 and given < math.inf):
                return Reason.EXIT_PRICE
            continue
        kind, distance = distance_of(book, rules, symbol, leg)
        if kind != ExitType.NONE and not (distance > 0.0):
            return Reason.EXIT_DISTANCE_UNKNOWN
    return Reason.NONE


@inlined
def is_held_too_long(position, rules):
    """Whether a position has been held for as many bars as the exits allow."""
    most = rules["max_holding_bars"]
    if most == 0 or position["qty"] == 0.0:
        return False
    return position["bars"] - position["entry_bar"] >= most


@inlined
def legs_wanted(rules, stop, target):
    """How many exits an entry gets whose request gives these prices (NaN if not)."""
    exits = rules.exits[0]
    count = exits["legs"]
    if stop == stop and exits["stop_type"] == ExitType.NONE:
        count += 1
    if target == target and exits["target_type"] == ExitType.NONE:
        count += 1
    return count


@outlined
def place_exits(book, rules, symbol, parent, terms, out):
    """Enter the exits of an entry of order id `parent`, or of what is held already.

    `terms` is (decision, signed qty of the entry, stop_loss, take_profit). Exits of that side
    that are there already go on, or end as REPLACED where the request gives other prices.
    """
    decision, qty, stop, target = terms
    position = book.positions[symbol]
    orders = book.orders[symbol]
    account = book.account[0]
    for leg in range(Leg.STOP_LOSS, Leg.TRAILING_STOP + 1):
        given = stop if leg == Leg.STOP_LOSS else (target if leg == Leg.TAKE_PROFIT else math.nan)
        kind, distance = distance_of(book, rules, symbol, leg)
        is_given = given == given
        if kind == ExitType.NONE and not is_given:
            continue
        is_there = False
        for index in range(position["working_orders"]):
            order = orders[index]
            if order["leg"] == leg and order["qty"] * qty < 0.0 and is_exit(order):
                if is_given:
                    end_order(account, order, Reason.REPLACED, out)
                elif order["qty"] != order["filled_qty"]:
                    is_there = True
        if is_there:
            continue
        is_held = position["qty"] * qty > 0.0
        closes = position["qty"] if is_held else qty
        order = place_order(book, symbol, 0.0 - closes, decision)
        order["parent"] = parent
        order["leg"] = leg
        order["kind"] = OrderKind.STOP_LOSS + (leg - Leg.STOP_LOSS)
        order["type"] = TYPE_OF_LEG[leg]
        unit = LevelUnit.FRACTION if kind == ExitType.PERCENT else LevelUnit.DISTANCE
        order["unit"] = LevelUnit.FIXED if is_given else unit
        order["distance"] = 0.0 if is_given else distance
        if is_given:
            set_level(order, given, rules.instruments[symbol]["tick_size"])
        if leg == Leg.TRAILING_STOP:
            scale = distance / rules.exits[0]["trail_value"]
            order["activate_at"] = rules.exits[0]["activate_at"] * scale
        if is_held:
            set_from_entry(order, position, rules.instruments[symbol]["tick_size"])


@inlined
def set_level(order, price, tick_size):
    """The price of an exit, on the tick that is worse for us."""
    if order["type"] == OrderType.LIMIT:
        order["limit_price"] = tick_against(price, 0.0 - order["qty"], tick_size)
    else:
        order["stop_price"] = tick_against(price, order["qty"], tick_size)


@inlined
def level_from(order, price, sign):
    """The price that lies the distance of an exit above (`sign` 1) or below (−1) `price`."""
    if order["unit"] == LevelUnit.FRACTION:
        return price * (1.0 + sign * order["distance"])
    return price + sign * order["distance"]


@inlined
def set_from_entry(order, position, tick_size):
    """The price of an exit as the average entry price makes it."""
    entry = position["avg_price"]
    sign = 1.0 if position["qty"] > 0.0 else -1.0
    if order["type"] == OrderType.TRAILING_STOP:
        if order["best"] == 0.0:
            order["best"] = entry
        trail(order, position, tick_size)
    elif order["unit"] != LevelUnit.FIXED:
        direction = sign if order["type"] == OrderType.LIMIT else 0.0 - sign
        set_level(order, level_from(order, entry, direction), tick_size)


@inlined
def trail(order, position, tick_size):
    """Move a trailing stop after its best price, never back; not before its gain is reached."""
    entry = position["avg_price"]
    sign = 1.0 if position["qty"] > 0.0 else -1.0
    least = order["activate_at"]
    if order["unit"] == LevelUnit.FRACTION:
        least *= entry
    before = order["stop_price"]
    if before == 0.0 and not ((order["best"] - entry) * sign >= least):
        return
    set_level(order, level_from(order, order["best"], 0.0 - sign), tick_size)
    if before != 0.0 and (before - order["stop_price"]) * sign > 0.0:
        order["stop_price"] = before


@outlined
def ratchet(position, orders, bar, tick_size, is_entered_inside):
    """Let trailing stops follow a closed bar: its extreme, or its close where it was entered."""
    held = position["qty"]
    extreme = bar["high"] if held > 0.0 else bar["low"]
    if is_entered_inside:
        extreme = bar["close"]
    for index in range(position["working_orders"]):
        order = orders[index]
        trails = order["type"] == OrderType.TRAILING_STOP and order["qty"] * held < 0.0
        if trails and order["status"] != OrderStatus.SUBMITTED:
            if (extreme - order["best"]) * held > 0.0:
                order["best"] = extreme
                trail(order, position, tick_size)


@inlined
def forget_position(order):
    """An exit starts anew for what is entered next: this very bar can meet it again."""
    order["best"] = 0.0
    order["triggered"] = 0
    order["met_ns"] = 0
    if order["type"] == OrderType.TRAILING_STOP:
        order["stop_price"] = 0.0


@outlined
def follow_position(account, position, orders, tick_size, is_entry, out):
    """After a fill: exits take the position's size, an entry wakes and moves them.

    What an exit closed cannot be closed again: orders of the model that were to close it shrink.
    """
    held = position["qty"]
    left = abs(held)
    for index in range(position["working_orders"]):
        order = orders[index]
        if is_exit(order):
            if held == 0.0 and order["qty"] != order["filled_qty"]:
                forget_position(order)  # what is entered now is another position
            if order["qty"] * held < 0.0 and order["status"] != OrderStatus.INTENT:
                if is_entry:
                    is_spent = order["qty"] == order["filled_qty"]
                    if is_spent or order["status"] == OrderStatus.SUBMITTED:
                        order["status"] = OrderStatus.WORKING
                        forget_position(order)
                    set_from_entry(order, position, tick_size)
                order["qty"] = order["filled_qty"] - held
        elif closing_rest(order) != 0.0:
            closing = closing_rest(order)
            keep = min(abs(closing), left) if closing * held < 0.0 else 0.0
            left -= keep
            kept = keep if closing > 0.0 else 0.0 - keep
            opening = order["qty"] - order["filled_qty"] - closing
            if kept != closing:
                order["closing"] += kept - closing
                if kept + opening == 0.0:
                    end_order(account, order, Reason.POSITION_CLOSED, out)
                else:
                    parts = (closing + opening, kept + opening)
                    trim_order(account, order, parts, Reason.POSITION_CLOSED, out)
