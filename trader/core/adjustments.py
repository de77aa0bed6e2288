"""Splits, dividends, delistings and funding, before the bars that they are in force on.

Law: an adjustment is in force from the first bar that opens at or after it. A split changes
quantity, average price, resting orders and trailing windows together, and equity not at all: the
part of a lot that it leaves is paid out at the last close. A dividend goes to who is long at that
instant and is paid by who is short. Orders that fill at the open of that bar get none.
"""

from trader.core import orders
from trader.core.exposure import qty_before
from trader.core.ledger import enter_execution, move_cash, split_position
from trader.core.market import rescale
from trader.core.orders import closing_rest, is_exit
from trader.core.rows import write_cashflow
from trader.core.schema import AdjustmentKind, CashflowKind, LevelUnit, OrderKind, Reason
from trader.jit import inlined, jit
from trader.rounding import lots_down, tick_against
from trader.session_rows import bar_open_ns


@jit
def adjust_book(book, rules, bar, out):
    """Take every adjustment that is in force before `bar`, the first of its slice, opens."""
    open_ns = bar_open_ns(bar, rules.broker[0]["period_ns"])
    carry = book.carry[0]
    while carry["adjustments"] < len(rules.adjustments):
        adjustment = rules.adjustments[carry["adjustments"]]
        if adjustment["ts_ns"] > open_ns:
            break
        carry["adjustments"] += 1
        if adjustment["kind"] == AdjustmentKind.SPLIT:
            if book.positions[adjustment["symbol"]]["bars"] > 0:  # else: prices know nothing else
                split(book, rules, adjustment, out)
        elif adjustment["kind"] == AdjustmentKind.DIVIDEND:
            pay_dividend(book, rules, adjustment, out)
        elif adjustment["kind"] == AdjustmentKind.FUNDING:
            pay_funding(book, adjustment, out)
        else:
            delist(book, rules, adjustment, out)


@inlined
def pay_dividend(book, rules, adjustment, out):
    """Money for what is held: a long position receives, less tax, a short one pays all of it."""
    symbol = adjustment["symbol"]
    held = book.positions[symbol]["qty"]
    if held != 0.0:
        account = book.account[0]
        amount = held * adjustment["value"] * book.positions[symbol]["unit_value"]
        what = (adjustment["ts_ns"], symbol, CashflowKind.DIVIDEND)
        move_cash(account, what, amount, adjustment["value"], out)
        rate = rules.broker[0]["dividend_tax"]
        if rate > 0.0 and amount > 0.0:
            tax = 0.0 - amount * rate
            what = (adjustment["ts_ns"], symbol, CashflowKind.TAX)
            move_cash(account, what, tax, rate, out)


@inlined
def pay_funding(book, adjustment, out):
    """Funding of a perpetual future, on the notional at the last close: rate > 0, longs pay."""
    symbol = adjustment["symbol"]
    position = book.positions[symbol]
    if position["qty"] != 0.0:
        account = book.account[0]
        worth = position["qty"] * position["mark"] * position["unit_value"]
        amount = 0.0 - worth * adjustment["value"]
        what = (adjustment["ts_ns"], symbol, CashflowKind.FUNDING)
        move_cash(account, what, amount, adjustment["value"], out)


@inlined
def split(book, rules, adjustment, out):
    """`value` new units for one old: market memory, position and orders of a symbol."""
    symbol, ratio = adjustment["symbol"], adjustment["value"]
    position = book.positions[symbol]
    lot_size = rules.instruments[symbol]["lot_size"]
    rescale(book, symbol, ratio)
    what = (adjustment["ts_ns"], symbol, ratio)
    split_position(book.account[0], position, what, lot_size, out)
    if position["working_orders"] > 0:
        split_orders(book, rules, symbol, ratio, out)
    position["split_size"] = max(abs(qty_before(position, 1.0)), abs(qty_before(position, -1.0)))


@inlined
def split_orders(book, rules, symbol, ratio, out):
    """Working orders in new units and new prices; what is less than a lot ends."""
    position = book.positions[symbol]
    lot_size = rules.instruments[symbol]["lot_size"]
    tick_size = rules.instruments[symbol]["tick_size"]
    left = abs(position["qty"])
    for index in range(position["working_orders"]):
        order = book.orders[symbol][index]
        rest = lots_down((order["qty"] - order["filled_qty"]) * ratio, lot_size)
        if rest == 0.0:
            orders.end_order(book.account[0], order, Reason.SPLIT_TO_ZERO, out)
            continue
        closing = lots_down(closing_rest(order) * ratio, lot_size)
        order["filled_qty"] *= ratio
        order["ended_qty"] *= ratio
        order["qty"] = order["filled_qty"] + rest
        if is_exit(order):
            if order["qty"] * position["qty"] < 0.0:
                order["qty"] = order["filled_qty"] - position["qty"]
        elif order["closing"] != 0.0:
            size = min(abs(closing), left)
            left -= size
            order["closing"] = order["filled_qty"] + (size if closing > 0.0 else 0.0 - size)
        order["volume"] *= ratio
        order["reference"] /= ratio
        order["best"] /= ratio
        limit, stop, qty = order["limit_price"] / ratio, order["stop_price"] / ratio, order["qty"]
        order["limit_price"] = tick_against(limit, 0.0 - qty, tick_size)
        order["stop_price"] = tick_against(stop, qty, tick_size)
        if order["unit"] == LevelUnit.DISTANCE:
            order["distance"] /= ratio
            order["activate_at"] /= ratio
    orders.recount(book, rules, symbol, out)


@inlined
def delist(book, rules, adjustment, out):
    """The end of a symbol: its orders end, its position is paid out at `value` or the last close.

    No order of ours does that, so nothing asks the gate and nothing costs commission.
    """
    symbol = adjustment["symbol"]
    account = book.account[0]
    position = book.positions[symbol]
    position["delisted"] = 1
    for index in range(position["working_orders"]):
        orders.end_order(account, book.orders[symbol][index], Reason.DELISTED, out)
    orders.recount(book, rules, symbol, out)
    qty = 0.0 - position["qty"]
    if qty == 0.0:
        return
    price = adjustment["value"] if adjustment["value"] >= 0.0 else position["mark"]
    order = orders.place_order(book, symbol, qty, orders.NO_DECISION)
    order["kind"] = OrderKind.DELISTED
    order["closing"] = order["filled_qty"] = qty
    order["filled_notional"] = abs(qty * price * position["unit_value"])
    basis = (price, adjustment["ts_ns"], 0.0)
    fill = enter_execution(book, rules, order, basis, (qty, price, 0.0), out)
    amount = 0.0 - qty * price * position["unit_value"]
    if position["is_financed"] != 0:
        amount = fill["realized_pnl"]
    what = (adjustment["ts_ns"], symbol, CashflowKind.DELISTED)
    write_cashflow(account, what, amount, qty, price, out)
    orders.recount(book, rules, symbol, out)
