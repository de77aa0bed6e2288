"""Step 5: what positions and working orders could come to at the worst, and what can be paid.

Law: the worst is the position plus every working order of one side, unnetted. Without margin all
of it together, long and short, is worth no more than equity, costs included: then cash is never
below zero either. With an initial margin that part of it is no more than equity.
"""

import math

from trader.core.execution import affordable_size, commission_amount, expected_price
from trader.core.schema import Reason, SizingMode
from trader.jit import inlined
from trader.rounding import is_money_within, lots_down, nearest_lot

PASSED = (Reason.NONE, 0.0, 0.0)


@inlined
def qty_before(position, qty):
    """Position if every working order of the side of `qty` filled: where `qty` begins."""
    if qty > 0.0:
        return position["qty"] + position["working_buy"]
    return position["qty"] - position["working_sell"]


@inlined
def worst_qty(position, qty):
    """Position if `qty` filled as well."""
    return qty_before(position, qty) + qty


@inlined
def notional(position, size):
    """What `size` ≥ 0 units of a position are worth at its mark, in account currency."""
    return size * abs(position["mark"]) * position["unit_value"]


@inlined
def closed_size(position, qty):
    """Units ≥ 0 of `qty` that close before the rest opens."""
    before = qty_before(position, qty)
    return min(abs(before), abs(qty)) if before * qty < 0.0 else 0.0


@inlined
def worst_exposure(position):
    """Notional of a position while what works fills one side first, at its mark."""
    long_side = abs(position["qty"] + position["working_buy"])
    short_side = abs(position["qty"] - position["working_sell"])
    return notional(position, max(long_side, short_side))


@inlined
def count_exposure(account, position):
    """Keep the account's sum of worst cases true after a change of what is held or works.

    Every mark sums it anew, so float dust of a slice ends with it.
    """
    others = account["worst_exposure"] - position["exposure"]
    position["exposure"] = worst_exposure(position)
    account["worst_exposure"] = others + position["exposure"]


@inlined
def exposure_of_others(book, symbol):
    """Σ worst-case notional of every symbol but `symbol`."""
    return book.account[0]["worst_exposure"] - book.positions[symbol]["exposure"]


@inlined
def initial_margin(limits, broker):
    """Part of what is held that equity must come to when something opens; 0 where no rule says."""
    return 1.0 if limits["allow_margin"] == 0 else broker["initial_margin"]


@inlined
def check_concentration(book, rules, symbol, qty):
    """Step 5: (reason, observed, limit): one symbol, all together, and what can be paid for."""
    limits = rules.limits[0]
    broker = rules.broker[0]
    position = book.positions[symbol]
    equity = book.account[0]["equity"]
    size = abs(worst_qty(position, qty))
    if not (equity > 0.0):
        return Reason.CONCENTRATION_LIMIT, math.inf, limits["max_position_concentration"]
    mark = abs(position["mark"]) * position["unit_value"]
    notional = size * mark
    if not is_money_within(notional, limits["max_position_concentration"] * equity):
        return Reason.CONCENTRATION_LIMIT, notional / equity, limits["max_position_concentration"]
    margin = initial_margin(limits, broker)
    if limits["max_gross_exposure"] == math.inf and margin == 0.0:
        return PASSED
    others = exposure_of_others(book, symbol)
    gross = others + notional
    if not is_money_within(gross, limits["max_gross_exposure"] * equity):
        return Reason.GROSS_EXPOSURE_LIMIT, gross / equity, limits["max_gross_exposure"]
    if margin > 0.0:
        price = abs(expected_price(broker, position, qty)) * position["unit_value"]
        moved = abs(price - mark)
        closed = closed_size(position, qty)
        needed = margin * (others + size * price)
        needed += commission_amount(broker, abs(qty), abs(qty) * price) + closed * moved
        needed += (1.0 - margin) * (abs(qty) - closed) * moved  # what opens at a loss
        if not is_money_within(needed, equity):
            return Reason.BUYING_POWER, needed, equity
    return PASSED


@inlined
def is_trimmed(book, rules, symbol):
    """Whether an order that there is too little money for is trimmed, not refused.

    A size that is a share of the money is, and so is an order that shares its instant with
    another symbol's. A fixed size that alone is too much is not: part of it is another trade.
    """
    mode = rules.sizing[0]["mode"]
    if mode == SizingMode.PERCENT_EQUITY or mode == SizingMode.VOLATILITY_TARGET:
        return True
    now = book.account[0]["ts_ns"]
    for other in range(len(book.positions)):
        if other != symbol:
            for index in range(book.positions[other]["working_orders"]):
                if book.orders[other][index]["ts_ns"] == now:
                    return True
    return False


@inlined
def payable_qty(book, rules, symbol, qty):
    """The part of `qty`, in whole lots, that passes the check of buying power; 0 if none does."""
    broker, position = rules.broker[0], book.positions[symbol]
    lot_size = rules.instruments[symbol]["lot_size"]
    side = 1.0 if qty > 0.0 else -1.0
    before = qty_before(position, qty)
    margin = initial_margin(rules.limits[0], broker)
    money = book.account[0]["equity"] - margin * exposure_of_others(book, symbol)
    size = affordable_size(broker, position, (side, 0.0 - before * side, margin), money)
    for spare in range(2):  # a lot less where costs round against it
        part = lots_down(size - before * side, lot_size) - spare * lot_size
        if part > 0.0 and part < abs(qty):
            part = nearest_lot(part * side, lot_size)
            if check_concentration(book, rules, symbol, part)[0] == Reason.NONE:
                return part
    return 0.0
