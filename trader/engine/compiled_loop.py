"""The compiled loop over history: slices through `core.apply`, in chunks of rows.

Law: decides nothing. It cuts bars into slices, submits every intent at once (history has no
gate), and stops when a buffer might not hold one more slice, so memory stays bounded however
long the history is. A stretch on which nothing can happen is taken without asking for every bar,
and left before the first bar on which anything could: rows and state are those that `take_slice`
would leave, bit for bit. Money and limits are still computed by `ledger` and `risk`; skipped are
questions whose answer is known: exits alone rest, and not within reach; the session and the
action are the same.
"""
# mypy: allow-untyped-defs

import math

from trader.core import financing, ledger, market, risk, sizing, venue
from trader.core.apply import submit_intents, take_slice
from trader.core.book import (
    CASHFLOWS,
    CASHFLOWS_PER_SYMBOL,
    DECISIONS,
    EQUITIES,
    EVENTS,
    EVENTS_PER_SLICE,
    FILLS,
    FILLS_PER_BAR,
    ORDERS,
    THROTTLES,
    limits_of,
)
from trader.core.schema import MAX_WORKING_ORDERS, Reason, SizingMode, TradingAction, TradingState
from trader.core.tradingstate import is_bankrupt
from trader.jit import inlined, jit

NOT_QUIET = -1


@inlined
def has_room(out, bars, symbols, adjustments):
    """Whether every buffer holds the most rows that a slice of `bars` can append."""
    counts = out.counts
    return (
        counts[DECISIONS] + bars <= len(out.decisions)
        and counts[EQUITIES] < len(out.equity)
        and counts[FILLS] + bars * FILLS_PER_BAR + symbols <= len(out.fills)
        and counts[CASHFLOWS] + 2 * adjustments + CASHFLOWS_PER_SYMBOL * symbols
        < len(out.cashflows)
        and counts[THROTTLES] + 4 * bars <= len(out.throttles)
        and counts[ORDERS] + 2 * symbols * MAX_WORKING_ORDERS <= len(out.orders)
        and counts[EVENTS] + 3 * symbols * MAX_WORKING_ORDERS + EVENTS_PER_SLICE + bars
        <= len(out.events)
    )


@jit
def run_slices(book, rules, inputs, start, out):
    """Run slices from row `start` until the bars end or a buffer is full; returns the next row.

    A bankrupt account takes none: the row after the last is then returned at once.

    The caller takes the rows in `out` away and calls again. Buffers come from `new_out`; if the
    row returned is `start`, they do not hold a single slice.
    """
    bars = inputs.bars
    count = len(bars)
    symbols = len(rules.instruments)
    while start < count:
        if symbols == 1:
            start = take_quiet(book, rules, inputs, start, out)
            if start == count:
                break
        stop = start + 1
        while stop < count and bars[stop]["ts_ns"] == bars[start]["ts_ns"]:
            stop += 1
        if not has_room(out, stop - start, symbols, len(rules.adjustments)):
            break
        take_slice(book, rules, inputs, start, stop, out)
        for index in range(start, stop):
            symbol = bars[index]["symbol"]
            if book.positions[symbol]["working_orders"] > 0:
                submit_intents(book, symbol)
        start = count if is_bankrupt(book.account[0]) else stop
    return start


@inlined
def quiet_reason(book, rules, action):
    """The reason with which BUY or SELL asks for nothing on every bar from here; −1: it may ask."""
    settings = rules.sizing[0]
    if settings["mode"] != SizingMode.TARGET or (
        action != TradingAction.BUY and action != TradingAction.SELL
    ):
        return NOT_QUIET
    size, lot_size = settings["base_size"], rules.instruments[0]["lot_size"]
    qty, reason = sizing.requested_qty(action, settings, book.positions[0], size, lot_size)
    if qty != 0.0 or reason == Reason.BELOW_LOT_SIZE:
        return NOT_QUIET
    return reason


@inlined
def is_financed(broker):
    """Whether a position costs money by time, or may be liquidated."""
    return financing.costs_by_time(broker) or broker["maintenance_margin"] > 0.0


@inlined
def can_be_quiet(book, rules, inputs):
    """Whether the state allows a stretch: one symbol, no order but exits, only losses watched."""
    account, limits, exits = book.account[0], rules.limits[0], rules.exits[0]
    position = book.positions[0]
    return (
        len(book.positions) == 1
        and position["working_orders"] == position["exits"]
        and position["bars"] > 0
        and account["trading_state"] == TradingState.ACTIVE
        and not (limits["kill_volatility"] < math.inf)
        and account["executions"] < limits["max_executions_without_review"]
        and abs(position["qty"]) <= limits_of(rules, 0)["max_position_size"]
        and account["session_cursor"] < len(rules.sessions)
        and len(inputs.requests) == 0
        and (position["qty"] == 0.0 or position["exits"] >= exits["legs"])
        and exits["stop_period"] + exits["target_period"] + exits["trail_period"] == 0
        and exits["max_holding_bars"] == 0
        and exits["cooldown_bars"] == 0
        and rules.broker[0]["converts"] == 0
        and book.carry[0]["adjustments"] == len(rules.adjustments)
        and (position["qty"] == 0.0 or not is_financed(rules.broker[0]))
    )


@inlined
def meets_exits(position, bar):
    """Whether a bar fills an exit that rests, or moves a trailing stop."""
    return not venue.is_calm(position, bar) or venue.moves_trail(position, bar)


@inlined
def take_quiet(book, rules, inputs, start, out):
    """Take the bars from `start` on which nothing happens; returns the first that is left."""
    if not can_be_quiet(book, rules, inputs):
        return start
    action = inputs.actions[start]
    reason = TradingAction.HOLD
    if action != TradingAction.HOLD:
        reason = quiet_reason(book, rules, action)
        if reason == NOT_QUIET:
            return start
    account, limits = book.account[0], rules.limits[0]
    position = book.positions[0]
    session = rules.sessions[account["session_cursor"]]
    if session["session"] != account["session"]:
        return start
    first_ns = session["open_ns"] + rules.broker[0]["period_ns"]
    bars = inputs.bars
    stop = min(
        len(bars),
        start + len(out.decisions) - out.counts[DECISIONS],
        start + len(out.equity) - out.counts[EQUITIES],
    )
    held, mark = position["qty"], position["mark"]
    decision_row, equity_row = out.counts[DECISIONS], out.counts[EQUITIES]
    cash = account["cash"]
    index = start
    while index < stop and inputs.actions[index] == action:
        ts_ns = bars[index]["ts_ns"]
        if ts_ns > session["close_ns"] or ts_ns < first_ns:
            break
        if held != 0.0:
            if position["exits"] > 0 and meets_exits(position, bars[index]):
                break
            position["mark"] = bars[index]["close"]
            ledger.mark_to_market(account, book.positions)
            if not (
                risk.is_within_daily_loss(account, limits["max_daily_loss"])
                and risk.is_within_drawdown(account, limits["max_drawdown_frac"])
                and account["equity"] > 0.0
            ):
                break
        decision = out.decisions[decision_row]
        decision_row += 1
        decision["ts_ns"] = ts_ns
        decision["symbol"] = 0
        decision["action"] = action
        decision["reason"] = inputs.reasons[index] if action == TradingAction.HOLD else reason
        decision["throttle"] = 0
        decision["requested_qty"] = 0.0
        decision["approved_qty"] = 0.0
        decision["observed"] = 0.0
        decision["limit"] = 0.0
        equity = out.equity[equity_row]
        equity_row += 1
        equity["ts_ns"] = ts_ns
        equity["equity"] = account["equity"]
        equity["cash"] = cash
        equity["gross_exposure"] = account["gross_exposure"]
        equity["trading_state"] = TradingState.ACTIVE
        index += 1
    position["mark"] = mark
    out.counts[DECISIONS], out.counts[EQUITIES] = decision_row, equity_row
    if index > start:
        remember(book, bars, start, index)
    return index


@inlined
def remember(book, bars, start, stop):
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
        for index in range(start, first):
            spread = bars[index]["ask"] - bars[index]["bid"]
            if spread >= 0.0 and spread < math.inf:
                position["spread"] = spread
    for index in range(first, stop):
        market.take_bar(position, bars[index], volumes, returns)
