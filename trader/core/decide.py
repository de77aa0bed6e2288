"""Decide: action → requested qty → six steps → four throttles → intent, as one DECISION row.

Law: a refusal is a row, never an exception; a denied order changes nothing but counters.
"""

import math

from trader.core import execution, risk, sizing, throttle
from trader.core.book import DECISIONS
from trader.core.costs import affordable_size, quoted_price
from trader.core.jit import inlined
from trader.core.rounding import is_size_within, lots_down
from trader.core.rows import write_throttle
from trader.core.schema import (
    NS_PER_SECOND,
    OnBreach,
    Reason,
    SizingMode,
    TradingAction,
    TradingState,
)
from trader.core.sessions import instant_session
from trader.core.settle import cancel_order

HOLD = int(TradingAction.HOLD)
CLOSE = int(TradingAction.CLOSE)
AT_TARGET = int(Reason.AT_TARGET)
NONE = int(Reason.NONE)
DAILY_LOSS_LIMIT = int(Reason.DAILY_LOSS_LIMIT)
DRAWDOWN_LIMIT = int(Reason.DRAWDOWN_LIMIT)
REPLACED = int(Reason.REPLACED)
THROTTLED_TO_ZERO = int(Reason.THROTTLED_TO_ZERO)
BELOW_MIN_SIZE = int(Reason.BELOW_MIN_SIZE)
BELOW_LOT_SIZE = int(Reason.BELOW_LOT_SIZE)
CROSSED_BOOK = int(Reason.CROSSED_BOOK)
REDUCING = int(TradingState.REDUCING)
FLATTEN = int(OnBreach.FLATTEN)
PERCENT_EQUITY = int(SizingMode.PERCENT_EQUITY)
VOLATILITY_TARGET = int(SizingMode.VOLATILITY_TARGET)


@inlined
def decide(book, rules, inputs, index, out):
    """One action → request → pre-trade check → throttle → intent, written as one DECISION."""
    account = book.account[0]
    symbol = inputs.bars[index]["symbol"]
    action = inputs.actions[index]
    reason = inputs.reasons[index] + 0
    qty = size = 0.0
    if account["trading_state"] == REDUCING and is_flattening(account, rules.limits[0]):
        qty = flattening_qty(book.positions[symbol])
    elif action == CLOSE:
        qty, reason = leaving_qty(book, rules, symbol, out)
    elif action != HOLD:
        qty, reason, size = wanted_qty(book, rules, symbol, action, out)
    row = out.counts[DECISIONS]
    out.counts[DECISIONS] = row + 1
    decision = out.decisions[row]
    decision["ts_ns"] = account["ts_ns"]
    decision["symbol"] = symbol
    decision["action"] = action
    decision["reason"] = reason
    decision["throttle"] = 0
    decision["requested_qty"] = qty
    decision["approved_qty"] = 0.0
    decision["observed"] = 0.0
    decision["limit"] = 0.0
    if reason == BELOW_LOT_SIZE:
        decision["observed"] = size
        decision["limit"] = rules.instruments[symbol]["lot_size"]
    if qty != 0.0:
        request(book, rules, symbol, decision, out)
    account["decisions"] += 1


@inlined
def is_flattening(account, limits):
    """Whether the limit that is in force asks for every position to be closed."""
    if account["state_reason"] == DAILY_LOSS_LIMIT:
        return limits["on_daily_loss"] == FLATTEN
    return account["state_reason"] == DRAWDOWN_LIMIT and limits["on_drawdown"] == FLATTEN


@inlined
def flattening_qty(position):
    """Signed qty that closes what no working order is closing yet."""
    return sizing.closing_qty(position, 0.0 - position["qty"])


@inlined
def leaving_qty(book, rules, symbol, out):
    """(signed qty, reason) that makes the symbol flat, after withdrawing what would open it."""
    position = book.positions[symbol]
    orders = book.orders[symbol]
    lot_size = rules.instruments[symbol]["lot_size"]
    if position["working_orders"] > 0:
        for index in range(position["working_orders"]):
            if not (orders[index]["qty"] * position["qty"] < 0.0):
                cancel_order(book.account[0], orders[index], REPLACED, out)
        execution.recount_working(position, orders, lot_size)
    qty = within_order_size(rules, position, flattening_qty(position), lot_size)
    return qty, NONE if qty != 0.0 else AT_TARGET


@inlined
def wanted_qty(book, rules, symbol, action, out):
    """(signed qty, reason, size wanted) of the action; orders of the other side are withdrawn."""
    position = book.positions[symbol]
    size = wanted_size(book, rules, symbol)
    lot_size = rules.instruments[symbol]["lot_size"]
    settings = rules.sizing[0]
    qty, reason = sizing.requested_qty(action, settings, position, size, lot_size)
    opposing = position["working_sell"] if qty > 0.0 else position["working_buy"]
    if qty != 0.0 and opposing > 0.0:
        account = book.account[0]
        orders = book.orders[symbol]
        for index in range(position["working_orders"]):
            if orders[index]["qty"] * qty < 0.0:
                cancel_order(account, orders[index], REPLACED, out)
        execution.recount_working(position, orders, lot_size)
        qty, reason = sizing.requested_qty(action, settings, position, size, lot_size)
    return within_order_size(rules, position, qty, lot_size), reason, size


@inlined
def wanted_size(book, rules, symbol):
    """Size ≥ 0 a full position should have now; NaN where volatility is needed and unknown."""
    settings = rules.sizing[0]
    position = book.positions[symbol]
    mode = settings["mode"]
    if mode != PERCENT_EQUITY and mode != VOLATILITY_TARGET:
        return settings["base_size"]
    equity = book.account[0]["equity"]
    affordable = math.inf
    if rules.limits[0]["allow_margin"] == 0:
        affordable = affordable_size(rules.broker[0], position, (1.0, 0.0), equity)
    value = math.nan
    if mode == VOLATILITY_TARGET:
        value = throttle.volatility(
            book.returns[symbol], position["bars"], settings["volatility_window"]
        )
    return sizing.target_size(settings, equity, position["mark"], affordable, value)


@inlined
def within_order_size(rules, position, qty, lot_size):
    """A purely closing request cut to the order size limits, so that no position is stuck.

    A limit on the size of one order must not make a larger position impossible to leave: the
    rest is asked for again on the next bar.
    """
    limits = rules.limits[0]
    largest = limits["max_order_size"]
    price = abs(quoted_price(position, qty))
    if limits["max_order_notional"] < math.inf and price > 0.0:
        largest = min(largest, limits["max_order_notional"] / price)
    if is_size_within(abs(qty), largest) or sizing.closing_qty(position, qty) != qty:
        return qty
    return lots_down(largest if qty > 0.0 else 0.0 - largest, lot_size)


@inlined
def request(book, rules, symbol, decision, out):
    """Check, throttle and place the decision's requested qty; the outcome goes into it."""
    account = book.account[0]
    position = book.positions[symbol]
    qty = decision["requested_qty"]
    closing = sizing.closing_qty(position, qty)
    approved, reason, observed, limit = risk.pre_trade(book, rules, symbol, qty, closing)
    if approved != 0.0:
        outcome = throttled(book, rules, symbol, (approved, closing), out)
        approved = outcome[0]
        decision["throttle"] = outcome[1]
        if outcome[2] != NONE:
            if reason == NONE or approved == 0.0:
                reason, observed, limit = outcome[2], outcome[3], outcome[4]
    decision["reason"] = reason
    decision["observed"] = observed
    decision["limit"] = limit
    decision["approved_qty"] = approved
    if approved != 0.0:
        order = execution.place_order(
            account, position, book.orders[symbol], approved, account["decisions"]
        )
        order["symbol"] = symbol
        order["session"] = instant_session(
            rules.sessions, account["session_cursor"], account["ts_ns"]
        )
        count_order(account, position)


@inlined
def throttled(book, rules, symbol, order, out):
    """(qty, stage bits, reason, driver, limit) of `order` = (approved qty, its closing part)."""
    position = book.positions[symbol]
    limits = rules.limits[0]
    lot_size = rules.instruments[symbol]["lot_size"]
    size = abs(order[0])
    closing = min(abs(order[1]), size)
    bits, reason, driver_kept, limit_kept = 0, NONE, 0.0, 0.0
    for stage in range(4):
        limit = stage_limit(limits, stage)
        if limit == math.inf:
            continue
        driver = stage_driver(book, rules, symbol, stage)
        before = size
        size = throttle.stage_result(stage, before, closing, driver, (limit, lot_size))
        if size < before:
            bits |= 1 << stage
            reason = throttle.stage_reason(stage, driver)
            driver_kept, limit_kept = driver if driver == driver else 0.0, limit
            write_throttle(book.account[0], (symbol, reason), (before, size), (driver, limit), out)
    if size == 0.0:
        reason = reason if reason == CROSSED_BOOK else THROTTLED_TO_ZERO
    elif size < limits["min_order_size"] and not (closing >= size == abs(position["qty"])):
        reason, driver_kept, limit_kept = BELOW_MIN_SIZE, size, limits["min_order_size"]
        size = 0.0
    return size if order[0] > 0.0 else 0.0 - size, bits, reason, driver_kept, limit_kept


@inlined
def stage_limit(limits, stage):
    """Limit of throttle `stage`; +inf switches it off."""
    if stage == 0:
        return limits["max_volume_participation"]
    if stage == 1:
        return limits["max_spread_bps"]
    if stage == 2:
        return limits["max_volatility"]
    return limits["throttle_max_order_size"]


@inlined
def stage_driver(book, rules, symbol, stage):
    """What throttle `stage` is driven by, from closed bars only; NaN where unknown."""
    position = book.positions[symbol]
    limits = rules.limits[0]
    if stage == 0:
        return throttle.mean_volume(book.volumes[symbol], position["bars"], limits["volume_window"])
    if stage == 1:
        return throttle.spread_bps(position)
    if stage == 2:
        return throttle.volatility(
            book.returns[symbol], position["bars"], limits["volatility_window"]
        )
    return 0.0


@inlined
def count_order(account, position):
    """Bump the order-rate counters: orders entered, not executions, in event time."""
    second = account["ts_ns"] // NS_PER_SECOND
    if account["second"] != second:
        account["second"] = second
        account["orders_this_second"] = 0
    account["orders_this_second"] += 1
    account["orders_this_session"] += 1
    if position["orders_ns"] != account["ts_ns"]:
        position["orders_ns"] = account["ts_ns"]
        position["orders_this_bar"] = 0
    position["orders_this_bar"] += 1
