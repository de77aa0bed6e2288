"""Rounding to lots and ticks, tolerant of binary fractions.

Law: a value that is a multiple up to float noise counts as that multiple (0.29 is 29 ticks of
0.01, although 0.29 / 0.01 is 28.999…), and a price already on its tick is returned untouched.
"""

import numpy as np

from trader.core.jit import inlined

TOLERANCE = 1e-9  # relative; far above float noise, far below half a lot


@inlined
def whole_multiples_down(value, unit):
    """How many whole `unit` fit in `value` ≥ 0, as a float."""
    ratio = value / unit
    nearest = np.rint(ratio)
    if abs(ratio - nearest) <= TOLERANCE * max(1.0, nearest):
        return nearest
    return np.floor(ratio)


@inlined
def lots_down(qty, lot_size):
    """`qty` (signed) moved towards zero to a multiple of `lot_size` > 0."""
    size = whole_multiples_down(abs(qty), lot_size) * lot_size
    return size if qty > 0.0 else 0.0 - size


@inlined
def nearest_lot(qty, lot_size):
    """`qty` (signed) snapped to the nearest multiple of `lot_size`: removes float dust."""
    return np.rint(qty / lot_size) * lot_size + 0.0


@inlined
def is_lot_multiple(qty, lot_size):
    """Whether `qty` is a multiple of `lot_size` up to float noise."""
    ratio = abs(qty) / lot_size
    return abs(ratio - np.rint(ratio)) <= TOLERANCE * max(1.0, ratio)


@inlined
def tick_against(price, qty, tick_size):
    """`price` rounded to the tick against an order of signed `qty`: up for a buy, down for a sell.

    `tick_size` 0 rounds nothing.
    """
    if tick_size <= 0.0:
        return price
    ratio = price / tick_size
    nearest = np.rint(ratio)
    if abs(ratio - nearest) <= TOLERANCE * max(1.0, nearest):
        return price
    if qty > 0.0:
        return np.ceil(ratio) * tick_size
    return np.floor(ratio) * tick_size
