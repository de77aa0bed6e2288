"""What the core remembers of closed bars, per symbol: the mark, the quote, trailing windows.

`volumes` and `returns` are one symbol's rings: a power of two long, at least the window asked of
them, summed from the oldest on.
"""

import math

from trader.core.schema import Leg
from trader.jit import inlined


@inlined
def take_bar(position, bar, volumes, returns):
    """Take a closed bar; the ring of volumes lags one: it has not that of the bar decided on."""
    seen = position["bars"]
    if seen > 0:
        volumes[(seen - 1) & (len(volumes) - 1)] = position["volume"]
        moved = math.nan  # of a price at or below zero no fraction is defined
        if position["mark"] > 0.0 and bar["close"] > 0.0:
            moved = bar["close"] / position["mark"] - 1.0
        returns[(seen - 1) & (len(returns) - 1)] = moved
    position["reference"] = position["mark"]
    position["mark"] = bar["close"]
    position["mark_ns"] = bar["ts_ns"]
    position["volume"] = bar["volume"]
    position["bid"] = bar["bid"]
    position["ask"] = bar["ask"]
    spread = bar["ask"] - bar["bid"]
    if spread >= 0.0 and spread < math.inf:
        position["spread"] = spread
    position["bars"] = seen + 1


@inlined
def average_range(position, bar, ranges, exits):
    """Take the bar's true range into Wilder's averages (1978), before the bar is marked.

    `ranges` has one for the stop, the target and the trailing stop; the mean of the first
    `period` ranges begins it, and until then it is their sum.
    """
    count = position["bars"]  # ranges with this one: the first bar has no close before it
    if count == 0:
        return
    before = position["mark"]
    true_range = max(bar["high"] - bar["low"], abs(bar["high"] - before), abs(bar["low"] - before))
    for leg in range(3):
        period = range_terms(exits, leg + Leg.STOP_LOSS)[2]
        if period == 0:
            continue
        if count > period:
            ranges[leg] = (ranges[leg] * (period - 1) + true_range) / period
        else:
            ranges[leg] += true_range
            if count == period:
                ranges[leg] /= period


@inlined
def range_terms(exits, leg):
    """(ExitType, value, bars of ATR) of a leg by the config."""
    if leg == Leg.STOP_LOSS:
        return exits["stop_type"], exits["stop_value"], exits["stop_period"]
    if leg == Leg.TAKE_PROFIT:
        return exits["target_type"], exits["target_value"], exits["target_period"]
    return exits["trail_type"], exits["trail_value"], exits["trail_period"]


@inlined
def mean_volume(volumes, bars, window):
    """Mean volume of the `window` closed bars before the one decided on; NaN with fewer.

    The bar decided on is left out so that its own volume, still being revised when a feed closes
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
    """Sample standard deviation of the last `window` one-bar returns; NaN with fewer."""
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
def rescale(book, symbol, ratio):
    """Put everything remembered into the units after a split: `ratio` new ones for one old."""
    position = book.positions[symbol]
    position["mark"] /= ratio
    position["reference"] /= ratio
    position["bid"] /= ratio
    position["ask"] /= ratio
    position["spread"] /= ratio
    position["volume"] *= ratio
    for index in range(book.volumes.shape[1]):
        book.volumes[symbol, index] *= ratio
    for index in range(book.ranges.shape[1]):
        book.ranges[symbol, index] /= ratio
