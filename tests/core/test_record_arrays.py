"""Records copied as bytes are the records that NumPy copies field by field."""

import numpy as np
import pytest

from trader.record_arrays import copied, joined, taken
from trader.records import BAR, FILL, ORDER


def random_rows(dtype, count, seed=0):
    """Records of random bytes: NaN with payloads, subnormals, negative zero and all."""
    content = np.random.default_rng(seed).bytes(count * dtype.itemsize)
    return np.frombuffer(content, dtype).copy()


@pytest.mark.parametrize("dtype", [BAR, FILL, ORDER], ids=["BAR", "FILL", "ORDER"])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_bytes_are_those_of_numpy(dtype, count):
    rows = random_rows(dtype, count)
    part = rows[::3]  # not side by side
    order = np.random.default_rng(1).permutation(len(part))
    mask = order % 2 == 0
    for ours, theirs in (
        (copied(part), part.copy()),
        (taken(part, order), part[order]),
        (taken(part, mask), part[mask]),
        (joined([rows, part, rows[:0]], dtype), np.concatenate([rows, part, rows[:0]])),
    ):
        assert ours.dtype == dtype
        assert ours.tobytes() == theirs.tobytes()


def test_a_copy_is_nobody_elses():
    rows = random_rows(FILL, 4)
    kept = [copied(rows), taken(rows, np.arange(4)), joined([rows], FILL)]
    before = rows.tobytes()
    rows["qty"] = 7.0
    assert [one.tobytes() for one in kept] == [before] * 3


def test_nothing_joined_is_nothing():
    assert joined([], FILL).tobytes() == b""
    assert joined([], FILL).dtype == FILL
