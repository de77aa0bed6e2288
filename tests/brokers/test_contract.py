"""What every adapter must pass: the port and `ClientOrders` against the broker's own book.

A third adapter joins with one class beside `SocketRig` and one row in `ADAPTERS`. A rig has a
`broker`, a `book` (ClientOrders), and does what its methods say; `can` names the situations that it
can bring about, and a test that needs one asks for it with `needs`:

    tells     events say what is filled and how an order ends; else `learn` asks for a snapshot
    rejects   an order in the symbol HALTED is refused
    faults    `script(hold, silent, backwards, repeat, cut_before, cut_after)`
"""

from contextlib import contextmanager

import pytest

from tests.brokers.socket_broker import SocketBroker, exchange_process
from tests.core_kit import always_open, flat_bars, make_inputs, make_rules
from trader.brokers.broker import BrokerOrder, EventKind
from trader.brokers.client_orders import ClientOrders
from trader.brokers.simulated import SimulatedBroker
from trader.core.schema import OrderStatus, Reason
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine
from trader.jobs.paper.desk import account_of

pytestmark = pytest.mark.process
CASH = 1000.0
needs = pytest.mark.needs


class Rig:
    """What the tests ask of any adapter, besides its faults."""

    can = frozenset()
    broker, book = None, None

    def send(self, name, symbol="A", qty=10.0):
        """Hand an order over, as the run does."""
        order = BrokerOrder(name, symbol, qty)
        self.book.submitted(order)
        self.broker.submit(order)

    def listen(self):
        """Kinds of the events that were news."""
        return [event.kind for event in self.broker.events() if self.book.take(event)]

    def learn(self):
        """Take in what has happened, in the way this adapter tells it."""
        self.listen()
        if "tells" not in self.can:
            assert self.book.reconcile(self.broker.snapshot()) is not None

    def send_again(self, name, symbol="A", qty=10.0):
        """The same order under the same id, as after a hand-over that failed."""
        Rig.send(self, name, symbol, qty)

    def status(self, name):
        return self.book.orders()[name].status

    def restart(self, *sent):
        """Another process of ours: it knows what it had on record as sent, and nothing else."""
        self.book = ClientOrders()
        for name in sent:
            self.book.submitted(BrokerOrder(name, "A", 10.0))
            self.book.doubt(name)

    def close(self):
        self.broker.close()


class SocketRig(Rig):
    """The socket adapter, and its exchange with faults to order."""

    can = frozenset({"tells", "rejects", "faults"})

    def __init__(self, port):
        self.broker, self.book = SocketBroker(port), ClientOrders(CASH)
        self.broker.ask("begin", 1, CASH)
        self.script(hold=False)

    def script(self, **faults):
        """Faults from here on: `hold`, `silent`, `backwards`, `repeat`, `cut before`/`after`."""
        self.broker.ask("script", {name.replace("_", " "): value for name, value in faults.items()})

    def fill(self, name, size, price=10.0):
        """Of an order so much is filled."""
        self.broker.ask("fill", name, size, price)

    def restart(self, *sent):
        self.broker.close()
        super().restart(*sent)

    def own(self):
        """The broker's own book."""
        return SocketBroker.parsed(self.broker.ask("book"))

    @classmethod
    @contextmanager
    def opened(cls):
        with exchange_process() as port:
            yield lambda: cls(port)


class SimulatedRig(Rig):
    """The simulated broker in front of a real core, whose bars fill what is asked for."""

    def __init__(self):
        self.book, self.symbols, self.names = ClientOrders(CASH), ("A",), {}
        sessions = always_open(int(flat_bars([10.0])["ts_ns"][0]), 2**62)[:400]
        rules = make_rules(sessions, cash=CASH, base_size=10.0, max_fill_participation=1.0)
        self.engine, self.count = SliceEngine(rules, RowKeeper(0)), 0
        self.connect()

    def connect(self):
        self.broker = SimulatedBroker(iter(range(7, 999)).__next__)
        self.broker.account = lambda: account_of(self)

    def client_id(self, order_id):
        return self.names[order_id]

    def bar(self, action, price, volume):
        self.count += 1
        bars = flat_bars([price] * self.count, volume=volume)[-1:]
        self.engine.take(make_inputs(bars, action))

    def send(self, name, symbol="A", qty=10.0):
        """A decision of the core, through the gate."""
        self.bar("B", 10.0, 1.0)

        def gate(order):
            self.names[int(order["order_id"])] = name
            super(SimulatedRig, self).send(name, symbol, float(order["qty"]))
            return Reason.NONE

        self.engine.pass_gate(gate)

    def fill(self, name, size, price=10.0):
        self.bar(".", price, size)
        self.engine.pass_gate()

    def restart(self, *sent):
        """The core's book is kept, and the adapter is a new one."""
        self.connect()
        super().restart(*sent)

    def own(self):
        return account_of(self)

    @classmethod
    @contextmanager
    def opened(cls):
        yield cls


ADAPTERS = {"socket": SocketRig, "simulated": SimulatedRig}


def pytest_generate_tests(metafunc):
    if "rig" in metafunc.fixturenames:
        asked = {word for mark in metafunc.definition.iter_markers("needs") for word in mark.args}
        able = [name for name, kind in ADAPTERS.items() if asked <= kind.can]
        metafunc.parametrize("rig", able, indirect=True)


@pytest.fixture(scope="module")
def makers():
    with SocketRig.opened() as socket_rig, SimulatedRig.opened() as simulated_rig:
        yield {"socket": socket_rig, "simulated": simulated_rig}


@pytest.fixture
def rig(request, makers):
    made = makers[request.param]()
    yield made
    made.close()


def assert_is_the_brokers_own(rig):
    theirs = rig.own()
    assert rig.book.positions() == {name: qty for name, qty in theirs.positions.items() if qty}
    assert rig.book.cash() == theirs.cash
    assert rig.book.orders() == {one.order_id: one for one in theirs.orders}


def test_the_snapshot_has_an_open_order_and_what_it_filled(rig):
    rig.send("a")
    rig.listen()
    rig.fill("a", 4.0)
    assert rig.book.reconcile(rig.broker.snapshot()) is not None
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.PARTLY_FILLED, {"A": 4.0})
    assert_is_the_brokers_own(rig)


def test_a_restart_adopts_what_was_sent_from_the_snapshot(rig):
    rig.send("a")
    rig.fill("a", 3.0)
    rig.restart("a")
    assert rig.book.is_blocked("A")
    assert rig.book.reconcile(rig.broker.snapshot()).confirmed == ("a",)
    assert not rig.book.is_blocked("A")
    assert_is_the_brokers_own(rig)


def test_an_order_is_acknowledged(rig):
    rig.send("a")
    assert rig.listen() == [EventKind.ACK]
    assert rig.status("a") == OrderStatus.WORKING
    assert_is_the_brokers_own(rig)


@needs("tells", "rejects")
def test_a_rejected_order_is_over_and_moves_nothing(rig):
    rig.send("a", "HALTED")
    assert rig.listen() == [EventKind.REJECT]
    assert (rig.status("a"), rig.book.cash()) == (OrderStatus.REJECTED, CASH)
    assert_is_the_brokers_own(rig)


def test_partial_fills_add_up(rig):
    rig.send("a")
    rig.fill("a", 4.0)
    rig.learn()
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.PARTLY_FILLED, {"A": 4.0})
    rig.fill("a", 3.0, 12.0)
    rig.learn()
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.PARTLY_FILLED, {"A": 7.0})
    assert rig.book.cash() < CASH - 70.0
    assert_is_the_brokers_own(rig)


@needs("tells")
def test_the_last_fill_ends_the_order(rig):
    rig.send("a")
    rig.fill("a", 4.0)
    rig.fill("a", 6.0, 12.0)
    rig.listen()
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.FILLED, {"A": 10.0})
    assert_is_the_brokers_own(rig)


@needs("tells", "faults")
def test_a_fill_before_its_acknowledgement_counts(rig):
    rig.script(silent=True)
    rig.send("a")
    rig.fill("a", 10.0)
    rig.script(silent=False, backwards=True)
    assert rig.listen() == [EventKind.EXECUTION, EventKind.ACK]
    assert_is_the_brokers_own(rig)


@needs("tells")
def test_a_cancel_that_loses_the_race_leaves_the_fill(rig):
    rig.send("a")
    rig.fill("a", 10.0)
    rig.broker.cancel("a")
    assert EventKind.CANCEL_REFUSED in rig.listen()
    assert rig.status("a") == OrderStatus.FILLED
    assert_is_the_brokers_own(rig)


@needs("tells", "faults")
def test_a_cancel_in_time_keeps_what_was_filled_also_told_backwards(rig):
    rig.script(silent=True)
    rig.send("a")
    rig.fill("a", 3.0)
    rig.broker.cancel("a")
    rig.script(silent=False, backwards=True)
    assert rig.listen() == [EventKind.CANCELLED, EventKind.EXECUTION, EventKind.ACK]
    assert rig.book.orders()["a"][3:5] == (3.0, OrderStatus.CANCELLED)
    assert_is_the_brokers_own(rig)


@needs("tells", "faults")
def test_repeated_events_count_once(rig):
    rig.script(repeat=True)
    rig.send("a")
    rig.fill("a", 4.0)
    assert rig.listen() == [EventKind.ACK, EventKind.EXECUTION]
    assert rig.listen() == []
    assert_is_the_brokers_own(rig)


def test_one_id_sent_twice_is_one_order(rig):
    rig.send("a")
    rig.send_again("a")
    rig.learn()
    assert [one.order_id for one in rig.own().orders] == ["a"]
    assert_is_the_brokers_own(rig)


def test_a_fill_after_a_restart_adds_to_those_before_it(rig):
    rig.send("a")
    rig.learn()
    rig.fill("a", 4.0)
    rig.restart("a")
    assert rig.book.reconcile(rig.broker.snapshot()).confirmed == ("a",)
    rig.fill("a", 2.0, 12.0)
    rig.learn()
    assert (rig.status("a"), rig.book.positions()) == (OrderStatus.PARTLY_FILLED, {"A": 6.0})
    rig.send_again("a")  # a late repetition changes nothing
    rig.learn()
    assert_is_the_brokers_own(rig)


@needs("tells", "faults")
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
    assert_is_the_brokers_own(rig)


@needs("faults")
def test_silence_is_unknown_until_the_snapshot_shows_the_order(rig):
    rig.script(hold=True)
    rig.send("a")
    assert (rig.listen(), rig.book.doubt_unanswered()) == ([], ("a",))
    assert rig.book.is_blocked("A")
    rig.broker.ask("calm")  # what was under way arrives
    assert rig.book.reconcile(rig.broker.snapshot()).confirmed == ("a",)
    assert not rig.book.is_blocked("A")
    assert_is_the_brokers_own(rig)


@needs("faults")
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
    assert_is_the_brokers_own(rig)


def test_the_simulated_broker_answers_once_and_has_no_book_before_the_core_is_there():
    broker = SimulatedBroker(iter([7]).__next__)
    broker.submit(BrokerOrder("a", "A", 10.0))
    assert [(event.seq, event.kind) for event in broker.events()] == [(1, EventKind.ACK)]
    assert (broker.sent_ns, broker.events()) == (7, [])
    with pytest.raises(ConnectionError, match="no book yet"):
        broker.snapshot()
