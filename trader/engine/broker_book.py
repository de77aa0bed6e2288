"""What a broker outside says, into the core and onto record.

    begin        at a start: what is on record as sent, and what it filled
    hear         events, and silence
    reconcile    the account as the broker shows it: adopted, compared, and what differs

Law: what the broker did not confirm is UNKNOWN, is kept, and blocks its symbol. Nothing that may
have left is ever taken for an order that never did. Every execution is booked once, by its id. An
account that differs from the book is a fault: the run stops. No clock of its own; the records are
the caller's to write.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from trader.brokers.broker import AccountSnapshot, BrokerEvent, BrokerOrder, EventKind, Execution
from trader.brokers.client_orders import OVER, ClientOrders
from trader.core.schema import ORDER, OrderStatus, OrderType, Reason, TimeInForce
from trader.engine.broker_engine import BrokerEngine
from trader.engine.sliceengine import SliceEngine
from trader.engine.surroundings import BrokerSurroundings, SentOrder
from trader.journal import entries as build
from trader.journal.broker_entries import AccountReport, from_broker, reconciled
from trader.journal.records import Entry
from trader.journal.rows import from_rows

TOLERANCE = 1e-9  # relative: float dust of adding up fills
NOT_SHOWN = "the broker does not show it"


class Findings(NamedTuple):
    """What a snapshot said."""

    entries: list[Entry]
    faults: list[str]  # differences that nothing explains


class BrokerBook:
    """The orders of one run at a broker outside."""

    def __init__(
        self, engine: SliceEngine, desk: BrokerSurroundings, client_id: Callable[[int], str]
    ) -> None:
        """`client_id` of an order of the core."""
        self.fault = ""  # why this run may not go on; "" for nothing
        self.fills: list[np.void] = []  # FILL rows that nobody has been told of
        self.client = ClientOrders(float(engine.book.account[0]["cash"]))
        self.failed: dict[str, SentOrder] = {}  # hand-overs that failed in this process
        self.since: dict[str, float] = {}  # sent and not answered: when
        self._engine, self._desk, self._client_id = engine, desk, client_id

    def begin(self, execution_ids: Iterable[str]) -> None:
        """The orders of the book may all have left; `execution_ids` of the fills on record."""
        self.client.remember(execution_ids)
        for symbol, order in self._engine.orders():
            if order["status"] != OrderStatus.INTENT:
                name = self._client_id(int(order["order_id"]))
                self.client.submitted(sent_order(name, self._desk.symbols[symbol], order))
                self.client.doubt(name)

    def find(self, client_id: str) -> tuple[int, np.void] | None:
        """Symbol and a copy of an order that is in the book."""
        for symbol, order in self._engine.orders():
            if self._client_id(int(order["order_id"])) == client_id:
                return symbol, order
        return None

    def doubt(self, client_id: str, text: str) -> list[Entry]:
        """An order of the book left, or not."""
        found = self.find(client_id)
        if found is None:
            return []
        self._engine.doubt(found[0], int(found[1]["order_id"]))
        return [build.order_unknown(client_id, text)]

    @property
    def _outside(self) -> BrokerEngine:
        assert isinstance(self._engine, BrokerEngine), "the simulated broker tells no fills"
        return self._engine

    @property
    def unknown(self) -> dict[str, str]:
        """Symbol of every order that is UNKNOWN, by its id."""
        return {
            self._client_id(int(order["order_id"])): self._desk.symbols[symbol]
            for symbol, order in self._engine.orders()
            if order["status"] == OrderStatus.UNKNOWN
        }

    @property
    def is_in_doubt(self) -> bool:
        """Whether a snapshot is needed."""
        return self.client.is_unsure or bool(self.client.unknown())

    def hear(self) -> list[Entry]:
        try:
            events = self._desk.broker.events()
        except OSError:
            self.client.lose_contact()
            events = ()
        for event in events:
            self.client.take(event)
        return self._happenings()

    def _happenings(self) -> list[Entry]:
        told = [entry for event in self.client.drain() for entry in self._happened(event)]
        self.client.drop_over()
        return told

    def _happened(self, event: BrokerEvent) -> list[Entry]:
        """One event, in the order of their numbers."""
        self.since.pop(event.order_id, None)
        if self.find(event.order_id) is None:
            if event.kind == EventKind.EXECUTION:
                what = f"filled {event.qty:g} {event.symbol} of order {event.order_id}"
                self.fault = self.fault or f"the broker {what}, which is not open here"
            return []
        if event.kind == EventKind.EXECUTION:
            fill = Execution(event.execution_id, *event[2:7])
            return self._executed(fill)
        if event.kind == EventKind.ACK:
            return self._acknowledged(event.order_id, event.text)
        if event.kind == EventKind.CANCEL_REFUSED:
            text = f"order {event.order_id} of {event.symbol} was not cancelled {event.text}"
            return [build.alert("CANCEL_REFUSED", text.strip())]
        return self._over(event.order_id, event.kind == EventKind.REJECT, event.text)

    def _acknowledged(self, name: str, text: str) -> list[Entry]:
        return self._confirmed(name) or [build.order_ack(name, text or name)]

    def _confirmed(self, name: str, is_told: bool = True) -> list[Entry]:
        """The broker has an order: the record of it where that was in doubt."""
        found = self.find(name)
        self.since.pop(name, None)
        if found is None:
            return []
        if found[1]["status"] not in (OrderStatus.UNKNOWN, OrderStatus.INTENT):
            return []
        self._engine.submit(found[0], int(found[1]["order_id"]))
        self.failed.pop(name, None)
        self._desk.settle(name, left=True)
        return [build.order_ack(name, name, adopted=True)] if is_told else []

    def _executed(self, fill: Execution) -> list[Entry]:
        entries = self._confirmed(fill.order_id)
        found = self.find(fill.order_id)
        if found is None or not is_possible(fill, found[1]):
            text = f"the broker filled {fill.qty:g} {fill.symbol} at {fill.price:g} of order"
            self.fault = self.fault or f"{text} {fill.order_id}, which cannot be"
            return entries
        symbol, order = found
        terms = float(fill.qty), float(fill.price), float(fill.fee)
        (row,) = self._outside.execute(symbol, int(order["order_id"]), terms)
        self.fills.append(row)
        told = build.fill(fill.order_id, fill.execution_id, self._desk.symbols[symbol], row)
        return [*entries, from_broker(told)]

    def _over(self, name: str, is_rejected: bool, text: str = "") -> list[Entry]:
        """The broker ended the rest of an order."""
        entries = self._confirmed(name, is_told=not is_rejected)
        found = self.find(name)
        if found is None:
            return entries
        symbol, order = found
        asked = Reason(int(order["reason"]))
        reason = Reason.BROKER_CANCELLED if asked == Reason.NONE else asked
        if is_rejected:
            reason = Reason.BROKER_REJECTED
        status = OrderStatus.REJECTED if is_rejected else OrderStatus.CANCELLED
        (event,) = self._outside.end_outside(symbol, int(order["order_id"]), status, reason)
        if is_rejected:
            return [*entries, build.order_rejected(name, text or "the broker gave no reason")]
        return [*entries, from_broker(build.cancel_ack(name, event["value"], reason.name))]

    def silence(self) -> list[Entry]:
        """ORDER_UNKNOWN of orders that the broker has not answered for too long."""
        entries, before_s = [], self._desk.mono_s() - self._desk.silence_s
        for name in [name for name, since_s in self.since.items() if since_s <= before_s]:
            del self.since[name]
            self.client.doubt(name)
            text = f"the broker has not answered for {self._desk.silence_s:g} s"
            entries += self.doubt(name, text)
        return entries

    def reconcile(self, shown: AccountSnapshot, at_start: bool = False) -> Findings | None:
        """Adopt what the broker shows, and compare. None where more is known here already."""
        before = self.fault
        said = self.client.reconcile(shown)
        if said is None:
            return None
        entries = [entry for fill in said.executions for entry in self._executed(fill)]
        ours = [one for one in shown.orders if self.find(one.order_id) is not None]
        entries += [entry for order in ours for entry in self._shown(order)]
        faults = [self.fault] if self.fault != before else []
        faults += [f"order {name} is open there, and not this run's" for name in said.foreign]
        faults += self.differences(shown)
        if at_start:
            unknown = self.unknown
            lost = (name for name in said.missing if name not in unknown)
            entries += [entry for name in lost for entry in self.doubt(name, NOT_SHOWN)]
        is_told = entries or at_start
        if is_told and not faults and isinstance(self._engine, BrokerEngine):
            now = AccountReport(shown.seq, shown.positions, shown.cash, said.missing)
            entries.append(reconciled(now))
        return Findings([*entries, *self._happenings()], faults)

    def _shown(self, order: BrokerOrder) -> list[Entry]:
        """An order as it stands, once its executions are booked."""
        if order.status in OVER and order.status != OrderStatus.FILLED:
            return self._over(order.order_id, order.status == OrderStatus.REJECTED)
        return self._confirmed(order.order_id)

    def differences(self, shown: AccountSnapshot) -> list[str]:
        """Where the account differs from the book, in words."""
        book = self._engine.book
        held = dict(zip(self._desk.symbols, book.positions["qty"].tolist(), strict=True))
        found = []
        for symbol in sorted(held.keys() | shown.positions.keys()):
            here, there = held.get(symbol, 0.0), float(shown.positions.get(symbol, 0.0))
            if not abs(here - there) <= TOLERANCE * max(abs(here), abs(there)):
                found.append(f"{symbol}: {there:.12g} at the broker, {here:.12g} on record")
        cash = float(book.account[0]["cash"])
        most = max(abs(cash), abs(shown.cash), float(book.account[0]["start_equity"]))
        if not abs(cash - shown.cash) <= TOLERANCE * most:
            found.append(f"cash: {shown.cash:.12g} at the broker, {cash:.12g} on record")
        return found


def is_possible(fill: Execution, order: np.void) -> bool:
    """Whether an order can be filled so."""
    filled = float(order["filled_qty"]) + fill.qty
    is_priced = 0.0 < fill.price < math.inf and math.isfinite(fill.fee)
    is_within = abs(filled) <= abs(order["qty"]) * (1.0 + TOLERANCE)
    return is_priced and fill.qty * float(order["qty"]) > 0.0 and is_within


def sent_order(client_id: str, symbol: str, fields: "np.void | Sequence[object]") -> SentOrder:
    """What leaves of an order, from its row or the fields that its intent recorded."""
    row = fields if isinstance(fields, np.void) else from_rows([list(fields)], ORDER)[0]
    tif = TimeInForce(int(row["time_in_force"]))
    terms = OrderType(int(row["type"])), float(row["limit_price"]), float(row["stop_price"]), tif
    return SentOrder(
        client_id, int(row["decision"]), float(row["qty"]), int(row["leg"]), symbol, *terms
    )
