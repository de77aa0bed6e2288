"""The six pre-trade steps, in documented order.

    0  trading state     HALTED passes nothing, REDUCING only what closes
    1  parameters        qty, lot, price, reference and collar, order rate, room to work
    2  position size     |position + working orders of this side + this order|
    3  order size        qty and notional of this order
    4  losses            daily loss, drawdown
    5  concentration     one symbol, gross exposure, buying power
    6  market hours      open at this instant

Law: checks are written in the positive form (`if not (x <= limit)`), so NaN denies, and by the
tolerance of `rounding`, so that what is exactly at a limit passes. An order is its closing part
and its opening part: losses, position, concentration and exposure judge only what opens. Where
the opening part is refused the closing part goes on alone; the reason kept is the last one that
took something away. Limits see the position, plus every working order of the same side unnetted,
plus this order.
"""

import math

from trader.codes import DAY_NS, NS_PER_SECOND
from trader.core.book import limits_of
from trader.core.execution import quoted_price
from trader.core.exposure import (
    PASSED,
    check_concentration,
    is_trimmed,
    notional,
    payable_qty,
    worst_qty,
)
from trader.core.schema import MAX_WORKING_ORDERS, Reason, SlippageType, TradingState
from trader.jit import inlined
from trader.rounding import (
    is_lot_multiple,
    is_money_within,
    is_price_within,
    is_size_within,
    money_noise,
)
from trader.session_rows import instant_row, session_close_ns, session_open_ns


@inlined
def daily_loss(account):
    """Loss > 0 since the session's opening equity, realised, unrealised and fees together."""
    return account["session_open_equity"] - account["equity"]


@inlined
def drawdown_frac(account):
    """Fraction of the equity peak that is lost."""
    peak = account["peak_equity"]
    return (peak - account["equity"]) / peak if peak > 0.0 else 1.0


@inlined
def is_fall_within(equity, peak, most):
    """Whether `equity` is at most the fraction `most` below its peak."""
    if most == math.inf:
        return True
    if not (peak > 0.0):
        return False
    fall = peak - equity
    return fall <= most * peak or fall <= most * peak + money_noise(peak)


@inlined
def is_loss_within(equity, session_open_equity, most):
    """Whether `equity` is at most `most` below that at which the session opened."""
    loss = session_open_equity - equity
    return loss <= most or loss <= most + money_noise(session_open_equity)


@inlined
def check_state(account, limits):
    """Step 0 for an opening part: (reason, observed, limit)."""
    state = account["trading_state"]
    if state == TradingState.ACTIVE:
        return PASSED
    cause = account["state_reason"]
    if state == TradingState.HALTED:
        return Reason.KILLED if cause == Reason.KILLED else Reason.HALTED, float(cause), 0.0
    if cause == Reason.DAILY_LOSS_LIMIT:
        return Reason.DAILY_LOSS_LIMIT, daily_loss(account), limits["max_daily_loss"]
    if cause == Reason.DRAWDOWN_LIMIT:
        return Reason.DRAWDOWN_LIMIT, drawdown_frac(account), limits["max_drawdown_frac"]
    return Reason.REDUCE_ONLY, float(cause), 0.0


@inlined
def check_parameters(position, qty, rules, symbol):
    """Step 1 for the whole order: (reason, observed, limit)."""
    limits = rules.limits[0]
    instrument = rules.instruments[symbol]
    if not (abs(qty) > 0.0 and abs(qty) < math.inf):
        return Reason.PARAM_QTY, qty, 0.0
    if not is_lot_multiple(qty, instrument["lot_size"]):
        return Reason.PARAM_LOT, qty, instrument["lot_size"]
    price = position["mark"]
    if not (price > 0.0 and price < math.inf):
        if not (instrument["allow_negative_prices"] != 0 and price > -math.inf and price <= 0.0):
            return Reason.PARAM_PRICE, price, 0.0
    if limits["price_collar"] != math.inf:  # a NaN denies
        reference = position["reference"]
        if not (reference > 0.0):
            undefined = position["bars"] > 1 and reference <= 0.0  # a fraction of it is nothing
            reason = Reason.PRICE_NOT_POSITIVE if undefined else Reason.NO_REFERENCE_PRICE
            return reason, reference if undefined else 0.0, limits["price_collar"]
        moved = abs(price - reference)
        if not is_price_within(moved, reference, limits["price_collar"]):
            return Reason.PRICE_COLLAR, moved / reference, limits["price_collar"]
    working = float(position["working_orders"])
    if not (working < MAX_WORKING_ORDERS):
        return Reason.WORKING_ORDERS_FULL, working, float(MAX_WORKING_ORDERS)
    needs_spread = rules.broker[0]["slippage_type"] == SlippageType.HALF_SPREAD
    if needs_spread and not (position["spread"] >= 0.0):
        return Reason.NO_QUOTE, 0.0, 0.0
    if not (position["unit_value"] > 0.0):
        return Reason.NO_RATE, 0.0, 0.0
    return PASSED


@inlined
def check_permission(account, position, instrument, limits):
    """Step 1 for an opening part: restricted list and order rates: (reason, observed, limit)."""
    if instrument["restricted"] != 0:
        return Reason.RESTRICTED, 1.0, 0.0
    this_second = 0.0
    if account["second"] == account["ts_ns"] // NS_PER_SECOND:
        this_second = float(account["orders_this_second"])
    this_bar = 0.0
    if position["orders_ns"] == account["ts_ns"]:
        this_bar = float(position["orders_this_bar"])
    rates = (
        (this_second, limits["max_orders_per_second"]),
        (this_bar, limits["max_orders_per_bar"]),
        (float(account["orders_this_session"]), limits["max_orders_per_day"]),
    )
    for sent, most in rates:
        if not (sent + 1.0 <= most):
            return Reason.ORDER_RATE_LIMIT, sent + 1.0, most
    return PASSED


@inlined
def check_position_size(position, qty, limits):
    """Step 2: (reason, observed, limit)."""
    size = abs(worst_qty(position, qty))
    if not is_size_within(size, limits["max_position_size"]):
        return Reason.POSITION_LIMIT, size, limits["max_position_size"]
    worth = notional(position, size)
    if not is_money_within(worth, limits["max_position_notional"]):
        return Reason.POSITION_NOTIONAL_LIMIT, worth, limits["max_position_notional"]
    return PASSED


@inlined
def check_order_size(position, qty, limits):
    """Step 3: (reason, observed, limit). Notional is size × price, without costs."""
    size = abs(qty)
    if not is_size_within(size, limits["max_order_size"]):
        return Reason.ORDER_SIZE_LIMIT, size, limits["max_order_size"]
    worth = size * abs(quoted_price(position, qty)) * position["unit_value"]
    if not is_money_within(worth, limits["max_order_notional"]):
        return Reason.ORDER_NOTIONAL_LIMIT, worth, limits["max_order_notional"]
    return PASSED


@inlined
def check_losses(account, limits):
    """Step 4: (reason, observed, limit)."""
    equity = account["equity"]
    if not is_loss_within(equity, account["session_open_equity"], limits["max_daily_loss"]):
        return Reason.DAILY_LOSS_LIMIT, daily_loss(account), limits["max_daily_loss"]
    if not is_fall_within(equity, account["peak_equity"], limits["max_drawdown_frac"]):
        return Reason.DRAWDOWN_LIMIT, drawdown_frac(account), limits["max_drawdown_frac"]
    return PASSED


@inlined
def check_market_hours(account, sessions, limits, period_ns):
    """Step 6: (reason, observed, limit). Trading hours are [open, close), less the guards.

    The guards keep off the open and the close of the session, not of its lunch break. An order
    decided on a bar of a day or more is one for the next session's open, whatever the time.
    """
    ts_ns = account["ts_ns"]
    row = account["session_cursor"]
    if row >= len(sessions) or ts_ns < sessions[0]["open_ns"]:
        return Reason.CALENDAR_UNKNOWN, 0.0, 0.0
    row = instant_row(sessions, row, ts_ns)
    if period_ns >= DAY_NS:
        return PASSED if row < len(sessions) else (Reason.CALENDAR_UNKNOWN, 0.0, 0.0)
    if row >= len(sessions) or not (sessions[row]["open_ns"] <= ts_ns):
        return Reason.MARKET_CLOSED, 0.0, 0.0
    opens = session_open_ns(sessions, row) + limits["open_guard_ns"]
    closes = session_close_ns(sessions, row) - limits["close_guard_ns"]
    if not (opens <= ts_ns and ts_ns < closes):
        return Reason.MARKET_CLOSED, 0.0, 0.0
    return PASSED


@inlined
def opening_verdict(book, rules, symbol, qty):
    """Every check that judges an opening order, as far as step 5; `qty` is the whole order."""
    account = book.account[0]
    position = book.positions[symbol]
    limits = rules.limits[0]
    own = limits_of(rules, symbol)
    verdicts = (
        check_state(account, limits),
        check_permission(account, position, rules.instruments[symbol], limits),
        check_position_size(position, qty, own),
        check_order_size(position, qty, own),
        check_losses(account, limits),
        check_concentration(book, rules, symbol, qty),
    )
    for verdict in verdicts:
        if verdict[0] != Reason.NONE:
            return verdict
    return PASSED


@inlined
def pre_trade(book, rules, symbol, qty, closing):
    """What of an order passes: (approved qty, reason, observed, limit).

    `closing` is the part of `qty` (same sign, possibly 0) that only reduces the position.
    Approved is `qty`, less of it where it was trimmed to what can be paid, `closing` where only
    the opening part was refused, or 0.
    """
    account = book.account[0]
    position = book.positions[symbol]
    limits = rules.limits[0]
    if account["trading_state"] == TradingState.HALTED:
        return denied(check_state(account, limits))
    verdict = check_parameters(position, qty, rules, symbol)
    if verdict[0] != Reason.NONE:
        return denied(verdict)
    approved = qty
    kept = PASSED
    if closing != qty:
        kept = opening_verdict(book, rules, symbol, qty)
        if kept[0] == Reason.BUYING_POWER and is_trimmed(book, rules, symbol):
            approved = payable_qty(book, rules, symbol, qty)
            if abs(approved) > abs(closing):
                kept = Reason.TRIMMED_TO_CASH, kept[1], kept[2]
        if kept[0] != Reason.NONE and kept[0] != Reason.TRIMMED_TO_CASH:
            approved = closing
    if approved != 0.0 and approved == closing:
        verdict = check_order_size(position, approved, limits_of(rules, symbol))
        if verdict[0] != Reason.NONE:
            return denied(verdict)
    if approved != 0.0:
        period_ns = rules.broker[0]["period_ns"]
        verdict = check_market_hours(account, rules.sessions, limits, period_ns)
        if verdict[0] != Reason.NONE:
            return denied(verdict)
    return approved, kept[0], kept[1], kept[2]


@inlined
def denied(verdict):
    """A verdict as the outcome of an order of which nothing passes."""
    return 0.0, verdict[0], verdict[1], verdict[2]
