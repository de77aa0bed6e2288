"""What an order costs: slippage per unit, commission, and the price to expect before it fills.

Law: costs are never negative, and estimates use only what is known at the close of the bar.
"""

import math

from trader.core.jit import inlined
from trader.core.schema import CommissionType, SlippageType

COMMISSION_BPS = int(CommissionType.BPS)
COMMISSION_PER_SHARE = int(CommissionType.PER_SHARE)
SLIPPAGE_BPS = int(SlippageType.BPS)
SLIPPAGE_HALF_SPREAD = int(SlippageType.HALF_SPREAD)


@inlined
def commission_amount(broker, size, notional):
    """Commission in account currency of a whole order filled so far: `size` > 0 at `notional`."""
    kind = broker["commission_type"]
    if kind == COMMISSION_BPS:
        amount = notional * broker["commission_value"] / 10_000.0
    elif kind == COMMISSION_PER_SHARE:
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
    if kind == SLIPPAGE_BPS:
        return abs(price) * broker["slippage_value"] / 10_000.0
    if kind == SLIPPAGE_HALF_SPREAD:
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
    if broker["commission_type"] == COMMISSION_BPS:
        per_unit = price * broker["commission_value"] / 10_000.0
    elif broker["commission_type"] == COMMISSION_PER_SHARE:
        per_unit = broker["commission_value"]
    else:
        fixed = max(fixed, broker["commission_value"])
    if not (price > 0.0 and price + per_unit < math.inf):
        return 0.0
    money -= closed * abs(price - mark)  # what closes does so at a loss
    needed = margin * price + (1.0 - margin) * abs(price - mark)
    by_size = (money - closed * per_unit) / (needed + per_unit)
    return max(min(by_size, (money - fixed) / needed), 0.0)
