"""What the broker's credit costs, and what happens when it ends: fees, interest, margin calls.

Law: a slice costs what was held and borrowed at the close before it, for the time since then (a
year is 365 days), and the first slice of a session pays all that ran up. Equity below the
maintenance margin closes whole positions, the largest notional first, until what is left needs no
more than there is. A halted account sends nothing, liquidations included.
"""

from trader.codes import DAY_NS
from trader.core import orders, sizing
from trader.core.exposure import notional
from trader.core.ledger import move_cash
from trader.core.rows import ACCOUNT_WIDE, write_event
from trader.core.schema import MAX_WORKING_ORDERS, CashflowKind, EventKind, Reason, TradingState
from trader.jit import inlined, outlined
from trader.rounding import is_money_within

YEAR_NS = 365.0 * DAY_NS


@inlined
def costs_by_time(broker):
    """Whether holding or borrowing costs anything."""
    return broker["borrow_rate"] > 0.0 or broker["interest_rate"] > 0.0


@outlined
def charge_time(book, rules, elapsed_ns, is_new_session, out):
    """Let `elapsed_ns` run up on what is short and borrowed; pay it if a session begins."""
    account, carry, broker = book.account[0], book.carry[0], rules.broker[0]
    years = elapsed_ns / YEAR_NS
    if account["cash"] < 0.0:
        carry["interest_due"] += (0.0 - account["cash"]) * broker["interest_rate"] * years
    for symbol in range(len(book.positions)):
        position = book.positions[symbol]
        if position["qty"] < 0.0 and rules.instruments[symbol]["future"] == 0:
            worth = notional(position, abs(position["qty"]))
            position["borrow_due"] += worth * broker["borrow_rate"] * years
    if not is_new_session:
        return
    for symbol in range(len(book.positions)):
        position = book.positions[symbol]
        due = position["borrow_due"]
        if due > 0.0:
            position["borrow_due"] = 0.0
            what = (account["ts_ns"], symbol, CashflowKind.BORROW_FEE)
            move_cash(account, what, 0.0 - due, broker["borrow_rate"], out)
    due = carry["interest_due"]
    if due > 0.0:
        carry["interest_due"] = 0.0
        what = (account["ts_ns"], ACCOUNT_WIDE, CashflowKind.MARGIN_INTEREST)
        move_cash(account, what, 0.0 - due, broker["interest_rate"], out)


@inlined
def is_below_maintenance(account, broker):
    """Whether equity is less than the positions need; one comparison where there is no margin."""
    share = broker["maintenance_margin"]
    if share == 0.0 or account["trading_state"] == TradingState.HALTED:
        return False
    return not is_money_within(share * account["gross_exposure"], account["equity"])


@outlined
def call_margin(book, rules, bars, out):
    """Choose the positions to close: the largest that have a bar in this slice, until it is enough.

    What a working market order closes already counts as closed. Exits stay; all other orders end.
    """
    account = book.account[0]
    share = rules.broker[0]["maintenance_margin"]
    keep = (orders.KEEP_MARKET_CLOSING, Reason.MARGIN_CALL, Reason.MARGIN_CALL)
    orders.restrain(book, rules, keep, out)
    left = 0.0
    for symbol in range(len(book.positions)):
        left += unclosed_notional(book.positions[symbol])
    is_told = False
    while not is_money_within(share * left, account["equity"]):
        most, chosen = 0.0, ACCOUNT_WIDE
        for index in range(len(bars)):
            symbol = bars[index]["symbol"]
            worth = unclosed_notional(book.positions[symbol])
            if worth > most and book.positions[symbol]["margin_call"] == 0:
                most, chosen = worth, symbol
        if chosen == ACCOUNT_WIDE:
            break
        book.positions[chosen]["margin_call"] = 1
        left -= most
        is_told = True
    if is_told:
        what = (EventKind.LIMIT_BREACH, Reason.MARGIN_CALL, ACCOUNT_WIDE, 0)
        required = share * account["gross_exposure"]
        write_event(account, what, account["equity"], required, out)


@outlined
def approve_liquidation(book, rules, symbol, decision):
    """Let the decision close all of it: it is the broker's, so none of our checks makes it less."""
    account = book.account[0]
    decision["reason"] = Reason.MARGIN_CALL
    decision["observed"] = account["equity"]
    decision["limit"] = rules.broker[0]["maintenance_margin"] * account["gross_exposure"]
    if book.positions[symbol]["working_orders"] < MAX_WORKING_ORDERS:
        decision["approved_qty"] = decision["requested_qty"]


@inlined
def unclosed_notional(position):
    """Worth ≥ 0 of the part of a position that no working order closes yet."""
    return notional(position, abs(sizing.flattening_qty(position)))
