"""Decide: action → requested qty → six steps → four throttles → intents, as one DECISION row.

Law: a refusal is a row, never an exception; a denied order changes nothing but counters. One
decision may send several orders: what it decided, and the exits of what that opens.
"""

import math

from trader.core import execution, exits, financing, market, orders, placing, risk, sizing, throttle
from trader.core.book import DECISIONS, limits_of
from trader.core.execution import affordable_size, quoted_price
from trader.core.schema import (
    MAX_WORKING_ORDERS,
    OnBreach,
    OrderKind,
    OrderStatus,
    Reason,
    SizingMode,
    TradingAction,
    TradingState,
)
from trader.jit import inlined, outlined
from trader.rounding import is_size_within, lots_down


@inlined
def decide(book, rules, inputs, index, out):
    """One action → request → pre-trade check → throttle → intents, written as one DECISION."""
    account = book.account[0]
    symbol = inputs.bars[index]["symbol"]
    position = book.positions[symbol]
    action = inputs.actions[index]
    reason = inputs.reasons[index] + 0
    limits = rules.limits[0]
    asked = placing.asked_beside(inputs, index)
    qty = size = 0.0
    kind = OrderKind.ENTRY
    limit_price = math.nan
    if position["margin_call"] != 0:
        position["margin_call"] = 0
        qty, kind = sizing.flattening_qty(position), OrderKind.LIQUIDATION
    elif account["trading_state"] == TradingState.REDUCING and is_flattening(account, limits):
        qty, kind = sizing.flattening_qty(position), OrderKind.FLATTEN
    elif exits.is_held_too_long(position, rules.exits[0]):
        qty, kind = sizing.flattening_qty(position), OrderKind.MAX_HOLDING
        qty = within_order_size(rules, symbol, position, qty)
    elif action != TradingAction.HOLD:
        qty, reason, size = wanted_qty(book, rules, symbol, action, asked, out)
        limit_price = asked["limit_price"]
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
    if reason == Reason.BELOW_LOT_SIZE:
        decision["observed"] = size
        decision["limit"] = rules.instruments[symbol]["lot_size"]
    rests = position["qty"] != 0.0 and is_naked(account, position, rules.exits[0])
    if qty != 0.0:
        request(book, rules, symbol, decision, kind, out)
        if kind != OrderKind.LIQUIDATION:
            placing.deny_below_least(rules, symbol, position, decision, limit_price)
    approved = decision["approved_qty"]
    terms = (account["decisions"], position["qty"], math.nan, math.nan)
    parent = 0
    if approved != 0.0:
        parent, opening = placing.place(book, rules, symbol, approved, kind, limit_price)
        stop, target = asked["stop_loss"], asked["take_profit"]
        if opening != 0.0 and exits.legs_wanted(rules, stop, target) > 0:
            terms = (account["decisions"], opening, stop, target)
            rests = True
    if decision["reason"] == Reason.PRICE_COLLAR:
        decision["limit"] = limits["price_collar"]
    if rests:
        exits.place_exits(book, rules, symbol, parent, terms, out)
        orders.recount(book, rules, symbol, out)
    account["decisions"] += 1


@inlined
def is_flattening(account, limits):
    """Whether the limit that is in force asks for every position to be closed."""
    cause = account["state_reason"]
    if cause == Reason.DAILY_LOSS_LIMIT:
        return limits["on_daily_loss"] == OnBreach.FLATTEN
    return cause == Reason.DRAWDOWN_LIMIT and limits["on_drawdown"] == OnBreach.FLATTEN


@inlined
def is_naked(account, position, rules):
    """Whether what is held lacks an exit: after a restart, a re-arm, a refusal by the gate."""
    if position["exits"] >= rules["legs"] or account["trading_state"] == TradingState.HALTED:
        return False
    return position["working_orders"] + rules["legs"] <= MAX_WORKING_ORDERS


@inlined
def wanted_qty(book, rules, symbol, action, asked, out):
    """(signed qty, reason, size wanted) of an action and what came beside it (`asked_beside`).

    Orders of the other side are withdrawn before.
    """
    position = book.positions[symbol]
    size, limit_price = asked["size"], asked["limit_price"]
    if not (placing.is_absent_or_positive(size) and placing.is_absent_or_positive(limit_price)):
        return 0.0, Reason.REQUEST_INVALID, 0.0
    if size != size:
        size = wanted_size(book, rules, symbol, asked["score"])
    qty, reason = asked_qty(rules, symbol, action, position, size)
    if position["working_orders"] > 0 and withdraw(book, rules, symbol, action, qty, out):
        qty, reason = asked_qty(rules, symbol, action, position, size)
    if qty == 0.0:
        return qty, reason, size
    closing = sizing.closing_qty(position, qty)
    if qty != closing:
        price = placing.entry_price(rules, symbol, position, qty, limit_price)
        sign = 1.0 if qty > 0.0 else -1.0
        terms = (price, asked["stop_loss"], asked["take_profit"])
        refusal = entry_refusal(book, rules, symbol, sign, terms)
        if refusal != Reason.NONE:
            qty, reason = closing, refusal
    return within_order_size(rules, symbol, position, qty), reason, size


@inlined
def asked_qty(rules, symbol, action, position, size):
    """(signed qty, reason) of an action, given what is held and works."""
    if action == TradingAction.CLOSE:
        qty = sizing.flattening_qty(position)
        return qty, Reason.NONE if qty != 0.0 else Reason.AT_TARGET
    lot_size = rules.instruments[symbol]["lot_size"]
    return sizing.requested_qty(action, rules.sizing[0], position, size, lot_size)


@outlined
def withdraw(book, rules, symbol, action, qty, out):
    """End working orders that an action goes against; True if there was one. Exits stay."""
    held = book.positions[symbol]["qty"]
    found = False
    for index in range(book.positions[symbol]["working_orders"]):
        order = book.orders[symbol][index]
        if orders.is_exit(order) or order["status"] == OrderStatus.UNKNOWN:
            continue
        against = order["qty"] * qty < 0.0 and order["kind"] != OrderKind.LIQUIDATION
        if action == TradingAction.CLOSE:
            against = not (order["qty"] * held < 0.0)
        if against:
            orders.end_order(book.account[0], order, Reason.REPLACED, out)
            found = True
    if found:
        orders.recount(book, rules, symbol, out)
    return found


@inlined
def entry_refusal(book, rules, symbol, sign, terms):
    """Why nothing may be opened now, before any check of risk; NONE if it may."""
    position = book.positions[symbol]
    if position["delisted"] != 0:
        return Reason.DELISTED
    rest = rules.exits[0]["cooldown_bars"]
    if rest > 0:
        is_reversal = position["qty"] * sign < 0.0
        if is_reversal or position["bars"] - position["exit_bar"] <= rest:
            return Reason.COOLDOWN
    for index in range(position["working_orders"]):
        doubt = orders.doubt_about(book.orders[symbol][index])
        if doubt != Reason.NONE:
            return doubt
    price, stop, target = terms
    collar = rules.limits[0]["price_collar"]
    if price != position["mark"] and execution.is_outside_collar(price, position["mark"], collar):
        return Reason.PRICE_COLLAR
    legs = exits.legs_wanted(rules, stop, target)
    if legs > 0 and position["working_orders"] + legs + 2 > MAX_WORKING_ORDERS:
        return Reason.WORKING_ORDERS_FULL
    return exits.exits_refusal(book, rules, symbol, sign, terms)


@inlined
def wanted_size(book, rules, symbol, score):
    """Size ≥ 0 a full position should have now; NaN where volatility is needed and unknown."""
    settings = rules.sizing[0]
    position = book.positions[symbol]
    mode = settings["mode"]
    if mode == SizingMode.SCORE:
        return sizing.scored_size(settings, score)
    if mode != SizingMode.PERCENT_EQUITY and mode != SizingMode.VOLATILITY_TARGET:
        return settings["base_size"]
    equity = book.account[0]["equity"]
    affordable = math.inf
    if rules.limits[0]["allow_margin"] == 0:
        affordable = affordable_size(rules.broker[0], position, (1.0, 0.0, 1.0), equity)
    value = math.nan
    if mode == SizingMode.VOLATILITY_TARGET:
        window = settings["volatility_window"]
        value = market.volatility(book.returns[symbol], position["bars"], window)
    worth = position["mark"] * position["unit_value"]  # of a unit
    return sizing.target_size(settings, equity, worth, affordable, value)


@inlined
def within_order_size(rules, symbol, position, qty):
    """A purely closing request cut to the order size limits, so that no position is stuck.

    A limit on the size of one order must not make a larger position impossible to leave: the
    rest is asked for again on the next bar.
    """
    limits = limits_of(rules, symbol)
    largest = limits["max_order_size"]
    price = abs(quoted_price(position, qty)) * position["unit_value"]
    if limits["max_order_notional"] < math.inf and price > 0.0:
        largest = min(largest, limits["max_order_notional"] / price)
    if is_size_within(abs(qty), largest) or sizing.closing_qty(position, qty) != qty:
        return qty
    lot_size = rules.instruments[symbol]["lot_size"]
    return lots_down(largest if qty > 0.0 else 0.0 - largest, lot_size)


@inlined
def request(book, rules, symbol, decision, kind, out):
    """Check and throttle the decision's requested qty; the outcome goes into it."""
    if kind == OrderKind.LIQUIDATION:
        financing.approve_liquidation(book, rules, symbol, decision)
        return
    position = book.positions[symbol]
    qty = decision["requested_qty"]
    closing = sizing.closing_qty(position, qty)
    approved, reason, observed, limit = risk.pre_trade(book, rules, symbol, qty, closing)
    if approved != 0.0 and kind != OrderKind.MAX_HOLDING:
        outcome = throttle.throttled(book, rules, symbol, (approved, closing), out)
        approved = outcome[0]
        decision["throttle"] = outcome[1]
        if outcome[2] != Reason.NONE:
            if reason == Reason.NONE or approved == 0.0:
                reason, observed, limit = outcome[2], outcome[3], outcome[4]
    if reason == Reason.NONE and kind == OrderKind.MAX_HOLDING:
        reason = Reason.MAX_HOLDING
    if reason != Reason.NONE or kind != OrderKind.ENTRY:
        decision["reason"] = reason
    decision["observed"] = observed
    decision["limit"] = limit
    decision["approved_qty"] = approved
