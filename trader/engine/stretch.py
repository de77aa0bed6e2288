"""Equity over a stretch of bars on which nothing trades, and what of it the limits let pass.

Law: the account is that which marking and watching bar after bar would leave, bit for bit. A
stretch whose extremes show that no limit stops it is taken at once, any other in turn.
"""
# mypy: allow-untyped-defs

import math

from trader.core import ledger, risk
from trader.extremes import extremes
from trader.jit import inlined
from trader.rounding import money_noise


@inlined
def mark_stretch(book, rules, closes, values):
    """Equity at each of `closes` into `values`, up to the first that a limit does not let pass.

    Returns how many passed; the account is marked at the last of them.
    """
    account, limits, position = book.account[0], rules.limits[0], book.positions[0]
    count = calm_bars(position, limits, closes)
    held = position["qty"]
    if held == 0.0:
        values[:count] = account["equity"]
    elif count > 0:
        cash, unit_value = account["cash"], position["unit_value"]
        for index in range(count):
            values[index] = cash + (0.0 + held * closes[index] * unit_value)
        if not pass_at_once(account, limits, values[:count]):
            count = pass_in_turn(account, limits, values[:count])
        if count > 0:
            mark = position["mark"]
            position["mark"] = closes[count - 1]
            ledger.mark_to_market(account, book.positions)
            position["mark"] = mark
    if limits["kill_volatility"] < math.inf and count > 0:
        position["quiet_bars"] += count
        position["volatile_bars"] = 0
    return count


@inlined
def pass_at_once(account, limits, values):
    """Take equities of which the extremes show that none is stopped; False where they do not.

    They do where the lowest, seen as below the highest, passes by the peak before, and is no new
    worst drawdown: subtraction and multiplication are monotone when rounded, so no other is.
    """
    low, high, is_known = extremes(values)
    opened, before = account["session_open_equity"], account["peak_equity"]
    peak = high if high > before else before
    fall = peak - low
    if not (
        is_known
        and low > 0.0
        and before > 0.0
        and risk.is_loss_within(low, opened, limits["max_daily_loss"])
        and fall <= limits["max_drawdown_frac"] * before
        and (fall <= account["worst_drawdown_frac"] * before or fall <= money_noise(before))
    ):
        return False
    seen = before, account["worst_daily_loss"], account["worst_drawdown_frac"]
    account["worst_daily_loss"] = ledger.worst_seen(low, opened, seen)[1]
    account["peak_equity"] = peak
    return True


@inlined
def pass_in_turn(account, limits, values):
    """Take one equity after the other, up to the first that is stopped; returns how many passed."""
    opened = account["session_open_equity"]
    most_loss, most_fall = limits["max_daily_loss"], limits["max_drawdown_frac"]
    seen = account["peak_equity"], account["worst_daily_loss"], account["worst_drawdown_frac"]
    count = len(values)
    for index in range(len(values)):
        equity = values[index]
        after = ledger.worst_seen(equity, opened, seen)
        if not (
            risk.is_loss_within(equity, opened, most_loss)
            and risk.is_fall_within(equity, after[0], most_fall)
            and equity > 0.0
        ):
            count = index
            break
        seen = after
    if count > 0:
        account["peak_equity"], account["worst_daily_loss"] = seen[0], seen[1]
        account["worst_drawdown_frac"] = seen[2]
    return count


@inlined
def calm_bars(position, limits, closes):
    """How many of `closes` move so little that `tradingstate.watch_volatility` computes nothing."""
    if not (limits["kill_volatility"] < math.inf):
        return len(closes)
    most = limits["kill_volatility"] / 4.0
    before = position["mark"]
    for index in range(len(closes)):
        close = closes[index]
        if not (before > 0.0 and close > 0.0 and abs(close / before - 1.0) < most):
            return index
        before = close
    return len(closes)
