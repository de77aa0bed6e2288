"""The client's side of a broker: its events folded into orders, positions and cash.

    submitted ─► SUBMITTED ─► WORKING ─► PARTLY_FILLED ─► FILLED | CANCELLED | REJECTED
                     └──────────────┴─► UNKNOWN: no answer, lost contact, or a hole in the events

Law: no I/O and no clock. Events count once, by `seq` and by execution id, and in the order of
`seq` whatever order they come in: the same set of events gives the same bits. A hole makes every
open order UNKNOWN until it is filled or a snapshot covers it. An order that was sent is never
taken for one that was not: one that no snapshot shows stays UNKNOWN, for it may still arrive. It
ends by an event, by a snapshot that has it, or by sending it again under its own id.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from trader.brokers.broker import (
    AccountSnapshot,
    BrokerEvent,
    BrokerOrder,
    EventKind,
    Execution,
    Order,
)
from trader.core.schema import OrderStatus

REMEMBERED = 65_536  # execution ids kept against doubles
OVER = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


class Reconciliation(NamedTuple):
    """What a snapshot said of the client's orders."""

    confirmed: tuple[str, ...]  # were UNKNOWN; the broker has them
    missing: tuple[str, ...]  # open here, not at the broker: they stay UNKNOWN
    foreign: tuple[str, ...]  # at the broker, never sent from here
    executions: tuple[Execution, ...] = ()  # of the client's orders, and new to it


class Account:
    """Orders, positions and cash after the events up to some `seq`."""

    def __init__(self, orders: dict[str, BrokerOrder], positions: dict[str, float], cash: float):
        self.orders, self.positions, self.cash = orders, positions, cash

    def copy(self) -> "Account":
        """One that can go on by itself."""
        return Account(dict(self.orders), dict(self.positions), self.cash)

    def apply(self, event: BrokerEvent, sent: BrokerOrder) -> None:
        """One event; `sent` is its order as the client sent it."""
        order = self.orders.get(event.order_id, sent)
        if event.kind == EventKind.EXECUTION:
            held = self.positions.get(event.symbol, 0.0)
            self.positions[event.symbol] = held + event.qty
            self.cash -= event.qty * event.price + event.fee
            order = _filled(order, order.filled_qty + event.qty)
        elif event.kind == EventKind.REJECT:
            order = order._replace(status=OrderStatus.REJECTED)
        elif event.kind == EventKind.CANCELLED:
            order = order._replace(status=OrderStatus.CANCELLED)
        self.orders[event.order_id] = order


def as_sent(order: Order) -> BrokerOrder:
    """An order as the client sent it."""
    terms = order.type, order.limit_price, order.stop_price, order.time_in_force
    return BrokerOrder(order.order_id, order.symbol, order.qty, 0.0, OrderStatus.WORKING, *terms)


def _filled(order: BrokerOrder, filled: float) -> BrokerOrder:
    if order.status in OVER:  # told out of order; what it became stands
        return order._replace(filled_qty=filled)
    is_whole = abs(filled) >= abs(order.qty)
    status = OrderStatus.FILLED if is_whole else OrderStatus.PARTLY_FILLED
    return order._replace(filled_qty=filled, status=status)


class ClientOrders:
    """Orders of one account. Begin with the cash it had before its first event, or reconcile."""

    def __init__(self, cash: float = 0.0) -> None:
        self._sent: dict[str, BrokerOrder] = {}
        self._doubted: set[str] = set()
        self._seq = 0  # every event up to here is in `_settled`
        self._settled = Account({}, {}, cash)
        self._ahead: dict[int, BrokerEvent] = {}  # beyond a hole
        self._executions: set[str] = set()
        self._oldest: deque[str] = deque()
        self._is_cut = False
        self._happened: list[BrokerEvent] = []  # settled since `drain`

    def submitted(self, order: Order) -> None:
        """Before an order is handed over, also when it is sent once more."""
        sent = as_sent(order)
        before = self._sent.setdefault(order.order_id, sent)
        assert before == sent, f"{order.order_id} names two orders: {before}, {sent}"

    def withdraw(self, order_id: str) -> None:
        """Our own gate refused it before it was ever handed over."""
        assert order_id not in self._doubted
        assert not self._is_answered(order_id)
        self._sent.pop(order_id, None)

    def doubt(self, order_id: str) -> None:
        """The hand-over failed: it has left or not."""
        self._doubted.add(order_id)

    def doubt_unanswered(self) -> tuple[str, ...]:
        """The broker is silent for too long: what it has not answered is in doubt."""
        silent = tuple(name for name in self._sent if not self._is_answered(name))
        self._doubted.update(silent)
        return silent

    def lose_contact(self) -> None:
        """The connection broke: events may be lost without a hole to see."""
        self._is_cut = True

    def take(self, event: BrokerEvent) -> bool:
        """Fold one event. False where it was known."""
        if event.seq <= self._seq or event.seq in self._ahead:
            return False
        self._ahead[event.seq] = event
        self._settle()
        return True

    def reconcile(self, snapshot: AccountSnapshot) -> Reconciliation | None:
        """Take the account as the broker has it. None where more is known here already: ask anew.

        Ask for the snapshot after contact is there again."""
        if snapshot.seq < self._seq:
            return None
        unknown = set(self.unknown())
        over = {name: one for name, one in self._settled.orders.items() if one.status in OVER}
        theirs = {
            order.order_id: order
            for order in snapshot.orders
            if order.order_id in self._sent or order.status not in OVER
        }
        self._settled = Account(over | theirs, dict(snapshot.positions), snapshot.cash)
        self._seq, self._is_cut = snapshot.seq, False
        self._ahead = {seq: event for seq, event in self._ahead.items() if seq > snapshot.seq}
        fills = [one for one in snapshot.executions if one.execution_id not in self._executions]
        self.remember(one.execution_id for one in fills)
        self._settle()
        missing = tuple(name for name in self._sent if not self._is_answered(name))
        self._doubted = set(missing)
        confirmed = tuple(sorted(unknown - self._doubted))
        foreign = tuple(sorted(set(theirs) - set(self._sent)))
        new = tuple(one for one in fills if one.order_id in self._sent)
        return Reconciliation(confirmed, missing, foreign, new)

    def remember(self, execution_ids: Iterable[str]) -> None:
        """Fills that are known already, as of before a restart."""
        for execution_id in execution_ids:
            self._remember(execution_id)

    def drain(self) -> list[BrokerEvent]:
        """Events that counted since the last call, in the order of `seq`."""
        happened, self._happened = self._happened, []
        return happened

    def drop_over(self) -> tuple[BrokerOrder, ...]:
        """Orders that have ended, which are forgotten, so that a long run does not grow."""
        ended = tuple(one for one in self._settled.orders.values() if one.status in OVER)
        for order in ended:
            del self._settled.orders[order.order_id]
            self._sent.pop(order.order_id, None)
            self._doubted.discard(order.order_id)
        return ended

    def orders(self) -> dict[str, BrokerOrder]:
        """Every order by its id, as far as is known."""
        known = self._account().orders
        names = [*self._sent, *(name for name in known if name not in self._sent)]
        return {name: self._judged(name, known.get(name)) for name in names}

    def unknown(self) -> tuple[str, ...]:
        """Ids of the orders of which nobody can say where they stand."""
        orders = self.orders().values()
        return tuple(one.order_id for one in orders if one.status == OrderStatus.UNKNOWN)

    @property
    def is_unsure(self) -> bool:
        """Whether events may be lost: every symbol is blocked, until a snapshot."""
        return self._is_cut or bool(self._ahead)

    def is_blocked(self, symbol: str) -> bool:
        """Whether an UNKNOWN order, or events that may be lost, forbid new orders of `symbol`."""
        if self.is_unsure:
            return True
        orders = self.orders().values()
        return any(one.symbol == symbol and one.status == OrderStatus.UNKNOWN for one in orders)

    def positions(self) -> dict[str, float]:
        """Signed quantity by symbol, flat ones left out."""
        held = self._account().positions
        return {symbol: qty for symbol, qty in sorted(held.items()) if qty != 0.0}

    def cash(self) -> float:
        """Cash after every event that is known."""
        return self._account().cash

    def _judged(self, name: str, order: BrokerOrder | None) -> BrokerOrder:
        if order is None:
            status = OrderStatus.UNKNOWN if name in self._doubted else OrderStatus.SUBMITTED
            order = self._sent[name]._replace(status=status)
        if order.status not in OVER and (self._is_cut or self._ahead):
            return order._replace(status=OrderStatus.UNKNOWN)
        return order

    def _is_answered(self, name: str) -> bool:
        return name in self._settled.orders or any(
            event.order_id == name for event in self._ahead.values()
        )

    def _account(self) -> Account:
        """What is settled, and what is known beyond the first hole."""
        if not self._ahead:
            return self._settled
        account, told = self._settled.copy(), set()
        for _, event in sorted(self._ahead.items()):
            if event.execution_id not in told and event.execution_id not in self._executions:
                self._apply(account, event)
            told |= {event.execution_id} - {""}
        return account

    def _settle(self) -> None:
        while (event := self._ahead.pop(self._seq + 1, None)) is not None:
            self._seq = event.seq
            if event.execution_id in self._executions:
                continue
            if event.execution_id:
                self._remember(event.execution_id)
            self._happened.append(event)
            self._apply(self._settled, event)

    def _apply(self, account: Account, event: BrokerEvent) -> None:
        nobodys = BrokerOrder(event.order_id, event.symbol, float("nan"))
        account.apply(event, self._sent.get(event.order_id, nobodys))

    def _remember(self, execution_id: str) -> None:
        self._executions.add(execution_id)
        self._oldest.append(execution_id)
        if len(self._oldest) > REMEMBERED:
            self._executions.discard(self._oldest.popleft())
