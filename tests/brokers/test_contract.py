"""What every adapter must pass: the port and `ClientOrders` against the broker's own book.

A new adapter gives a `rig`: a broker of its own kind with the faults of `Rig` at will.
"""

from contextlib import contextmanager

import pytest

from tests.brokers.socket_broker import SocketBroker, exchange_process
from trader.brokers.broker import AccountSnapshot, BrokerOrder, EventKind
from trader.brokers.client_orders import ClientOrders
from trader.brokers.simulated import SimulatedBroker
from trader.core.schema import OrderStatus

pytestmark = pytest.mark.process
CASH = 1000.0


class Rig:
    """The socket adapter, its exchange with faults to order, and the client's book."""

    def __init__(self, port):
        self.broker, self.book = SocketBroker(port), ClientOrders(CASH)
        self.broker.ask("begin", 1, CASH)
        self.script(hold=False)

    def script(self, **faults):
        """Faults from here on: `hold`, `silent`, `backwards`, `repeat`, `cut before`/`after`."""
        self.broker.ask("script", {name.replace("_", " "): value for name, value in faults.items()})

    def fill(self, name, size, price=10.0):
        self.broker.ask("fill", name, size, price)

    def send(self, name, symbol="A", qty=10.0):
        order = BrokerOrder(name, symbol, qty)
        self.book.submitted(order)
        self.broker.submit(order)

    def listen(self):
        events = self.broker.events()
        return [event.kind for event in events if self.book.take(event)]

    def status(self, name):
        return self.book.orders()[name].status

    def restart(self, *sent):
        """Another process of ours: it knows what it had on record as sent, and nothing else."""
        self.broker.close()
        self.book = ClientOrders()
        for name in sent:
            self.book.submitted(BrokerOrder(name, "A", 10.0))
            self.book.doubt(name)

    def assert_is_the_brokers_own(self):
        theirs = SocketBroker.parsed(self.broker.ask("book"))
        assert self.book.positions() == {name: qty for name, qty in theirs.positions.items() if qty}
        assert self.book.cash() == theirs.cash
        assert self.book.orders() == {one.order_id: one for one in theirs.orders}


@pytest.fixture(scope="module")
def port():
    with exchange_process() as found:
        yield found


@pytest.fixture
def rig(port):
    made = Rig(port)
    yield made
    made.broker.close()


def test_an_order_is_acknowledged(rig):
    rig.send("a")
    assert rig.listen() == [EventKind.ACK]
    assert rig.status("a") == OrderStatus.WORKING
    rig.assert_is_the_brokers_own()


def test_a_rejected_order_is_over_and_moves_nothing(rig):
    rig.send("a", "HALTED")
    assert rig.listen() == [EventKind.REJECT]
    assert (rig.status("a"), rig.book.cash()) == (OrderStatus.REJECTED, CASH)
    rig.assert_is_the_brokers_own()


def test_partial_fills_add_up(rig):
    rig.send("a")
    rig.fill("a", 4.0)
    rig.listen()
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.PARTLY_FILLED, {"A": 4.0})
    rig.fill("a", 6.0, 12.0)
    rig.listen()
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.FILLED, {"A": 10.0})
    rig.assert_is_the_brokers_own()


def test_a_fill_before_its_acknowledgement_counts(rig):
    rig.script(silent=True)
    rig.send("a")
    rig.fill("a", 10.0)
    rig.script(silent=False, backwards=True)
    assert rig.listen() == [EventKind.EXECUTION, EventKind.ACK]
    rig.assert_is_the_brokers_own()


def test_a_cancel_that_loses_the_race_leaves_the_fill(rig):
    rig.send("a")
    rig.fill("a", 10.0)
    rig.broker.cancel("a")
    assert EventKind.CANCEL_REFUSED in rig.listen()
    assert rig.status("a") == OrderStatus.FILLED
    rig.assert_is_the_brokers_own()


def test_a_cancel_in_time_keeps_what_was_filled_also_told_backwards(rig):
    rig.script(silent=True)
    rig.send("a")
    rig.fill("a", 3.0)
    rig.broker.cancel("a")
    rig.script(silent=False, backwards=True)
    assert rig.listen() == [EventKind.CANCELLED, EventKind.EXECUTION, EventKind.ACK]
    assert rig.book.orders()["a"][3:5] == (3.0, OrderStatus.CANCELLED)
    rig.assert_is_the_brokers_own()


def test_repeated_events_count_once(rig):
    rig.script(repeat=True)
    rig.send("a")
    rig.fill("a", 4.0)
    assert rig.listen() == [EventKind.ACK, EventKind.EXECUTION]
    assert rig.listen() == []
    rig.assert_is_the_brokers_own()


def test_one_id_sent_twice_is_one_order(rig):
    rig.send("a")
    rig.send("a")
    rig.listen()
    theirs = SocketBroker.parsed(rig.broker.ask("book"))
    assert [one.order_id for one in theirs.orders] == ["a"]
    rig.assert_is_the_brokers_own()


def test_after_a_restart_the_snapshot_speaks_and_old_events_change_nothing(rig):
    rig.send("a")
    rig.fill("a", 4.0)
    rig.restart("a")
    assert rig.book.is_blocked("A")
    assert rig.book.reconcile(rig.broker.snapshot()).confirmed == ("a",)
    assert not rig.book.is_blocked("A")
    rig.script(repeat=True)
    rig.fill("a", 6.0)
    assert rig.listen() == [EventKind.EXECUTION]  # the new one alone
    rig.assert_is_the_brokers_own()


def test_silence_is_unknown_until_the_snapshot_shows_the_order(rig):
    rig.script(hold=True)
    rig.send("a")
    assert (rig.listen(), rig.book.doubt_unanswered()) == ([], ("a",))
    assert rig.book.is_blocked("A")
    rig.broker.ask("calm")  # what was under way arrives
    assert rig.book.reconcile(rig.broker.snapshot()).confirmed == ("a",)
    assert not rig.book.is_blocked("A")
    rig.assert_is_the_brokers_own()


@pytest.mark.parametrize("moment", ["cut before", "cut after"])
def test_a_break_between_send_and_answer_is_unknown_and_ends_in_one_order(rig, moment):
    rig.script(**{moment: True})
    with pytest.raises(ConnectionError):
        rig.send("a")
    rig.book.doubt("a")
    rig.book.lose_contact()
    assert (rig.status("a"), rig.book.is_blocked("B")) == (OrderStatus.UNKNOWN, True)
    said = rig.book.reconcile(rig.broker.snapshot())
    if moment == "cut before":
        assert (said.missing, rig.book.is_blocked("A")) == (("a",), True)
        rig.send("a")
        rig.listen()
    else:
        assert (said.confirmed, said.missing) == (("a",), ())
    assert (rig.status("a"), rig.book.is_blocked("A")) == (OrderStatus.WORKING, False)
    rig.assert_is_the_brokers_own()


# The simulated broker: it answers at once and never fails, its fills are rows of the core.


@contextmanager
def simulated():
    broker = SimulatedBroker(iter(range(7, 99)).__next__)
    book = ClientOrders()
    order = BrokerOrder("a", "A", 10.0)
    book.submitted(order)
    broker.submit(order)
    yield broker, book


def test_the_simulated_broker_acknowledges_at_once_and_tells_it_once():
    with simulated() as (broker, book):
        told = broker.events()
        assert [(event.seq, event.kind) for event in told] == [(1, EventKind.ACK)]
        assert all(book.take(event) for event in told)
        assert (broker.sent_ns, broker.events(), book.unknown()) == (7, [], ())
        assert book.orders()["a"].status == OrderStatus.WORKING


def test_the_simulated_broker_shows_the_cores_book_and_none_before_there_is_one():
    with simulated() as (broker, book):
        with pytest.raises(ConnectionError, match="no book yet"):
            broker.snapshot()
        part = BrokerOrder("a", "A", 10.0, 4.0, OrderStatus.PARTLY_FILLED)
        broker.account = lambda: AccountSnapshot(0, (part,), {"A": 4.0}, 960.0)
        book.doubt("a")
        assert book.reconcile(broker.snapshot()).confirmed == ("a",)
        assert (book.positions(), book.cash(), book.orders()) == ({"A": 4.0}, 960.0, {"a": part})
