"""Seeded sessions through the gate and over a bad line to a process with a book of its own."""

import os
from random import Random

import pytest

from tests.brokers.socket_broker import SocketBroker, exchange_process
from tests.safety_kit import open_gate
from trader.brokers.client_orders import ClientOrders
from trader.core.schema import OrderStatus
from trader.engine.surroundings import SentOrder
from trader.safety import gate as gates

SYMBOLS, CASH, STEPS = "ABC", 10_000.0, 14
FRESH = int(os.environ.get("TRADER_BROKER_SEED", "0"))


class Trader:
    """Sends through the gate, follows events, and reconciles what is UNKNOWN before it goes on."""

    def __init__(self, broker, gate, chance):
        self.broker, self.gate, self.chance = broker, gate, chance
        self.book, self.sent, self.doubts = ClientOrders(CASH), {}, set()

    def step(self, number):
        self.listen()
        symbol = self.chance.choice(SYMBOLS)
        if self.book.is_blocked(symbol):
            self.reconcile()
        if not self.book.is_blocked(symbol):
            qty = float(self.chance.choice([-9, -4, 3, 10]))
            self.send(SentOrder(f"o{number}", number, qty, 0, symbol))
        if self.sent and self.chance.random() < 0.3:
            self.tried(self.broker.cancel, self.chance.choice(list(self.sent)))
        if self.chance.random() < 0.2:
            self.book.doubt_unanswered()

    def send(self, order):
        is_new = order.order_id not in self.sent
        self.book.submitted(order)
        passage = self.gate.send(order, self.broker)
        if passage.outcome == gates.ABORTED:
            if is_new:
                self.book.withdraw(order.order_id)
            return
        self.sent[order.order_id] = order
        self.doubts.discard(order.order_id)
        if passage.outcome == gates.UNKNOWN:
            self.doubts.add(order.order_id)
            self.book.doubt(order.order_id)
            self.book.lose_contact()

    def listen(self):
        for event in self.tried(self.broker.events) or ():
            self.book.take(event)

    def tried(self, ask, *args):
        try:
            return ask(*args)
        except ConnectionError:
            self.book.lose_contact()

    def reconcile(self):
        """From a snapshot. A failed hand-over that it does not show is sent again, under its id."""
        shown = self.tried(self.broker.snapshot)
        said = shown and self.book.reconcile(shown)
        if said is None:
            return
        for name in sorted(self.doubts):
            self.gate.reconciled(name, name not in said.missing)
        self.doubts &= set(said.missing)
        for name in sorted(self.doubts):  # what the gate let out for certain is waited for
            self.send(self.sent[name])


def play(seed, port, home):
    chance, broker = Random(seed), SocketBroker(port)
    broker.ask("begin", seed, CASH)
    killed_at = chance.randrange(STEPS) if chance.random() < 0.4 else None
    with open_gate(home, f"r{seed}") as (lease, gate):
        trader = Trader(broker, gate, chance)
        for number in range(STEPS):
            if number == killed_at:
                lease.trip("SYSTEM_ERROR", "the kill of a test", everything=False)
                submits = broker.submits
            trader.step(number)
        trader.tried(broker.ask, "calm")
        trader.listen()
        trader.reconcile()
        trader.listen()
        trader.reconcile()
        if killed_at is not None:
            assert broker.submits == submits, "sent after the kill"
        check(trader, broker.ask("book"), killed_at)
    broker.close()
    return broker.cuts


def check(trader, raw, killed_at):
    theirs, book = SocketBroker.parsed(raw), trader.book
    assert book.positions() == {name: qty for name, qty in theirs.positions.items() if qty}
    assert book.cash() == theirs.cash
    orders = book.orders()
    there = {one.order_id: one for one in theirs.orders}
    assert {name: orders[name] for name in there} == there
    lost = set(trader.sent) - set(there)
    assert {orders[name].status for name in lost} <= {OrderStatus.UNKNOWN}
    assert killed_at is not None or not lost
    for name, order in trader.sent.items():  # none doubled: one id is one order of its size
        if name in there:
            assert (there[name].symbol, there[name].qty) == (order.symbol, order.qty)
            assert abs(there[name].filled_qty) <= abs(order.qty)
    assert set(there) <= set(trader.sent)


def play_all(seeds, home):
    with exchange_process() as port:
        return sum(play(seed, port, home) for seed in seeds)


@pytest.mark.process
def test_sessions_over_a_bad_line_end_with_the_brokers_own_book(trader_home):
    assert play_all(range(20), trader_home) > 20  # the line did break


@pytest.mark.trials
@pytest.mark.process
def test_two_thousand_sessions(trader_home):
    assert play_all(range(FRESH + 1000, FRESH + 3000), trader_home) > 2000
