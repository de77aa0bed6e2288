"""The four size throttles, in order: volume participation, spread, volatility, absolute cap.

Law: a throttle never enlarges an order and never changes its side; each stage is monotone in its
driver; results are rounded down to lots; a missing driver (NaN) gives zero, never a pass. The
closing part of an order comes first and is cut by volume and by the absolute cap only.
"""

import math

from trader.core import market
from trader.core.book import limits_of
from trader.core.rows import write_throttle
from trader.core.schema import Reason
from trader.jit import inlined
from trader.rounding import LAST_PLACES, is_size_within, lots_down, nearest_lot


@inlined
def throttled(book, rules, symbol, order, out):
    """(qty, stage bits, reason, driver, limit) of `order` = (approved qty, its closing part)."""
    position = book.positions[symbol]
    limits = limits_of(rules, symbol)
    lot_size = rules.instruments[symbol]["lot_size"]
    size = abs(order[0])
    closing = min(abs(order[1]), size)
    bits, reason, driver_kept, limit_kept = 0, Reason.NONE, 0.0, 0.0
    stages = (
        limits["max_volume_participation"],
        limits["max_spread_bps"],
        limits["max_volatility"],
        limits["throttle_max_order_size"],
    )
    for stage in range(4):
        limit = stages[stage]
        if limit == math.inf:
            continue
        driver = stage_driver(book, rules, symbol, stage)
        before = size
        size = stage_result(stage, before, closing, driver, (limit, lot_size))
        if size < before:
            bits |= 1 << stage
            reason = stage_reason(stage, driver)
            driver_kept, limit_kept = driver if driver == driver else 0.0, limit
            write_throttle(book.account[0], (symbol, reason), (before, size), (driver, limit), out)
    if size == 0.0:
        reason = reason if reason == Reason.CROSSED_BOOK else Reason.THROTTLED_TO_ZERO
    elif size < limits["min_order_size"] and not (closing >= size == abs(position["qty"])):
        reason, driver_kept, limit_kept = Reason.BELOW_MIN_SIZE, size, limits["min_order_size"]
        size = 0.0
    return size if order[0] > 0.0 else 0.0 - size, bits, reason, driver_kept, limit_kept


@inlined
def stage_driver(book, rules, symbol, stage):
    """What throttle `stage` is driven by, from closed bars only; NaN where unknown."""
    position = book.positions[symbol]
    limits = rules.limits[0]
    if stage == 0:
        return market.mean_volume(book.volumes[symbol], position["bars"], limits["volume_window"])
    if stage == 1:
        return market.spread_bps(position)
    if stage == 2:
        window = limits["volatility_window"]
        return market.volatility(book.returns[symbol], position["bars"], window)
    return 0.0


@inlined
def stage_result(stage, size, closing, driver, rule):
    """Size ≥ 0 after `stage` (0-3). `rule` is (limit, lot_size); `closing` ≤ size closes only."""
    limit, lot_size = rule
    if stage == 0:
        return capped(size, driver * limit, lot_size)
    if stage == 3:
        return capped(size, limit, lot_size)
    kept = min(closing, size)
    noise = LAST_PLACES * 10_000.0 if stage == 1 else LAST_PLACES  # in basis points, a fraction
    return nearest_lot(kept + scaled(size - kept, driver, limit, noise, lot_size), lot_size)


@inlined
def stage_reason(stage, driver):
    """The Reason a stage leaves."""
    if stage == 0:
        return Reason.VOLUME_PARTICIPATION
    if stage == 1:
        return Reason.CROSSED_BOOK if driver < 0.0 else Reason.SPREAD
    return Reason.VOLATILITY if stage == 2 else Reason.ABSOLUTE_CAP


@inlined
def capped(size, cap, lot_size):
    """`size` ≥ 0 cut to `cap`, in whole lots; 0 where the cap is unknown."""
    if not (cap >= 0.0):
        return 0.0
    return size if is_size_within(size, cap) else lots_down(cap, lot_size)


@inlined
def scaled(size, driver, maximum, noise, lot_size):
    """`size` × maximum / driver above the maximum, in whole lots; 0 where driver is no sane one.

    A driver is a difference of prices over a price: known to `noise`, some last places of 1.
    """
    if 0.0 <= driver and driver <= maximum + noise:
        return size
    if not (driver > 0.0 and driver < math.inf):
        return 0.0
    return lots_down(size * maximum / driver, lot_size)
