"""A run against a benchmark: alpha, beta, correlation, information ratio.

Law: of daily returns, session by session, where both are known; yearly figures by the sessions of
the run's year, the risk-free rate is 0. What is not defined is None with a reason.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trader.report.ratios import DAYS_NEEDED, SAME_RETURN, TOO_FEW_DAYS

FIGURES = ("alpha", "beta", "correlation", "information_ratio", "tracking_error")


@dataclass(frozen=True)
class Benchmark:
    """What the result is compared with. Arrays have one value a session of the table `dates`."""

    name: str  # a file or a symbol
    dates: np.ndarray  # i8, days since 1970
    closes: np.ndarray  # f8, NaN where there was no price yet
    base: float  # before the first of them
    facts: Mapping[str, Any] = field(default_factory=dict)  # of its file


def against(
    benchmark: Benchmark, dates: np.ndarray, returns: np.ndarray, per_year: float
) -> dict[str, Any]:
    """The figures, `undefined` the last; `returns` are those of the sessions `dates`."""
    theirs = _returns_at(benchmark, dates)
    both = np.isfinite(theirs) & np.isfinite(returns)
    ours, other = returns[both], theirs[both]
    values: dict[str, Any] = {"name": benchmark.name, **benchmark.facts, "sessions": len(ours)}
    values["total_return"] = float(np.prod(1.0 + other) - 1.0) if len(ours) else None
    values |= dict.fromkeys(FIGURES)
    undefined: dict[str, str] = {}
    if len(ours) < DAYS_NEEDED:
        undefined = dict.fromkeys(FIGURES, f"{TOO_FEW_DAYS} that both have")
        return values | {"undefined": undefined}
    active = ours - other
    values["tracking_error"] = float(np.std(active, ddof=1)) * math.sqrt(per_year)
    if np.ptp(active) > SAME_RETURN:
        ratio = float(np.mean(active)) / float(np.std(active, ddof=1))
        values["information_ratio"] = ratio * math.sqrt(per_year)
    else:
        undefined["information_ratio"] = "returns differ by the same every day"
    if np.ptp(other) > SAME_RETURN:
        beta = float(np.cov(ours, other, ddof=1)[0, 1] / np.var(other, ddof=1))
        values["beta"] = beta
        values["alpha"] = float(np.mean(ours) - beta * np.mean(other)) * per_year
    else:
        undefined |= dict.fromkeys(("alpha", "beta"), "the benchmark's returns do not vary")
    if np.ptp(ours) > SAME_RETURN and np.ptp(other) > SAME_RETURN:
        values["correlation"] = float(np.corrcoef(ours, other)[0, 1])
    else:
        undefined["correlation"] = "returns do not vary"
    return values | {"undefined": undefined}


def _returns_at(benchmark: Benchmark, dates: np.ndarray) -> np.ndarray:
    """The benchmark's return of each of `dates`; NaN where it has none."""
    before = np.append(np.nan, benchmark.closes[:-1])
    before[np.isfinite(benchmark.closes).cumsum() == 1] = benchmark.base
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = benchmark.closes / before - 1.0
    if not len(benchmark.dates):
        return np.full(len(dates), np.nan)
    row = np.minimum(np.searchsorted(benchmark.dates, dates), len(benchmark.dates) - 1)
    return np.where(benchmark.dates[row] == dates, returns[row], np.nan)
