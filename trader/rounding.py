"""What binary floats do to lots, ticks and money: the one tolerance, and rounding by it.

    lots, ticks   equal up to a billionth of a lot or tick
    money         equal up to 1e-12 of the amount, at most a hundredth of a cent
    both          never finer than 16 units in the last place of the value itself

Law: what decimal arithmetic calls equal is equal here (0.1 × 3 is no more than 0.3, 0.29 is 29
ticks of 0.01), and what differs by a whole tick, lot or cent is not, up to amounts of 1e12. A
result is written as people write it: 3 lots of 0.1 are 0.3, not 0.30000000000000004. Noise never
depends on the value judged, only on the limit it is judged by, so that an infinite or unknown
value passes nothing. docs/execution-model.md states the rule; decision 0018 says why.
"""

import numpy as np

from trader.jit import inlined

UNIT_NOISE = 1e-9  # of a lot or a tick
MONEY_NOISE = 1e-12  # of an amount of money
CENT_NOISE = 1e-4  # a hundredth of a cent: most of what is called equal
LAST_PLACES = 2.0**-48  # of a value: 16 units in the last place of a float64
SAME_UNIT = 2.0**-51  # 1 / unit is a whole number (0.01, 0.25, 1e-8)


@inlined
def count_noise(count):
    """How far from whole a number of lots or ticks may be that counts as whole."""
    least = abs(count) * LAST_PLACES
    return least if least > UNIT_NOISE else UNIT_NOISE


@inlined
def money_noise(amount):
    """How much more than `amount` of money still is `amount`; NaN where it is not known."""
    size = abs(amount)
    noise = size * MONEY_NOISE
    if noise > CENT_NOISE:
        noise = CENT_NOISE
    least = size * LAST_PLACES
    return least if least > noise else noise


def money_noises(amounts: np.ndarray | float) -> np.ndarray:
    """`money_noise` of each of `amounts`, for statistics."""
    size = np.abs(amounts)
    noise = np.minimum(size * MONEY_NOISE, CENT_NOISE)
    return np.asarray(np.maximum(noise, size * LAST_PLACES))


@inlined
def is_size_within(size, limit):
    """Whether `size` ≥ 0 units, a sum of whole lots, are at most `limit` ≥ 0. NaN is not."""
    return size <= limit or size <= limit + limit * LAST_PLACES  # nearly always the first


@inlined
def is_money_within(amount, limit):
    """Whether an amount of money is at most `limit`. NaN is not."""
    return amount <= limit or amount <= limit + money_noise(limit)


@inlined
def is_price_within(moved, reference, fraction):
    """Whether a price that `moved` (≥ 0) from `reference` > 0 moved at most `fraction` of it."""
    return moved <= (fraction + LAST_PLACES) * reference


@inlined
def multiple(count, unit):
    """`count` × `unit` as the float nearest to what people write: 3 × 0.1 is 0.3."""
    if unit < 1.0:
        parts = np.rint(1.0 / unit)
        if abs(parts * unit - 1.0) <= SAME_UNIT:
            return count / parts
    return count * unit


@inlined
def whole_multiples_down(value, unit):
    """How many whole `unit` fit in `value` ≥ 0, as a float."""
    ratio = value / unit
    nearest = np.rint(ratio)
    if abs(ratio - nearest) <= count_noise(nearest):
        return nearest
    return np.floor(ratio)


@inlined
def lots_down(qty, lot_size):
    """`qty` (signed) moved towards zero to a multiple of `lot_size` > 0."""
    size = multiple(whole_multiples_down(abs(qty), lot_size), lot_size)
    return size if qty > 0.0 else 0.0 - size


@inlined
def nearest_lot(qty, lot_size):
    """`qty` (signed) snapped to the nearest multiple of `lot_size`: removes float dust."""
    return multiple(np.rint(qty / lot_size), lot_size) + 0.0


@inlined
def is_lot_multiple(qty, lot_size):
    """Whether `qty` is a multiple of `lot_size` up to float noise."""
    ratio = abs(qty) / lot_size
    nearest = np.rint(ratio)
    return abs(ratio - nearest) <= count_noise(nearest)


@inlined
def tick_against(price, qty, tick_size):
    """`price` rounded to the tick against an order of signed `qty`: up for a buy, down for a sell.

    `tick_size` 0 rounds nothing.
    """
    if tick_size <= 0.0:
        return price
    ratio = price / tick_size
    count = np.rint(ratio)
    if not (abs(ratio - count) <= count_noise(count)):
        count = np.ceil(ratio) if qty > 0.0 else np.floor(ratio)
    return multiple(count, tick_size)
