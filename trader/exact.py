"""Numbers that strangers hand in, read once and exactly.

Law: nothing is guessed. What Python would count as a number (True is 1) or could turn into one
("5") is a sign of a mix-up at the caller, and becomes NaN, which every check refuses.
"""

import math
from decimal import Decimal

import numpy as np


def real(value: object) -> float:
    """`value` as a float; NaN where it is no int, float, NumPy real or `Decimal`.

    Enumerations, booleans, texts, None, complex numbers and arrays are none. Infinity is one.
    """
    is_numpy = isinstance(value, np.generic) and value.dtype.kind in "iuf"
    if not is_numpy and type(value) not in (int, float, Decimal):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]  # it is one of those kinds
    except (ValueError, OverflowError):  # a signalling NaN; an int above every float
        return math.nan


def unsigned(value: object) -> float:
    """`real(value)`; NaN below 0 as well."""
    found = real(value)
    return found if found >= 0.0 else math.nan
