"""The result in parts: closed trades by group, and the account by month and year.

Law: a trade counts where it closed: its symbol, side and exit, and the month and year of its exit
in UTC. Months and years of the account are of trading sessions, from session end to session end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trader.core.schema import OrderKind

Groups = dict[str, dict[str, Any]]
NS = "datetime64[ns]"


def by_group(closed: np.ndarray, symbols: Sequence[str]) -> dict[str, Groups]:
    """ROUND_TRIP rows by what they have in common; groups without a trade are left out."""
    months = closed["exit_ns"].astype(NS).astype("datetime64[M]")
    return {
        "symbol": _groups(closed, closed["symbol"], lambda code: symbols[int(code)]),
        "side": _groups(closed, -closed["side"], lambda code: "LONG" if code < 0 else "SHORT"),
        "exit_reason": _groups(
            closed, closed["exit_reason"], lambda code: OrderKind(int(code)).name
        ),
        "month": _groups(closed, months, str),
        "year": _groups(closed, months.astype("datetime64[Y]"), str),
    }


def _groups(closed: np.ndarray, keys: np.ndarray, name_of: Any) -> Groups:
    found, codes = np.unique(keys, return_inverse=True)
    pnl, count = closed["pnl"], len(found)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(codes, values, count)

    trades, total = np.bincount(codes, minlength=count), sums(pnl)
    won, lost = sums(np.maximum(pnl, 0.0)), sums(np.maximum(-pnl, 0.0))
    winners, returns = sums(pnl > 0.0), sums(closed["return_frac"])
    return {
        name_of(key): {
            "trades": int(trades[place]),
            "win_rate": float(winners[place] / trades[place]),
            "pnl": float(total[place]),
            "profit_factor": float(won[place] / lost[place]) if lost[place] > 0.0 else None,
            "average_trade": _finite(returns[place] / trades[place]),
        }
        for place, key in enumerate(found)
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def by_period(dates: np.ndarray, by_session: np.ndarray, start: float) -> dict[str, Groups]:
    """`profit` and `return_frac` of each month and year; `dates` are days since 1970."""
    days = np.asarray(dates, np.int64).astype("datetime64[D]")
    return {
        name: _periods(days.astype(f"datetime64[{unit}]"), by_session, start)
        for name, unit in (("month", "M"), ("year", "Y"))
    }


def _periods(periods: np.ndarray, by_session: np.ndarray, start: float) -> Groups:
    if not len(periods):
        return {}
    last = np.append(periods[1:] != periods[:-1], True)
    after = by_session[last]
    before = np.append(start, after[:-1])
    return {
        str(period): {
            "profit": float(end - begin),
            "return_frac": _finite(end / begin - 1.0) if begin > 0.0 else None,
        }
        for period, begin, end in zip(periods[last], before, after, strict=True)
    }
