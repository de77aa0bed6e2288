"""What rests meets a bar: limits, stops, trailing stops, auctions, and the exits of a position.

Law: where a bar comes with finer ones, it is met by them one after the other, and they alone say
what filled when; nothing is decided, and nothing expires, between two of them. A bar without
finer ones is its own only part. All parts share the volume of the bar.
"""

from trader.core import execution, exits, ledger, orders, venue
from trader.core.book import FILLS, FILLS_PER_BAR, limits_of
from trader.core.schema import FillFlag, Intrabar, OrderType, Reason, TimeInForce
from trader.jit import inlined, outlined
from trader.rounding import lots_down
from trader.session_rows import bar_open_ns, bar_row, session_close_ns

AMBIGUOUS = int(FillFlag.AMBIGUOUS)
INSIDE = int(FillFlag.INSIDE)


@inlined
def has_expired(order, session):
    """Whether an order of the day is older than the session at the instant of its fill."""
    return order["time_in_force"] == TimeInForce.DAY and order["session"] != session


@inlined
def is_immediate(order):
    """Whether what the first price leaves of an order ends at once."""
    kind = order["time_in_force"]
    return kind == TimeInForce.IOC or kind == TimeInForce.FOK


@inlined
def end_of_bar(account, order, out):
    """What the time in force says of an order that a bar has met."""
    if order["time_in_force"] == TimeInForce.BARS:
        order["bars_left"] -= 1
    is_over = order["time_in_force"] == TimeInForce.BARS and order["bars_left"] <= 0
    if is_over or is_immediate(order):
        orders.end_order(account, order, Reason.TIME_IN_FORCE, out)


@outlined
def meet_bar(book, rules, bar, parts, market, out):
    """A bar meets a table in which something rests, one of its `parts` after the other.

    `market` is (basis, capacity, session). Between two parts nothing is decided and nothing
    expires; a trailing stop follows each of them.
    """
    basis, capacity, session = market
    symbol = bar["symbol"]
    account = book.account[0]
    position = book.positions[symbol]
    table = book.orders[symbol]
    tick_size = rules.instruments[symbol]["tick_size"]
    for index in range(position["working_orders"]):
        if has_expired(table[index], session):
            orders.end_order(account, table[index], Reason.TIME_IN_FORCE, out)
    most = out.counts[FILLS] + FILLS_PER_BAR
    for place in range(len(parts)):
        part = parts[place]
        entered = 0.0
        if not venue.is_calm(position, part):
            edge = place == 0, place == len(parts) - 1
            reference = basis
            if not edge[0]:
                open_ns = bar_open_ns(part, rules.broker[0]["detail_period_ns"])
                reference = (part["open"], max(open_ns, basis[1]), basis[2])
            capacity, entered = meet_part(
                book, rules, (bar, part, edge), (reference, capacity, most), out
            )
            if edge[1]:
                end_of_orders(account, position, table, out)
            orders.recount(book, rules, symbol, out)
        elif not venue.moves_trail(position, part):
            continue
        exits.ratchet(position, table, part, tick_size, entered > 0.0)
        venue.set_calm(position, table)


@inlined
def meet_part(book, rules, when, market, out):
    """The prices of a bar, or of a part of it, meet the table.

    `when` is (bar, part, (is it the first, is it the last)), `market` (basis, capacity, row of
    fills to stop before). Returns (capacity left, size entered inside).
    """
    bar, part, edge = when
    is_first, is_last = edge
    basis, capacity, most = market
    symbol = bar["symbol"]
    account = book.account[0]
    position = book.positions[symbol]
    table = book.orders[symbol]
    broker = rules.broker[0]
    rule = broker["limit_fill"]
    is_worst = broker["intrabar"] != Intrabar.OHLC
    is_session_open = is_first and position["session"] != account["session"]
    executions_allowed = rules.limits[0]["max_executions_without_review"]
    entered = 0.0
    count = position["working_orders"]
    for phase in range(venue.PHASES):
        if phase == venue.AT_CLOSE and not (is_last and is_session_end(account, rules, bar)):
            continue
        start = part["open"] if phase <= venue.FIRST_INSIDE else venue.path_end(part, phase - 1)
        while True:
            terms = (phase, rule, is_worst, is_session_open, start)
            place, price = next_execution((account, position, table), part, terms, basis)
            if place < 0 or not (account["executions"] < executions_allowed):
                break  # also where the review is due: `watch` halts on this slice
            if out.counts[FILLS] >= most:
                break
            start = price
            order = table[place]
            order["met_ns"] = bar["ts_ns"] if is_auction(order) else part["ts_ns"]
            is_inside = phase >= venue.FIRST_INSIDE and phase <= venue.LAST_INSIDE
            ts_ns = max(part["ts_ns"], basis[1]) if is_inside else bar["ts_ns"]
            if phase <= venue.EXITS_AT_OPEN:
                ts_ns = basis[1]
            reference = (price, ts_ns, basis[2])
            kinder = 0.0
            if is_inside and order["type"] != OrderType.LIMIT and orders.is_exit(order):
                terms_of_stop = (price, rule, entered > 0.0)
                kinder = venue.kinder_price(table, count, position["qty"], part, terms_of_stop)
            held = position["qty"]
            room = capacity
            if is_worst and order["type"] == OrderType.LIMIT and orders.is_exit(order):
                room = min(capacity, max(abs(held) - entered, 0.0))
            filled = execute(book, rules, order, (reference, room, is_inside, kinder), out)
            capacity -= filled
            if is_inside and not orders.is_exit(order) and filled > 0.0:
                entered += max(abs(position["qty"]) - abs(held), 0.0)
        if is_first and phase == venue.EXITS_AT_OPEN:
            for index in range(count):
                if is_immediate(table[index]) and not is_auction(table[index]):
                    orders.end_order(account, table[index], Reason.TIME_IN_FORCE, out)
    return capacity, entered


@inlined
def end_of_orders(account, position, table, out):
    """What the time in force says of the orders of the model that a whole bar has met."""
    for index in range(position["working_orders"]):
        order = table[index]
        if is_auction(order):
            if order["met_ns"] == account["ts_ns"]:
                orders.end_order(account, order, Reason.TIME_IN_FORCE, out)
        elif not orders.is_exit(order):
            end_of_bar(account, order, out)


@inlined
def is_auction(order):
    """Whether an order is for the opening or closing price of a session, and nothing else."""
    return order["type"] == OrderType.MOO or order["type"] == OrderType.MOC


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

    `state` is (account, position, table), `terms` (phase, LimitFill, is worst, does it open a
    session, path start).
    """
    account, position, table = state
    phase, rule, is_worst, is_session_open, start = terms
    slice_ns = account["ts_ns"]
    count = position["working_orders"]
    held = position["qty"]
    if phase <= venue.EXITS_AT_OPEN:
        terms_at_open = (phase, rule, slice_ns, is_session_open)
        place = venue.at_open(table, count, held, bar, terms_at_open)
        price = bar["open"]
        if place >= 0 and table[place]["type"] == OrderType.MARKET:
            price = basis[0]
        return place, price
    if phase == venue.AT_CLOSE:
        return venue.at_close(table, count, bar, slice_ns), bar["close"]
    return venue.inside(table, count, held, bar, (phase, rule, slice_ns, is_worst, start))


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
    if order["type"] != OrderType.LIMIT:
        order["triggered"] = 1
    if not is_exit and execution.misses_collar(order, basis[0], rules.limits[0]):
        orders.end_order(account, order, Reason.PRICE_COLLAR, out)
        return 0.0
    most = limits_of(rules, symbol)["max_order_size"]
    if is_exit and most < room:  # a larger position leaves in pieces, one a bar of the slice
        room = lots_down(most, instrument["lot_size"])
        order["met_ns"] = account["ts_ns"]
    qty = execution.fill_qty(order, room, instrument["lot_size"])
    if qty == 0.0:
        return 0.0
    price = execution.fill_price(broker, qty, basis, position, instrument)
    if order["type"] == OrderType.LIMIT or order["type"] == OrderType.STOP_LIMIT:
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
