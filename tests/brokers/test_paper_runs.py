"""`trader paper` at a broker outside: a start asks for the account before anything is sent."""

import os

import pytest

from tests.brokers.paper_runs import DIED, Session, installed_here
from tests.brokers.socket_broker import exchange_process
from tests.core_kit import always_open, make_rules
from trader.engine.broker_engine import warm_up_outside
from trader.engine.sliceengine import warm_up
from trader.journal.store import read_records

pytestmark = pytest.mark.process
FRESH = int(os.environ.get("TRADER_BROKER_SEED", "0"))
SENT = ("after_send", 1, "sigkill")  # the order has left, and is not on record as sent
NOT_ENDED = ("", 0, "")


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    installed_here(tmp_path_factory.mktemp("site"))
    rules = make_rules(always_open(0, 1))
    warm_up(rules)  # and each life is a fork of this
    warm_up_outside(rules)
    with exchange_process() as found:
        yield found


@pytest.fixture
def calm(port, tmp_path):
    """A session over a line that never fails."""
    session = Session(tmp_path / "run", port, 3)
    session.ask("script", {})
    return session


def kinds(session):
    return [record.type for record in read_records(session.journal)]


def told(session, kind):
    return [record.data for record in read_records(session.journal) if record.type == kind]


def sent(session):
    path = session.folder / "sent.log"
    return path.read_text().split() if path.exists() else []


def test_a_start_adopts_an_order_that_left_before_the_crash_and_what_it_filled(calm):
    assert calm.live(SENT) == DIED
    assert "ORDER_SENT" not in kinds(calm)
    (name,) = sent(calm)
    calm.ask("fill", name, 2.0, 50.25)
    assert calm.live(NOT_ENDED) == 0, calm.error()
    assert sent(calm).count(name) == 1, "it had arrived, and is not sent again"
    assert [data["client_order_id"] for data in told(calm, "ORDER_UNKNOWN")][:1] == [name]
    (ack,) = [data for data in told(calm, "ORDER_ACK") if data["client_order_id"] == name]
    assert ack["adopted"] is True
    fill = told(calm, "FILL")[0]
    assert (fill["client_order_id"], abs(fill["qty"]), fill["price"]) == (name, 2.0, 50.25)
    assert fill["source"] == "broker"
    assert len(told(calm, "RECONCILED")) >= 2
    calm.judged(2, 0)


def test_a_start_sends_again_what_never_arrived_while_its_bar_is_the_newest(calm):
    assert calm.live(("before_send", 1, "sigkill")) == DIED
    assert sent(calm) == []
    (intent,) = told(calm, "ORDER_INTENT")[:1]
    assert calm.live(NOT_ENDED) == 0, calm.error()
    (again,) = [data for data in told(calm, "ORDER_SENT") if data.get("resend")]
    assert again["client_order_id"] == intent["client_order_id"]
    calm.judged(2, 0)


def test_a_position_that_nothing_explains_refuses_the_start_and_sends_nothing(calm):
    assert calm.live(SENT) == DIED
    before, records = sent(calm), len(kinds(calm))
    calm.ask("submit", "by hand", "A", 10.0)
    calm.ask("fill", "by hand", 10.0, 12.5)
    assert calm.live(NOT_ENDED) == 8
    assert "A: 10 at the broker, 0 on record" in calm.error()
    assert "cash: " in calm.error()
    assert sent(calm) == before
    assert set(kinds(calm)[records:]) <= {"RUN_RESUME", "ORDER_UNKNOWN"}


def test_an_open_order_that_is_not_the_runs_refuses_the_start(calm):
    calm.ask("submit", "by hand", "A", 10.0)
    assert calm.live(NOT_ENDED) == 8
    assert "order by hand is open there, and not this run's" in calm.error()
    assert sent(calm) == []


def test_a_new_run_needs_the_cash_of_the_config(port, tmp_path):
    session = Session(tmp_path / "run", port, 3)
    session.ask("begin", 3, 5000.0)
    session.ask("script", {})
    assert session.live(NOT_ENDED) == 8
    assert "cash: 5000 at the broker, 100000 on record" in session.error()


def test_a_broker_that_cannot_be_asked_refuses_the_start(calm):
    text = (calm.folder / "outside.yaml").read_text()
    (calm.folder / "outside.yaml").write_text(text.replace(f"port: {calm.port}", "port: 1"))
    assert calm.live(NOT_ENDED) == 1
    assert "the broker does not show its account" in calm.error()


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("exits.stop_loss", "exits: {stop_loss: {type: percent, value: 2}}\n"),
        ("broker.options.nonsense", None),
    ],
)
def test_what_a_broker_outside_does_not_do_is_a_config_error(calm, key, line):
    path = calm.folder / "outside.yaml"
    text = path.read_text()
    path.write_text(text + line if line else text.replace("{port:", "{nonsense: 1, port:"))
    assert calm.live(NOT_ENDED) == 3
    assert key in calm.error()


def test_runs_cut_off_over_a_bad_line_end_with_the_brokers_own_book(port, tmp_path):
    seen = [Session(tmp_path / str(seed), port, seed).play() for seed in range(100, 103)]
    assert sum(one.lives for one in seen) > 3
    assert sum(one.fills for one in seen) > 0


@pytest.mark.trials
def test_two_hundred_runs_cut_off_over_a_bad_line(port, tmp_path):
    for seed in range(FRESH + 1000, FRESH + 1200):
        Session(tmp_path / str(seed), port, seed).play()
