"""A broker of the tests: its own book, and, as a process, a socket that drops, delays, repeats and
reorders by seed. `python -m tests.brokers.exchange` prints its port."""

import contextlib
import json
import socket
import sys
from random import Random

from trader.brokers.broker import (
    AccountSnapshot,
    BrokerEvent,
    BrokerOrder,
    EventKind,
    Execution,
)
from trader.core.schema import OrderStatus, OrderType

OPEN = (OrderStatus.WORKING, OrderStatus.PARTLY_FILLED)


class Exchange:
    """Orders, positions and cash. Prices are quarters and sizes whole: its sums are exact."""

    def __init__(self, seed, cash, refused=0.1):
        self.chance, self.cash, self.refused = Random(seed), cash, refused
        self.orders, self.positions, self.told, self.executions = {}, {}, [], []
        self.arrivals = []  # ids, with every repetition

    def submit(self, order_id, symbol, qty, *terms):
        self.arrivals.append(order_id)
        if order_id in self.orders:
            return  # one id is one order
        is_refused = symbol == "HALTED" or self.chance.random() < self.refused
        status = OrderStatus.REJECTED if is_refused else OrderStatus.WORKING
        self.orders[order_id] = BrokerOrder(order_id, symbol, qty, 0.0, status, *terms)
        self._tell(EventKind.REJECT if is_refused else EventKind.ACK, order_id)

    def cancel(self, order_id):
        order = self.orders.get(order_id)
        if order is None:
            return
        if order.status not in OPEN:
            self._tell(EventKind.CANCEL_REFUSED, order_id)
            return
        self.orders[order_id] = order._replace(status=OrderStatus.CANCELLED)
        self._tell(EventKind.CANCELLED, order_id, order.filled_qty)

    def trade(self):
        """Some of what is open is filled, in part or whole."""
        for name, order in list(self.orders.items()):
            if order.status in OPEN and self.chance.random() < 0.4:
                size, price = float(self.chance.randint(1, 6)), self.chance.randint(40, 400) / 4
                self.fill(name, size, price)

    def fill(self, name, size, price):
        order = self.orders[name]
        if order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            best = min if order.qty > 0 else max
            price = best(price, order.limit_price)
        side = 1.0 if order.qty > 0 else -1.0
        qty = side * min(size, abs(order.qty - order.filled_qty))
        filled, fee = order.filled_qty + qty, 0.25
        status = OrderStatus.FILLED if filled == order.qty else OrderStatus.PARTLY_FILLED
        self.orders[name] = order._replace(filled_qty=filled, status=status)
        self.positions[order.symbol] = self.positions.get(order.symbol, 0.0) + qty
        self.cash -= qty * price + fee
        key = f"x{len(self.executions)}"
        self.executions.append(Execution(key, name, order.symbol, qty, price, fee))
        self._tell(EventKind.EXECUTION, name, qty, price, fee, key)

    def snapshot(self):
        orders, fills = tuple(self.orders.values()), tuple(self.executions)
        return AccountSnapshot(len(self.told), orders, dict(self.positions), self.cash, fills)

    def _tell(self, kind, name, *rest):
        symbol = self.orders[name].symbol
        self.told.append(BrokerEvent(len(self.told) + 1, kind, name, symbol, *rest))


class Wire:
    """The bad line in front of an exchange: one request, one line of events or a broken socket."""

    def __init__(self, seed, cash):
        self.exchange, self.chance = Exchange(seed, cash), Random(seed + 1)
        self.held, self.outbox, self.posted, self.is_calm = [], [], 0, False
        self.script = {}  # faults asked for: see `tests/brokers/test_contract.py`

    def answer(self, request):
        """The reply; None to break the connection instead."""
        verb, *rest = request
        if verb == "calm":  # from here on the line is good, and what was under way arrives
            self.is_calm = True
            self._deliver(1.0)
        elif verb == "script":
            self.script |= rest[0]
            self.is_calm, self.exchange.refused = True, 0.0
            return []
        elif verb == "fill":
            self.exchange.fill(*rest)
            return []
        elif verb == "book":
            return self._book()
        elif self.script.pop("cut before", False) or self._chance(0.08):
            return None  # never arrived
        elif verb in ("submit", "cancel") and (self.script.get("hold") or self._chance(0.15)):
            self.held.append((verb, rest))  # arrives later
        elif verb in ("submit", "cancel"):
            getattr(self.exchange, verb)(*rest)
        self._deliver(0.3)
        if verb == "poll" and not self.script:
            self.exchange.trade()
        self._post()
        if self.script.pop("cut after", False) or self._chance(0.08):
            return None  # done, and the answer is lost
        return self._book() if verb == "snapshot" else self._due()

    def _chance(self, share):
        return not self.is_calm and self.chance.random() < share

    def _deliver(self, share):
        waiting, self.held = self.held, []
        for verb, rest in waiting:
            if self.chance.random() < share:
                getattr(self.exchange, verb)(*rest)
            else:
                self.held.append((verb, rest))

    def _post(self):
        for event in self.exchange.told[self.posted :]:
            if not self._chance(0.1):  # else lost
                self.outbox += [event] * (1 + self._chance(0.2))
        self.posted = len(self.exchange.told)

    def _due(self):
        if self.script.get("silent"):
            return []
        if self.script.get("backwards"):
            self.outbox.reverse()
        if self.script.get("repeat"):
            return self.exchange.told + self.outbox
        if not self.is_calm:
            self.chance.shuffle(self.outbox)
        keep = len(self.outbox) // 3 if self._chance(0.5) else 0
        due, self.outbox = self.outbox[keep:], self.outbox[:keep]
        return due

    def _book(self):
        return [*self.exchange.snapshot(), self.exchange.arrivals]


def serve():
    """One session after the other: each begins with `["begin", seed, cash]`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        wire = None
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError), connection, connection.makefile("rw") as lines:
                for line in lines:  # a client that is killed breaks off
                    request = json.loads(line)
                    if request[0] == "begin":
                        wire, said = Wire(*request[1:]), []
                    else:
                        said = wire.answer(request)
                    if said is None:
                        break
                    lines.write(json.dumps(said) + "\n")
                    lines.flush()


if __name__ == "__main__":
    sys.exit(serve())
