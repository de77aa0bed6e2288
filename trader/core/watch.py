"""Watch: what the marks of a slice do to the trading state, and that to the working orders.

Law: runs after every bar of the slice is marked and before anything is decided, so a limit
crossed on this bar stops this bar's orders.
"""

import math

from trader.core import orders, risk, throttle, tradingstate
from trader.core.jit import inlined, outlined
from trader.core.limits import limits_of
from trader.core.rounding import is_size_within
from trader.core.rows import write_event, write_state_event
from trader.core.schema import EventKind, Reason, TradingState

NONE = int(Reason.NONE)
DAILY_LOSS_LIMIT = int(Reason.DAILY_LOSS_LIMIT)
DRAWDOWN_LIMIT = int(Reason.DRAWDOWN_LIMIT)
POSITION_LIMIT = int(Reason.POSITION_LIMIT)
MARKET_VOLATILITY = int(Reason.MARKET_VOLATILITY)
NO_EQUITY = int(Reason.NO_EQUITY)
BANKRUPT = int(Reason.BANKRUPT)
EXECUTION_REVIEW = int(Reason.EXECUTION_REVIEW)
REDUCE_ONLY = int(Reason.REDUCE_ONLY)
REDUCING = int(TradingState.REDUCING)
HALTED = int(TradingState.HALTED)
EVENT_BREACH = int(EventKind.LIMIT_BREACH)
ACCOUNT_WIDE = -1
VOLATILE_BARS_TO_HALT = 2  # one wild bar may be a bad print; two in a row are a market


@inlined
def watch_limits(book, rules, bars, out):
    """Trading state after marking: losses, drawdown, volatility, executions, position size."""
    account = book.account[0]
    limits = rules.limits[0]
    if not risk.is_within_daily_loss(account, limits["max_daily_loss"]):
        loss = risk.daily_loss(account)
        event = tradingstate.breach_event(limits["on_daily_loss"])
        breach(book, rules, (event, DAILY_LOSS_LIMIT, loss, limits["max_daily_loss"]), out)
    if not risk.is_within_drawdown(account, limits["max_drawdown_frac"]):
        event = tradingstate.breach_event(limits["on_drawdown"])
        drawdown = risk.drawdown_frac(account)
        breach(book, rules, (event, DRAWDOWN_LIMIT, drawdown, limits["max_drawdown_frac"]), out)
    if not (account["equity"] > 0.0):
        reason = BANKRUPT if account["equity"] < 0.0 else NO_EQUITY
        breach(book, rules, (tradingstate.HALT, reason, account["equity"], 0.0), out)
    executions = float(account["executions"])
    most = limits["max_executions_without_review"]
    if not (executions < most):  # the last one that needs no review has been made
        breach(book, rules, (tradingstate.HALT, EXECUTION_REVIEW, executions, most), out)
    for index in range(len(bars)):
        symbol = bars[index]["symbol"]
        position = book.positions[symbol]
        size = abs(position["qty"])
        most = limits_of(rules, symbol)["max_position_size"]
        if not is_size_within(size, most):
            breach(book, rules, (tradingstate.HALT, POSITION_LIMIT, size, most), out)
        if limits["kill_volatility"] < math.inf:
            watch_volatility(book, rules, symbol, out)


@inlined
def watch_volatility(book, rules, symbol, out):
    """Halt after VOLATILE_BARS_TO_HALT bars in a row above `kill_volatility`.

    While every return of the window is below a quarter of the limit, no deviation from their
    mean exceeds half of it, and the volatility cannot reach it: it is then not computed.
    """
    limits = rules.limits[0]
    position = book.positions[symbol]
    most = limits["kill_volatility"]
    returns = book.returns[symbol]
    last = returns[(position["bars"] - 2) & (len(returns) - 1)]
    position["quiet_bars"] = position["quiet_bars"] + 1 if abs(last) < most / 4.0 else 0
    if position["quiet_bars"] > limits["volatility_window"]:
        position["volatile_bars"] = 0
        return
    value = throttle.volatility(returns, position["bars"], limits["volatility_window"])
    position["volatile_bars"] = position["volatile_bars"] + 1 if value > most else 0
    if position["volatile_bars"] >= VOLATILE_BARS_TO_HALT:
        breach(book, rules, (tradingstate.HALT, MARKET_VOLATILITY, value, most), out)


@outlined
def breach(book, rules, cause, out):
    """A limit was crossed: `cause` is (state event, reason, observed, limit)."""
    event, reason, observed, limit = cause
    account = book.account[0]
    before = account["trading_state"]
    if tradingstate.change_state(account, event, reason):
        write_event(account, (EVENT_BREACH, reason, ACCOUNT_WIDE, 0), observed, limit, out)
        write_state_event(account, before, out)
        keeps = orders.KEEP_CLOSING if account["trading_state"] == REDUCING else orders.KEEP_NONE
        orders.restrain(book, rules, (keeps, account["state_reason"], REDUCE_ONLY), out)
