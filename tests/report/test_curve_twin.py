"""The drawdown that sweeps read is that of the report, to the last bit."""

import numpy as np
import pytest

from trader.core.schema import EQUITY
from trader.report.curve import curve_facts, deepest_fall


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("step", [1e-12, 1e-4, 0.05])
def test_the_deepest_fall_is_that_of_the_facts(seed, step):
    rng = np.random.default_rng(seed)
    equity = np.zeros(20_000, EQUITY)
    equity["ts_ns"] = np.arange(len(equity))
    equity["equity"] = 100_000.0 * np.exp(np.cumsum(rng.normal(0.0, step, len(equity))))
    for start in (100_000.0, 50_000.0, 400_000.0):
        values = np.ascontiguousarray(equity["equity"])
        assert deepest_fall(values, start) == curve_facts(equity, start).max_drawdown_frac


@pytest.mark.parametrize("seed", range(6))
def test_the_deepest_fall_passes_over_what_is_no_number_and_goes_below_zero(seed):
    rng = np.random.default_rng(seed)
    equity = np.zeros(3_000, EQUITY)
    equity["equity"] = 1_000.0 + np.cumsum(rng.normal(-0.3, 30.0, len(equity)))
    equity["equity"][rng.integers(0, len(equity), 3)] = np.nan
    values = np.ascontiguousarray(equity["equity"])
    assert deepest_fall(values, 1_000.0) == curve_facts(equity, 1_000.0).max_drawdown_frac > 0.5
