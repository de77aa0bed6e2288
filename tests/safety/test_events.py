"""Risk events and the emergency stop: the stop first, the telling after, and nothing waits."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.safety_kit import FakeOrder, ListBroker, held_run, is_latched, open_gate, wait_for
from trader.core.schema import KillSwitchReason, Reason
from trader.engine.hooks import Hooks
from trader.safety import latch, pending, rearm, records, statedir
from trader.safety.callbacks import MAILBOX, is_async
from trader.safety.events import EVENTS, RiskEventHandler, emergency_stop


@pytest.fixture(autouse=True)
def no_latch_left_behind(trader_home):
    """The fallback folders are outside of pytest's own, and its paths come again."""
    yield
    for folder in statedir.fallback_folders(str(trader_home)):
        shutil.rmtree(folder, ignore_errors=True)


def pending_codes(home):
    return sorted(kill["code"] for kill in pending.pending_kills(str(home)))


@pytest.mark.long
def test_risk_event_handler_thread_safety(trader_home):
    """1,000 threads register, emit and stop at once; nothing is lost, doubled or delayed."""
    with open_gate(trader_home) as (lease, gate):
        handler = RiskEventHandler(lease)
        seen, lock, start = [], threading.Lock(), threading.Event()

        def note(event):
            with lock:
                seen.append(event.details["number"])

        handler.register_callback("order_denied", note)
        ids = set()

        def work(number):
            start.wait()
            handler.register_callback("limit_breach", lambda event: None)
            handler.emit("order_denied", number=number)
            if number % 100 == 0:
                ids.add(handler.emergency_stop("storm", "RISK_BREACH").kill_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1000)]
        for thread in threads:
            thread.start()
        start.set()
        for thread in threads:
            thread.join()
        wait_for(lambda: len(seen) == 1000)
        assert sorted(seen) == list(range(1000))
        assert len(handler.stats("limit_breach")) == 1000
        assert handler.stats("order_denied")[0].calls == 1000
        assert gate.send(FakeOrder("late"), ListBroker()).reason == "KILLED"
    assert len(ids) == 1  # one breach is one kill, however many threads saw it
    assert pending_codes(trader_home) == ["RISK_BREACH"]


def test_events_reach_each_callback_in_order(trader_home):
    handler = RiskEventHandler()
    seen = {"a": [], "b": []}
    for name, into in seen.items():
        handler.register_callback("order_throttled", lambda event, into=into: into.append(event))
        assert name
    for number in range(200):
        handler.emit("order_throttled", number=number, before=10.0, after=5.0)
    wait_for(lambda: all(len(into) == 200 for into in seen.values()))
    for into in seen.values():
        assert [event.details["number"] for event in into] == list(range(200))
        assert into[0].name == "order_throttled"
        assert into[0].ts_ns > 0


@pytest.mark.long
def test_async_callback_handling(trader_home):
    """Coroutines run in the loop they were registered from, without one in their own, and a hung
    loop or a hung coroutine holds up nobody."""
    handler = RiskEventHandler(timeout_s=0.3)
    outside, inside, late = [], [], threading.Event()

    async def anywhere(event):
        await asyncio.sleep(0)
        outside.append((event.name, threading.current_thread().name))

    handler.register_callback("limit_breach", anywhere)

    async def main():
        loop = asyncio.get_running_loop()

        async def here(event):
            inside.append((event.name, asyncio.get_running_loop() is loop))

        async def hangs(event):
            await asyncio.sleep(60)

        async def raises(event):
            raise RuntimeError("async trouble")

        for callback in (hangs, raises, here):
            handler.register_callback("limit_breach", callback)
        handler.emit("limit_breach", limit=1)
        while not (inside and outside and handler.stats("limit_breach")[1].timed_out):
            await asyncio.sleep(0.005)
        handler.emit("limit_breach", limit=2)  # the loop hangs now: told, and not waited for
        time.sleep(0.8)
        late.set()

    asyncio.run(main())
    own, hung, failing, _ = handler.stats("limit_breach")
    wait_for(lambda: own.calls == 2 and len(outside) == 2)
    assert inside[0] == ("limit_breach", True)
    assert (hung.raised, failing.raised >= 1) == (0, True)
    assert failing.last_error == "RuntimeError: async trouble"
    handler.emit("limit_breach", limit=3)  # the loop is gone: they run in one of their own
    wait_for(lambda: len(outside) == 3 and handler.stats("limit_breach")[3].calls == 3)
    wait_for(lambda: len(inside) >= 2)
    assert inside[-1] == ("limit_breach", False)


def test_object_and_function_that_give_a_coroutine_are_awaited(trader_home):
    handler, seen = RiskEventHandler(), []

    async def note(event):
        seen.append(event.name)

    class Callable:
        async def __call__(self, event):
            seen.append("object")

    assert is_async(Callable())
    assert is_async(note)
    handler.register_callback("order_denied", Callable())
    handler.register_callback("order_denied", lambda event: note(event._replace(name="plain")))
    handler.emit("order_denied")
    wait_for(lambda: sorted(seen) == ["object", "plain"])


def test_callback_that_raises_anything_is_counted_and_called_again(trader_home):
    handler, seen = RiskEventHandler(), []

    def broken(event):
        raise (SystemExit if event.details["number"] == 0 else ValueError)("no")

    handler.register_callback("order_denied", broken)
    handler.register_callback("order_denied", seen.append)
    for number in range(3):
        handler.emit("order_denied", number=number)
    wait_for(lambda: len(seen) == 3 and handler.stats("order_denied")[0].raised == 3)
    assert handler.stats("order_denied")[0].last_error == "ValueError: no"


def test_callbacks_that_hang_delay_neither_the_others_nor_the_caller(trader_home):
    handler, seen, never = RiskEventHandler(timeout_s=0.1), [], threading.Event()
    for _ in range(5):  # more than there are workers
        handler.register_callback("order_denied", lambda event: never.wait())
    handler.register_callback("order_denied", seen.append)
    handler.emit("order_denied", number=1)
    handler.emit("order_denied", number=2)
    wait_for(lambda: len(seen) == 2)
    hung = handler.stats("order_denied")[:5]
    assert [stats.calls for stats in hung] == [1] * 5  # never entered twice at once
    wait_for(lambda: all(stats.timed_out == 1 for stats in hung))
    never.set()
    wait_for(lambda: all(stats.calls == 2 for stats in hung))


def test_slow_callback_loses_its_oldest_events_and_they_are_counted(trader_home):
    handler, first, leave = RiskEventHandler(timeout_s=30), [], threading.Event()

    def slow(event):
        first.append(event.details["number"])
        leave.wait(30)

    handler.register_callback("order_denied", slow)
    handler.emit("order_denied", number=-1)
    wait_for(lambda: first == [-1])
    for number in range(MAILBOX + 10):
        handler.emit("order_denied", number=number)
    assert handler.stats("order_denied")[0].dropped == 10
    leave.set()
    wait_for(lambda: len(first) == MAILBOX + 1)
    assert first[1] == 10


def test_callbacks_may_call_back_into_the_handler(trader_home):
    with open_gate(trader_home) as (lease, gate):
        handler, seen = RiskEventHandler(lease), []

        def again(event):
            handler.register_callback("emergency_stop", seen.append)
            handler.emit("order_denied", number=2)
            handler.emergency_stop("from a callback", KillSwitchReason.SYSTEM_ERROR)

        handler.register_callback("limit_breach", again)
        handler.emit("limit_breach")
        wait_for(lambda: len(seen) == 1)
        assert gate.stop_cause()


def test_unknown_events_and_things_that_cannot_be_called_are_refused(trader_home):
    handler = RiskEventHandler()
    with pytest.raises(ValueError, match="order_denied, order_throttled"):
        handler.register_callback("order_sent", print)
    with pytest.raises(ValueError, match="no such event"):
        handler.emit("nothing")
    with pytest.raises(TypeError, match="not a callback"):
        handler.register_callback("order_denied", 7)
    told = "order_denied order_throttled limit_breach trading_state_changed emergency_stop"
    assert list(EVENTS) == told.split()


def test_no_thread_left_is_no_reason_to_fail(trader_home, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    with open_gate(trader_home) as (lease, gate):
        handler, seen = RiskEventHandler(lease, audit_sink=lambda record: None), []
        handler.register_callback("emergency_stop", seen.append)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            report = handler.emergency_stop("no threads", "SYSTEM_ERROR")
        assert report.durable
        assert gate.stop_cause()
        assert os.listdir(trader_home / "audit-spool") == [f"{report.kill_id}.json"]
        handler.emit("emergency_stop")  # the next event finds threads again
        wait_for(lambda: len(seen) == 2)


SINKS = ("raises", "hangs", "full", "async", "works")


@pytest.mark.parametrize("where", ["thread", "no loop", "loop"])
@pytest.mark.parametrize("sink", SINKS)
def test_emergency_stop_graceful_degradation(trader_home, sink, where):
    """The gate is shut and the latch durable whatever the sink does and wherever it is called; a
    record the sink did not take is spooled and comes back at the next start."""
    never, taken = threading.Event(), []

    def sinks(record):
        if sink == "raises":
            raise ConnectionError("syslog is down")
        if sink == "hangs":
            never.wait()
        if sink == "full":
            with open("/dev/full", "w", encoding="ascii") as file:
                file.write(json.dumps(record))
        taken.append(record)

    async def async_sink(record):
        taken.append(record)

    broker = ListBroker()
    with open_gate(trader_home) as (lease, gate):
        chosen = async_sink if sink == "async" else sinks
        handler = RiskEventHandler(lease, audit_sink=chosen, timeout_s=0.2)
        told, reports = [], []
        handler.register_callback("emergency_stop", told.append)

        def stop():
            report = handler.emergency_stop("limit breached", "POSITION_LIMIT", symbol="ACME")
            reports.append((report, gate.send(FakeOrder("after"), broker).reason))

        if where == "thread":
            thread = threading.Thread(target=stop)
            thread.start()
            thread.join()
        elif where == "loop":

            async def in_loop():
                stop()

            asyncio.run(in_loop())
        else:
            stop()
        ((report, reason),) = reports
        assert reason == "KILLED"
        assert (report.durable, report.gate, report.failures) == (True, "shut", ())
        assert (report.code, report.reason) == (KillSwitchReason.POSITION_LIMIT, "limit breached")
        assert is_latched(trader_home)
        wait_for(lambda: told)
        assert told[0].details["kill_id"] == report.kill_id
        assert told[0].details["symbol"] == "ACME"
        spool = trader_home / "audit-spool" / f"{report.kill_id}.json"
        if sink in ("async", "works"):
            wait_for(lambda: taken)
            assert taken[0]["kill_id"] == report.kill_id
        else:
            wait_for(spool.exists)
            assert taken == []
    assert broker.sent == []
    never.set()
    rearm.rearm(str(trader_home), report.kill_id, "sink repaired")
    with held_run(trader_home, resumes=True) as lease:
        again = [record["kill_id"] for record in lease.spooled]
        assert again == ([] if sink in ("async", "works") else [report.kill_id])
    assert not spool.exists()
    assert records.audited_ids(str(trader_home)) == {report.kill_id}


def test_emergency_stop_with_the_audit_file_dead_is_spooled_and_taken_in(trader_home):
    with open_gate(trader_home) as (lease, _):
        os.mkdir(trader_home / "audit.jsonl")
        report = RiskEventHandler(lease).emergency_stop("no audit")
        assert report.durable
        assert "audit.jsonl: EISDIR" in report.failures[0]
    os.rmdir(trader_home / "audit.jsonl")
    rearm.rearm(str(trader_home), report.kill_id, "seen")
    with held_run(trader_home, resumes=True) as lease:
        assert [record["kill_id"] for record in lease.spooled] == [report.kill_id]


def test_emergency_stop_while_a_hand_over_hangs_shuts_the_gate_and_says_busy(trader_home):
    entered, leave = threading.Event(), threading.Event()

    class Hanging(ListBroker):
        def submit(self, order):
            entered.set()
            leave.wait(30)
            super().submit(order)

    with open_gate(trader_home) as (lease, gate):
        thread = threading.Thread(target=gate.send, args=(FakeOrder("a"), Hanging()))
        thread.start()
        entered.wait(10)
        report = RiskEventHandler(lease).emergency_stop("now")
        assert (report.gate, report.durable) == ("busy", True)
        leave.set()
        thread.join()
        assert gate.send(FakeOrder("b"), ListBroker()).reason == "KILLED"


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        (None, "MANUAL_STOP"),
        ("CONNECTIVITY_LOSS", "CONNECTIVITY_LOSS"),
        (4, "CONCENTRATION_LIMIT"),
        ("4", "CONCENTRATION_LIMIT"),
        (np.int64(4), "CONCENTRATION_LIMIT"),
        (4.0, "CONCENTRATION_LIMIT"),
        (np.float32(4), "CONCENTRATION_LIMIT"),
        (float("inf"), "SYSTEM_ERROR"),
        ("99", "SYSTEM_ERROR"),
        (4.5, "SYSTEM_ERROR"),
        (True, "SYSTEM_ERROR"),
        (KillSwitchReason.RISK_BREACH, "RISK_BREACH"),
        (Reason.GROSS_EXPOSURE_LIMIT, "CONCENTRATION_LIMIT"),
        ("nonsense", "SYSTEM_ERROR"),
        (99, "SYSTEM_ERROR"),
        (object(), "SYSTEM_ERROR"),
    ],
)
def test_emergency_stop_stops_whatever_code_it_is_given(trader_home, code, meant):
    report = RiskEventHandler().emergency_stop("for a reason", code)
    assert report.code.name == meant
    assert is_latched(trader_home)
    assert bool(report.failures) == (meant == "SYSTEM_ERROR")


class Mute:
    """Says nothing of itself."""

    def __init__(self, error=RuntimeError):
        self.error = error

    def __str__(self):
        raise self.error("no words")

    __repr__ = __str__


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("is_method", [True, False])
def test_emergency_stop_takes_what_cannot_be_read_and_any_context(trader_home, is_method, error):
    stop_it = RiskEventHandler().emergency_stop if is_method else emergency_stop
    report = stop_it(Mute(error), Mute(error), event="y", name=3, details={}, self=1, kill_id=2)
    assert (report.code.name, report.durable) == ("SYSTEM_ERROR", True)
    assert "cannot be read" in report.reason
    assert pending_codes(trader_home) == ["SYSTEM_ERROR"]


def test_reason_that_is_a_number_is_a_reason(trader_home):
    assert RiskEventHandler().emergency_stop("2").code is KillSwitchReason.MANUAL_STOP


@pytest.mark.parametrize("reason", ["", None, 7, "x" * 1_000_000, "\udcff\0\n"])
def test_emergency_stop_stops_whatever_reason_it_is_given(trader_home, reason):
    report = RiskEventHandler().emergency_stop(reason)
    assert report.durable
    assert report.reason
    assert is_latched(trader_home)


def test_emergency_stop_of_one_run(trader_home):
    with held_run(trader_home, "a") as first, held_run(trader_home, "b") as second:
        gates = [first.open_gate(), second.open_gate()]
        RiskEventHandler(first).emergency_stop("mine", everything=False)
        assert gates[0].stop_cause()
        assert gates[1].stop_cause() == ""


def test_second_stop_of_another_code_is_another_kill_and_of_the_same_is_not(trader_home):
    handler = RiskEventHandler()
    first = handler.emergency_stop("a", "RISK_BREACH")
    assert handler.emergency_stop("b", "RISK_BREACH").kill_id == first.kill_id
    other = handler.emergency_stop("c", "SYSTEM_ERROR")
    assert other.kill_id != first.kill_id
    for report in (first, other):
        rearm.rearm(str(trader_home), report.kill_id, "seen")
    assert not is_latched(trader_home)
    again = handler.emergency_stop("d", "RISK_BREACH")
    assert again.kill_id != first.kill_id
    assert is_latched(trader_home)


def test_module_function_stops_every_gate_of_the_process(trader_home):
    with held_run(trader_home, "a") as first, held_run(trader_home, "b") as second:
        gates = [first.open_gate(), second.open_gate()]
        report = emergency_stop("market volatility", symbol="X")
        assert report.code is KillSwitchReason.MARKET_VOLATILITY
        assert all(gate.stop_cause() for gate in gates)
    assert emergency_stop("nobody runs", home=str(trader_home)).durable


def test_stop_asked_for_from_its_own_callback_is_told_once(trader_home):
    told, others = [], []
    handler = RiskEventHandler()

    def again(event):
        told.append(event)
        handler.emergency_stop("again", "RISK_BREACH")

    handler.register_callback("emergency_stop", again)
    handler.register_callback("emergency_stop", others.append)
    handler.emergency_stop("first", "RISK_BREACH")
    wait_for(lambda: told and others)
    time.sleep(0.1)
    assert (len(told), len(others)) == (1, 1)
    assert pending_codes(trader_home) == ["RISK_BREACH"]


def test_stop_asked_for_from_its_own_callback_is_told_once_though_the_disk_refuses(trader_home):
    trader_home.rmdir()
    trader_home.write_text("no folder")
    told, answers = [], []
    handler = RiskEventHandler()

    def again(event):
        told.append(event)
        answers.append(handler.emergency_stop("again", "RISK_BREACH"))

    handler.register_callback("emergency_stop", again)
    first = handler.emergency_stop("first", "RISK_BREACH")
    wait_for(lambda: answers)
    time.sleep(0.3)
    assert [answer.kill_id for answer in answers] == [first.kill_id] == [told[0].details["kill_id"]]
    assert not first.durable


@pytest.mark.parametrize("home", [5, object(), Mute(), "a\0b"])
def test_folder_that_names_none_stops_the_usual_one(trader_home, home):
    report = emergency_stop("all", home=home)
    assert is_latched(trader_home)
    assert any("not a state folder" in why for why in report.failures)


def test_folder_as_a_path_or_relative_is_the_folder(trader_home, monkeypatch):
    monkeypatch.chdir(trader_home.parent)
    with open_gate(trader_home) as (_, gate):
        stops = [
            emergency_stop("all", home=home)
            for home in (trader_home.name, trader_home, os.fsencode(trader_home))
        ]
        assert gate.stop_cause()
    assert len({report.kill_id for report in stops}) == 1
    assert not any(report.failures for report in stops)


def test_state_folder_made_anew_is_stopped_anew(trader_home):
    first = emergency_stop("first", "RISK_BREACH")
    shutil.rmtree(trader_home)
    with held_run(trader_home):
        assert not is_latched(trader_home)
    assert emergency_stop("second", "RISK_BREACH").kill_id != first.kill_id
    assert is_latched(trader_home)


def test_handlers_of_one_folder_without_a_run_make_one_kill(trader_home):
    stops = [RiskEventHandler().emergency_stop, emergency_stop] * 5
    assert len({stop_it("breach", "RISK_BREACH").kill_id for stop_it in stops}) == 1
    assert pending_codes(trader_home) == ["RISK_BREACH"]


def test_module_function_stops_everything_whatever_the_context(trader_home):
    with held_run(trader_home, "a"), held_run(trader_home, "b"):
        assert emergency_stop("all", "RISK_BREACH", everything=False).durable
    assert is_latched(trader_home)


def test_module_function_asked_often_is_one_kill(trader_home):
    ids = {emergency_stop(f"no {number}", "RISK_BREACH").kill_id for number in range(20)}
    assert len(ids) == 1
    rearm.rearm(str(trader_home), ids.pop(), "seen")
    assert emergency_stop("anew", "RISK_BREACH").durable
    assert is_latched(trader_home)


def test_events_of_a_run_reach_the_callbacks(trader_home):
    told = []
    handler = RiskEventHandler()
    for name in EVENTS:
        handler.register_callback(name, told.append)
    hooks = Hooks()
    hooks.tap(handler.take)
    hooks.emit("bar", symbol="ACME")
    hooks.emit("order_denied", symbol="ACME", reason="POSITION_LIMIT")
    hooks.emit("limit_breach", reason="DAILY_LOSS_LIMIT")
    wait_for(lambda: len(told) == 2)
    found = {event.name: event.details["reason"] for event in told}
    assert found == {"order_denied": "POSITION_LIMIT", "limit_breach": "DAILY_LOSS_LIMIT"}


@pytest.mark.process
def test_module_function_works_where_nothing_was_ever_set_up(tmp_path):
    code = "from trader.safety.events import emergency_stop; print(emergency_stop('x').durable)"
    environ = {**os.environ, "TRADER_HOME": str(tmp_path / "new")}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert latch.inspect(str(tmp_path / "new")).page == latch.KILLED


def test_handler_has_no_way_back(trader_home):  # K11
    names = [name for name in dir(RiskEventHandler) if not name.startswith("_")]
    assert sorted(names) == ["emergency_stop", "emit", "register_callback", "stats", "take"]
    from trader.safety.gate import Gate
    from trader.safety.lease import Lease

    for kind in (Gate, Lease, RiskEventHandler):
        words = ("rearm", "unkill", "clear", "reset", "reopen", "resume", "enable")
        assert not [name for name in dir(kind) if any(word in name for word in words)]
