"""Order types and exits in `Decimal`, written to be read: the specification of `core/venue`.

One symbol, target sizing, lot 1. A position has levels, not orders: what the core does with a table
of orders has to come out the same. Nothing of the core is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

D = Decimal
ZERO, TEN, CENT = D(0), D(10), D("0.01")
CLOSE = 3


class Bar(NamedTuple):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass
class Terms:
    size: Decimal = TEN
    tick: Decimal = CENT
    slippage_bps: Decimal = ZERO
    commission_bps: Decimal = ZERO
    participation: Decimal | None = None
    touch: bool = False
    ohlc: bool = False
    entry: str = "market"
    offset_bps: Decimal = ZERO
    limit_offset_bps: Decimal = ZERO
    bars: int | None = None
    stop: Decimal | None = None  # percent
    target: Decimal | None = None
    trail: Decimal | None = None
    activate: Decimal = ZERO
    max_holding: int | None = None


@dataclass
class Pending:
    qty: Decimal  # what is left, signed
    closing: Decimal  # of it, what closes
    type: str
    limit: Decimal | None = None
    stop: Decimal | None = None
    triggered: bool = False
    bars: int | None = None
    met: bool = False


@dataclass
class Desk:
    cash: Decimal
    terms: Terms
    qty: Decimal = ZERO
    average: Decimal = ZERO
    held: int = 0
    best: Decimal = ZERO
    trailing: Decimal | None = None
    due: set[str] = field(default_factory=set)  # exits that were reached, with too little volume
    pending: list[Pending] = field(default_factory=list)
    fills: list[tuple[int, str, Decimal, Decimal]] = field(default_factory=list)
    capacity: Decimal | None = None
    entered: Decimal = ZERO
    done: set[str] = field(default_factory=set)

    def tick(self, price: Decimal, up: bool) -> Decimal:
        rounding = ROUND_CEILING if up else ROUND_FLOOR
        return (price / self.terms.tick).to_integral_value(rounding) * self.terms.tick

    @property
    def sign(self) -> int:
        return 1 if self.qty > 0 else -1

    def levels(self) -> dict[str, Decimal]:
        """Price of each exit that is there now, on the tick that is worse for us."""
        if self.qty == 0:
            return {}
        found = {}
        up = self.qty < 0  # a stop of a short is a buy, rounded up
        if self.terms.stop is not None:
            raw = self.average * (1 - self.sign * self.terms.stop / 100)
            found["STOP_LOSS"] = self.tick(raw, up)
        if self.terms.target is not None:
            raw = self.average * (1 + self.sign * self.terms.target / 100)
            found["TAKE_PROFIT"] = self.tick(raw, not up)
        if self.trailing is not None:
            found["TRAILING_STOP"] = self.trailing
        return found

    def fill(self, number: int, kind: str, qty: Decimal, price: Decimal, limit=None) -> Decimal:
        """Book up to `qty` at `price` before slippage; the size that volume let through."""
        size = abs(qty)
        if self.capacity is not None:
            size = min(size, self.capacity).to_integral_value(ROUND_FLOOR)
            self.capacity -= size
        if size == 0:
            return ZERO
        qty = size if qty > 0 else -size
        side = 1 if qty > 0 else -1
        price = self.tick(price * (1 + side * self.terms.slippage_bps / 10_000), qty > 0)
        if limit is not None:
            price = min(price, limit) if qty > 0 else max(price, limit)
        before = self.qty
        self.cash -= qty * price + size * price * self.terms.commission_bps / 10_000
        if before * qty >= 0:
            self.average = (abs(before) * self.average + size * price) / (abs(before) + size)
        elif size > abs(before):
            self.average = price
        self.qty += qty
        self.fills.append((number, kind, qty, price))
        if before * self.qty <= 0:  # from flat, through flat, or to flat
            self.held, self.best, self.trailing = 0, self.average, None
            self.due, self.done = set(), set()  # the exits of another position, in this bar too
        if self.qty == 0:
            self.average = ZERO
        elif abs(self.qty) > abs(before) or before * self.qty < 0:
            self.move_trailing()
        return size

    def move_trailing(self) -> None:
        """The trailing stop after its best price, once its gain is reached; never back."""
        if self.terms.trail is None or self.qty == 0:
            return
        gain = (self.best - self.average) * self.sign
        if self.trailing is None and gain < self.terms.activate / 100 * self.average:
            return
        raw = self.best * (1 - self.sign * self.terms.trail / 100)
        level = self.tick(raw, self.qty < 0)
        if self.trailing is None or (level - self.trailing) * self.sign > 0:
            self.trailing = level

    def exit(self, number: int, kind: str, price: Decimal, room: Decimal | None = None) -> None:
        """Close what an exit can, and take from the model's orders what is closed already."""
        self.done.add(kind)
        qty = -self.qty
        if room is not None:
            qty = min(abs(qty), room) * (1 if qty > 0 else -1)
        limit = self.levels()[kind] if kind == "TAKE_PROFIT" else None
        if kind != "TAKE_PROFIT":
            self.due.add(kind)
        self.fill(number, kind, qty, price, limit)
        left = abs(self.qty)
        for order in self.pending:
            keep = min(abs(order.closing), left) if order.closing * self.qty < 0 else ZERO
            left -= keep
            kept = keep if order.closing > 0 else -keep
            order.qty += kept - order.closing
            order.closing = kept
        self.pending = [order for order in self.pending if order.qty != 0]

    def take(self, number: int, order: Pending, price: Decimal) -> None:
        """Fill an order of the model."""
        order.met = True
        if order.type != "limit":
            order.triggered = True
        before = abs(self.qty)
        side = 1 if order.qty > 0 else -1
        kind = "SIGNAL" if order.closing else "ENTRY"
        limit = order.limit if order.type in ("limit", "stop_limit") else None
        size = self.fill(number, kind, order.qty, price, limit)
        order.qty -= side * size
        closed = min(abs(order.closing), size)
        order.closing -= side * closed
        if self.inside:
            self.entered += max(abs(self.qty) - before, ZERO)

    def limit_reached(self, order: Pending, low: Decimal, high: Decimal) -> bool:
        assert order.limit is not None
        if order.qty > 0:
            return low < order.limit or (self.terms.touch and low == order.limit)
        return high > order.limit or (self.terms.touch and high == order.limit)

    def price_at_open(self, order: Pending, bar: Bar) -> Decimal | None:
        if order.type == "market" or (order.triggered and order.type == "stop"):
            return bar.open
        if order.type in ("stop", "stop_limit") and not order.triggered:
            assert order.stop is not None
            if (bar.open - order.stop) * order.qty < 0:
                return None
            order.triggered = True
            if order.type == "stop":
                return bar.open
        if order.type == "limit" or order.triggered:
            return bar.open if self.limit_reached(order, bar.open, bar.open) else None
        return None

    def price_inside(self, order: Pending, low: Decimal, high: Decimal) -> Decimal | None:
        """Where prices from `low` to `high` fill an order that the open did not."""
        if order.type in ("stop", "stop_limit") and not order.triggered:
            assert order.stop is not None
            if not (low <= order.stop <= high or (order.stop - low) * order.qty < 0):
                return None
            if order.type == "stop":
                return order.stop
            order.triggered = True
            assert order.limit is not None
            return order.stop if (order.limit - order.stop) * order.qty >= 0 else None
        if order.type == "limit" or (order.type == "stop_limit" and order.triggered):
            return order.limit if self.limit_reached(order, low, high) else None
        return None

    def target_reached(self, level: Decimal, low: Decimal, high: Decimal) -> bool:
        price = high if self.qty > 0 else low
        return (price - level) * self.sign > 0 or (self.terms.touch and price == level)

    def stops(self, low: Decimal, high: Decimal) -> list[tuple[Decimal, str]]:
        found = []
        for kind, level in self.levels().items():
            price = low if self.qty > 0 else high
            reached = (price - level) * self.sign <= 0
            if kind != "TAKE_PROFIT" and reached and kind not in self.done:
                found.append((level, kind))
        return found

    def meet(self, number: int, bar: Bar, finer: Sequence[Bar] = ()) -> None:
        """One bar against everything that waits; where it has finer ones, by those in turn."""
        self.capacity = None
        if self.terms.participation is not None:
            self.capacity = self.terms.participation * bar.volume
        for part in finer or [bar]:
            self.meet_part(number, part)
        for order in self.pending:
            if order.bars is not None:
                order.bars -= 1
        self.pending = [o for o in self.pending if o.qty != 0 and o.bars != 0]
        if self.qty:
            self.held += 1

    def meet_part(self, number: int, bar: Bar) -> None:
        self.done, self.entered, self.inside = set(), ZERO, False
        for order in list(self.pending):
            order.met = False
            price = self.price_at_open(order, bar)
            if price is not None:
                self.take(number, order, price)
        beyond = {kind for _, kind in self.stops(bar.open, bar.open)} | self.due
        for kind in ("STOP_LOSS", "TRAILING_STOP"):
            if self.qty and kind in beyond:
                self.exit(number, kind, bar.open)
        target = self.levels().get("TAKE_PROFIT")
        if target is not None and self.target_reached(target, bar.open, bar.open):
            self.exit(number, "TAKE_PROFIT", bar.open)
        self.inside = True
        if self.terms.ohlc:
            self.walk(number, bar)
        else:
            self.worst(number, bar)
        self.pending = [o for o in self.pending if o.qty != 0]
        if self.qty:
            extreme = bar.high if self.qty > 0 else bar.low
            if self.entered:
                extreme = bar.close
            if (extreme - self.best) * self.sign > 0:
                self.best = extreme
                self.move_trailing()

    def worst(self, number: int, bar: Bar) -> None:
        """Entries, then the nearest stop, then the target of what was held before."""

        def near(pair: tuple[Decimal, object]) -> Decimal:
            return abs(pair[0] - bar.open)

        while True:
            waiting = [o for o in self.pending if not o.met and not o.closing and o.qty]
            prices = [(self.price_inside(o, bar.low, bar.high), o) for o in waiting]
            found = [(price, order) for price, order in prices if price is not None]
            if not found:
                break
            price, order = min(found, key=near)
            self.take(number, order, price)
        while self.qty and (stops := self.stops(bar.low, bar.high)):
            level, kind = min(stops, key=near)
            self.exit(number, kind, level)
        target = self.levels().get("TAKE_PROFIT")
        is_open = target is not None and "TAKE_PROFIT" not in self.done
        if is_open and self.target_reached(target, bar.low, bar.high):
            self.exit(number, "TAKE_PROFIT", target, max(abs(self.qty) - self.entered, ZERO))

    def walk(self, number: int, bar: Bar) -> None:
        """Open, nearer extreme, other extreme, close; what comes first on the way fills first."""
        high_first = bar.high - bar.open < bar.open - bar.low
        ends = [bar.high, bar.low] if high_first else [bar.low, bar.high]
        at = bar.open
        for end in [*ends, bar.close]:
            while True:
                low, high = min(at, end), max(at, end)
                found: list[tuple[Decimal, int, object]] = []
                for order in self.pending:
                    if not order.met and order.qty:
                        price = self.price_inside(order, low, high)
                        if price is not None:
                            found.append((min(max(price, low), high), len(found), order))
                exits = [
                    (min(max(level, low), high), kind) for level, kind in self.stops(low, high)
                ]
                target = self.levels().get("TAKE_PROFIT")
                is_open = target is not None and "TAKE_PROFIT" not in self.done
                if is_open and self.target_reached(target, low, high):
                    exits.append((min(max(target, low), high), "TAKE_PROFIT"))
                found += [(price, len(found) + i, kind) for i, (price, kind) in enumerate(exits)]
                if not found:
                    break
                price, _, what = min(found, key=lambda one: (abs(one[0] - at), one[1]))
                at = price
                if isinstance(what, Pending):
                    self.take(number, what, price)
                else:
                    self.exit(number, str(what), price)
            at = end

    def decide(self, action: int, close: Decimal) -> None:
        """Queue what brings position and waiting orders to the action's target."""
        waiting = sum((o.qty for o in self.pending), ZERO)
        if self.terms.max_holding and self.qty and self.held >= self.terms.max_holding:
            left = -self.qty - sum((o.closing for o in self.pending), ZERO)
            if left:
                self.pending.append(Pending(left, left, "market"))
            return
        if action == 0:
            return
        if action == CLOSE:
            self.pending = [o for o in self.pending if o.qty * self.qty < 0]
            wanted = -self.qty - sum((o.closing for o in self.pending), ZERO)
        else:
            target = self.terms.size if action == 1 else -self.terms.size
            wanted = target - self.qty - waiting
            if any(o.qty * wanted < 0 for o in self.pending):
                self.pending = [o for o in self.pending if o.qty * wanted > 0]
                wanted = target - self.qty - sum((o.qty for o in self.pending), ZERO)
        if wanted == 0:
            return
        closing = ZERO
        if wanted * self.qty < 0:
            same = sum((abs(o.qty) for o in self.pending if o.qty * wanted > 0), ZERO)
            room = max(abs(self.qty) - same, ZERO)
            closing = min(abs(wanted), room) * (1 if wanted > 0 else -1)
        opening = wanted - closing
        if opening and self.terms.entry != "market":
            if closing:
                self.pending.append(Pending(closing, closing, "market"))
            self.pending.append(self.entry(opening, close))
        elif wanted:
            self.pending.append(Pending(wanted, closing, "market"))
            if opening:
                self.pending[-1].bars = self.terms.bars

    def entry(self, qty: Decimal, close: Decimal) -> Pending:
        side = 1 if qty > 0 else -1
        away = close * self.terms.offset_bps / 10_000
        order = Pending(qty, ZERO, self.terms.entry, bars=self.terms.bars)
        if self.terms.entry == "limit":
            order.limit = self.tick(close - side * away, qty < 0)
            return order
        order.stop = self.tick(close + side * away, qty > 0)
        if self.terms.entry == "stop_limit":
            beyond = order.stop * self.terms.limit_offset_bps / 10_000
            order.limit = self.tick(order.stop + side * beyond, qty > 0)
        return order
