"""The headline statistics: their names for people, in the order they are shown, and their forms."""

from collections.abc import Callable
from typing import Any

from trader.moments import duration_text

NOT_DEFINED = "n/a"
Format = Callable[[Any], str]


def signed_share(value: float) -> str:
    shown = value * 100.0
    return f"{shown:+,.2f} %" if abs(shown) < 1e6 else f"{shown:+.3g} %"


def share(value: float) -> str:
    return signed_share(value).removeprefix("+")


def money(value: float) -> str:
    """Account currency with thousands and cents."""
    return f"{value:,.2f}" if abs(value) < 1e12 else f"{value:.4g}"


def ratio(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1e6 else f"{value:.3g}"


def count(value: int) -> str:
    return f"{value:,}"


RETURNS: tuple[tuple[str, str, Format], ...] = (
    ("Final equity", "final_equity", money),
    ("Start equity", "start_equity", money),
    ("Total return", "total_return", signed_share),
    ("Buy and hold", "buy_and_hold_return", signed_share),
    ("Return a year (CAGR)", "cagr", signed_share),
    ("Volatility a year", "volatility", share),
    ("Sharpe ratio", "sharpe", ratio),
    ("Sortino ratio", "sortino", ratio),
    ("Max drawdown", "max_drawdown", share),
    ("Calmar ratio", "calmar", ratio),
    ("Longest drawdown", "max_drawdown_duration_s", duration_text),
    ("Time in the market", "exposure", share),
)
TRADES: tuple[tuple[str, str, Format], ...] = (
    ("Round trips", "trades", count),
    ("Still open", "open_trades", count),
    ("Win rate", "win_rate", share),
    ("Profit factor", "profit_factor", ratio),
    ("Expectancy a trade", "expectancy", money),
    ("Average trade", "average_trade", signed_share),
    ("Best trade", "best_trade", signed_share),
    ("Worst trade", "worst_trade", signed_share),
    ("Commissions", "commission", money),
    ("Slippage", "slippage", money),
    ("Average time in trade", "average_trade_duration_s", duration_text),
    ("Turnover (x equity)", "turnover", ratio),
)
