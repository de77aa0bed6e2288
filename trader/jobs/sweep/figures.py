"""From what a trial left to the numbers of its row.

Law: every number is computed by the function that a run's own report uses, from the same values.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.core.schema import CashflowKind
from trader.errors import UsageError
from trader.feeds.sessions import sessions_per_year
from trader.jobs.sweep.lean import LeanRecord
from trader.jobs.sweep.market import Market
from trader.report.curve import deepest_fall, session_ends
from trader.report.metrics import profit_of
from trader.report.overfitting import blocks_for, moments
from trader.report.ratios import annual_ratios, daily_returns
from trader.report.risk import state_name
from trader.report.roundtrips import ROUND_TRIP, closed_trips, with_splits

NUMBERS = ("final_equity", "total_return", "sharpe", "sortino", "max_drawdown")  # of the table


@dataclass(frozen=True)
class TrialOutcome:
    """What is kept of a trial until its numbers are made: nothing as long as the history."""

    start: float
    final: float
    session_equity: np.ndarray  # f8, at the end of each session
    deepest: float
    trades: int
    digest: str
    trading_state: str


class OutcomeReader:
    """Reads lean records, one after another."""

    def __init__(self) -> None:
        self._room = np.empty(0, ROUND_TRIP)

    def read(self, config: Config, record: LeanRecord, ends: np.ndarray) -> TrialOutcome:
        """What the numbers of a trial need. `ends`: the last slice of each session."""
        account = record.book.account[0]
        start = float(account["start_equity"])
        lots = np.array([instrument.lot_size for instrument in config.instruments], np.float64)
        fills = record.fills
        if len(record.cashflows):
            splits = record.cashflows[record.cashflows["kind"] == CashflowKind.SPLIT]
            fills = with_splits(fills, splits)
        if len(self._room) < len(fills):
            self._room = np.empty(2 * len(fills), ROUND_TRIP)
        return TrialOutcome(
            start=start,
            final=float(record.equity[-1]) if len(record.equity) else start,
            session_equity=record.equity[ends],
            deepest=float(deepest_fall(record.equity, start)),
            trades=closed_trips(fills, lots, self._room),
            digest=record.digest,
            trading_state=state_name(account),
        )


def last_slices(market: Market, slices: int, period_ns: int) -> np.ndarray:
    """The last slice of each session, of the first `slices` of a market."""
    stamps = market.bars["ts_ns"]
    is_first = np.append(True, stamps[1:] != stamps[:-1])[: len(stamps)]
    return session_ends(stamps[is_first][:slices], market.sessions, period_ns).rows


def check_folds(folds: int | None, config: Config, market: Market) -> None:
    """Refuse more folds than there are trading days to put into them."""
    days = len(last_slices(market, len(market.bars), config.period_ns))
    if folds is not None and folds > days:
        raise UsageError(
            f"{folds:,} folds (--folds, or sweep.folds of the config), but the history has "
            f"{days:,} trading days, and a fold needs one at least: ask for fewer"
        )


def figures(
    config: Config, outcome: TrialOutcome, folds: int
) -> tuple[dict[str, Any], list[list[float]], list[list[float]]]:
    """(numbers by column of the table, moments by stretch of time, moments by fold)."""
    returns = daily_returns(outcome.session_equity, outcome.start)
    per_year = sessions_per_year(config.risk.market_hours)
    ratios, _ = annual_ratios(returns, per_year, ("sharpe", "sortino"))
    found = {
        "final_equity": outcome.final,
        "total_return": profit_of(outcome.final, outcome.start) / outcome.start,
        "sharpe": ratios["sharpe"],
        "sortino": ratios["sortino"],
        "max_drawdown": outcome.deepest,
    }
    values: dict[str, Any] = {name: _finite(found[name]) for name in NUMBERS}
    values |= {
        "trades": outcome.trades,
        "digest": outcome.digest,
        "trading_state": outcome.trading_state,
    }
    sums = moments(returns, blocks_for(len(returns))).tolist()
    return values, sums, moments(returns, folds).tolist() if folds else []


def _finite(value: float | None) -> float | None:
    """As in metrics.json: what is no finite number is None."""
    return value if value is not None and math.isfinite(value) else None
