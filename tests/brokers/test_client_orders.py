"""Whatever is lost, repeated and shuffled: events and one snapshot give the broker's own book."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.brokers.exchange import Exchange
from tests.tiers import cases
from trader.brokers.broker import BrokerOrder, EventKind
from trader.brokers.client_orders import ClientOrders
from trader.core.schema import OrderStatus


def order(name, qty=10.0, symbol="A"):
    return BrokerOrder(name, symbol, qty)


def traded(seed, steps=25):
    """An exchange after a random day, and the orders that were sent to it."""
    chance, exchange, sent = Random(seed), Exchange(seed, 1000.0), []
    for number in range(steps):
        one = order(f"o{number}", chance.choice([-8.0, 5.0, 10.0]), chance.choice("ABC"))
        sent.append(one)
        exchange.submit(one.order_id, one.symbol, one.qty)
        exchange.trade()
        if chance.random() < 0.3:
            exchange.cancel(chance.choice(sent).order_id)
    return exchange, sent


def followed(sent, events):
    book = ClientOrders(1000.0)
    for one in sent:
        book.submitted(one)
    for event in events:
        book.take(event)
    return book


def state(book):
    return book.positions(), book.cash(), book.orders()


def assert_is(book, exchange):
    theirs = exchange.snapshot()
    assert book.positions() == {name: qty for name, qty in theirs.positions.items() if qty}
    assert book.cash() == theirs.cash
    assert book.orders() == {one.order_id: one for one in theirs.orders}
    assert book.unknown() == ()


@settings(max_examples=cases(400), deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_any_order_and_any_repetition_of_all_events_gives_the_brokers_book(seed, data):
    exchange, sent = traded(seed)
    chance = Random(data.draw(st.integers(0, 10**6)))
    events = exchange.told + chance.choices(exchange.told, k=10)
    chance.shuffle(events)
    assert_is(followed(sent, events), exchange)


@settings(max_examples=cases(400), deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_any_loss_and_one_snapshot_at_any_time_give_the_brokers_book(seed, data):
    exchange, sent = traded(seed, 15)
    chance = Random(data.draw(st.integers(0, 10**6)))
    heard = [event for event in exchange.told if chance.random() < 0.6]
    middle = exchange.snapshot()
    exchange.trade()
    exchange.trade()
    later = exchange.told[middle.seq :]
    events = heard + later + chance.sample(later, len(later) // 2)
    chance.shuffle(events)
    cut = chance.randrange(len(events) + 1)
    book = followed(sent, events[:cut])
    assert book.reconcile(middle) is not None
    for event in events[cut:]:
        book.take(event)
    assert_is(book, exchange)


@settings(max_examples=cases(200), deadline=None)
@given(st.integers(0, 10**6))
def test_with_a_hole_every_open_order_is_unknown_and_every_symbol_blocked(seed):
    exchange, sent = traded(seed, 8)
    hole = Random(seed).randrange(len(exchange.told) - 1)
    book = followed(sent, exchange.told[:hole] + exchange.told[hole + 1 :])
    over = {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED}
    assert {one.status for one in book.orders().values()} <= over | {OrderStatus.UNKNOWN}
    assert book.is_blocked("A")
    assert book.is_blocked("never traded")
    assert book.take(exchange.told[hole])
    assert_is(book, exchange)


def test_an_order_that_no_snapshot_shows_stays_unknown_and_may_still_arrive():
    exchange, book = Exchange(1, 1000.0), ClientOrders(1000.0)
    book.submitted(order("late"))
    assert book.orders()["late"].status == OrderStatus.SUBMITTED
    book.doubt("late")
    assert book.reconcile(exchange.snapshot()).missing == ("late",)
    assert book.orders()["late"].status == OrderStatus.UNKNOWN
    assert (book.is_blocked("A"), book.is_blocked("B")) == (True, False)
    exchange.submit("late", "A", 10.0)
    said = book.reconcile(exchange.snapshot())
    assert (said.confirmed, said.missing, book.unknown()) == (("late",), (), ())


def test_silence_is_doubt_and_an_answer_ends_it():
    exchange, book = Exchange(1, 1000.0), ClientOrders(1000.0)
    book.submitted(order("a"))
    assert book.doubt_unanswered() == ("a",) == book.unknown()
    exchange.submit("a", "A", 10.0)
    for event in exchange.told:
        assert book.take(event)
    assert book.unknown() == () == book.doubt_unanswered()


def test_an_older_snapshot_than_what_is_known_is_refused():
    exchange, book = Exchange(1, 1000.0), ClientOrders(1000.0)
    old = exchange.snapshot()
    book.submitted(order("a"))
    exchange.submit("a", "A", 10.0)
    for event in exchange.told:
        book.take(event)
    book.lose_contact()
    assert book.unknown() == ("a",)
    assert book.reconcile(old) is None
    assert book.unknown() == ("a",)
    assert book.reconcile(exchange.snapshot()).confirmed == ("a",)


def test_one_execution_told_under_two_numbers_fills_once():
    exchange, book = Exchange(1, 1000.0), ClientOrders(1000.0)
    book.submitted(order("a"))
    exchange.submit("a", "A", 10.0)
    exchange.fill("a", 4.0, 12.5)
    events = [event for event in exchange.told if event.kind == EventKind.EXECUTION]
    for event in exchange.told:
        book.take(event)
    before = book.positions(), book.cash()
    assert events
    assert book.take(events[0]._replace(seq=exchange.told[-1].seq + 1))
    assert (book.positions(), book.cash()) == before


def test_what_is_over_can_be_dropped_and_a_repetition_does_not_bring_it_back():
    exchange, sent = traded(3, 40)
    book = followed(sent, exchange.told)
    dropped = book.drop_over()
    assert dropped
    assert not {one.order_id for one in dropped} & set(book.orders())
    before = state(book)
    assert not any(book.take(event) for event in exchange.told)
    assert state(book) == before
    said = book.reconcile(exchange.snapshot())
    assert (said.missing, said.foreign) == ((), ())
    assert state(book) == before


def test_an_order_of_the_broker_that_was_never_sent_from_here_is_named():
    exchange, book = Exchange(1, 1000.0), ClientOrders(1000.0)
    exchange.submit("by hand", "A", 10.0)
    exchange.fill("by hand", 4.0, 12.5)
    assert book.reconcile(exchange.snapshot()).foreign == ("by hand",)
    assert (book.positions(), book.cash()) == ({"A": 4.0}, exchange.cash)
