"""Cash, positions and equity: the only writer of cash, quantities, average prices and P&L.

Law: after anything, equity = cash + Σ worth, summed in config order. What is held in the account's
currency is worth qty × mark × multiplier. What is held in another is financed in that: its worth is
its open P&L, only realised P&L moves cash, and both are converted at the last close of the rate. So
is a future, in whatever currency.
Realised P&L is gross of commission; commission leaves cash at the fill. The average price is that
of the open lots, and of equal prices it is that price. What is below the tolerance of money is no
profit and no loss. tests/house/test_ledger.py proves from the sources that nobody else writes.
"""

from trader.core.execution import charge_commission
from trader.core.exposure import worst_exposure
from trader.core.rows import write_cashflow, write_fill
from trader.core.schema import CashflowKind, OrderKind
from trader.jit import inlined
from trader.rounding import is_lot_multiple, lots_down, money_noise, nearest_lot
from trader.session_rows import bar_row, session_cursor


@inlined
def book_execution(book, rules, order, basis, terms, out):
    """Book one execution of our own exchange, at the commission of the rules; its FILL row.

    `basis` is `execution.fill_basis`, `terms` (signed qty, price).
    """
    qty, price = terms
    unit_price = price * book.positions[order["symbol"]]["unit_value"]
    commission = charge_commission(rules.broker[0], order, qty, unit_price)
    book.account[0]["executions"] += 1
    return enter_execution(book, rules, order, basis, (qty, price, commission), out)


@inlined
def enter_execution(book, rules, order, basis, terms, out):
    """Book one execution; its FILL row. `terms` is (signed qty, price, commission)."""
    qty, price, commission = terms
    symbol = order["symbol"]
    account = book.account[0]
    position = book.positions[symbol]
    held = position["qty"]
    lot_size = rules.instruments[symbol]["lot_size"]
    realized = apply_fill(account, position, qty, price, commission, lot_size)
    fill = write_fill(account, position, order, basis, (qty, price, commission, realized), out)
    if order["closing"] != 0.0 and held * qty >= 0.0:
        fill["kind"] = OrderKind.ENTRY  # the rest of a reversal
    return fill


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
        position["split_size"] = min(position["split_size"], abs(held + qty))
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
    return realized


@inlined
def move_cash(account, what, amount, value, out):
    """Money that comes or goes without a trade, and its CASHFLOW row.

    `what` is (ts_ns, symbol, CashflowKind), `value` the price or rate that makes the amount.
    """
    account["cash"] += amount
    write_cashflow(account, what, amount, 0.0, value, out)


@inlined
def split_position(account, position, split, lot_size, out):
    """`ratio` new units for one old, after the mark is in new units; part of a lot is paid out.

    `split` is (ts_ns, symbol, ratio).
    """
    ts_ns, symbol, ratio = split
    position["avg_price"] /= ratio
    held = position["qty"]
    if held == 0.0:
        if position["working_orders"] > 0:
            write_cashflow(account, (ts_ns, symbol, CashflowKind.SPLIT), 0.0, 0.0, ratio, out)
        return
    whole = held * ratio
    kept = lots_down(whole, lot_size)
    position["qty"] = kept
    what = (ts_ns, symbol, CashflowKind.SPLIT)
    flow = write_cashflow(account, what, 0.0, kept - held, ratio, out)
    if not is_lot_multiple(whole, lot_size):
        rest = whole - kept
        amount = rest * position["mark"] * position["unit_value"]
        realized = rest * (position["mark"] - position["avg_price"]) * position["unit_value"]
        if position["is_financed"] != 0:
            amount = realized
        account["realized_pnl"] += realized
        position["realized_pnl"] += realized
        flow["realized_pnl"] = realized
        in_lieu = (ts_ns, symbol, CashflowKind.CASH_IN_LIEU)
        move_cash(account, in_lieu, amount, position["mark"], out)
    if kept == 0.0:
        position["avg_price"] = 0.0
        position["exit_bar"] = position["bars"]


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

    Which session that is, `session_rows` decides. The baseline of the daily loss is the last
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
