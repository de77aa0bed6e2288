"""A limit that was crossed, in words: what was observed, what was allowed, the key that says so.

Law: shows as many digits as it takes that a crossed limit never reads as one that was kept.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from trader.core.schema import Reason
from trader.report.reasons import note

MOST_DIGITS = 9


class Measure(NamedTuple):
    """How a limit is told: words around observed and limit, and how such a number is written."""

    words: str
    written: Callable[[float, int], str]  # with at least so many decimals


def _amount(value: float, digits: int) -> str:
    return f"{value:,.{max(2, digits)}f}"


def _share(value: float, digits: int) -> str:
    return f"{100.0 * value:,.{max(2, digits)}f} %"


def _quantity(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


MEASURES: dict[str, Measure] = {
    Reason.DAILY_LOSS_LIMIT.name: Measure("daily loss {} of {} allowed", _amount),
    Reason.DRAWDOWN_LIMIT.name: Measure("drawdown {} of {} allowed", _share),
    Reason.POSITION_LIMIT.name: Measure("position {} of {} allowed", _quantity),
    Reason.MARKET_VOLATILITY.name: Measure("volatility {} a bar of {} allowed", _share),
    Reason.BANKRUPT.name: Measure("equity {} is below {}", _amount),
    Reason.MARGIN_CALL.name: Measure("equity {}, and the positions need {}", _amount),
    Reason.NO_EQUITY.name: Measure("equity {}, and trading needs more than {}", _amount),
    Reason.EXECUTION_REVIEW.name: Measure("{} executions of {} allowed unreviewed", _quantity),
}


def breach_text(reason: str, observed: float | None, limit: float | None) -> str:
    """`daily loss 1,003.20 of 1,000.00 allowed (risk.max_daily_loss)`; `reason` is a name.

    A number that is none (None, NaN, infinite) is `no number`: it fails every check.
    """
    measure = MEASURES.get(reason, Measure(f"{reason}: {{}} of {{}} allowed", _quantity))
    key = note(reason).key
    shown = _told_apart(observed, limit, measure)
    return measure.words.format(*shown) + (f" ({key})" if key else "")


def money_apart(observed: float | None, limit: float | None) -> tuple[str, str]:
    """Two amounts of money with cents, and with as many digits more as tell them apart."""
    return _told_apart(observed, limit, Measure("", _amount))


def _told_apart(observed: float | None, limit: float | None, measure: Measure) -> tuple[str, str]:
    shown = "", ""
    for digits in range(MOST_DIGITS + 1):
        shown = _shown(observed, digits, measure), _shown(limit, digits, measure)
        if observed == limit or shown[0] != shown[1]:
            break
    return shown


def _shown(value: float | None, digits: int, measure: Measure) -> str:
    if value is None or not math.isfinite(value):
        return "no number"
    return measure.written(float(value), digits)
