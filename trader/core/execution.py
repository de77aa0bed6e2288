"""The price of an execution, and what to expect of it: where, moved how far, at what commission.

Law: an order decided at a close fills at the next bar's open (or, if asked for, at that close),
moved against the order by slippage and rounded against it to the tick. All orders of a symbol
share the bar's volume in the order they were sent. Costs are never negative, and estimates use
only what is known at the close of the bar. Nothing here touches money.
"""

import math

from trader.core.schema import CommissionType, FillRule, OrderKind, SlippageType, TimeInForce
from trader.jit import inlined
from trader.rounding import LAST_PLACES, is_price_within, lots_down, nearest_lot, tick_against
from trader.session_rows import bar_open_ns


@inlined
def commission_amount(broker, size, notional):
    """Commission in account currency of a whole order filled so far: `size` > 0 at `notional`."""
    kind = broker["commission_type"]
    if kind == CommissionType.BPS:
        amount = notional * broker["commission_value"] / 10_000.0
    elif kind == CommissionType.PER_SHARE:
        amount = size * broker["commission_value"]
    else:
        amount = broker["commission_value"]
    return max(amount, broker["commission_minimum"])


@inlined
def slippage_per_unit(broker, price, spread, volume_share):
    """How far, in price units ≥ 0, a fill at `price` is moved against the order.

    `volume_share` is this fill's part of the bar's volume; its square times the price impact
    is the quadratic impact model of zipline's VolumeShareSlippage.
    """
    kind = broker["slippage_type"]
    if kind == SlippageType.BPS:
        return abs(price) * broker["slippage_value"] / 10_000.0
    if kind == SlippageType.HALF_SPREAD:
        return max(spread, 0.0) / 2.0 * broker["slippage_value"]
    return abs(price) * broker["slippage_value"] * volume_share * volume_share


@inlined
def quoted_price(position, qty):
    """Price an order of signed `qty` is judged at: the last, or for a buy a higher ask."""
    price = position["mark"]
    if qty > 0.0 and position["ask"] > price:
        price = position["ask"]
    return price


@inlined
def expected_price(broker, position, qty):
    """Price to expect for an order of signed `qty`: the quoted one with slippage."""
    price = quoted_price(position, qty)
    spread = position["spread"] if position["spread"] > 0.0 else 0.0
    return price + slippage_per_unit(broker, price, spread, 0.0)


@inlined
def affordable_size(broker, position, order, money):
    """Largest position ≥ 0 that `money` holds after an order, `margin` of its worth being needed.

    `order` is (its side ±1, units it closes first, margin). Slippage and the commission of the
    whole order are paid from the money. +inf never, 0 without a price.
    """
    side, closed, margin = order
    mark = abs(position["mark"]) * position["unit_value"]
    price = abs(expected_price(broker, position, side)) * position["unit_value"]
    fixed = max(broker["commission_minimum"], 0.0)
    per_unit = 0.0
    if broker["commission_type"] == CommissionType.BPS:
        per_unit = price * broker["commission_value"] / 10_000.0
    elif broker["commission_type"] == CommissionType.PER_SHARE:
        per_unit = broker["commission_value"]
    else:
        fixed = max(fixed, broker["commission_value"])
    if not (price > 0.0 and price + per_unit < math.inf):
        return 0.0
    money -= closed * abs(price - mark)  # what closes does so at a loss
    needed = margin * price + (1.0 - margin) * abs(price - mark)
    by_size = (money - closed * per_unit) / (needed + per_unit)
    return max(min(by_size, (money - fixed) / needed), 0.0)


@inlined
def fill_basis(broker, position, bar):
    """(price before slippage, time, volume) of the fill rule. `position` has not seen `bar` yet.

    Bars of one symbol that overlap do not fill before the close at which was decided.
    """
    if broker["fill"] == FillRule.SAME_CLOSE:
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
def misses_collar(order, price, limits):
    """Whether the collar keeps an order from a fill at `price`; a liquidation knows no collar."""
    if order["kind"] == OrderKind.LIQUIDATION:
        return False
    return is_outside_collar(price, order["reference"], limits["price_collar"])


@inlined
def fill_qty(order, capacity, lot_size):
    """Signed part of the order that `capacity` ≥ 0 units of volume let through."""
    rest = nearest_lot(order["qty"] - order["filled_qty"], lot_size)
    if abs(rest) <= capacity:
        return rest
    if order["time_in_force"] == TimeInForce.FOK:
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
