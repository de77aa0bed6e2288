"""The gate: check and send are one step."""

import fcntl
import os
import threading
from contextlib import contextmanager

import pytest

from tests.safety_kit import FakeOrder, ListBroker, open_gate
from trader.core.schema import Reason
from trader.safety import barrier, gate, latch, pending, registry, statedir


def send(gate, broker, *ids):
    return [gate.send(FakeOrder(order_id), broker) for order_id in ids]


def run_of(home, run_id="r1"):
    return registry.Run(str(home), run_id)


def test_open_gate_sends_and_says_how_long_it_was_held(trader_home):
    broker = ListBroker()
    with open_gate(trader_home) as (_, opened):
        (passage,) = send(opened, broker, "a")
    assert passage[:3] == (gate.SENT, "NONE", "")
    assert passage.held_ns > 0
    assert broker.sent == ["a"]


CHANNELS = {
    "page byte": lambda folder: _poke(folder, 0, b"\7"),
    "page checksum": lambda folder: _poke(folder, 78, b"\xaa"),
    "page cut": lambda folder: os.truncate(os.path.join(folder, latch.PAGE), 100),
    "page emptied": lambda folder: os.truncate(os.path.join(folder, latch.PAGE), 0),
    "page grown": lambda folder: os.truncate(os.path.join(folder, latch.PAGE), 5000),
    "permit gone": lambda folder: os.unlink(os.path.join(folder, latch.PERMIT)),
    "halt touched": lambda folder: open(os.path.join(folder, latch.HALT), "x").close(),
    "halt a dangling link": lambda folder: os.symlink("/none", os.path.join(folder, latch.HALT)),
    "halt a folder": lambda folder: os.mkdir(os.path.join(folder, latch.HALT)),
    "folder gone": lambda folder: os.rename(folder, f"{folder}.gone"),
}


def _poke(folder, at, data):
    with open(os.path.join(folder, latch.PAGE), "r+b") as file:
        file.seek(at)
        file.write(data)


# A run's folder that is moved away takes its own latch along; the state folder's stays.
CASES = [(channel, scope) for channel in CHANNELS for scope in ("everything", "run")]
CASES.remove(("folder gone", "run"))


@pytest.mark.parametrize(("channel", "scope"), CASES)
def test_each_channel_alone_stops_at_once_and_for_good(tmp_path, channel, scope):
    home = tmp_path / "home"
    broker = ListBroker()
    with open_gate(home) as (lease, opened):
        folder = str(home) if scope == "everything" else lease.folder
        send(opened, broker, "a")
        CHANNELS[channel](folder)
        (passage,) = send(opened, broker, "b")
        assert passage[:2] == (gate.ABORTED, "KILLED")
        assert passage.detail
        if channel == "permit gone":  # putting it back opens nothing in this process
            open(os.path.join(folder, latch.PERMIT), "x").close()
        assert send(opened, broker, "c")[0].reason == "KILLED"
    assert broker.sent == ["a"]


def test_run_folder_deleted_under_a_runner_halts_it(trader_home):
    import shutil

    broker = ListBroker()
    with open_gate(trader_home) as (lease, opened):
        shutil.rmtree(lease.folder)
        assert send(opened, broker, "a")[0].reason == "KILLED"


def test_page_that_cannot_be_read_halts(trader_home):
    broker = ListBroker()
    with open_gate(trader_home) as (_, opened):
        opened._paths = opened._paths._replace(home_page=99_999)
        passage = send(opened, broker, "a")[0]
    assert (passage.reason, passage.detail) == ("KILLED", "kill.page: EBADF Bad file descriptor")


def test_barrier_waits_for_the_order_inside_and_lets_none_after_it(trader_home):
    """The kill's exclusive lock is not to be had while a hand-over is under way."""
    states = []

    class LookingBroker(ListBroker):
        def submit(self, order):
            states.append(barrier.gate_state(run_of(trader_home)))
            super().submit(order)

    broker = LookingBroker()
    with open_gate(trader_home) as (_, opened):
        send(opened, broker, "a")
        states.append(barrier.gate_state(run_of(trader_home)))
    assert states == [registry.HELD, registry.FREE]


def test_order_that_meets_a_kill_at_the_barrier_is_aborted_without_waiting(trader_home):
    broker = ListBroker()
    with open_gate(trader_home) as (lease, opened):
        fd = os.open(os.path.join(lease.folder, registry.GATE_LOCK), os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        (passage,) = send(opened, broker, "a")
        os.close(fd)
        assert passage[:2] == (gate.ABORTED, "KILLED")
        assert "EAGAIN" in passage.detail
    assert broker.sent == []


@pytest.mark.parametrize("name", ["deleted", "replaced"])
def test_gate_lock_that_is_not_the_runners_proves_nothing(trader_home, name):
    with open_gate(trader_home) as (lease, _):
        path = os.path.join(lease.folder, registry.GATE_LOCK)
        os.rename(path, f"{path}.old")
        if name == "replaced":
            open(path, "x").close()
        assert barrier.gate_state(run_of(trader_home)) == registry.UNKNOWN


def test_order_sent_twice_kills(trader_home):
    broker = ListBroker()
    with open_gate(trader_home) as (_, opened):
        passages = send(opened, broker, "a", "a", "b")
    assert [passage.reason for passage in passages] == ["NONE", "SYSTEM_ERROR", "KILLED"]
    assert broker.sent == ["a"]
    (kill,) = pending.pending_kills(str(trader_home))
    assert (kill["code"], kill["source"]) == ("SYSTEM_ERROR", "engine")
    assert kill["reason"] == "order a was to be sent twice"


def test_second_order_of_one_decision_kills(trader_home):
    broker = ListBroker()
    with open_gate(trader_home) as (_, opened):
        opened.send(FakeOrder("a", decision=5), broker)
        passage = opened.send(FakeOrder("b", decision=5), broker)
        assert passage.reason == "SYSTEM_ERROR"
        assert "decision 5" in passage.detail
    assert broker.sent == ["a"]


def test_wall_clock_rate_is_a_last_resort_and_does_not_count_denied_orders():
    counters = gate.Counters(max_per_second=2)
    second = 1_000_000_000
    for moment in (0, 1):
        assert not counters.is_too_fast(moment)
        counters.bump(FakeOrder(f"o{moment}"), moment)
    assert counters.is_too_fast(-5 * second)  # a clock that is set back refills nothing
    assert counters.is_too_fast(second - 1)
    assert not counters.is_too_fast(second)
    assert not gate.Counters().is_too_fast(0)


def test_rate_denies_and_the_gate_stays_open(trader_home):
    broker = ListBroker()
    with open_gate(trader_home, rate=1) as (_, opened):
        passages = send(opened, broker, "a", "b")
        assert [passage.reason for passage in passages] == ["NONE", "ORDER_RATE_LIMIT"]
        assert opened.stop_cause() == ""


def test_rate_of_nan_lets_nothing_out(trader_home):
    with open_gate(trader_home, rate=float("nan")) as (_, opened):
        assert send(opened, ListBroker(), "a")[0].reason == "ORDER_RATE_LIMIT"


def test_checks_are_asked_inside_and_name_the_reason(trader_home):
    asked = []

    def check(order):
        asked.append(order.order_id)
        return "POSITION_LIMIT" if order.order_id == "b" else None

    broker = ListBroker()
    with open_gate(trader_home, checks=[check]) as (_, opened):
        passages = send(opened, broker, "a", "b", "c")
    assert [passage.reason for passage in passages] == ["NONE", "POSITION_LIMIT", "NONE"]
    assert (asked, broker.sent) == (["a", "b", "c"], ["a", "c"])


def test_check_that_raises_denies_and_three_in_a_row_kill(trader_home):
    failing = {"b", "c", "e", "f", "g"}

    def check(order):
        if order.order_id in failing:
            raise ValueError("no such symbol")

    broker = ListBroker()
    with open_gate(trader_home, checks=[check]) as (_, opened):
        passages = send(opened, broker, *"abcdefgh")
    assert [passage.reason for passage in passages] == [
        "NONE", "CHECK_ERROR", "CHECK_ERROR", "NONE",
        "CHECK_ERROR", "CHECK_ERROR", "SYSTEM_ERROR", "KILLED",
    ]  # fmt: skip
    assert broker.sent == ["a", "d"]
    assert "no such symbol" in pending.pending_kills(str(trader_home))[0]["reason"]


def test_broker_that_raises_leaves_the_order_unknown_and_the_gate_waits(trader_home):
    broken, good = ListBroker(TimeoutError("no answer")), ListBroker()
    with open_gate(trader_home) as (_, opened):
        (passage,) = send(opened, broken, "a")
        assert passage[:2] == (gate.UNKNOWN, "POSITIONS_UNKNOWN")
        assert "no answer" in passage.detail
        assert send(opened, good, "b")[0][:2] == (gate.ABORTED, "POSITIONS_UNKNOWN")
        opened.reconciled("a", left=True)
        assert send(opened, good, "b")[0].outcome == gate.SENT
        assert send(opened, good, "a")[0].reason == "SYSTEM_ERROR"  # it has left already
    assert good.sent == ["b"]


def test_order_that_never_left_may_be_sent_again_under_its_id(trader_home):
    broken, good = ListBroker(OSError("refused")), ListBroker()
    with open_gate(trader_home) as (_, opened):
        send(opened, broken, "a")
        opened.reconciled("a", left=False)
        opened.reconciled("never seen", left=False)
        assert send(opened, good, "a")[0].outcome == gate.SENT


def test_interrupt_inside_the_hand_over_frees_the_lock_and_is_not_swallowed(trader_home):
    with open_gate(trader_home) as (_, opened):
        with pytest.raises(KeyboardInterrupt):
            send(opened, ListBroker(KeyboardInterrupt()), "a")
        assert barrier.gate_state(run_of(trader_home)) == registry.FREE
        assert send(opened, ListBroker(), "b")[0].reason == "POSITIONS_UNKNOWN"


def test_broker_that_calls_back_into_the_gate_is_refused_not_deadlocked(trader_home):
    inner = []

    class Echo(ListBroker):
        def submit(self, order):
            inner.append(opened.send(FakeOrder("inner"), self))
            assert opened.drain(0.0)  # our own hand-over does not count
            super().submit(order)

    broker = Echo()
    with open_gate(trader_home) as (_, opened):
        assert send(opened, broker, "outer")[0].outcome == gate.SENT
    assert (inner[0].outcome, inner[0].reason) == (gate.ABORTED, "CHECK_ERROR")
    assert broker.sent == ["outer"]


def test_many_threads_pass_one_at_a_time(trader_home):
    inside, most = [0], [0]

    class Counting(ListBroker):
        def submit(self, order):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            super().submit(order)
            inside[0] -= 1

    broker = Counting()
    with open_gate(trader_home) as (_, opened):
        threads = [
            threading.Thread(target=send, args=(opened, broker, *[f"{n}-{i}" for i in range(50)]))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(broker.sent), most[0]) == (400, 1)


def test_closing_shuts_for_good_and_draining_waits_for_the_one_inside(trader_home):
    entered, leave = threading.Event(), threading.Event()

    class Slow(ListBroker):
        def submit(self, order):
            entered.set()
            leave.wait(10)
            super().submit(order)

    broker = Slow()
    with open_gate(trader_home) as (_, opened):
        thread = threading.Thread(target=send, args=(opened, broker, "a"))
        thread.start()
        entered.wait(10)
        opened.close("from another thread")
        opened.close("too late to matter")
        assert not opened.drain(0.01)
        leave.set()
        thread.join()
        assert opened.drain(1.0)
        assert opened.stop_cause() == "from another thread"
        assert send(opened, broker, "b")[0].reason == "KILLED"
    assert broker.sent == ["a"]


def test_old_ids_are_forgotten_so_that_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(gate, "REMEMBERED", 3)
    counters = gate.Counters()
    orders = [FakeOrder(f"o{i}", decision=i) for i in range(10)]
    for order in orders:
        assert counters.broken_law(order) == ""
        counters.bump(order, 0)
    assert len(counters._ids) == len(counters._children) == len(counters._sent) == 3
    assert counters.broken_law(orders[-1])


def killed_with_flatten(home, flatten=True, scope="everything"):
    from trader.safety import stop

    done = stop.Stop(str(home), stop.StopOrder("flatten", 7, scope, flatten=flatten))
    stop.shut(done)


@pytest.mark.parametrize("scope", ["everything", "r1"])
def test_closing_orders_pass_only_under_a_kill_with_flatten_and_only_reducing(trader_home, scope):
    broker = ListBroker()
    with open_gate(trader_home) as (_, opened):

        def close(order_id, qty, position):
            return opened.send_closing(FakeOrder(order_id, qty), broker, position).reason

        assert close("a", -1, 1) == "KILLED"  # nothing is killed
        killed_with_flatten(trader_home, scope=scope)
        assert send(opened, broker, "b")[0].reason == "KILLED"
        nan = float("nan")
        for qty, position in ((1, 1), (-2, 1), (0, 1), (0, -1), (-1, 0), (nan, 1), (2, -1)):
            assert close("c", qty, position) == "REDUCE_ONLY"
        assert close("d", -1, 1) == "NONE"
        assert close("e", 3, -5) == "NONE"
        assert close("d", -1, 1) == "DUPLICATE"
    assert broker.sent == ["d", "e"]


def test_closing_orders_do_not_pass_under_a_kill_without_flatten(trader_home):
    with open_gate(trader_home) as (_, opened):
        killed_with_flatten(trader_home, flatten=False)
        assert opened.send_closing(FakeOrder("a", -1), ListBroker(), 1).reason == "KILLED"
        opened._paths = opened._paths._replace(home_page=99_999)
        assert opened.send_closing(FakeOrder("a", -1), ListBroker(), 1).reason == "KILLED"


def test_reasons_of_the_gate_are_those_of_the_core():
    told = ["NONE", "KILLED", "SYSTEM_ERROR", "POSITIONS_UNKNOWN", "ORDER_RATE_LIMIT"]
    told += ["CHECK_ERROR", "REDUCE_ONLY", "DUPLICATE"]
    assert all(name in Reason.__members__ for name in told)


def test_lock_files_are_closed_on_exec(trader_home):
    with open_gate(trader_home) as (lease, _):
        assert lease._fds
        assert not any(os.get_inheritable(fd) for fd in lease._fds)
        assert statedir.run_folder(str(trader_home), "r1") == lease.folder


@contextmanager
def bare_gate(home, trips, **named):
    """A gate whose trip goes nowhere but into a list."""
    with open_gate(home) as (_, opened):
        yield gate.Gate(opened._paths, lambda *told: trips.append(told), **named)


def test_words_of_the_outcomes_are_fixed():
    assert (gate.SENT, gate.ABORTED, gate.UNKNOWN) == ("SENT", "ABORTED", "UNKNOWN")


def test_gate_is_shut_before_it_trips(trader_home):
    trips, broker = [], ListBroker()
    with bare_gate(trader_home, trips) as opened:
        send(opened, broker, "a", "a")
        assert trips == [("SYSTEM_ERROR", "order a was to be sent twice")]
        assert opened.stop_cause() == "order a was to be sent twice"
        assert send(opened, broker, "b")[0].reason == "KILLED"


def test_failing_checks_shut_the_gate_before_it_trips(trader_home):
    def check(order):
        raise ValueError("no")

    trips = []
    with bare_gate(trader_home, trips, checks=[check]) as opened:
        passages = send(opened, ListBroker(), "a", "b", "c", "d")
    reasons = [passage.reason for passage in passages]
    assert reasons == ["CHECK_ERROR", "CHECK_ERROR", "SYSTEM_ERROR", "KILLED"]
    assert len(trips) == 1
    assert "3 checks in a row failed" in trips[0][1]


def test_more_children_of_a_decision_where_they_are_allowed():
    counters = gate.Counters(max_children=2)
    for number in range(2):
        assert counters.broken_law(FakeOrder(f"o{number}", decision=1)) == ""
        counters.bump(FakeOrder(f"o{number}", decision=1), 0)
    assert "more than 2" in counters.broken_law(FakeOrder("o2", decision=1))


def test_time_in_the_gate_is_told_only_for_those_who_were_in_it(trader_home):
    with open_gate(trader_home) as (lease_, opened):
        (passage,) = send(opened, ListBroker(), "a")
        assert 0 < passage.held_ns < 60_000_000_000
        fd = os.open(os.path.join(lease_.folder, registry.GATE_LOCK), os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert send(opened, ListBroker(), "b")[0].held_ns == 0
        os.close(fd)


def test_part_of_a_short_position_can_be_closed(trader_home):
    with open_gate(trader_home) as (_, opened):
        killed_with_flatten(trader_home)
        assert opened.send_closing(FakeOrder("a", 0.5), ListBroker(), -1).reason == "NONE"


def test_forked_child_sends_nothing_and_leaves_the_lock_alone(trader_home, monkeypatch):
    """Also one that Python has not made: it shares the lock, and letting go would open it."""
    broker = ListBroker()
    with open_gate(trader_home) as (_, gate):
        pid = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: pid + 1)
        monkeypatch.setattr(fcntl, "flock", lambda *_: pytest.fail("the lock was touched"))
        passage = gate.send(FakeOrder("a"), broker)
        closing = gate.send_closing(FakeOrder("b"), broker, -1.0)
        monkeypatch.undo()
        told = (passage.outcome, passage.reason, passage.detail)
        assert told == ("ABORTED", "KILLED", "a forked child trades nothing")
        assert (closing.outcome, broker.sent, passage.held_ns) == ("ABORTED", [], 0)
