"""Settle: working orders × this bar → executions → the ledger.

Law: called for every bar of a slice before anything is marked. Market orders fill in the order
they were sent; what rests is met as `venue` says. All fills of a bar share its volume.
"""

import math

from trader.core import execution, exits, ledger, orders, venue
from trader.core.book import limits_of
from trader.core.schema import FillFlag, Intrabar, OrderKind, OrderType, Reason, TimeInForce
from trader.jit import inlined, outlined
from trader.rounding import lots_down
from trader.session_rows import bar_row, instant_session, session_close_ns

PRICE_COLLAR = int(Reason.PRICE_COLLAR)
TIME_IN_FORCE = int(Reason.TIME_IN_FORCE)
DAY = int(TimeInForce.DAY)
IOC = int(TimeInForce.IOC)
FOK = int(TimeInForce.FOK)
BARS = int(TimeInForce.BARS)
MARKET = int(OrderType.MARKET)
LIMIT = int(OrderType.LIMIT)
STOP_LIMIT = int(OrderType.STOP_LIMIT)
MOO = int(OrderType.MOO)
MOC = int(OrderType.MOC)
WORST = int(Intrabar.WORST)
KIND_ENTRY = int(OrderKind.ENTRY)
KIND_LIQUIDATION = int(OrderKind.LIQUIDATION)
AMBIGUOUS = int(FillFlag.AMBIGUOUS)
INSIDE = int(FillFlag.INSIDE)


@inlined
def settle(book, rules, bar, out):
    """Working orders of the bar's symbol × this bar → fills."""
    symbol = bar["symbol"]
    position = book.positions[symbol]
    if position["working_orders"] == 0:
        return
    account = book.account[0]
    broker = rules.broker[0]
    instrument = rules.instruments[symbol]
    table = book.orders[symbol]
    basis = execution.fill_basis(broker, position, bar)
    session = 0
    if (
        broker["time_in_force"] == DAY or rules.entry[0]["time_in_force"] == DAY
    ):  # of the instant at which this bar would fill
        session = instant_session(rules.sessions, account["session_cursor"], basis[1])
    capacity = math.inf
    if broker["max_fill_participation"] < math.inf:
        capacity = broker["max_fill_participation"] * basis[2]
    executions_allowed = rules.limits[0]["max_executions_without_review"]
    if position["resting"] > 0:
        if venue.is_calm(position, bar):
            extreme = bar["high"] if position["qty"] > 0.0 else bar["low"]
            if (extreme - position["trail_best"]) * position["qty"] > 0.0:
                exits.ratchet(position, table, bar, instrument["tick_size"], False)
                venue.set_calm(position, table)
        else:
            meet_bar(book, rules, bar, (basis, capacity, session), out)
        return
    for index in range(position["working_orders"]):
        order = table[index]
        if not (account["executions"] < executions_allowed):
            break  # the review is due: `watch` halts on this slice, and cancels what is left
        if has_expired(order, session):
            orders.end_order(account, order, TIME_IN_FORCE, out)
            continue
        if order["kind"] != KIND_LIQUIDATION and execution.is_outside_collar(
            basis[0], order["reference"], rules.limits[0]["price_collar"]
        ):
            orders.end_order(account, order, PRICE_COLLAR, out)
            continue
        qty = execution.fill_qty(order, capacity, instrument["lot_size"])
        if qty != 0.0:
            capacity -= abs(qty)
            price = execution.fill_price(broker, qty, basis, position, instrument)
            ledger.book_execution(book, rules, order, basis, (qty, price), out)
        end_of_bar(account, order, out)
    orders.recount(book, rules, symbol, out)


@inlined
def has_expired(order, session):
    """Whether an order of the day is older than the session at the instant of its fill."""
    return order["time_in_force"] == DAY and order["session"] != session


@inlined
def end_of_bar(account, order, out):
    """What the time in force says of an order that a bar has met."""
    kind = order["time_in_force"]
    if kind == IOC or kind == FOK:
        orders.end_order(account, order, TIME_IN_FORCE, out)
    elif kind == BARS:
        order["bars_left"] -= 1
        if order["bars_left"] <= 0:
            orders.end_order(account, order, TIME_IN_FORCE, out)


@outlined
def meet_bar(book, rules, bar, market, out):
    """A bar meets a table in which something rests. `market` is (basis, capacity, session)."""
    basis, capacity, session = market
    symbol = bar["symbol"]
    account = book.account[0]
    position = book.positions[symbol]
    table = book.orders[symbol]
    broker = rules.broker[0]
    instrument = rules.instruments[symbol]
    rule = broker["limit_fill"]
    executions_allowed = rules.limits[0]["max_executions_without_review"]
    entered = 0.0  # inside this bar
    count = position["working_orders"]
    for index in range(count):
        if has_expired(table[index], session):
            orders.end_order(account, table[index], TIME_IN_FORCE, out)
    is_worst = broker["intrabar"] == WORST
    for phase in range(venue.PHASES):
        if phase == venue.AT_CLOSE and not is_session_end(account, rules, bar):
            continue
        start = bar["open"] if phase <= venue.FIRST_INSIDE else venue.path_end(bar, phase - 1)
        while True:
            place, price = next_execution(
                (account, position, table), bar, (phase, rule, is_worst, start), basis
            )
            if place < 0 or not (account["executions"] < executions_allowed):
                break  # also where the review is due: `watch` halts on this slice
            start = price
            order = table[place]
            order["met_ns"] = bar["ts_ns"]
            is_inside = phase >= venue.FIRST_INSIDE and phase <= venue.LAST_INSIDE
            ts_ns = basis[1] if phase <= venue.EXITS_AT_OPEN else bar["ts_ns"]
            reference = (price, ts_ns, basis[2])
            kinder = 0.0
            if is_inside and order["type"] != LIMIT and orders.is_exit(order):
                terms = (price, rule, entered > 0.0)
                kinder = venue.kinder_price(table, count, position["qty"], bar, terms)
            held = position["qty"]
            room = capacity
            if is_worst and order["type"] == LIMIT and orders.is_exit(order):
                room = min(capacity, abs(held) - entered)
            filled = execute(book, rules, order, (reference, room, is_inside, kinder), out)
            capacity -= filled
            if is_inside and not orders.is_exit(order) and filled > 0.0:
                entered += max(abs(position["qty"]) - abs(held), 0.0)
        if phase == venue.EXITS_AT_OPEN:
            for index in range(count):
                kind = table[index]["time_in_force"]
                if (kind == IOC or kind == FOK) and not is_auction(table[index]):
                    orders.end_order(account, table[index], TIME_IN_FORCE, out)
    for index in range(count):
        order = table[index]
        if is_auction(order):
            if order["met_ns"] == bar["ts_ns"]:
                orders.end_order(account, order, TIME_IN_FORCE, out)
        elif not orders.is_exit(order):
            end_of_bar(account, order, out)
    orders.recount(book, rules, symbol, out)
    exits.ratchet(position, table, bar, instrument["tick_size"], entered > 0.0)
    venue.set_calm(position, table)


@inlined
def is_auction(order):
    """Whether an order is for the opening or closing price of a session, and nothing else."""
    return order["type"] == MOO or order["type"] == MOC


@inlined
def is_session_end(account, rules, bar):
    """Whether the bar is the last of its session."""
    sessions = rules.sessions
    period_ns = rules.broker[0]["period_ns"]
    row = bar_row(sessions, account["session_cursor"], bar["ts_ns"], period_ns)
    return row >= 0 and session_close_ns(sessions, row) <= bar["ts_ns"]


@inlined
def next_execution(state, bar, terms, basis):
    """(place, price before slippage) of the next order of the phase; place < 0 when there is none.

    `state` is (account, position, table), `terms` (phase, LimitFill, is worst, path start).
    """
    account, position, table = state
    phase, rule, is_worst, start = terms
    count = position["working_orders"]
    held = position["qty"]
    if phase <= venue.EXITS_AT_OPEN:
        is_session_open = position["session"] != account["session"]
        place = venue.at_open(table, count, held, bar, (phase, rule, is_session_open))
        price = bar["open"]
        if place >= 0 and table[place]["type"] == MARKET:
            price = basis[0]
        return place, price
    if phase == venue.AT_CLOSE:
        return venue.at_close(table, count, bar), bar["close"]
    if is_worst:
        return venue.inside_worst(table, count, held, bar, (phase, rule))
    return venue.inside_path(table, count, held, bar, (phase, rule, start))


@inlined
def execute(book, rules, order, terms, out):
    """One execution: price, commission, ledger, FILL row, exits; returns the size ≥ 0 filled.

    `terms` is (basis, room, is inside the bar, kinder price or 0).
    """
    basis, room, is_inside, kinder = terms
    symbol = order["symbol"]
    account = book.account[0]
    position = book.positions[symbol]
    broker = rules.broker[0]
    instrument = rules.instruments[symbol]
    is_exit = orders.is_exit(order)
    if order["type"] != LIMIT:
        order["triggered"] = 1
    if (
        not is_exit
        and order["kind"] != KIND_LIQUIDATION
        and execution.is_outside_collar(
            basis[0], order["reference"], rules.limits[0]["price_collar"]
        )
    ):
        orders.end_order(account, order, PRICE_COLLAR, out)
        return 0.0
    most = limits_of(rules, symbol)["max_order_size"]
    if is_exit and most < math.inf:  # a larger position leaves in pieces, a bar each
        room = min(room, lots_down(most, instrument["lot_size"]))
    qty = execution.fill_qty(order, room, instrument["lot_size"])
    if qty == 0.0:
        return 0.0
    price = execution.fill_price(broker, qty, basis, position, instrument)
    if order["type"] == LIMIT or order["type"] == STOP_LIMIT:
        limit = order["limit_price"]
        price = min(price, limit) if qty > 0.0 else max(price, limit)
    held = position["qty"]
    fill = ledger.book_execution(book, rules, order, basis, (qty, price), out)
    if is_inside:
        fill["flags"] = INSIDE
    if kinder > 0.0:
        fill["flags"] = INSIDE | AMBIGUOUS
        fill["best_price"] = kinder
    is_entry = abs(position["qty"]) > abs(held) or position["qty"] * held < 0.0
    exits.follow_position(
        account, position, book.orders[symbol], instrument["tick_size"], is_entry, out
    )
    return abs(qty)
