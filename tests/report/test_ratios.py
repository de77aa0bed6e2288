"""Our ratio formulas against empyrical-reloaded and quantstats, on random and on real returns."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.tiers import cases
from trader.report import ratios

PANEL = "US24_1m_2019-02-11_15_panel.csv"
THEIRS = {
    "cagr": "annual_return",
    "volatility": "annual_volatility",
    "sharpe": "sharpe_ratio",
    "sortino": "sortino_ratio",
}


def agree(returns, year):
    import empyrical

    values, undefined = ratios.annual_ratios(returns, year)
    assert {name for name, value in values.items() if value is None} == set(undefined)
    for name, value in values.items():
        if value is not None:
            theirs = float(getattr(empyrical, THEIRS[name])(returns, annualization=year))
            # both differ in the last bits of a mean; near a mean of 0 that is all there is of it
            noise = 1e-12 * max(1.0, np.abs(returns).max() / max(returns.std(), 1e-300))
            assert value == pytest.approx(theirs, rel=1e-12, abs=noise), name
    return values


@pytest.mark.long
@given(
    arrays(np.float64, st.integers(2, 400), elements=st.floats(-0.2, 0.2)),
    st.sampled_from([52.0, 250.7, 252.0, 365.0]),
)
@settings(max_examples=cases(60), deadline=None)
def test_random_returns_give_what_empyrical_gives(returns, year):
    agree(returns, year)


def real_returns(real_data, every):
    """Returns of 24 real stocks over `every` minutes, one array a stock."""
    frame = pd.read_csv(real_data / PANEL)
    for _, bars in frame.groupby("symbol"):
        closes = bars["close"].to_numpy()[::every]
        yield closes[1:] / closes[:-1] - 1.0


@pytest.mark.long
@pytest.mark.parametrize("every", [5, 30])
def test_real_returns_give_what_empyrical_gives(real_data, every):
    defined = [agree(returns, 252.0)["sharpe"] for returns in real_returns(real_data, every)]
    assert len(defined) == 24
    assert all(value is not None for value in defined)


@pytest.mark.long
def test_real_returns_give_what_quantstats_gives(real_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports and draws with
        import quantstats.stats as theirs

        for returns in real_returns(real_data, 30):
            days = pd.bdate_range("2019-01-01", periods=len(returns))
            series = pd.Series(returns, index=days)
            ours, _ = ratios.annual_ratios(returns, 252.0)
            assert ours["sharpe"] == pytest.approx(theirs.sharpe(series), rel=1e-12)
            assert ours["sortino"] == pytest.approx(theirs.sortino(series), rel=1e-12)
            assert ours["volatility"] == pytest.approx(
                theirs.volatility(series, prepare_returns=False), rel=1e-12
            )


@pytest.mark.parametrize(
    ("returns", "undefined"),
    [
        ([0.01], set(ratios.ANNUAL)),
        ([0.01, -1.0], set(ratios.ANNUAL)),
        ([0.01, math.nan], set(ratios.ANNUAL)),
        ([0.01, 0.01], {"sharpe", "sortino"}),
        ([1e30, 1e30, 1e29], {"cagr", "sortino"}),
    ],
)
def test_what_has_no_value_is_none_with_a_reason(returns, undefined):
    values, why = ratios.annual_ratios(np.array(returns), 252.0)
    assert set(why) == undefined == {name for name, value in values.items() if value is None}
    assert all(why.values())
