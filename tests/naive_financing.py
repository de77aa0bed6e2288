"""The Decimal ledger with credit: margin, liquidation, fees, interest, funding, dividends.

Slow and meant to be read, as `tests/naive.py`, whose orders and fills it shares. Sizes are a share
of equity; every order fills whole at its symbol's next open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from tests.core_kit import DAY
from tests.naive import ZERO, Ledger, Terms, number, settle, whole_lots
from trader.core.schema import TradingAction

YEAR_NS = Decimal(365 * DAY)


class Forced(Decimal):
    """An order of a liquidation: the model cannot withdraw it."""


@dataclass
class Credit:
    """What borrowing costs and how much of it there is."""

    initial: Decimal
    maintenance: Decimal
    borrow_rate: Decimal = ZERO
    interest_rate: Decimal = ZERO
    dividend_tax: Decimal = ZERO
    timed: Sequence[tuple[int, int, str, Decimal]] = ()  # when, symbol, dividend or funding, value


@dataclass
class CreditLedger(Ledger):
    """A ledger that owes."""

    borrow_due: dict[int, Decimal] = field(default_factory=dict)
    interest_due: Decimal = ZERO
    flows: list[tuple[str, int, Decimal]] = field(default_factory=list)
    calls: int = 0

    def pay(self, kind: str, symbol: int, amount: Decimal) -> None:
        self.cash += amount
        self.flows.append((kind, symbol, amount))

    @property
    def notional(self) -> Decimal:
        """What all positions are worth, long and short."""
        return sum((abs(qty) * self.marks[s] for s, qty in self.positions.items()), ZERO)


def run_credit(
    bars: np.ndarray, actions: np.ndarray, cash: float, terms: Terms, credit: Credit
) -> CreditLedger:
    """All of `bars` with one action each, until the end or until equity is below zero."""
    ledger = CreditLedger(number(cash))
    ledger.units = dict.fromkeys(bars["symbol"].tolist(), Decimal(1))
    period_ns = int(np.min(np.diff(np.unique(bars["ts_ns"]))))
    pending = list(credit.timed)
    before, session = 0, -1
    for instant in np.unique(bars["ts_ns"]).tolist():
        rows = np.flatnonzero(bars["ts_ns"] == instant)
        run_up(ledger, Decimal(instant - before) / YEAR_NS, credit)
        if (instant - 1) // DAY != session:
            pay_dues(ledger)
        before, session = instant, (instant - 1) // DAY
        while pending and pending[0][0] <= instant - period_ns:
            pay_timed(ledger, *pending.pop(0)[1:], credit)
        for row in rows:
            settle(ledger, bars[row], terms)
        for row in rows:
            ledger.marks[int(bars[row]["symbol"])] = number(bars[row]["close"])
        if ledger.equity < 0:
            break
        called = margin_call(ledger, [int(bars[row]["symbol"]) for row in rows], credit)
        for row in rows:
            symbol = int(bars[row]["symbol"])
            if symbol in called:
                waiting = ledger.working.setdefault(symbol, [])
                waiting.append(Forced(0 - ledger.leads_to(symbol)))
            else:
                decide(ledger, symbol, int(actions[row]), terms, credit)
    return ledger


def run_up(ledger: CreditLedger, years: Decimal, credit: Credit) -> None:
    """What the time since the last slice costs, on what was held and borrowed then."""
    ledger.interest_due += max(-ledger.cash, ZERO) * credit.interest_rate * years
    for symbol, qty in ledger.positions.items():
        fee = max(-qty, ZERO) * ledger.marks[symbol] * credit.borrow_rate * years
        ledger.borrow_due[symbol] = ledger.borrow_due.get(symbol, ZERO) + fee


def pay_dues(ledger: CreditLedger) -> None:
    for symbol in sorted(ledger.borrow_due):
        if ledger.borrow_due[symbol] > 0:
            ledger.pay("BORROW_FEE", symbol, -ledger.borrow_due[symbol])
            ledger.borrow_due[symbol] = ZERO
    if ledger.interest_due > 0:
        ledger.pay("MARGIN_INTEREST", -1, -ledger.interest_due)
        ledger.interest_due = ZERO


def pay_timed(ledger: CreditLedger, symbol: int, kind: str, value: Decimal, credit: Credit) -> None:
    qty = ledger.positions.get(symbol, ZERO)
    if qty == 0:
        return
    if kind == "FUNDING":
        ledger.pay(kind, symbol, -qty * ledger.marks[symbol] * value)
        return
    ledger.pay(kind, symbol, qty * value)
    if qty > 0 and value > 0 and credit.dividend_tax > 0:
        ledger.pay("TAX", symbol, -qty * value * credit.dividend_tax)


def margin_call(ledger: CreditLedger, present: list[int], credit: Credit) -> set[int]:
    """Symbols to close now, largest first; every order that opens is withdrawn before."""
    if credit.maintenance * ledger.notional <= ledger.equity:
        return set()
    for symbol, waiting in ledger.working.items():
        held = ledger.positions.get(symbol, ZERO)
        kept = []
        for order in waiting:
            size = min(abs(order), abs(held)) if order * held < 0 else ZERO
            if size > 0:
                qty = size if order > 0 else -size
                kept.append(Forced(qty) if isinstance(order, Forced) else qty)
                held += qty
        waiting[:] = kept
    chosen: set[int] = set()

    def left(symbol: int) -> Decimal:
        return abs(ledger.leads_to(symbol)) * ledger.marks[symbol]

    def all_left() -> Decimal:
        return sum((left(s) for s in ledger.positions if s not in chosen), ZERO)

    while credit.maintenance * all_left() > ledger.equity:
        open_now = [s for s in present if s not in chosen and left(s) > 0]
        if not open_now:
            break
        chosen.add(max(open_now, key=left))
    ledger.calls += bool(chosen)
    return chosen


def decide(ledger: CreditLedger, symbol: int, action: int, terms: Terms, credit: Credit) -> None:
    """A share of equity on the action's side, as far as the initial margin lets it open."""
    if action == TradingAction.HOLD or ledger.equity <= 0:
        return
    assert terms.percent is not None
    size = whole_lots(ledger.equity * terms.percent / ledger.marks[symbol], terms)
    sign = 1 if action == TradingAction.BUY else -1
    if ledger.leads_to(symbol) * sign > 0:
        return
    target = sign * size
    waiting = ledger.working.setdefault(symbol, [])
    wanted = target - ledger.leads_to(symbol)
    stays = [order for order in waiting if isinstance(order, Forced) or order * wanted > 0]
    if len(stays) < len(waiting):
        waiting[:] = stays
        wanted = target - ledger.leads_to(symbol)
    wanted = what_margin_lets(ledger, symbol, wanted, terms, credit)
    if wanted != 0:
        waiting.append(wanted)


def what_margin_lets(
    ledger: CreditLedger, symbol: int, wanted: Decimal, terms: Terms, credit: Credit
) -> Decimal:
    """The largest part of `wanted` that the initial margin carries; what only closes always."""
    sign = 1 if wanted > 0 else -1
    held, waiting = ledger.positions.get(symbol, ZERO), ledger.working.get(symbol, [])
    before = held + sum((order for order in waiting if order * sign > 0), ZERO)
    mark = ledger.marks[symbol]
    moved = mark * terms.slippage_bps / 10_000
    others = sum((ledger.worst_worth(other) for other in ledger.marks if other != symbol), ZERO)
    for lots in range(int(abs(wanted) / terms.lot_size), 0, -1):
        size = lots * terms.lot_size
        closed = min(abs(before), size) if before * sign < 0 else ZERO
        needed = credit.initial * (others + abs(before + sign * size) * (mark + moved))
        needed += size * (mark + moved) * terms.commission_bps / 10_000 + closed * moved
        needed += (1 - credit.initial) * (size - closed) * moved
        if closed == size or needed <= ledger.equity:
            return sign * size
    return ZERO
