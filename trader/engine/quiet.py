"""Stretches of history in which nothing can happen, taken without asking for every bar.

Law: a stretch is left before the first bar on which anything could happen, so that the rows and
the state are those that `take_slice` would leave, bit for bit. Money and limits are computed by the
functions of `ledger` and `risk` (`engine/stretch.py`); what is skipped are questions whose answer
is known: there is no working order to settle, the session is the same, and the same action wants
the same position.
"""
# mypy: allow-untyped-defs

import math

from trader.core import financing, market, sizing
from trader.core.book import DECISIONS, EQUITIES, limits_of
from trader.core.schema import Reason, SizingMode, TradingAction, TradingState
from trader.engine.stretch import mark_stretch
from trader.engine.trial import TRACED, VALUED, is_traced, outcome_code
from trader.jit import inlined

BUY = int(TradingAction.BUY)
SELL = int(TradingAction.SELL)
HOLD = int(TradingAction.HOLD)
ACTIVE = int(TradingState.ACTIVE)
TARGET = int(SizingMode.TARGET)
BELOW_LOT_SIZE = int(Reason.BELOW_LOT_SIZE)
NOT_QUIET = -1
MOST_AT_ONCE = 1_024  # bars of a stretch
AT_A_GLANCE = 32  # actions compared side by side


@inlined
def quiet_reason(book, rules, action):
    """The reason with which BUY or SELL asks for nothing on every bar from here; −1: it may ask."""
    settings = rules.sizing[0]
    if settings["mode"] != TARGET or (action != BUY and action != SELL):
        return NOT_QUIET
    size, lot_size = settings["base_size"], rules.instruments[0]["lot_size"]
    qty, reason = sizing.requested_qty(action, settings, book.positions[0], size, lot_size)
    if qty != 0.0 or reason == BELOW_LOT_SIZE:
        return NOT_QUIET
    return reason


@inlined
def is_financed(broker):
    """Whether a position costs money by time, or may be liquidated."""
    return financing.costs_by_time(broker) or broker["maintenance_margin"] > 0.0


@inlined
def can_be_quiet(book, rules, inputs):
    """Whether the state allows a stretch: one symbol, no order, nothing watched but losses."""
    account, limits, exits = book.account[0], rules.limits[0], rules.exits[0]
    position = book.positions[0]
    return (
        len(book.positions) == 1
        and position["working_orders"] == 0
        and position["bars"] > 0
        and account["trading_state"] == ACTIVE
        and (
            not (limits["kill_volatility"] < math.inf)
            or position["quiet_bars"] >= limits["volatility_window"]
        )
        and account["executions"] < limits["max_executions_without_review"]
        and abs(position["qty"]) <= limits_of(rules, 0)["max_position_size"]
        and len(inputs.requests) == 0
        and exits["legs"] == 0
        and exits["max_holding_bars"] == 0
        and exits["cooldown_bars"] == 0
        and position["is_financed"] == 0
        and book.carry[0]["adjustments"] == len(rules.adjustments)
        and (position["qty"] == 0.0 or not is_financed(rules.broker[0]))
    )


@inlined
def take_quiet(book, rules, inputs, span, out, trace):
    """Take the bars from `start` on which nothing happens; returns the first that is left.

    `span` is (start, the first bar from there on that is not of the open session).
    """
    start, stop = span
    if not can_be_quiet(book, rules, inputs):
        return start
    action = inputs.actions[start]
    reason = HOLD
    if action != HOLD:
        reason = quiet_reason(book, rules, action)
        if reason == NOT_QUIET:
            return start
    stop = min(stop, room_until(inputs, start, out, trace), start + MOST_AT_ONCE)
    stop = start + run_length(inputs.actions[start:stop], action)
    if is_traced(trace):
        place = trace.counts[VALUED]
        values = trace.equity[place : place + stop - start]
        stop = start + mark_stretch(book, rules, trace.closes[start:stop], values)
        trace_quiet(inputs.reasons[start:stop], action, reason, trace)
    else:
        place = out.counts[EQUITIES]
        values = out.equity["equity"][place : place + stop - start]
        stop = start + mark_stretch(book, rules, inputs.bars["close"][start:stop], values)
        write_quiet(book, inputs, (start, stop), reason, out)
    if stop > start:
        remember(book, inputs.bars, start, stop, trace)
    return stop


@inlined
def room_until(inputs, start, out, trace):
    """The first bar from `start` on for which there may be no room."""
    if is_traced(trace):
        return len(inputs.bars)
    return min(
        len(inputs.bars),
        start + len(out.decisions) - out.counts[DECISIONS],
        start + len(out.equity) - out.counts[EQUITIES],
    )


@inlined
def run_length(actions, action):
    """How many of `actions` are `action` before the first that is another."""
    index = 0
    while index + AT_A_GLANCE <= len(actions):
        others = 0
        for place in range(index, index + AT_A_GLANCE):
            others |= actions[place] ^ action
        if others != 0:
            break
        index += AT_A_GLANCE
    while index < len(actions) and actions[index] == action:
        index += 1
    return index


@inlined
def end_of_session(book, rules, bars, start):
    """The first bar from `start` on that is not of the session that is open."""
    account = book.account[0]
    if account["session_cursor"] >= len(rules.sessions):
        return start
    session = rules.sessions[account["session_cursor"]]
    ts_ns, period_ns = bars[start]["ts_ns"], rules.broker[0]["period_ns"]
    if session["session"] != account["session"] or ts_ns < session["open_ns"] + period_ns:
        return start
    close_ns = session["close_ns"]
    low, high = start, len(bars)  # it lies in [low, high]
    regular = start + max(close_ns - ts_ns, -1) // period_ns + 1  # where no bar is missing
    if regular < high and bars[regular]["ts_ns"] > close_ns:
        high = regular
        if high > low and bars[high - 1]["ts_ns"] <= close_ns:
            return high
    while low < high:
        middle = (low + high) // 2
        if bars[middle]["ts_ns"] <= close_ns:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def trace_quiet(reasons, action, reason, trace):
    """Action and reason of a stretch into a trace; `reasons` are those that came with it."""
    place = trace.counts[TRACED]
    outcomes = trace.outcomes[place : place + len(reasons)]
    if action == HOLD:
        for index in range(len(reasons)):
            outcomes[index] = outcome_code(action, reasons[index])
    else:
        outcomes[:] = outcome_code(action, reason)
    trace.counts[TRACED] += len(reasons)
    trace.counts[VALUED] += len(reasons)


@inlined
def write_quiet(book, inputs, stretch, reason, out):
    """DECISION and EQUITY rows of a stretch (start, stop) whose equities are written already."""
    start, stop = stretch
    account, position = book.account[0], book.positions[0]
    decision_row, equity_row = out.counts[DECISIONS], out.counts[EQUITIES]
    held, unit_value, cash = position["qty"], position["unit_value"], account["cash"]
    for index in range(start, stop):
        ts_ns = inputs.bars[index]["ts_ns"]
        action = inputs.actions[index]
        decision = out.decisions[decision_row]
        decision_row += 1
        decision["ts_ns"] = ts_ns
        decision["symbol"] = 0
        decision["action"] = action
        decision["reason"] = inputs.reasons[index] if action == HOLD else reason
        decision["throttle"] = 0
        decision["requested_qty"] = 0.0
        decision["approved_qty"] = 0.0
        decision["observed"] = 0.0
        decision["limit"] = 0.0
        equity = out.equity[equity_row]
        equity_row += 1
        equity["ts_ns"] = ts_ns
        equity["cash"] = cash
        equity["gross_exposure"] = abs(held * inputs.bars[index]["close"] * unit_value)
        equity["trading_state"] = ACTIVE
    out.counts[DECISIONS], out.counts[EQUITIES] = decision_row, equity_row


@inlined
def remember(book, bars, start, stop, trace):
    """Take the bars of a stretch into the market memory; its rings forget what is too old."""
    account, position = book.account[0], book.positions[0]
    volumes, returns = book.volumes[0], book.returns[0]
    account["ts_ns"] = bars[stop - 1]["ts_ns"]
    account["decisions"] += stop - start
    kept = max(len(volumes), len(returns)) + 1
    first = max(start, stop - kept)
    if first > start:
        position["bars"] += first - start
        position["mark"] = bars[first - 1]["close"]
        position["volume"] = bars[first - 1]["volume"]
        if is_traced(trace):
            if len(trace.spreads) > 0:
                position["spread"] = last_spread(trace.spreads[start:first], position["spread"])
        else:
            for index in range(first - 1, start - 1, -1):
                spread = bars[index]["ask"] - bars[index]["bid"]
                if spread >= 0.0 and spread < math.inf:
                    position["spread"] = spread
                    break
    for index in range(first, stop):
        market.take_bar(position, bars[index], volumes, returns)


@inlined
def last_spread(spreads, before):
    """The last spread that is one; `before` where none is."""
    for index in range(len(spreads) - 1, -1, -1):
        if spreads[index] >= 0.0 and spreads[index] < math.inf:
            return spreads[index]
    return before
