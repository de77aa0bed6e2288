"""The life of every order, folded from its records, and the positions its fills add up to.

Law: an order is intended, then sent or aborted; sent, it is acknowledged or rejected, filled and
cancelled. No fill without a sent order, none twice, none after a rejection; fills and cancellations
together are never beyond the order's qty. Every number is finite: else no difference would show.
Every method takes one payload and returns what is wrong with it, or None. Nothing here knows the
core: this is the second opinion.
"""

import math
from typing import Any

TOLERANCE = 1e-9  # relative: float dust of adding lots, far below half a lot

Data = dict[str, Any]
EXIT = "exit"  # purpose of what rests beside a position: as large as that, whatever it was for


class Order:
    """One order as far as its records tell."""

    __slots__ = (
        "aborted",
        "cancelled",
        "decision",
        "doubted",
        "filled",
        "intent_seq",
        "kill_id",
        "purpose",
        "qty",
        "rejected",
        "sent",
        "symbol",
    )

    def __init__(self, seq: int, data: Data) -> None:
        self.intent_seq = seq
        self.symbol: str = data["symbol"]
        self.qty: float = data["qty"]  # signed
        self.decision: int = data["decision"]
        self.purpose: str = data["purpose"]
        self.kill_id: str | None = data.get("kill_id")
        self.sent = False
        self.doubted = False
        self.aborted = False
        self.rejected = False
        self.filled = 0.0  # signed
        self.cancelled = 0.0  # signed

    @property
    def rest(self) -> float:
        """Signed qty that may still fill; none of an exit, which only closes what is held."""
        if self.purpose == EXIT or self.aborted or self.rejected:
            return 0.0
        rest = self.qty - self.filled - self.cancelled
        return rest if rest * self.qty > 0.0 else 0.0


class OrderFold:
    """All orders, positions and cash of a run, from its records alone."""

    def __init__(self, cash: float) -> None:
        self.orders: dict[str, Order] = {}
        self.positions: dict[str, float] = {}
        self.cash = cash
        self._largest_cash = abs(cash)  # what float dust is measured against
        self._largest_position = 0.0
        self._executions: set[str] = set()
        self._averages: dict[str, float] = {}  # entry price of what is held
        self.financed: frozenset[str] = frozenset()  # profit alone moves cash
        self.below_zero: frozenset[str] = frozenset()  # prices may be 0 or less

    def take(self, kind: str, seq: int, data: Data) -> str | None:
        """Apply one record; what is wrong with it, or None. Other types are ignored."""
        step = _STEPS.get(kind)
        return None if step is None else step(self, seq, data)

    def working(self, symbol: str) -> tuple[float, float]:
        """(buying, selling ≥ 0) that still works for a symbol."""
        rests = [order.rest for order in self.orders.values() if order.symbol == symbol]
        return sum(r for r in rests if r > 0.0), 0.0 - sum(r for r in rests if r < 0.0)

    def position_fault(self, positions: Data) -> str | None:
        """Where recorded positions (flat ones left out) differ from what the fills add up to."""
        allowed = TOLERANCE * (1.0 + self._largest_position)
        for symbol in sorted(positions.keys() | self.positions.keys()):
            said, folded = positions.get(symbol, 0.0), self.positions.get(symbol, 0.0)
            if not abs(said - folded) <= allowed:
                return (
                    f"position of {symbol} is recorded as {said!r}, its fills add up to {folded!r}"
                )
        return None

    def cash_fault(self, cash: float) -> str | None:
        """Where recorded cash differs from start cash less what the fills cost."""
        if not abs(cash - self.cash) <= TOLERANCE * (1.0 + self._largest_cash):
            return f"cash is recorded as {cash!r}, start and fills make {self.cash!r}"
        return None

    def _intent(self, seq: int, data: Data) -> str | None:
        client_id = data["client_order_id"]
        known = self.orders.get(client_id)
        if known is not None:
            return f"order {client_id} has an intent already, record {known.intent_seq}"
        if not 0.0 < abs(data["qty"]) < math.inf:
            return f"order {client_id} is for {data['qty']!r}"
        self.orders[client_id] = Order(seq, data)
        return None

    def _known(self, kind: str, data: Data) -> Order | str:
        client_id = data["client_order_id"]
        order = self.orders.get(client_id)
        return f"{kind} of {client_id}, which has no ORDER_INTENT" if order is None else order

    def _sent(self, seq: int, data: Data) -> str | None:
        order = self._known("ORDER_SENT", data)
        if isinstance(order, str):
            return order
        client_id = data["client_order_id"]
        if order.aborted or order.rejected:
            return f"order {client_id} was sent after it was refused"
        if order.sent and data.get("resend") is not True:
            return f"order {client_id} was sent twice"
        if data["qty"] != order.qty:
            return f"order {client_id} was sent for {data['qty']!r}, intended for {order.qty!r}"
        order.sent = True
        return None

    def _ack(self, seq: int, data: Data) -> str | None:
        order = self._known("ORDER_ACK", data)
        if isinstance(order, str):
            return order
        if not order.sent and data.get("adopted") is not True:
            return f"order {data['client_order_id']} was acknowledged and never sent"
        if order.aborted or order.rejected:
            return f"order {data['client_order_id']} was acknowledged after it was refused"
        order.sent = True
        return None

    def _rejected(self, seq: int, data: Data) -> str | None:
        order = self._known("ORDER_REJECTED", data)
        if isinstance(order, str):
            return order
        if not order.sent:
            return f"order {data['client_order_id']} was rejected and never sent"
        if order.filled:
            return f"order {data['client_order_id']} was rejected after it was filled"
        order.rejected = True
        return None

    def _aborted(self, seq: int, data: Data) -> str | None:
        order = self._known("ORDER_ABORTED", data)
        if isinstance(order, str):
            return order
        if order.sent:
            return f"order {data['client_order_id']} was aborted after it was sent"
        order.aborted = True
        return None

    def _unknown(self, seq: int, data: Data) -> str | None:
        order = self._known("ORDER_UNKNOWN", data)
        if isinstance(order, str):
            return order
        if order.aborted or order.rejected:
            return f"order {data['client_order_id']} was in doubt after its outcome was known"
        order.doubted = order.sent = True  # a fill of it is no contradiction
        return None

    def _exit_fill_fault(self, client_id: str, symbol: str, qty: float) -> str | None:
        held = self.positions.get(symbol, 0.0)
        if not (qty * held < 0.0 and abs(qty) <= abs(held) * (1.0 + TOLERANCE)):
            return f"exit {client_id} filled {qty!r} on a position of {held!r}"
        return None

    def _fill(self, seq: int, data: Data) -> str | None:
        order = self._known("FILL", data)
        if isinstance(order, str):
            return order
        client_id, execution, qty = data["client_order_id"], data["execution_id"], data["qty"]
        if execution in self._executions:
            return f"execution {execution} is recorded twice"
        if not order.sent:
            return f"a fill of order {client_id}, which was never sent"
        if order.rejected:
            return f"a fill of order {client_id}, which was rejected"
        if data["symbol"] != order.symbol:
            return f"a fill in {data['symbol']} of order {client_id}, which is for {order.symbol}"
        if not qty * order.qty > 0.0:
            return f"a fill of {qty!r} against the side of order {client_id} ({order.qty!r})"
        filled = order.filled + qty
        if order.purpose == EXIT:
            fault = self._exit_fill_fault(client_id, order.symbol, qty)
            if fault is not None:
                return fault
        elif not abs(filled) <= abs(order.qty) * (1.0 + TOLERANCE):
            return f"order {client_id} for {order.qty!r} is filled to {filled!r}"
        if order.purpose != EXIT and not abs(filled + order.cancelled) <= abs(order.qty) * (
            1.0 + TOLERANCE
        ):
            return f"a fill of order {client_id} after {order.cancelled!r} of it was cancelled"
        order.filled = filled
        self._executions.add(execution)
        return self._book(order.symbol, qty, data)

    def _book(self, symbol: str, qty: float, data: Data) -> str | None:
        price, commission = data["price"], data["commission"]
        worth = data.get("unit_value", 1.0)
        is_price = price > 0.0 or symbol in self.below_zero
        if not (is_price and abs(price) < math.inf and 0.0 <= commission < math.inf):
            return f"a fill at {price!r} with a commission of {commission!r}"
        if not 0.0 < worth < math.inf:
            return f"a fill at {price!r}, of which each is worth {worth!r}"
        profit = self._profit(symbol, qty, price) * worth
        self._hold(symbol, qty)
        if symbol in self.financed:
            self.cash += profit - commission
        else:
            self.cash -= qty * price * worth + commission
        self._largest_cash = max(self._largest_cash, abs(self.cash))
        if not self._largest_cash < math.inf:  # and nothing would be a difference any more
            return f"a fill of {qty!r} at {price!r} makes cash {self.cash!r}"
        return None

    def _profit(self, symbol: str, qty: float, price: float) -> float:
        """What a fill realises, in the units of its price, against the average entry."""
        held, average = self.positions.get(symbol, 0.0), self._averages.get(symbol, 0.0)
        if held * qty >= 0.0:
            share = abs(qty) / (abs(held) + abs(qty))
            self._averages[symbol] = average + (price - average) * share
            return 0.0
        closed = min(abs(qty), abs(held))
        if abs(qty) > abs(held):
            self._averages[symbol] = price
        return closed * (price - average) * math.copysign(1.0, held)

    def move(self, symbol: str, amount: float, qty: float) -> str | None:
        """Book money and units that moved without a trade."""
        if not (math.isfinite(amount) and math.isfinite(qty)):
            return f"{amount!r} of money and {qty!r} units of {symbol} moved without a trade"
        self._hold(symbol, qty)
        self.cash += amount
        self._largest_cash = max(self._largest_cash, abs(self.cash))
        return None

    def split(self, symbol: str, ratio: float) -> str | None:
        """Every order of a symbol in the units after a split."""
        if not 0.0 < ratio < math.inf:
            return f"a split of {symbol} by {ratio!r}"
        self._averages[symbol] = self._averages.get(symbol, 0.0) / ratio
        for order in self.orders.values():
            if order.symbol == symbol:
                order.qty *= ratio
                order.filled *= ratio
                order.cancelled *= ratio
        return None

    def _hold(self, symbol: str, qty: float) -> None:
        held = self.positions.get(symbol, 0.0) + qty
        if abs(held) <= TOLERANCE * abs(qty):
            self.positions.pop(symbol, None)
        else:
            self.positions[symbol] = held
            self._largest_position = max(self._largest_position, abs(held))

    def _cancel_intent(self, seq: int, data: Data) -> str | None:
        order = self._known("CANCEL_INTENT", data)
        return order if isinstance(order, str) else None

    def _cancel_ack(self, seq: int, data: Data) -> str | None:
        order = self._known("CANCEL_ACK", data)
        if isinstance(order, str):
            return order
        qty = data["qty"]
        if order.purpose == EXIT:
            return None if qty * order.qty >= 0.0 else f"{qty!r} of an exit of the other side"
        if not abs(qty) <= abs(order.qty) * (1.0 + TOLERANCE):
            return f"{qty!r} of order {data['client_order_id']} for {order.qty!r} was cancelled"
        if not qty * order.qty >= 0.0:
            return f"{qty!r} was cancelled against the side of order {data['client_order_id']}"
        over = order.filled + order.cancelled + qty
        if not abs(over) <= abs(order.qty) * (1.0 + TOLERANCE):
            return f"order {data['client_order_id']} for {order.qty!r} ended {over!r} in all"
        order.cancelled += qty
        return None


_STEPS = {
    "ORDER_INTENT": OrderFold._intent,
    "ORDER_SENT": OrderFold._sent,
    "ORDER_ACK": OrderFold._ack,
    "ORDER_REJECTED": OrderFold._rejected,
    "ORDER_ABORTED": OrderFold._aborted,
    "ORDER_UNKNOWN": OrderFold._unknown,
    "FILL": OrderFold._fill,
    "CANCEL_INTENT": OrderFold._cancel_intent,
    "CANCEL_ACK": OrderFold._cancel_ack,
}
