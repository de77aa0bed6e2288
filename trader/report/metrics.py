"""The headline statistics of a run, from its equity curve, its fills and its round trips.

Law: every value is a plain Python number, or None with its reason under `undefined`; NaN and
infinity never leave this module. Fractions are fractions (0.05 is 5 %), money is account
currency, `_s` is seconds. Drawdowns are positive: 0.2 is 20 % below the highest equity so far.
docs/results.md lists every key.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.core.schema import FillFlag, OrderKind
from trader.moments import iso_utc, seconds
from trader.report.curve import CurveFacts
from trader.report.ratios import NOT_A_NUMBER, annual_ratios, short_span_warning
from trader.report.roundtrips import RoundTrips
from trader.rounding import money_noise

NO_TRADES = "no round trip was closed"
NO_SLICES = "no bars were run"
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class MarketFacts:
    """What the market did meanwhile, and how its year is counted."""

    sessions_per_year: float
    first_open: np.ndarray  # float64 per symbol, NaN where it had no bar
    last_close: np.ndarray


def market_facts(bars: np.ndarray, symbols: int, sessions_per_year: float) -> MarketFacts:
    """First open and last close of every symbol, from BAR rows in order of time."""
    first_open, last_close = np.full(symbols, np.nan), np.full(symbols, np.nan)
    for start in range(0, len(bars), ROWS_AT_ONCE):  # one block nearly always has them all
        block = bars[start : start + ROWS_AT_ONCE][::-1]  # backwards: the earliest comes last
        unseen = np.isnan(first_open[block["symbol"]])
        first_open[block["symbol"][unseen]] = block["open"][unseen]
        if not np.isnan(first_open).any():
            break
    for stop in range(len(bars), 0, -ROWS_AT_ONCE):
        block = bars[max(stop - ROWS_AT_ONCE, 0) : stop]
        unseen = np.isnan(last_close[block["symbol"]])
        last_close[block["symbol"][unseen]] = block["close"][unseen]
        if not np.isnan(last_close).any():
            break
    return MarketFacts(sessions_per_year, first_open, last_close)


@dataclass(frozen=True)
class EquityFacts:
    """The equity curve, read: every slice, and session by session."""

    start: float
    curve: CurveFacts | None  # None if there was no slice
    returns: np.ndarray  # float64, `daily_returns`


Values = dict[str, Any]


def performance(
    equity: EquityFacts, fills: np.ndarray, trips: RoundTrips, market: MarketFacts
) -> Values:
    """All metrics of a run by name, as they are shown; `undefined` and `warnings` are the last."""
    undefined: dict[str, str] = {}
    values = _returns(equity, market.sessions_per_year, undefined)
    values["buy_and_hold_return"] = _buy_and_hold(market, undefined)
    values |= _trades(trips, undefined)
    values |= _costs(fills, equity.curve, undefined)
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = None
            undefined[name] = NOT_A_NUMBER
    values["undefined"] = undefined
    values["warnings"] = _warnings(values)
    return values


def _warnings(values: Values) -> dict[str, str]:
    """What to know of a figure, by its name."""
    warning = short_span_warning(values["trading_days"], values["sessions_per_year"])
    return {"cagr": warning} if warning and values["cagr"] is not None else {}


def profit_of(final_equity: float, start_equity: float) -> float:
    """What was earned; 0 where it is below the tolerance of money."""
    profit = final_equity - start_equity
    return 0.0 if abs(profit) <= money_noise(start_equity) else profit


def _returns(equity: EquityFacts, sessions_per_year: float, undefined: dict[str, str]) -> Values:
    """Everything read off the equity curve. Calmar is CAGR over the intraday drawdown."""
    curve = equity.curve
    final = curve.final_equity if curve else equity.start
    profit = profit_of(final, equity.start)
    ratios, why = annual_ratios(equity.returns, sessions_per_year)
    undefined |= why
    drawdown = curve.max_drawdown_frac if curve else 0.0
    calmar = None
    if ratios["cagr"] is None:
        undefined["calmar"] = why["cagr"]
    elif drawdown > 0.0:
        calmar = ratios["cagr"] / drawdown
    else:
        undefined["calmar"] = "no drawdown"
    if curve is None:
        undefined["exposure"] = NO_SLICES
    return {
        "start_equity": float(equity.start),
        "final_equity": final,
        "profit": profit,
        "total_return": profit / equity.start,
        "cagr": ratios["cagr"],
        "volatility": ratios["volatility"],
        "sharpe": ratios["sharpe"],
        "sortino": ratios["sortino"],
        "calmar": calmar,
        "max_drawdown": drawdown,
        "max_drawdown_duration_s": seconds(curve.longest_drawdown_ns) if curve else 0.0,
        "exposure": curve.exposed_slices / curve.slices if curve else None,
        "first_slice": iso_utc(curve.first_ns) if curve else None,
        "last_slice": iso_utc(curve.last_ns) if curve else None,
        "trading_days": len(equity.returns),
        "sessions_per_year": float(sessions_per_year),
    }


def _trades(trips: RoundTrips, undefined: dict[str, str]) -> Values:
    """Statistics of closed round trips, net of commission."""
    closed = trips.closed
    names = (
        "win_rate",
        "profit_factor",
        "expectancy",
        "average_trade",
        "best_trade",
        "worst_trade",
        "best_trade_pnl",
        "worst_trade_pnl",
        "average_trade_duration_s",
    )
    values: Values = {"trades": len(closed), "open_trades": trips.open_count}
    values |= dict.fromkeys(names)
    if len(closed) == 0:
        undefined |= dict.fromkeys(names, NO_TRADES)
        return values
    pnl, returns = closed["pnl"], closed["return_frac"]
    lost = -float(pnl[pnl < 0.0].sum())
    values["win_rate"] = int(np.count_nonzero(pnl > 0.0)) / len(closed)
    if lost > 0.0:
        values["profit_factor"] = float(pnl[pnl > 0.0].sum()) / lost
    else:
        undefined["profit_factor"] = "no losing trade"
    values["expectancy"] = float(pnl.mean())
    values["average_trade"] = float(returns.mean())
    values["best_trade"] = float(returns.max())
    values["worst_trade"] = float(returns.min())
    values["best_trade_pnl"] = float(pnl.max())
    values["worst_trade_pnl"] = float(pnl.min())
    values["average_trade_duration_s"] = float(closed["duration_s"].mean())
    return values


def exit_facts(fills: np.ndarray, trips: RoundTrips) -> Values:
    """Closed trades by why they closed, and what the order of prices inside a bar decided.

    `ambiguous_best` is how much more the kindest order of prices would have made, before
    commission and before all that would have come after.
    """
    codes, counts = np.unique(trips.closed["exit_reason"], return_counts=True)
    doubtful = fills[(fills["flags"] & FillFlag.AMBIGUOUS) != 0]
    gain = (doubtful["price"] - doubtful["best_price"]) * doubtful["qty"] * doubtful["unit_value"]
    return {
        "exits": {
            OrderKind(int(code)).name: int(count)
            for code, count in sorted(zip(codes, counts, strict=True), key=lambda item: -item[1])
        },
        "ambiguous_fills": len(doubtful),
        "ambiguous_best": float(gain.sum()),
    }


def _costs(fills: np.ndarray, facts: CurveFacts | None, undefined: dict[str, str]) -> Values:
    """What trading cost, and how often the money was turned over."""
    traded = float(np.abs(fills["qty"] * fills["price"] * fills["unit_value"]).sum())
    turnover = None
    if facts is None:
        undefined["turnover"] = NO_SLICES
    elif facts.mean_equity > 0.0:
        turnover = traded / facts.mean_equity
    else:
        undefined["turnover"] = "average equity is not above zero"
    return {
        "commission": float(fills["commission"].sum()),
        "slippage": float(fills["slippage"].sum()),
        "traded_notional": traded,
        "turnover": turnover,
    }


def _buy_and_hold(market: MarketFacts, undefined: dict[str, str]) -> float | None:
    """Return of equal money in every symbol, from its first open to its last close, no costs."""
    known = np.isfinite(market.first_open) & np.isfinite(market.last_close)
    known &= market.first_open > 0.0
    if not known.any():
        undefined["buy_and_hold_return"] = NO_SLICES
        return None
    return float((market.last_close[known] / market.first_open[known]).mean() - 1.0)
