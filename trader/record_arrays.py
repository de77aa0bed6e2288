"""Arrays of records copied as bytes: NumPy copies a structured array field by field.

Law: what comes back is equal to the bit to what NumPy's own call gives, ten to thirty times as
fast. Records have no padding (`trader.records`), so that their bytes are all there is of them.
"""

from collections.abc import Sequence

import numpy as np


def copied(rows: np.ndarray) -> np.ndarray:
    """`rows.copy()` of records that lie side by side."""
    return _opaque(rows).copy().view(rows.dtype)


def joined(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """`np.concatenate` of records of one dtype; an array of none where there are no parts."""
    if not parts:
        return np.empty(0, dtype)
    whole = np.empty(sum(len(part) for part in parts), dtype)
    room, done = _opaque(whole), 0
    for part in parts:
        assert part.dtype == dtype, "records of one kind"
        room[done : done + len(part)] = _opaque(part)
        done += len(part)
    return whole


def taken(rows: np.ndarray, which: np.ndarray) -> np.ndarray:
    """`rows[which]`: records by number, or by a mask."""
    return _opaque(rows)[which].view(rows.dtype)


def _opaque(rows: np.ndarray) -> np.ndarray:
    return rows.view((np.void, rows.dtype.itemsize))
