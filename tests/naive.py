"""An obvious ledger in `Decimal`: the specification that the core is compared with.

It knows target sizing, next-open fills, bps slippage and commission, ticks, lots and shared bar
volume, and nothing else. It is slow, has no state but dictionaries, and is meant to be read.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from trader.core.schema import TradingAction

ZERO = Decimal(0)


@dataclass
class Terms:
    """What trading costs and how it is rounded."""

    base_size: Decimal
    allow_short: bool
    commission_bps: Decimal = ZERO
    slippage_bps: Decimal = ZERO
    tick_size: Decimal = ZERO
    lot_size: Decimal = Decimal(1)
    participation: Decimal | None = None


@dataclass
class Ledger:
    """Cash, positions, orders still to fill, and every fill so far."""

    cash: Decimal
    positions: dict[int, Decimal] = field(default_factory=dict)
    marks: dict[int, Decimal] = field(default_factory=dict)
    working: dict[int, list[Decimal]] = field(default_factory=dict)
    fills: list[tuple[int, int, Decimal, Decimal, Decimal]] = field(default_factory=list)

    @property
    def equity(self) -> Decimal:
        """Cash + Σ qty × mark."""
        return self.cash + sum(
            (qty * self.marks[symbol] for symbol, qty in self.positions.items()), ZERO
        )


def number(value: float) -> Decimal:
    """The decimal a person would write for a float."""
    return Decimal(repr(float(value)))


def fill_price(open_price: Decimal, qty: Decimal, terms: Terms) -> Decimal:
    """Open moved against the order, rounded against it to the tick."""
    sign = 1 if qty > 0 else -1
    price = open_price * (1 + sign * terms.slippage_bps / 10_000)
    if terms.tick_size == 0:
        return price
    rounding = ROUND_CEILING if qty > 0 else ROUND_FLOOR
    return (price / terms.tick_size).to_integral_value(rounding) * terms.tick_size


def settle(ledger: Ledger, bar: np.void, terms: Terms) -> None:
    """Fill what waits for this symbol at this bar's open."""
    symbol = int(bar["symbol"])
    left = None
    if terms.participation is not None:
        left = terms.participation * number(bar["volume"])
    remaining = []
    for order in ledger.working.get(symbol, []):
        size = abs(order)
        if left is not None:
            lots = (min(size, left) / terms.lot_size).to_integral_value(ROUND_FLOOR)
            size = lots * terms.lot_size
            left -= size
        qty = size if order > 0 else -size
        if size > 0:
            price = fill_price(number(bar["open"]), qty, terms)
            commission = size * price * terms.commission_bps / 10_000
            ledger.cash -= qty * price + commission
            ledger.positions[symbol] = ledger.positions.get(symbol, ZERO) + qty
            ledger.fills.append((int(bar["ts_ns"]), symbol, qty, price, commission))
        if order != qty:
            remaining.append(order - qty)
    ledger.working[symbol] = remaining


def decide(ledger: Ledger, symbol: int, action: int, terms: Terms) -> None:
    """Queue the order that brings position and waiting orders to the action's target."""
    if action == TradingAction.HOLD:
        return
    target = terms.base_size if action == TradingAction.BUY else -terms.base_size
    if target < 0 and not terms.allow_short:
        target = ZERO
    waiting = ledger.working.setdefault(symbol, [])
    wanted = target - ledger.positions.get(symbol, ZERO) - sum(waiting, ZERO)
    if any(order * wanted < 0 for order in waiting):  # withdraw what goes the other way
        waiting[:] = [order for order in waiting if order * wanted > 0]
        wanted = target - ledger.positions.get(symbol, ZERO) - sum(waiting, ZERO)
    if wanted != 0:
        waiting.append(wanted)


def run_ledger(bars: np.ndarray, actions: np.ndarray, cash: float, terms: Terms) -> Ledger:
    """All of `bars` (sorted by time and symbol) with one action each."""
    ledger = Ledger(number(cash))
    for instant in np.unique(bars["ts_ns"]):
        rows = np.flatnonzero(bars["ts_ns"] == instant)
        for row in rows:
            settle(ledger, bars[row], terms)
        for row in rows:
            ledger.marks[int(bars[row]["symbol"])] = number(bars[row]["close"])
        for row in rows:
            decide(ledger, int(bars[row]["symbol"]), int(actions[row]), terms)
    return ledger
