"""The four size throttles, in order: volume participation, spread, volatility, absolute cap.

Law: a throttle never enlarges an order and never changes its side; each stage is monotone in its
driver; results are rounded down to lots; a missing driver (NaN) gives zero, never a pass. The
closing part of an order is cut by volume and by the absolute cap only.
"""

import math

from trader.core.jit import inlined
from trader.core.rounding import LAST_PLACES, is_size_within, lots_down, nearest_lot
from trader.core.schema import Reason

VOLUME_PARTICIPATION = int(Reason.VOLUME_PARTICIPATION)
SPREAD = int(Reason.SPREAD)
VOLATILITY = int(Reason.VOLATILITY)
ABSOLUTE_CAP = int(Reason.ABSOLUTE_CAP)
CROSSED_BOOK = int(Reason.CROSSED_BOOK)


@inlined
def mean_volume(volumes, bars, window):
    """Mean volume of the `window` closed bars before the one decided on; NaN with fewer.

    `volumes` is one symbol's ring, a power of two long and at least `window`; oldest first. The
    bar decided on is left out so that its own volume, still being revised when a feed closes
    it, cannot size an order.
    """
    count = bars - 1
    if count < window:
        return math.nan
    mask = len(volumes) - 1
    total = 0.0
    for index in range(count - window, count):
        total += volumes[index & mask]
    return total / window


@inlined
def volatility(returns, bars, window):
    """Sample standard deviation of the last `window` one-bar returns; NaN with fewer.

    `returns` is one symbol's ring, a power of two long and at least `window`; two passes,
    oldest first.
    """
    count = bars - 1
    if count < window:
        return math.nan
    mask = len(returns) - 1
    total = 0.0
    for index in range(count - window, count):
        total += returns[index & mask]
    mean = total / window
    squares = 0.0
    for index in range(count - window, count):
        deviation = returns[index & mask] - mean
        squares += deviation * deviation
    return math.sqrt(squares / (window - 1))


@inlined
def spread_bps(position):
    """Quoted spread over mid in basis points; NaN without both quotes, negative if crossed."""
    middle = (position["bid"] + position["ask"]) / 2.0
    if not (middle > 0.0):
        return math.nan
    return (position["ask"] - position["bid"]) / middle * 10_000.0


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
        return VOLUME_PARTICIPATION
    if stage == 1:
        return CROSSED_BOOK if driver < 0.0 else SPREAD
    return VOLATILITY if stage == 2 else ABSOLUTE_CAP
