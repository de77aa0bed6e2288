"""The price of an execution: where, moved how far, at what commission.

Law: an order decided at a close fills at the next bar's open (or, if asked for, at that close),
moved against the order by slippage and rounded against it to the tick. All orders of a symbol
share the bar's volume in the order they were sent. Nothing here touches money.
"""

import math

from trader.core.costs import commission_amount, slippage_per_unit
from trader.core.jit import inlined
from trader.core.rounding import (
    LAST_PLACES,
    is_price_within,
    lots_down,
    nearest_lot,
    tick_against,
)
from trader.core.schema import FillRule, TimeInForce
from trader.core.sessions import bar_open_ns

SAME_CLOSE = int(FillRule.SAME_CLOSE)
FOK = int(TimeInForce.FOK)


@inlined
def fill_basis(broker, position, bar):
    """(price before slippage, time, volume) of the fill rule. `position` has not seen `bar` yet.

    Bars of one symbol that overlap do not fill before the close at which was decided.
    """
    if broker["fill"] == SAME_CLOSE:
        return position["mark"], position["mark_ns"], position["volume"]
    open_ns = bar_open_ns(bar, broker["period_ns"])
    return bar["open"], max(open_ns, position["mark_ns"]), bar["volume"]


@inlined
def is_outside_collar(price, reference, collar):
    """Whether a fill price is further from the order's reference than the collar allows."""
    if collar == math.inf:
        return False
    return not is_price_within(abs(price - reference), reference, collar)


@inlined
def fill_qty(order, capacity, lot_size):
    """Signed part of the order that `capacity` ≥ 0 units of volume let through."""
    rest = nearest_lot(order["qty"] - order["filled_qty"], lot_size)
    if abs(rest) <= capacity:
        return rest
    if order["time_in_force"] == FOK:
        return 0.0
    size = lots_down(capacity, lot_size)
    return size if rest > 0.0 else 0.0 - size


@inlined
def fill_price(broker, qty, basis, position, instrument):
    """Price of a fill of signed `qty`; `basis` is `fill_basis`."""
    price, _, volume = basis
    share = min(abs(qty) / volume, 1.0) if volume > 0.0 else 1.0
    against = slippage_per_unit(broker, price, position["spread"], share)
    moved = price + against if qty > 0.0 else price - against
    moved = tick_against(moved, qty, instrument["tick_size"])
    if abs(moved - price) <= LAST_PLACES * abs(price):  # on its tick already: no slippage at all
        return price
    return moved if moved > 0.0 or instrument["allow_negative_prices"] != 0 else price


@inlined
def charge_commission(broker, order, qty, unit_price):
    """Commission of this fill: that of the whole order so far, less what it already paid.

    `unit_price` is what a unit is worth, in account currency.
    """
    order["filled_qty"] += qty
    order["filled_notional"] += abs(qty * unit_price)
    total = commission_amount(broker, abs(order["filled_qty"]), order["filled_notional"])
    charged = max(total - order["commission"], 0.0)
    order["commission"] += charged
    return charged
