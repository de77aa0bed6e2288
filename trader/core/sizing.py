"""From an action to the quantity it asks for. Computes only; knows no limits.

Law: the request is the difference between where the action wants the position and where it will
be once every working order has filled, cut towards zero to whole lots.
"""

import math

from trader.core.schema import Reason, SizingMode, TradingAction
from trader.jit import inlined
from trader.rounding import is_size_within, lots_down, nearest_lot


@inlined
def target_size(sizing, equity, price, affordable, volatility):
    """Size ≥ 0 of a share of equity, before lots; NaN where volatility is unknown or the price is
    0 or less: what it buys is then undefined.

    `affordable` is the size that all of the equity pays for with fees, so that 100 % of equity
    is a size that passes the buying-power check. `volatility` is the standard deviation of one
    bar's returns. Volatility targeting (Moreira & Muir 2017, "Volatility-Managed Portfolios"):
    notional = equity × target / (σ per bar × √bars per year), at most `max_leverage` × equity.
    """
    if not (price > 0.0):
        return math.nan
    if not (equity > 0.0):
        return 0.0
    if sizing["mode"] == SizingMode.PERCENT_EQUITY:
        return min(equity * sizing["percent"] / price, affordable)
    if not (volatility >= 0.0):
        return math.nan
    annual = volatility * sizing["annualisation"]
    leverage = sizing["max_leverage"]
    if annual > 0.0:
        leverage = min(leverage, sizing["target_volatility"] / annual)
    return min(equity * leverage / price, affordable)


@inlined
def scored_size(sizing, score):
    """`base_size` × (floor + (1 − floor) × |score|), a score above 1 counting as 1; NaN without."""
    share = min(abs(score), 1.0) if score == score else math.nan
    return sizing["base_size"] * (sizing["floor"] + (1.0 - sizing["floor"]) * share)


@inlined
def is_within_threshold(off, threshold, target):
    """Whether a position that is `off` its target is left alone; a threshold of +inf does so."""
    return threshold == math.inf or is_size_within(off, threshold * abs(target))


@inlined
def requested_qty(action, sizing, position, size, lot_size):
    """(signed qty, reason) that BUY or SELL asks for; qty 0 comes with the reason why.

    `size` is `target_size`. In `target` mode BUY means long `size` and SELL means short `size`,
    or flat where shorts are not allowed; `increment` adds or takes `size` each time. The other
    modes leave a position of the right sign alone until it is off by `rebalance_threshold`.
    """
    current = position["qty"] + position["working_buy"] - position["working_sell"]
    if not (size >= 0.0):
        if sizing["mode"] == SizingMode.SCORE:
            return 0.0, Reason.NO_SCORE
        return 0.0, Reason.NO_VOLATILITY if position["mark"] > 0.0 else Reason.PRICE_NOT_POSITIVE
    sign = 1.0 if action == TradingAction.BUY else -1.0
    short_allowed = sizing["allow_short"] != 0
    wanted = sign * size if sign > 0.0 or short_allowed else 0.0
    if sizing["mode"] == SizingMode.TARGET and current == wanted:
        if current == 0.0:  # most bars end here: the position is where the action wants it
            return 0.0, Reason.SHORT_NOT_ALLOWED
        return 0.0, Reason.AT_TARGET
    if sizing["mode"] == SizingMode.INCREMENT:
        qty = sign * size
        if not short_allowed and current + qty < 0.0:
            qty = 0.0 - max(current, 0.0)
    else:
        target = sign * lots_down(size, lot_size)
        if not short_allowed and target < 0.0:
            target = 0.0
        if sizing["mode"] != SizingMode.TARGET and current * sign > 0.0:
            off = abs(target - current)
            if is_within_threshold(off, sizing["rebalance_threshold"], target):
                return 0.0, Reason.AT_TARGET
        qty = nearest_lot(target - current, lot_size)  # both are whole lots
    qty = lots_down(qty, lot_size)
    if qty != 0.0:
        return qty, Reason.NONE
    if sign < 0.0 and not short_allowed and current <= 0.0:
        return 0.0, Reason.SHORT_NOT_ALLOWED
    opens = current == 0.0 or sizing["mode"] == SizingMode.INCREMENT
    if opens and lots_down(size, lot_size) == 0.0:
        return 0.0, Reason.BELOW_LOT_SIZE
    return 0.0, Reason.AT_TARGET


@inlined
def closing_qty(position, qty):
    """The part of signed `qty` that only closes what is held and not yet being closed.

    Several working orders can close one position; together they never close more than there is.
    """
    held = position["qty"]
    if qty < 0.0 and held > 0.0:
        return max(qty, 0.0 - max(held - position["working_sell"], 0.0))
    if qty > 0.0 and held < 0.0:
        return min(qty, max(0.0 - held - position["working_buy"], 0.0))
    return 0.0


@inlined
def flattening_qty(position):
    """Signed qty that closes what no working order is closing yet."""
    return closing_qty(position, 0.0 - position["qty"])
