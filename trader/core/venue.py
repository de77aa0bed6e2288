"""The simulated exchange: which resting order the bar fills next, and at what price.

    phase 0   at the open        market, market-on-open, whatever the open lies beyond
    phase 1   at the open        exits the open lies beyond
    phase 2   inside the bar     worst: orders that open        ohlc: open → nearer extreme
    phase 3   inside the bar     worst: stops that close        ohlc: → the other extreme
    phase 4   inside the bar     worst: limits that close       ohlc: → close
    phase 5   at the close       market-on-close

Law: knows orders and bars and no money. Only open, high, low and close of a bar are known, so
what fills inside follows a stated rule (docs/execution-model.md). An order is met once a bar; where
a bar comes with finer ones, once in each of those.
"""

import math

from trader.core.orders import closing_rest, is_exit
from trader.core.schema import LimitFill, OrderStatus, OrderType
from trader.jit import inlined, outlined

AT_OPEN, EXITS_AT_OPEN, FIRST_INSIDE, SECOND_INSIDE, LAST_INSIDE, AT_CLOSE = range(6)
PHASES = 6
NOBODY = -1


@inlined
def is_live(order, bar, slice_ns):
    """Whether the bar may still meet an order; it is that of the slice, or a finer one."""
    status, met_ns = order["status"], order["met_ns"]
    if not (status == OrderStatus.WORKING or status == OrderStatus.PARTLY_FILLED):
        return False
    return met_ns != bar["ts_ns"] and met_ns != slice_ns and order["qty"] != order["filled_qty"]


@inlined
def is_stop(order):
    """Whether it waits for the price to go against it."""
    kind = order["type"]
    waits = (
        kind == OrderType.STOP or kind == OrderType.STOP_LIMIT or kind == OrderType.TRAILING_STOP
    )
    return waits and order["triggered"] == 0 and order["stop_price"] > 0.0


@inlined
def is_limit(order):
    """Whether it waits for its limit or better."""
    kind = order["type"]
    return kind == OrderType.LIMIT or (kind == OrderType.STOP_LIMIT and order["triggered"] != 0)


@inlined
def reaches_stop(order, lowest, highest):
    """Whether prices from `lowest` to `highest` trigger a stop."""
    if order["qty"] > 0.0:
        return highest >= order["stop_price"]
    return lowest <= order["stop_price"]


@inlined
def reaches_limit(order, lowest, highest, rule):
    """Whether prices from `lowest` to `highest` fill a limit, by `rule` (LimitFill)."""
    limit = order["limit_price"]
    if order["qty"] > 0.0:
        return lowest < limit or (rule == LimitFill.TOUCH and lowest == limit)
    return highest > limit or (rule == LimitFill.TOUCH and highest == limit)


@inlined
def is_calm(position, bar):
    """Whether the bar meets nothing that rests: most bars, by two comparisons."""
    return bar["low"] > position["calm_low"] and bar["high"] < position["calm_high"]


@inlined
def moves_trail(position, bar):
    """Whether a bar that meets nothing takes a trailing stop along."""
    if position["qty"] > 0.0:
        return bar["high"] > position["trail_best"]
    return bar["low"] < position["trail_best"]


@outlined
def set_calm(position, orders):
    """The prices between which nothing happens, and the best price a trailing stop has seen.

    None where the table holds more than exits of what is held, or one that is under way.
    """
    held = position["qty"]
    low, high = 0.0, math.inf
    best = math.inf if held > 0.0 else 0.0 - math.inf
    for index in range(position["working_orders"]):
        order = orders[index]
        if not (is_exit(order) and order["qty"] * held < 0.0) or order["triggered"] != 0:
            low = math.inf
            continue
        if order["type"] == OrderType.TRAILING_STOP:
            best = order["best"]
        level = order["limit_price"] if order["type"] == OrderType.LIMIT else order["stop_price"]
        is_below = (order["type"] == OrderType.LIMIT) == (order["qty"] > 0.0)
        if level > 0.0 and is_below:
            low = max(low, level)
        elif level > 0.0:
            high = min(high, level)
    position["calm_low"] = low
    position["calm_high"] = high
    position["trail_best"] = best


@inlined
def meets_open(order, bar, rule, is_session_open):
    """Whether the open fills an order that is no market order; it may trigger a stop-limit."""
    price = bar["open"]
    if order["type"] == OrderType.MOO:
        return is_session_open
    if is_stop(order) and reaches_stop(order, price, price):
        if order["type"] != OrderType.STOP_LIMIT:
            return True
        order["triggered"] = 1
    return is_limit(order) and reaches_limit(order, price, price, rule)


@inlined
def at_open(orders, count, held, bar, terms):
    """Place of the next order that the open fills.

    `terms` is (phase, rule, slice_ns, is_session_open).
    """
    phase, rule, slice_ns, is_session_open = terms
    target = NOBODY  # a stop comes before it
    for index in range(count):
        order = orders[index]
        if not is_live(order, bar, slice_ns):
            continue
        if phase == EXITS_AT_OPEN:
            closes = is_exit(order) and order["qty"] * held < 0.0
            is_due = order["triggered"] != 0  # and did not fill to its end
            if closes and (is_due or meets_open(order, bar, rule, is_session_open)):
                if order["type"] != OrderType.LIMIT:
                    return index
                target = index if target == NOBODY else target
        elif not is_exit(order):
            is_market = order["type"] == OrderType.MARKET or (
                order["triggered"] != 0 and order["type"] != OrderType.STOP_LIMIT
            )
            if is_market or meets_open(order, bar, rule, is_session_open):
                return index
    return target


@inlined
def at_close(orders, count, bar, slice_ns):
    """Place of the next order for the close of the session."""
    for index in range(count):
        if orders[index]["type"] == OrderType.MOC and is_live(orders[index], bar, slice_ns):
            return index
    return NOBODY


@inlined
def is_within_limit(order, price):
    """Whether a stop-limit that is triggered at `price` may fill at it."""
    return price <= order["limit_price"] if order["qty"] > 0.0 else price >= order["limit_price"]


@inlined
def path_end(bar, phase):
    """Where the price goes in a phase by the rule `ohlc`: nearer extreme, other extreme, close."""
    if phase == LAST_INSIDE:
        return bar["close"]
    is_high_first = bar["high"] - bar["open"] < bar["open"] - bar["low"]
    return bar["high"] if is_high_first == (phase == FIRST_INSIDE) else bar["low"]


@inlined
def inside(orders, count, held, bar, terms):
    """(place, price) of the next order inside the bar: the one whose price comes first.

    `terms` is (phase, LimitFill, slice_ns, is worst, path start). By the rule `worst` a phase has
    the whole bar and only the orders that are its own; by `ohlc` it has all orders and one way.
    """
    phase, rule, slice_ns, is_worst, start = terms
    low, high = bar["low"], bar["high"]
    if is_worst:
        start = bar["open"]
    else:
        end = path_end(bar, phase)
        low, high = min(start, end), max(start, end)
    found, price = NOBODY, 0.0
    for index in range(count):
        order = orders[index]
        closes = is_exit(order)
        if not is_live(order, bar, slice_ns) or (closes and not (order["qty"] * held < 0.0)):
            continue
        closes = closes or closing_rest(order) != 0.0
        if is_worst and closes == (phase == FIRST_INSIDE):
            continue
        level = 0.0
        if is_stop(order) and reaches_stop(order, low, high):
            if is_worst and phase == LAST_INSIDE:
                continue
            level = order["stop_price"] if is_worst else min(max(order["stop_price"], low), high)
            if order["type"] == OrderType.STOP_LIMIT:
                order["triggered"] = 1
                level = level if is_within_limit(order, level) else 0.0
        elif is_limit(order) and reaches_limit(order, low, high, rule):
            if is_worst and phase == SECOND_INSIDE:
                continue
            level = order["limit_price"] if is_worst else min(max(order["limit_price"], low), high)
        if level == 0.0:
            continue
        if found == NOBODY or abs(level - start) < abs(price - start):
            found, price = index, level
    return found, price


@inlined
def kinder_price(orders, count, held, bar, terms):
    """Price the kindest order of prices inside the bar gives a stop that filled at `price`.

    0 where nothing else was possible. `terms` is (price, LimitFill rule, was it entered inside).
    """
    price, rule, is_entered_inside = terms
    best = 0.0
    for index in range(count):
        order = orders[index]
        if is_exit(order) and order["type"] == OrderType.LIMIT and order["qty"] * held < 0.0:
            if reaches_limit(order, bar["low"], bar["high"], rule):
                best = order["limit_price"]
    if best == 0.0 and is_entered_inside and (bar["close"] - price) * held > 0.0:
        best = bar["close"]
    return best
