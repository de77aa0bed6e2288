"""Annualised ratios of daily returns, in the formulas everybody uses.

Law: what is not defined is None with a reason in words, never NaN or infinity. Daily returns are
between session ends; the year has as many sessions as the calendar in use (about 252 for XNYS,
365 for 24x7). The risk-free rate is 0.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from trader.rounding import money_noises

DAYS_NEEDED = 2
TOO_FEW_DAYS = "needs at least 2 trading days"
NOT_A_NUMBER = "not a finite number"
SAME_RETURN = 2.0**-47  # returns of equity are known to about this
ANNUAL = ("cagr", "volatility", "sharpe", "sortino")
ANNUALISED = (*ANNUAL, "calmar")  # figures that are of a year


def daily_returns(session_equity: np.ndarray, start_equity: float) -> np.ndarray:
    """Return of each session, float64; the first one starts from `start_equity`.

    A move below the tolerance of money is a return of 0.
    """
    before = np.append(start_equity, session_equity[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.abs(session_equity - before)
        returns = np.asarray(session_equity / before - 1.0)
        returns[moved <= money_noises(before)] = 0.0
        return returns


def short_span_warning(sessions: int, sessions_per_year: float) -> str:
    """What to know of a yearly figure that was made from less than a year; "" from a year on."""
    if sessions >= math.floor(sessions_per_year):
        return ""
    return (
        f"annualised from {sessions} sessions of about {sessions_per_year:.0f} in a year: what a "
        "year of them would make, and no forecast"
    )


def annual_ratios(
    returns: np.ndarray, sessions_per_year: float, names: Sequence[str] = ANNUAL
) -> tuple[dict[str, float | None], dict[str, str]]:
    """CAGR, volatility, Sharpe and Sortino, and why those without a value have none."""
    undefined = {name: reason for name in names if (reason := _why_undefined(name, returns))}
    values: dict[str, float | None] = dict.fromkeys(names)
    for name in names:
        if name in undefined:
            continue
        value = _finite(FORMULAS[name], returns, sessions_per_year)
        values[name] = value
        if value is None:
            undefined[name] = NOT_A_NUMBER
    return values, undefined


def annual_return(returns: np.ndarray, year: float) -> float:
    """CAGR: (Π (1 + r))^(year / n) − 1."""
    return float(np.prod(1.0 + returns)) ** (1.0 / (len(returns) / year)) - 1.0


def annual_volatility(returns: np.ndarray, year: float) -> float:
    """Standard deviation of a sample (n − 1) × √year."""
    return float(np.std(returns, ddof=1)) * math.sqrt(year)


def sharpe_ratio(returns: np.ndarray, year: float) -> float:
    """Mean / standard deviation of a sample × √year; the risk-free rate is 0."""
    return float(np.mean(returns)) / float(np.std(returns, ddof=1)) * math.sqrt(year)


def sortino_ratio(returns: np.ndarray, year: float) -> float:
    """Mean / √mean(min(r, 0)²) × √year: every session counts below the line, also the winning."""
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) * year / (downside * math.sqrt(year))


FORMULAS: dict[str, Callable[[np.ndarray, float], float]] = {
    "cagr": annual_return,
    "volatility": annual_volatility,
    "sharpe": sharpe_ratio,
    "sortino": sortino_ratio,
}


def _finite(
    formula: Callable[[np.ndarray, float], float], returns: np.ndarray, year: float
) -> float | None:
    """What the formula gives; None where that is no finite number."""
    try:
        with np.errstate(all="ignore"):
            value = formula(returns, year)
    except (OverflowError, ZeroDivisionError):  # a huge gain in few days to the power of a year
        return None
    return value if math.isfinite(value) else None


def _why_undefined(name: str, returns: np.ndarray) -> str:
    """Why a ratio has no value for these returns; empty if it has one."""
    if len(returns) < DAYS_NEEDED:
        return TOO_FEW_DAYS
    if not np.isfinite(returns).all() or returns.min() <= -1.0:
        return "equity reached zero"
    if name == "sharpe" and returns.max() - returns.min() <= SAME_RETURN:
        return "daily returns do not vary"
    if name == "sortino" and returns.min() >= 0.0:
        return "no losing day"
    return ""
