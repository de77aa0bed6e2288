"""Settle: working orders × this bar → executions → the ledger.

Law: called for every bar of a slice before anything is marked. Market orders fill in the order
they were sent; what rests is met as `resting` says. All fills of a bar share its volume.
"""

import math

from trader.core import execution, exits, ledger, orders, venue
from trader.core.resting import end_of_bar, has_expired, meet_bar
from trader.core.schema import Intrabar, Reason, TimeInForce
from trader.jit import inlined
from trader.session_rows import instant_session


@inlined
def settle(book, rules, inputs, index, out):
    """Working orders of a bar's symbol × this bar → fills."""
    bar = inputs.bars[index]
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
    in_force = broker["time_in_force"], rules.entry[0]["time_in_force"]
    if in_force[0] == TimeInForce.DAY or in_force[1] == TimeInForce.DAY:
        # of the instant at which this bar would fill
        session = instant_session(rules.sessions, account["session_cursor"], basis[1])
    capacity = math.inf
    if broker["max_fill_participation"] < math.inf:
        capacity = broker["max_fill_participation"] * basis[2]
    executions_allowed = rules.limits[0]["max_executions_without_review"]
    if position["resting"] > 0:
        first, stop = finer_rows(broker, inputs, index)
        parts = inputs.bars[index : index + 1]  # itself
        if stop > first:
            parts = inputs.finer[first:stop]
        if venue.is_calm(position, bar):
            if not venue.moves_trail(position, bar):
                return
            if len(parts) == 1:
                exits.ratchet(position, table, bar, instrument["tick_size"], False)
                venue.set_calm(position, table)
                return
        meet_bar(book, rules, bar, parts, (basis, capacity, session), out)
        return
    for place in range(position["working_orders"]):
        order = table[place]
        if not (account["executions"] < executions_allowed):
            break  # the review is due: `watch` halts on this slice, and cancels what is left
        if has_expired(order, session):
            orders.end_order(account, order, Reason.TIME_IN_FORCE, out)
            continue
        if execution.misses_collar(order, basis[0], rules.limits[0]):
            orders.end_order(account, order, Reason.PRICE_COLLAR, out)
            continue
        qty = execution.fill_qty(order, capacity, instrument["lot_size"])
        if qty != 0.0:
            capacity -= abs(qty)
            price = execution.fill_price(broker, qty, basis, position, instrument)
            ledger.book_execution(book, rules, order, basis, (qty, price), out)
        end_of_bar(account, order, out)
    orders.recount(book, rules, symbol, out)


@inlined
def finer_rows(broker, inputs, index):
    """(first, stop) of the finer bars that a bar is met by; (0, 0) where it has none."""
    if broker["intrabar"] == Intrabar.DETAIL and len(inputs.edges) > 0:
        return inputs.edges[index], inputs.edges[index + 1]
    return 0, 0
