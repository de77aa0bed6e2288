"""Annualised ratios of daily returns, by empyrical-reloaded (imported late: it takes 0.5 s).

Law: what is not defined is None with a reason in words, never NaN or infinity. Daily returns are
between session ends; the year has as many sessions as the calendar in use (about 252 for XNYS,
365 for 24x7). The risk-free rate is 0.
"""

import math
from collections.abc import Callable

import numpy as np

from trader.core.rounding import money_noises

DAYS_NEEDED = 2
TOO_FEW_DAYS = "needs at least 2 trading days"
NOT_A_NUMBER = "not a finite number"
SAME_RETURN = 2.0**-47  # returns of equity are known to about this
ANNUAL = ("cagr", "volatility", "sharpe", "sortino")


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
    returns: np.ndarray, sessions_per_year: float
) -> tuple[dict[str, float | None], dict[str, str]]:
    """CAGR, volatility, Sharpe and Sortino as `empyrical` computes them, and what is undefined.

    Formulas: CAGR = (Π (1 + r))^(year / n) − 1; volatility = σ(r, ddof 1) √year;
    Sharpe = mean(r) / σ(r, ddof 1) × √year; Sortino = mean(r) / √mean(min(r, 0)²) × √year.
    """
    undefined = {name: reason for name in ANNUAL if (reason := _why_undefined(name, returns))}
    values: dict[str, float | None] = dict.fromkeys(ANNUAL)
    if len(undefined) == len(ANNUAL):
        return values, undefined
    import empyrical

    formulas = {
        "cagr": empyrical.annual_return,
        "volatility": empyrical.annual_volatility,
        "sharpe": empyrical.sharpe_ratio,
        "sortino": empyrical.sortino_ratio,
    }
    for name in ANNUAL:
        if name in undefined:
            continue
        value = _annualised(formulas[name], returns, sessions_per_year)
        if math.isfinite(value):
            values[name] = value
        else:
            undefined[name] = NOT_A_NUMBER
    return values, undefined


def _annualised(
    formula: Callable[..., float], returns: np.ndarray, sessions_per_year: float
) -> float:
    try:
        with np.errstate(all="ignore"):  # what is not finite is told by its reason
            return float(formula(returns, annualization=sessions_per_year))
    except OverflowError:  # a huge gain in few days, taken to the power of a year
        return math.inf


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
