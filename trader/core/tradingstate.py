"""ACTIVE → REDUCING → HALTED: one transition table, and what moves along it after the marks.

Law: HALTED absorbs whatever the market and the limits do; only REARM, an operator's record from
outside, leads out. Only the roll of the session leads back from REDUCING, and only where the
daily loss was what led there. Limits are watched after every bar of a slice is marked and before
anything is decided, so a limit crossed on this bar stops this bar's orders.
"""

import math

import numpy as np

from trader.core import market, orders, risk
from trader.core.book import limits_of
from trader.core.rows import ACCOUNT_WIDE, write_event, write_state_event
from trader.core.schema import EventKind, OnBreach, Reason, TradingState
from trader.jit import inlined, outlined
from trader.rounding import is_size_within

ACTIVE, REDUCING, HALTED = TradingState
SESSION_ROLL, BREACH, HALT, REARM = range(4)  # events
VOLATILE_BARS_TO_HALT = 2  # one wild bar may be a bad print; two in a row are a market

TRANSITIONS = np.array(
    # SESSION_ROLL  BREACH    HALT    REARM
    [
        [ACTIVE, REDUCING, HALTED, ACTIVE],  # from ACTIVE
        [ACTIVE, REDUCING, HALTED, REDUCING],  # from REDUCING
        [HALTED, HALTED, HALTED, ACTIVE],  # from HALTED
    ],
    dtype=np.int64,
)


@inlined
def breach_event(on_breach):
    """The event a crossed loss limit causes under its policy (OnBreach)."""
    return HALT if on_breach == OnBreach.KILL else BREACH


@inlined
def is_bankrupt(account):
    """Whether the run is over: no slice is taken any more."""
    return account["state_reason"] == Reason.BANKRUPT


@inlined
def change_state(account, event, reason):
    """Apply `event`, remember why and when; True if the state or its reason changed.

    A daily loss never takes the place of a reason that outlives the session; BANKRUPT takes that of
    any other.
    """
    before = account["trading_state"]
    cause = account["state_reason"]
    if event == SESSION_ROLL and cause != Reason.DAILY_LOSS_LIMIT:
        return False
    if event == BREACH and before == TradingState.REDUCING and reason == Reason.DAILY_LOSS_LIMIT:
        return False
    if event == REARM and before != TradingState.HALTED:
        return False
    after = TRANSITIONS[before, event]
    if after == before and (before != TradingState.REDUCING or cause == reason):
        if reason != Reason.BANKRUPT or cause == Reason.BANKRUPT:
            return False
    account["trading_state"] = after
    account["state_reason"] = Reason.NONE if after == TradingState.ACTIVE else reason
    account["state_since_ns"] = account["ts_ns"]
    return True


@inlined
def watch_limits(book, rules, bars, out):
    """Trading state after marking: losses, drawdown, volatility, executions, position size."""
    account = book.account[0]
    limits = rules.limits[0]
    equity = account["equity"]
    most = limits["max_daily_loss"]
    if not risk.is_loss_within(equity, account["session_open_equity"], most):
        event = breach_event(limits["on_daily_loss"])
        breach(book, rules, (event, Reason.DAILY_LOSS_LIMIT, risk.daily_loss(account), most), out)
    most = limits["max_drawdown_frac"]
    if not risk.is_fall_within(equity, account["peak_equity"], most):
        event = breach_event(limits["on_drawdown"])
        breach(book, rules, (event, Reason.DRAWDOWN_LIMIT, risk.drawdown_frac(account), most), out)
    if not (equity > 0.0):
        reason = Reason.BANKRUPT if equity < 0.0 else Reason.NO_EQUITY
        breach(book, rules, (HALT, reason, equity, 0.0), out)
    executions = float(account["executions"])
    most = limits["max_executions_without_review"]
    if not (executions < most):  # the last one that needs no review has been made
        breach(book, rules, (HALT, Reason.EXECUTION_REVIEW, executions, most), out)
    for index in range(len(bars)):
        symbol = bars[index]["symbol"]
        position = book.positions[symbol]
        size = abs(position["qty"])
        most = limits_of(rules, symbol)["max_position_size"]
        if not (is_size_within(size, most) or is_size_within(size, position["split_size"])):
            breach(book, rules, (HALT, Reason.POSITION_LIMIT, size, most), out)
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
    value = market.volatility(returns, position["bars"], limits["volatility_window"])
    position["volatile_bars"] = position["volatile_bars"] + 1 if value > most else 0
    if position["volatile_bars"] >= VOLATILE_BARS_TO_HALT:
        breach(book, rules, (HALT, Reason.MARKET_VOLATILITY, value, most), out)


@outlined
def breach(book, rules, cause, out):
    """A limit was crossed: `cause` is (state event, reason, observed, limit)."""
    event, reason, observed, limit = cause
    account = book.account[0]
    before = account["trading_state"]
    if change_state(account, event, reason):
        what = (EventKind.LIMIT_BREACH, reason, ACCOUNT_WIDE, 0)
        write_event(account, what, observed, limit, out)
        write_state_event(account, before, out)
        is_reducing = account["trading_state"] == TradingState.REDUCING
        keeps = orders.KEEP_CLOSING if is_reducing else orders.KEEP_NONE
        orders.restrain(book, rules, (keeps, account["state_reason"], Reason.REDUCE_ONLY), out)
