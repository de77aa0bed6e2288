"""An obvious ledger in `Decimal`: the specification that the core is compared with.

It knows multipliers, futures, money of other currencies, target, percent and score sizing, limits
of a symbol, what cash allows without margin, next-open fills, bps slippage and commission, ticks,
lots and shared bar volume, and nothing else. It is slow, has no state but dictionaries, and is
meant to be read.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from trader.core.schema import TradingAction

ZERO = Decimal(0)


@dataclass(frozen=True)
class Most:
    """Limits of one symbol; None for none."""

    position: Decimal | None = None
    order: Decimal | None = None
    position_notional: Decimal | None = None
    order_notional: Decimal | None = None


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
    percent: Decimal | None = None  # of equity instead of base_size, and no margin
    multiplier: Decimal = Decimal(1)
    floor: Decimal | None = None  # of base_size at a score of 0: the size grows with the score
    limits: tuple[Most, ...] = ()  # per symbol
    rates: tuple[int, ...] = ()  # per symbol: 0, n for × the mark of n − 1, −n for ÷ by it
    futures: frozenset[int] = frozenset()

    @property
    def is_fixed(self) -> bool:
        """Whether every position has the same size."""
        return self.percent is None and self.floor is None

    def rate(self, symbol: int) -> int:
        """How a symbol's prices are converted."""
        return self.rates[symbol] if self.rates else 0


@dataclass
class Ledger:
    """Cash, positions, orders still to fill, and every fill so far."""

    cash: Decimal
    positions: dict[int, Decimal] = field(default_factory=dict)
    marks: dict[int, Decimal] = field(default_factory=dict)
    working: dict[int, list[Decimal]] = field(default_factory=dict)
    fills: list[tuple[int, int, Decimal, Decimal, Decimal]] = field(default_factory=list)
    averages: dict[int, Decimal] = field(default_factory=dict)  # entry price of what is held
    units: dict[int, Decimal] = field(default_factory=dict)  # money that a price of 1 is worth
    unpaid: frozenset[int] = frozenset()  # of another currency, and futures: only profit is cash

    @property
    def equity(self) -> Decimal:
        """Cash + Σ worth; what was never paid for is worth its open profit."""
        worth = ZERO
        for symbol, qty in self.positions.items():
            paid = self.averages.get(symbol, ZERO) if symbol in self.unpaid else ZERO
            worth += qty * (self.marks[symbol] - paid) * self.units.get(symbol, ZERO)
        return self.cash + worth

    def book(self, symbol: int, qty: Decimal, price: Decimal, commission: Decimal) -> None:
        """One fill: position, average entry, cash."""
        held, average = self.positions.get(symbol, ZERO), self.averages.get(symbol, ZERO)
        after, unit = held + qty, self.units[symbol]
        profit = ZERO
        if held * qty >= 0:
            self.averages[symbol] = (held * average + qty * price) / after
        else:
            profit = min(abs(held), abs(qty)) * (price - average) * (1 if held > 0 else -1)
            if held * after < 0:
                self.averages[symbol] = price
        self.positions[symbol] = after
        moved = profit if symbol in self.unpaid else -qty * price
        self.cash += moved * unit - commission

    def leads_to(self, symbol: int) -> Decimal:
        """The position once every waiting order has filled."""
        return self.positions.get(symbol, ZERO) + sum(self.working.get(symbol, []), ZERO)

    def worst_worth(self, symbol: int) -> Decimal:
        """Most that a symbol's position can be worth while its orders fill one side first."""
        held, waiting = self.positions.get(symbol, ZERO), self.working.get(symbol, [])
        bought = sum((order for order in waiting if order > 0), ZERO)
        sold = sum((order for order in waiting if order < 0), ZERO)
        worst = max(abs(held + bought), abs(held + sold))
        return worst * self.marks[symbol] * self.units[symbol]


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
            worth = size * price * ledger.units[symbol]
            commission = worth * terms.commission_bps / 10_000
            ledger.book(symbol, qty, price, commission)
            ledger.fills.append((int(bar["ts_ns"]), symbol, qty, price, commission))
        if order != qty:
            remaining.append(order - qty)
    ledger.working[symbol] = remaining


def decide(
    ledger: Ledger, symbol: int, action: int, terms: Terms, score: Decimal | None = None
) -> None:
    """Queue the order that brings position and waiting orders to the action's target."""
    if action == TradingAction.HOLD or symbol not in ledger.units:
        return
    size = wanted_size(ledger, symbol, terms, score)
    if size is None:
        return
    sign = 1 if action == TradingAction.BUY else -1
    target = sign * size
    if target < 0 and not terms.allow_short:
        target = ZERO
    waiting = ledger.working.setdefault(symbol, [])
    wanted = target - ledger.leads_to(symbol)
    if is_right(ledger, symbol, sign, terms):
        return
    if any(order * wanted < 0 for order in waiting):  # withdraw what goes the other way
        waiting[:] = [order for order in waiting if order * wanted > 0]
        wanted = target - ledger.leads_to(symbol)
        if is_right(ledger, symbol, sign, terms):
            return
    if terms.percent is not None:
        wanted = what_can_be_paid(ledger, symbol, wanted, terms)
    if terms.limits:
        wanted = what_limits_leave(ledger, symbol, wanted, terms)
    if wanted != 0:
        waiting.append(wanted)


def is_right(ledger: Ledger, symbol: int, sign: int, terms: Terms) -> bool:
    """Whether a position of the right sign is left alone, as all but fixed sizes are."""
    return not terms.is_fixed and ledger.leads_to(symbol) * sign > 0


def wanted_size(ledger: Ledger, symbol: int, terms: Terms, score: Decimal | None) -> Decimal | None:
    """Size ≥ 0 of a fresh position; None where it takes a score and there is none."""
    if terms.floor is not None:
        if score is None:
            return None
        share = min(abs(score), Decimal(1))
        return whole_lots(terms.base_size * (terms.floor + (1 - terms.floor) * share), terms)
    if terms.percent is not None:
        return size_of_equity(ledger, symbol, terms)
    return whole_lots(terms.base_size, terms)


def what_limits_leave(ledger: Ledger, symbol: int, wanted: Decimal, terms: Terms) -> Decimal:
    """What of an order passes the limits of its symbol: all, the part that closes, or nothing.

    An order that only closes goes out in pieces; a part that closes and is too large does not.
    """
    most, sign = terms.limits[symbol], 1 if wanted > 0 else -1
    price = ledger.marks[symbol] * ledger.units[symbol]
    held = ledger.positions.get(symbol, ZERO)
    same = sum((abs(o) for o in ledger.working[symbol] if o * sign > 0), ZERO)
    closing = ZERO
    if held * sign < 0:
        closing = min(max(abs(held) - same, ZERO), abs(wanted))
    largest = [m for m in (most.order, over(most.order_notional, price)) if m is not None]
    fits = all(abs(wanted) <= m for m in largest)
    if closing == abs(wanted):
        return wanted if fits else sign * whole_lots(min(largest), terms)
    worst = abs(held + sign * same + wanted)
    all_of_it = [m for m in (most.position, over(most.position_notional, price)) if m is not None]
    if fits and all(worst <= m for m in all_of_it):
        return wanted
    return sign * closing if all(closing <= m for m in largest) else ZERO


def over(notional: Decimal | None, price: Decimal) -> Decimal | None:
    """Size that is worth `notional`."""
    return None if notional is None else notional / price


def whole_lots(size: Decimal, terms: Terms) -> Decimal:
    """`size` ≥ 0 rounded down."""
    return (max(size, ZERO) / terms.lot_size).to_integral_value(ROUND_FLOOR) * terms.lot_size


def size_of_equity(ledger: Ledger, symbol: int, terms: Terms) -> Decimal:
    """`percent` of equity in whole lots; never more than all of it pays for with costs."""
    assert terms.percent is not None
    price = ledger.marks[symbol] * ledger.units[symbol]
    paid = price * (1 + terms.slippage_bps / 10_000) * (1 + terms.commission_bps / 10_000)
    return whole_lots(min(ledger.equity * terms.percent / price, ledger.equity / paid), terms)


def what_can_be_paid(ledger: Ledger, symbol: int, wanted: Decimal, terms: Terms) -> Decimal:
    """The largest part of `wanted`, down to what only closes, that all of the equity carries."""
    sign = 1 if wanted > 0 else -1
    held = ledger.positions.get(symbol, ZERO)
    before = held + sum((o for o in ledger.working.get(symbol, []) if o * sign > 0), ZERO)
    mark = ledger.marks[symbol] * ledger.units[symbol]
    price = mark * (1 + terms.slippage_bps / 10_000)
    money = ledger.equity - sum(
        (ledger.worst_worth(other) for other in ledger.marks if other != symbol), ZERO
    )
    lots = abs(wanted) / terms.lot_size
    while lots > 0:
        size = lots * terms.lot_size
        needed = abs(before + sign * size) * price + size * price * terms.commission_bps / 10_000
        if before * sign < 0:  # what closes does so at a loss
            needed += min(abs(before), size) * (price - mark)
        closes = before * sign < 0 and size <= -before * sign
        if closes or needed <= money:
            return sign * size
        lots -= 1
    return ZERO


def take_rate(ledger: Ledger, symbol: int, terms: Terms) -> None:
    """Value a unit at the last close of its rate, if there is one yet."""
    rate = terms.rate(symbol)
    close = ledger.marks.get(abs(rate) - 1) if rate else Decimal(1)
    if close is not None:
        ledger.units[symbol] = terms.multiplier * close if rate >= 0 else terms.multiplier / close


def run_ledger(
    bars: np.ndarray,
    actions: np.ndarray,
    cash: float,
    terms: Terms,
    scores: np.ndarray | None = None,
) -> Ledger:
    """All of `bars` (sorted by time and symbol) with one action each, and a score or NaN."""
    ledger = Ledger(number(cash))
    foreign = frozenset(s for s, rate in enumerate(terms.rates) if rate != 0)
    ledger.unpaid = foreign | terms.futures
    for instant in np.unique(bars["ts_ns"]):
        rows = np.flatnonzero(bars["ts_ns"] == instant)
        for row in rows:
            settle(ledger, bars[row], terms)
        for row in rows:
            ledger.marks[int(bars[row]["symbol"])] = number(bars[row]["close"])
        for symbol in range(int(bars["symbol"].max()) + 1):
            take_rate(ledger, symbol, terms)
        for row in rows:
            score = None
            if scores is not None and scores[row] == scores[row]:
                score = number(scores[row])
            decide(ledger, int(bars[row]["symbol"]), int(actions[row]), terms, score)
    return ledger
