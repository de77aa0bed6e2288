"""Bootstrap intervals: the fast sums against a slow twin, the coverage of noise, the seed."""

import math

import numpy as np
import pytest

from tests.report_kit import ExampleRun
from trader.core.schema import EQUITY
from trader.report import ratios, uncertainty
from trader.report.curve import curve_facts

YEAR = 252.0


def noise(seed, count=120, mean=0.0005):
    return np.random.default_rng(seed).normal(mean, 0.01, count)


def curve_of(returns, start=1_000.0):
    """EQUITY rows, one a session."""
    rows = np.zeros(len(returns), EQUITY)
    rows["equity"] = start * np.cumprod(1.0 + returns)
    rows["ts_ns"] = np.arange(1, len(rows) + 1)
    return rows


def moves_of(returns):
    rows = curve_of(returns)
    return uncertainty.session_moves(rows, np.arange(len(rows)), 1_000.0, returns)


def resampled(values, drawn):
    """One by one, as the definition says."""
    for starts, lengths in zip(*drawn, strict=True):
        places = [
            (start + step) % len(values)
            for start, length in zip(starts, lengths, strict=True)
            for step in range(length)
        ]
        assert len(places) == len(values)
        yield values[places]


def drawdown(returns):
    worth = np.append(1.0, np.cumprod(1.0 + returns))
    return float((1.0 - worth / np.maximum.accumulate(worth)).max())


def test_fast_resamples_equal_the_slow_ones():
    returns = noise(1, 40)
    drawn = uncertainty.drawn_stretches(40, 7, resamples=50)
    slow = list(resampled(returns, drawn))
    sums = uncertainty.resampled_sums(returns, drawn)
    assert sums == pytest.approx([one.sum() for one in slow], abs=1e-15)
    falls = uncertainty.resampled_drawdowns(moves_of(returns), drawn)
    assert falls == pytest.approx([drawdown(one) for one in slow], rel=1e-12)


def test_intervals_are_the_middle_of_what_the_formulas_give_for_each_resample():
    returns, seed = noise(2, 60), 5
    found = uncertainty.session_intervals(returns, moves_of(returns), YEAR, seed)
    slow = list(resampled(returns, uncertainty.drawn_stretches(60, seed)))
    for name, formula in ratios.FORMULAS.items():
        values = np.sort([formula(one, YEAR) for one in slow])
        assert found[name]["low"] == pytest.approx(values[25], rel=1e-9), name
        assert found[name]["high"] == pytest.approx(values[-26], rel=1e-9), name


def test_stretches_are_as_long_as_told_on_average():
    drawn = uncertainty.drawn_stretches(1_000, 3, resamples=400)
    assert (drawn.lengths.sum(axis=1) == 1_000).all()
    used = drawn.lengths[drawn.lengths > 0]
    assert used.mean() == pytest.approx(uncertainty.mean_stretch(1_000), rel=0.05)
    assert drawn.starts.min() >= 0
    assert drawn.starts.max() < 1_000


@pytest.mark.long
def test_of_noise_with_a_known_sharpe_about_95_of_100_intervals_hold_it():
    true = 0.0005 / 0.01 * math.sqrt(YEAR)
    held = 0
    for seed in range(200):
        returns = noise(seed, 250)
        found = uncertainty.session_intervals(returns, moves_of(returns), YEAR, seed)["sharpe"]
        held += found["low"] <= true <= found["high"]
    assert 0.88 <= held / 200 <= 0.99


def test_the_drawdown_of_the_history_itself_is_that_of_every_slice():
    run = ExampleRun(days=12)
    result = run.result()
    returns = ratios.daily_returns(
        result.equity["equity"][result.session_ends.rows], result.start_equity
    )
    moves = uncertainty.session_moves(
        result.equity, result.session_ends.rows, result.start_equity, returns
    )
    count = len(returns)
    once = uncertainty.Stretches(np.array([[0]]), np.array([[count]]))
    deepest = uncertainty.resampled_drawdowns(moves, once)[0]
    assert deepest == pytest.approx(
        curve_facts(result.equity, result.start_equity).max_drawdown_frac
    )
    assert deepest > drawdown(returns)  # which daily closes do not see


def test_trades_without_a_loss_have_no_upper_end_and_few_have_no_interval():
    mostly = np.append(np.full(29, 10.0), -5.0)
    found = uncertainty.trade_intervals(mostly, 0)
    assert found["profit_factor"]["high"] is None
    assert found["profit_factor"]["low"] > 1.0
    assert uncertainty.trade_intervals(mostly[:9], 0) == {}
    assert (
        uncertainty.session_intervals(np.full(9, 0.01), moves_of(np.full(9, 0.01)), YEAR, 0) == {}
    )


def test_a_run_has_intervals_of_its_seed_around_its_figures():
    run = ExampleRun(days=12)
    metrics = run.result().metrics
    found = metrics["intervals"]
    assert found == run.result().metrics["intervals"]
    for name in ("sharpe", "cagr", "max_drawdown", "profit_factor", "expectancy"):
        assert found[name]["low"] < metrics[name] < found[name]["high"], name
    assert found["about"]["resamples"] == 1_000
    assert metrics["annualised_by"] == dict.fromkeys(
        ("cagr", "volatility", "sharpe", "sortino", "calmar"), metrics["sessions_per_year"]
    )
