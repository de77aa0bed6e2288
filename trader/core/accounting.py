"""Cash, positions and equity: the only writers of money.

Law: after anything, equity = cash + Σ worth, summed in config order. What is held in the account's
currency is worth qty × mark × multiplier. What is held in another is financed in that: its worth is
its open P&L, only realised P&L moves cash, and both are converted at the last close of the rate.
Realised P&L is gross of commission; commission leaves cash at the fill. The average price is that
of the open lots, and of equal prices it is that price. What is below the tolerance of money is no
profit and no loss.
"""

import math

from trader.core.exposure import worst_exposure
from trader.core.jit import inlined
from trader.core.rounding import money_noise, nearest_lot
from trader.core.sessions import bar_row, session_cursor


@inlined
def apply_fill(account, position, qty, price, commission, lot_size):
    """Book one execution of signed `qty` at `price`; returns the realised P&L (gross)."""
    held = position["qty"]
    unit_value = position["unit_value"]
    if held == 0.0:
        position["entry_bar"] = position["bars"]
    realized = 0.0
    if held * qty >= 0.0:
        share = abs(qty) / (abs(held) + abs(qty))
        position["avg_price"] += (price - position["avg_price"]) * share
    else:
        closed = min(abs(qty), abs(held))
        sign = 1.0 if held > 0.0 else -1.0
        realized = closed * (price - position["avg_price"]) * sign * unit_value
        if abs(realized) <= money_noise(closed * price * unit_value):
            realized = 0.0  # and no −0 in the books
        if abs(qty) > abs(held):
            position["avg_price"] = price
    position["qty"] = nearest_lot(held + qty, lot_size)
    if position["qty"] == 0.0:
        position["avg_price"] = 0.0
        position["exit_bar"] = position["bars"]
    elif position["qty"] * held < 0.0:
        position["entry_bar"] = position["bars"]
    position["realized_pnl"] += realized
    account["realized_pnl"] += realized
    account["commission"] += commission
    if position["is_financed"] != 0:
        account["cash"] += realized - commission
    else:
        account["cash"] -= qty * price * unit_value + commission
    account["executions"] += 1
    return realized


@inlined
def mark_position(position, bar, volumes, returns):
    """Take the bar into the position's market memory: mark, quote, trailing windows.

    `volumes` and `returns` are this symbol's rings, a power of two long. The ring of volumes lags
    one bar, so that it never holds the volume of the bar decided on.
    """
    seen = position["bars"]
    if seen > 0:
        volumes[(seen - 1) & (len(volumes) - 1)] = position["volume"]
        moved = math.nan  # of a price at or below zero no fraction is defined
        if position["mark"] > 0.0 and bar["close"] > 0.0:
            moved = bar["close"] / position["mark"] - 1.0
        returns[(seen - 1) & (len(returns) - 1)] = moved
    position["reference"] = position["mark"]
    position["mark"] = bar["close"]
    position["mark_ns"] = bar["ts_ns"]
    position["volume"] = bar["volume"]
    position["bid"] = bar["bid"]
    position["ask"] = bar["ask"]
    spread = bar["ask"] - bar["bid"]
    if spread >= 0.0 and spread < math.inf:
        position["spread"] = spread
    position["bars"] = seen + 1


@inlined
def average_range(position, bar, ranges, exits):
    """Take the bar's true range into Wilder's averages (1978), before the bar is marked.

    `ranges` has one for the stop, the target and the trailing stop; the mean of the first
    `period` ranges begins it, and until then it is their sum.
    """
    count = position["bars"]  # ranges with this one: the first bar has no close before it
    if count == 0:
        return
    before = position["mark"]
    true_range = max(bar["high"] - bar["low"], abs(bar["high"] - before), abs(bar["low"] - before))
    for leg in range(3):
        period = exits["stop_period"]
        if leg == 1:
            period = exits["target_period"]
        elif leg == 2:
            period = exits["trail_period"]
        if period == 0:
            continue
        if count > period:
            ranges[leg] = (ranges[leg] * (period - 1) + true_range) / period
        else:
            ranges[leg] += true_range
            if count == period:
                ranges[leg] /= period


@inlined
def open_pnl(position):
    """What closing a position at its mark would realise."""
    moved = position["mark"] - position["avg_price"]
    return position["qty"] * moved * position["unit_value"]


@inlined
def take_rates(book, rules):
    """Value a unit of every symbol of another currency at the last close of its rate."""
    for symbol in range(len(book.positions)):
        rate = rules.instruments[symbol]["rate"]
        if rate == 0:
            continue
        close = book.positions[abs(rate) - 1]["mark"]
        if close > 0.0:
            multiplier = rules.instruments[symbol]["multiplier"]
            multiplier = multiplier if multiplier > 0.0 else 1.0
            value = multiplier * close if rate > 0 else multiplier / close
            book.positions[symbol]["unit_value"] = value


@inlined
def mark_to_market(account, positions):
    """Equity, gross exposure, peak and the worst losses, at the positions' marks."""
    value = 0.0
    exposure = 0.0
    worst = 0.0
    for index in range(len(positions)):
        position = positions[index]
        held = position["qty"]
        own = 0.0
        if held != 0.0:
            worth = held * position["mark"] * position["unit_value"]
            own = abs(worth)
            exposure += own
            if position["is_financed"] != 0:
                worth = open_pnl(position)
            value += worth
        if position["working_orders"] > 0:
            own = worst_exposure(position)
        position["exposure"] = own
        worst += own
    equity = account["cash"] + value
    account["equity"] = equity
    account["gross_exposure"] = exposure
    account["worst_exposure"] = worst
    seen = account["peak_equity"], account["worst_daily_loss"], account["worst_drawdown_frac"]
    seen = worst_seen(equity, account["session_open_equity"], seen)
    account["peak_equity"], account["worst_daily_loss"], account["worst_drawdown_frac"] = seen


@inlined
def worst_seen(equity, session_open_equity, before):
    """(peak equity, worst daily loss, worst drawdown) with one more equity; `before`: without."""
    peak, worst_loss, worst_fall = before
    if equity > peak:
        peak = equity
    loss = session_open_equity - equity
    if loss > worst_loss and loss > money_noise(session_open_equity):
        worst_loss = loss
    fall = peak - equity
    if fall > worst_fall * peak and fall > money_noise(peak):
        worst_fall = fall / peak
    return peak, worst_loss, worst_fall


@inlined
def enter_session(account, sessions, period_ns):
    """Move on to the session of the bars that close at `account["ts_ns"]`; True if it is another.

    Which session that is, `core.sessions` decides. The baseline of the daily loss is the last
    equity before it, so an overnight gap counts to the day it opens.
    """
    cursor = session_cursor(sessions, account["session_cursor"], account["ts_ns"])
    account["session_cursor"] = cursor
    row = bar_row(sessions, cursor, account["ts_ns"], period_ns)
    if row < 0:
        row = cursor
    if row >= len(sessions) or sessions[row]["session"] == account["session"]:
        return False
    account["session"] = sessions[row]["session"]
    account["session_open_equity"] = account["equity"]
    account["orders_this_session"] = 0
    return True
