"""What comes as bytes from a model's process is read-only, and compiles nothing anew."""

import numpy as np

from tests.core_kit import always_open, make_rules
from trader.core import apply
from trader.core.book import NO_REQUESTS, Inputs
from trader.core.schema import BAR
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine, warm_up


def test_read_only_inputs_of_a_slice_are_of_the_type_that_was_warmed_up():
    rules = make_rules(always_open(0, 10**18))
    warm_up(rules)
    known = list(getattr(apply.on_slice, "signatures", ()))
    bars = np.zeros(1, BAR)
    for field in ("open", "high", "low", "close"):
        bars[field] = 1.0
    arrays = [bars, np.zeros(1, np.int8), np.zeros(1, np.int16), NO_REQUESTS.copy()]
    for array in arrays:
        array.flags.writeable = False
    SliceEngine(rules, RowKeeper(1)).take(Inputs(*arrays))
    assert list(getattr(apply.on_slice, "signatures", ())) == known
