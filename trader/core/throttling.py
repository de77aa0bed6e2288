"""The four throttles applied to one order, in their order, each cut as a row.

Law: the first thing that is left of an order is what closes; `throttle` says how much a stage cuts.
"""

import math

from trader.core import throttle
from trader.core.jit import inlined
from trader.core.limits import limits_of
from trader.core.rows import write_throttle
from trader.core.schema import Reason

NONE = int(Reason.NONE)
THROTTLED_TO_ZERO = int(Reason.THROTTLED_TO_ZERO)
BELOW_MIN_SIZE = int(Reason.BELOW_MIN_SIZE)
CROSSED_BOOK = int(Reason.CROSSED_BOOK)


@inlined
def throttled(book, rules, symbol, order, out):
    """(qty, stage bits, reason, driver, limit) of `order` = (approved qty, its closing part)."""
    position = book.positions[symbol]
    limits = limits_of(rules, symbol)
    lot_size = rules.instruments[symbol]["lot_size"]
    size = abs(order[0])
    closing = min(abs(order[1]), size)
    bits, reason, driver_kept, limit_kept = 0, NONE, 0.0, 0.0
    for stage in range(4):
        limit = stage_limit(limits, stage)
        if limit == math.inf:
            continue
        driver = stage_driver(book, rules, symbol, stage)
        before = size
        size = throttle.stage_result(stage, before, closing, driver, (limit, lot_size))
        if size < before:
            bits |= 1 << stage
            reason = throttle.stage_reason(stage, driver)
            driver_kept, limit_kept = driver if driver == driver else 0.0, limit
            write_throttle(book.account[0], (symbol, reason), (before, size), (driver, limit), out)
    if size == 0.0:
        reason = reason if reason == CROSSED_BOOK else THROTTLED_TO_ZERO
    elif size < limits["min_order_size"] and not (closing >= size == abs(position["qty"])):
        reason, driver_kept, limit_kept = BELOW_MIN_SIZE, size, limits["min_order_size"]
        size = 0.0
    return size if order[0] > 0.0 else 0.0 - size, bits, reason, driver_kept, limit_kept


@inlined
def stage_limit(limits, stage):
    """Limit of throttle `stage`; +inf switches it off."""
    if stage == 0:
        return limits["max_volume_participation"]
    if stage == 1:
        return limits["max_spread_bps"]
    if stage == 2:
        return limits["max_volatility"]
    return limits["throttle_max_order_size"]


@inlined
def stage_driver(book, rules, symbol, stage):
    """What throttle `stage` is driven by, from closed bars only; NaN where unknown."""
    position = book.positions[symbol]
    limits = rules.limits[0]
    if stage == 0:
        return throttle.mean_volume(book.volumes[symbol], position["bars"], limits["volume_window"])
    if stage == 1:
        return throttle.spread_bps(position)
    if stage == 2:
        return throttle.volatility(
            book.returns[symbol], position["bars"], limits["volatility_window"]
        )
    return 0.0
