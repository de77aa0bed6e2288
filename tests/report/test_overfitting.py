"""Deflated Sharpe and PBO against published numbers, a slow twin and noise."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from trader.report.overfitting import (
    BLOCKS,
    Shape,
    blocks_for,
    deflated_sharpe,
    expected_maximum,
    moments,
    overfitting_probability,
    probabilistic_sharpe,
    return_of,
    sharpe_of,
    sortino_of,
)


def test_the_published_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): 100 trials, variance 1/2 a year of 250 days, T = 1250."""
    expected = expected_maximum(0.5 / 250.0, 100)
    assert expected == pytest.approx(0.1132, abs=5e-5)
    found = probabilistic_sharpe(2.5 / math.sqrt(250.0), expected, 1250, Shape(-3.0, 10.0))
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_their_other_numbers_of_trials_for_95_percent():
    """The same paper: with 46 trials the strategy would have passed at 0.95."""
    expected = expected_maximum(0.5 / 250.0, 46)
    found = probabilistic_sharpe(2.5 / math.sqrt(250.0), expected, 1250, Shape(-3.0, 10.0))
    assert found == pytest.approx(0.9505, abs=5e-4)


def test_moments_say_what_the_returns_say():
    rng = np.random.default_rng(1)
    returns = rng.standard_t(5, 400) * 0.01 + 0.001
    whole = moments(returns, BLOCKS).sum(axis=0)
    assert sharpe_of(whole) == pytest.approx(returns.mean() / returns.std(ddof=1))
    below = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
    assert sortino_of(whole) == pytest.approx(returns.mean() / below)
    assert return_of(whole) == pytest.approx(np.prod(1.0 + returns) - 1.0)
    sharpe = returns.mean() / returns.std(ddof=1)
    central = returns - returns.mean()
    skewness = np.mean(central**3) / np.mean(central**2) ** 1.5
    kurtosis = np.mean(central**4) / np.mean(central**2) ** 2
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    luck = expected_maximum(0.001, 50)
    expected = NormalDist().cdf((sharpe - luck) * math.sqrt(399.0) / math.sqrt(spread))
    found = deflated_sharpe(whole, 0.001, 50)
    assert found is not None
    assert found.probability == pytest.approx(expected, rel=1e-6)


def slow_pbo(returns: np.ndarray, blocks: int) -> float:
    """CSCV as its authors write it: ranks and logits, from the returns themselves."""
    days = returns.shape[1]
    parts = [range(days * b // blocks, days * (b + 1) // blocks) for b in range(blocks)]
    below = []
    for half in itertools.combinations(range(blocks), blocks // 2):
        inside = [day for block in half for day in parts[block]]
        outside = [day for day in range(days) if day not in set(inside)]
        chosen, rest = (
            returns[:, days].mean(axis=1) / returns[:, days].std(axis=1, ddof=1)
            for days in (inside, outside)
        )
        rank = 1 + int(np.count_nonzero(rest < rest[np.argmax(chosen)]))
        share = rank / (len(returns) + 1)
        below.append(math.log(share / (1.0 - share)) <= 0.0)
    return float(np.mean(below))


@pytest.mark.parametrize("trials", [7, 12])
def test_pbo_is_that_of_the_slow_twin(trials):
    rng = np.random.default_rng(trials)
    returns = rng.normal(0.0, 0.01, (trials, 120)) + np.linspace(0, 0.001, trials)[:, None]
    sums = np.array([moments(one, 8) for one in returns])
    assert overfitting_probability(sums) == slow_pbo(returns, 8)


def test_noise_is_overfitted_in_about_half_of_the_ways_and_never_deflated_to_skill():
    rng = np.random.default_rng(5)
    found, deflated = [], []
    for _ in range(40):
        sums = np.array([moments(one, 8) for one in rng.normal(0.0, 0.01, (40, 240))])
        found.append(overfitting_probability(sums))
        sharpes = sharpe_of(sums.sum(axis=1))
        best = sums[int(np.argmax(sharpes))].sum(axis=0)
        verdict = deflated_sharpe(best, float(np.var(sharpes, ddof=1)), 40)
        assert verdict is not None
        deflated.append(verdict.probability)
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.array(deflated) < 0.95) >= 0.9


def test_skill_is_not_taken_for_luck():
    rng = np.random.default_rng(6)
    returns = rng.normal(0.0, 0.01, (20, 500))
    returns[3] += 0.004
    sums = np.array([moments(one, BLOCKS) for one in returns])
    assert overfitting_probability(sums) == 0.0


def test_too_few_days_trials_or_moves_are_not_defined():
    assert [blocks_for(days) for days in (7, 8, 31, 32, 1000)] == [0, 4, 14, 16, 16]
    flat = np.array([moments(np.zeros(100), 8)] * 3)
    assert overfitting_probability(flat) is None
    assert overfitting_probability(flat[:1]) is None
    assert deflated_sharpe(flat[0].sum(axis=0), 0.1, 5) is None
    assert math.isnan(float(sharpe_of(flat[0].sum(axis=0))))
