"""How much of the best of many trials is luck: deflated Sharpe ratio and overfitting probability.

Law: formulas as published, on daily returns, not annualised. Deflated Sharpe: Bailey and López de
Prado, "The Deflated Sharpe Ratio" (2014), equations 1 and 2. PBO by combinatorially symmetric
cross-validation: Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting"
(2015). Both work on sums over stretches of time, so that no trial's returns are kept.
"""

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

EULER = 0.5772156649015329
BLOCKS = 16  # stretches of time that CSCV combines; 12,870 ways to take half of them
FEWEST_PER_BLOCK = 2
OF_A_SHARPE = 3  # moments that `sharpe_of` reads, the first ones
SHARPES_AT_ONCE = 100_000
MOST_SHARPES = 20_000_000  # computed for one PBO; beyond it the ways are taken evenly spread
# of one stretch: days, Σr, Σr², Σr³, Σr⁴, Σ min(r, 0)², Σ log(1 + r)
MOMENTS = ("n", "r1", "r2", "r3", "r4", "down2", "log")


def moments(returns: np.ndarray, blocks: int) -> np.ndarray:
    """float64 (blocks, len(MOMENTS)) of daily returns, cut into stretches of nearly one length."""
    if blocks == 0:
        return np.zeros((0, len(MOMENTS)))
    cuts = np.arange(blocks + 1) * len(returns) // blocks
    of_day = np.zeros((len(MOMENTS), len(returns) + 1))  # and a row of nothing, for empty stretches
    with np.errstate(all="ignore"):
        square, falls = returns * returns, np.minimum(returns, 0.0)
        powers = (1.0, returns, square, square * returns, square * square, falls * falls)
        for row, values in zip(of_day, (*powers, np.log1p(returns)), strict=True):
            row[:-1] = values
        sums = np.add.reduceat(of_day, cuts[:-1], axis=1).T
    sums[cuts[:-1] == cuts[1:]] = 0.0
    return sums


def blocks_for(days: int) -> int:
    """How many stretches a history of `days` is cut into: even, 0 where it is too short."""
    blocks = min(BLOCKS, days // FEWEST_PER_BLOCK)
    return blocks - blocks % 2 if blocks >= 4 else 0


def sharpe_of(sums: np.ndarray) -> np.ndarray:
    """Daily Sharpe (…) of moments (…, len(MOMENTS)); NaN where it is not defined."""
    n, r1, r2 = sums[..., 0], sums[..., 1], sums[..., 2]
    with np.errstate(all="ignore"):
        mean = r1 / n
        variance = (r2 - n * mean * mean) / (n - 1.0)
        variance = np.where(variance > 1e-12 * r2 / n, variance, np.nan)
        return mean / np.sqrt(variance)


def sortino_of(sums: np.ndarray) -> np.ndarray:
    """Daily Sortino (…) of moments; NaN where no day loses."""
    with np.errstate(all="ignore"):
        downside = np.sqrt(sums[..., 5] / sums[..., 0])
        return np.where(downside > 0.0, sums[..., 1] / sums[..., 0] / downside, np.nan)


def return_of(sums: np.ndarray) -> np.ndarray:
    """Total return (…) of moments."""
    result: np.ndarray = np.expm1(sums[..., 6])
    return result


@dataclass(frozen=True)
class DeflatedSharpe:
    """The best Sharpe ratio, seen as the best of many. Ratios are daily."""

    sharpe: float
    expected_of_luck: float  # what the best of so many trials without skill shows on average
    probability: float  # that the true ratio is above 0, given the number of trials


def expected_maximum(variance: float, trials: int) -> float:
    """Expected highest Sharpe of `trials` that have no skill, of which `variance` is known."""
    if trials < 2 or not variance > 0.0:
        return 0.0
    normal = NormalDist()
    high = normal.inv_cdf(1.0 - 1.0 / trials)
    higher = normal.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER) * high + EULER * higher)


def deflated_sharpe(best: np.ndarray, variance: float, trials: int) -> DeflatedSharpe | None:
    """Of the best trial's moments (len(MOMENTS),); None where its returns do not vary.

    `variance` is that of the daily Sharpe ratios of the trials, `trials` how many were ever tried.
    """
    n, r1, r2, r3, r4 = (float(value) for value in best[:5])
    if n < 3:
        return None
    mean = r1 / n
    central2 = r2 / n - mean**2
    if not central2 > 1e-12 * r2 / n:
        return None
    central3 = r3 / n - 3 * mean * r2 / n + 2 * mean**3
    central4 = r4 / n - 4 * mean * r3 / n + 6 * mean**2 * r2 / n - 3 * mean**4
    sharpe = mean / math.sqrt(central2 * n / (n - 1.0))
    shape = Shape(central3 / central2**1.5, central4 / central2**2)
    expected = expected_maximum(variance, trials)
    return DeflatedSharpe(sharpe, expected, probabilistic_sharpe(sharpe, expected, n, shape))


@dataclass(frozen=True)
class Shape:
    """Of a distribution of returns."""

    skewness: float
    kurtosis: float  # 3 for a normal one


def probabilistic_sharpe(sharpe: float, above: float, days: float, shape: Shape) -> float:
    """Probability that the true Sharpe is higher than `above`."""
    spread = 1.0 - shape.skewness * sharpe + (shape.kurtosis - 1.0) / 4.0 * sharpe**2
    if not spread > 0.0:
        return math.nan
    return NormalDist().cdf((sharpe - above) * math.sqrt(days - 1.0) / math.sqrt(spread))


def overfitting_probability(sums: np.ndarray) -> float | None:
    """PBO of trials' moments (trials, blocks, len(MOMENTS)); None where it is not defined.

    The share of the ways to halve the history in which the trial that is best in one half is in
    the lower half of all trials in the other.
    """
    trials, blocks = sums.shape[:2]
    if trials < 2 or blocks < 4:
        return None
    halves = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    step = -(-len(halves) * trials // MOST_SHARPES)
    at_once = max(1, SHARPES_AT_ONCE // trials)
    parts = np.moveaxis(sums[:, :, :OF_A_SHARPE], 1, 0).copy()  # (blocks, trials, moments)
    below: list[bool] = []
    for start in range(0, len(halves), step * at_once):
        below += _are_below(parts, halves[start : start + step * at_once : step])
    return float(np.mean(below)) if below else None


def _are_below(parts: np.ndarray, halves: np.ndarray) -> list[bool]:
    """Of each half: whether its best trial is not above the median of the rest of the time.

    `halves` are the blocks of each (ways, blocks / 2). A way in which fewer than two trials have
    both ratios is left out.
    """
    inside = parts[halves[:, 0]]
    for place in range(1, halves.shape[1]):
        inside += parts[halves[:, place]]
    chosen, rest = (sharpe_of(part).T for part in (inside, parts.sum(axis=0) - inside))
    defined = np.isfinite(chosen) & np.isfinite(rest)
    count = np.count_nonzero(defined, axis=0)
    chosen, rest = np.where(defined, chosen, -np.inf), np.where(defined, rest, np.nan)
    best = rest[chosen.argmax(axis=0), np.arange(len(halves))]
    worse, equal = (np.count_nonzero(found, axis=0) for found in (rest < best, rest == best))
    is_below = (0.5 + worse + equal / 2.0) / (count + 1.0) <= 0.5
    return is_below[count >= 2].tolist()
