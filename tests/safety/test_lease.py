"""Start-up under the latch: order, refusals, what the registry says."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.harness.sender import Ledger
from tests.safety_kit import (
    FakeOrder,
    ListBroker,
    die,
    held_run,
    kill_here,
    runner_process,
    trader,
    wait_for,
)
from trader.errors import KilledError, TraderError, UsageError
from trader.safety import (
    arming,
    latch,
    lease,
    pending,
    processes,
    rearm,
    records,
    registry,
    statedir,
    stop,
)
from trader.safety.lease import RunInfo, arm

INFO = RunInfo("paper", "/tmp/run")


@pytest.fixture(autouse=True)
def no_latch_left_behind(trader_home):
    """The fallback folders are outside of pytest's own, and its paths come again."""
    yield
    for folder in statedir.fallback_folders(str(trader_home)):
        shutil.rmtree(folder, ignore_errors=True)


def shut(home, reason="stop", code=7, scope="everything"):
    done = stop.Stop(str(home), stop.StopOrder(reason, code, scope))
    stop.shut(done)
    return done.order.kill_id


def test_fresh_start_arms_registers_and_says_goodbye(trader_home):
    home = str(trader_home)
    with held_run(home, "demo", barrier_ms=100.0) as held:
        (run,) = registry.all_runs(home)
        assert (run.run_id, run.was, run.alive) == ("demo", "starting", True)
        assert (run.runner.pid, run.deadline("barrier_ms")) == (os.getpid(), 100.0)
        entry = registry.read_json(os.path.join(held.folder, "run.json"))
        keys = {"run_id", "pid", "pid_start", "mode", "run_dir", "started_ns", "cwd", "host"}
        assert keys <= set(entry)
        held.open_gate()
        assert registry.Run(home, "demo").was == "running"
    gone = registry.Run(home, "demo")
    assert (gone.alive, gone.entry, gone.was) == (False, {}, "dead")
    assert not registry.is_listed(gone)


@pytest.mark.parametrize("scope", ["everything", "r1"])
def test_start_under_a_latch_refuses_and_says_who_when_why_and_how_to_rearm(trader_home, scope):
    if scope == "r1":
        with held_run(trader_home):
            pass
    kill_id = shut(trader_home, "the reason why", 2, scope)
    with pytest.raises(KilledError) as refusal:
        arm(str(trader_home), "r1", INFO)
    text = str(refusal.value)
    assert refusal.value.exit_code == 7
    assert kill_id in text
    assert "DAILY_LOSS_LIMIT" in text
    assert "the reason why" in text
    assert f"by {records.user_name(os.getuid())} (uid {os.getuid()}) at 2" in text
    assert f"trader rearm {kill_id} --reason TEXT" in text
    assert registry.Run(str(trader_home), "r1").alive is False


def test_kill_between_the_two_looks_keeps_the_gate_shut(trader_home, capfd):
    with held_run(trader_home, cancel_timeout_s=0.0) as held:
        shut(trader_home)
        with pytest.raises(KilledError):
            held.open_gate()
        assert held.stop_cause() == "the gate is not open"


def test_trip_while_the_gate_is_being_made_keeps_it_shut(trader_home):
    with held_run(trader_home) as held:
        held.shut_gate("a trip that no disk took")
        with pytest.raises(KilledError, match="a trip that no disk took"):
            held.open_gate()


def test_gate_is_opened_once(trader_home):
    with held_run(trader_home) as held:
        held.open_gate()
        with pytest.raises(TraderError, match="opened already"):
            held.open_gate()


def test_second_runner_of_a_run_refuses(trader_home, monkeypatch):
    monkeypatch.setattr(lease, "LOCK_WAIT_S", 0.05)
    with held_run(trader_home), pytest.raises(UsageError, match="r1 is already running"):
        arm(str(trader_home), "r1", INFO)
    with held_run(trader_home):
        pass


def test_somebody_looking_at_the_lock_does_not_refuse_a_start(trader_home):
    import fcntl

    with held_run(trader_home) as held:
        path = os.path.join(held.folder, registry.RUN_LOCK)
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    import threading

    threading.Timer(0.1, os.close, [fd]).start()
    with held_run(trader_home):
        assert registry.lock_state(path) == registry.HELD


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "x" * 129, "é", "a\n"])
def test_run_id_that_is_no_folder_name_is_refused(trader_home, name):
    with pytest.raises(UsageError, match="not a run id"):
        arm(str(trader_home), name, INFO)


def test_state_folder_open_to_everyone_is_refused(tmp_path):
    home = tmp_path / "open"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(UsageError, match=f"chmod o-w {home}"):
        arm(str(home), "r1", INFO)


def test_state_folder_on_a_remote_disk_is_refused(trader_home, monkeypatch):
    monkeypatch.setattr(statedir, "mount_type", lambda *_: "nfs4")
    with pytest.raises(UsageError, match="nfs4"):
        arm(str(trader_home), "r1", INFO)


@pytest.mark.parametrize("at", ["home", "registry", "latch.lock", "gate.lock"])
def test_state_folder_that_cannot_be_used_is_explained(tmp_path, at):
    home = tmp_path / "home"
    if at == "home":
        home.write_text("a file")
    elif at == "registry":
        home.mkdir()
        (home / "registry").write_text("a file")
    else:
        place = home if at == "latch.lock" else home / "registry" / "live-r1"
        (place / at).mkdir(parents=True)
    with pytest.raises(TraderError, match=r"cannot be used: E.*nothing is traded without it"):
        arm(str(home), "r1", INFO)
    assert registry.Run(str(home), "r1").lock != registry.HELD


def test_journal_without_a_permit_is_halted_until_a_person_says_otherwise(trader_home):
    """The state folder was lost, the journal was not."""
    info = INFO._replace(resumes=True)
    for _ in range(2):
        with pytest.raises(KilledError, match="UNRECORDED-r1"):
            arm(str(trader_home), "r1", info)
    done = rearm.rearm(str(trader_home), "UNRECORDED-r1", "moved to another machine")
    assert done["armed"]
    arm(str(trader_home), "r1", info).close()


def test_resuming_run_with_its_permit_starts(trader_home):
    with held_run(trader_home):
        pass
    with held_run(trader_home, resumes=True) as held:
        held.open_gate()


def test_run_that_is_over_for_good_leaves_no_folder_for_a_kill_to_look_at(trader_home):
    lease = arm(str(trader_home), "r1", INFO)
    lease.open_gate()
    lease.write_status({"ts_ns": 1})
    lease.close(over=True)
    assert os.listdir(trader_home / "registry") == []
    with held_run(trader_home, "r2") as lease:
        die(lease)
    registry.forget(str(trader_home), "r2")  # for a fresh one in its place
    assert os.listdir(trader_home / "registry") == []


def test_run_that_is_over_stays_while_a_stop_is_told_in_its_folder(trader_home):
    lease = arm(str(trader_home), "r1", INFO)
    order = stop.StopOrder("enough", latch.CODES["MANUAL_STOP"], "r1")
    stop.shut(stop.Stop(str(trader_home), order))
    lease.close(over=True)
    assert os.listdir(trader_home / "registry") == ["live-r1"]
    assert rearm.rearm(str(trader_home), order.kill_id, "seen")["armed"]


@pytest.mark.process
@pytest.mark.parametrize("taken", ["unlink", "replace"])
def test_runner_whose_lock_was_taken_away_is_alive_all_the_same(
    trader_home, tmp_path, capfd, taken
):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0] > 0)
        lock = trader_home / "registry" / "live-sender" / "run.lock"
        lock.unlink()
        if taken == "replace":
            lock.touch()
        with pytest.raises(UsageError, match=r"run\.lock was taken away"):
            arm(str(trader_home), "sender", INFO)
        runner.send_signal(signal.SIGSTOP)
        wait_for(lambda: processes.is_stopped(runner.pid))
        code, document = kill_here(capfd, "--reason", "no lock")
        assert (code, [run["was"] for run in document["runs"]]) == (0, ["stopped"])
        assert document["runs"][0]["outcome"] in ("halted", "killed")
        assert runner.wait(10) == -signal.SIGKILL


def test_process_is_registered_by_its_number_in_proc(trader_home, monkeypatch):
    """In a container that sees the host's /proc, `os.getpid` is somebody else's number there."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    number = os.readlink("/proc/self")
    assert processes.own() == (int(number), processes.start_token(int(number)))
    monkeypatch.setattr(os, "readlink", lambda _: "nobody")
    assert processes.own() == (1, processes.start_token(1))


def test_rearm_of_a_run_whose_folder_has_gone_is_one(trader_home):
    with held_run(trader_home, "r1"):
        order = stop.StopOrder("enough", latch.CODES["MANUAL_STOP"], "r1")
        stop.shut(stop.Stop(str(trader_home), order))
    shutil.rmtree(trader_home / "registry" / "live-r1")
    done = rearm.rearm(str(trader_home), order.kill_id, "it had ended")
    assert (done["armed"], done["pending"]) == (True, [])


@pytest.mark.parametrize(
    "channel",
    [
        lambda home: os.unlink(os.path.join(home, latch.PERMIT)),
        lambda home: open(os.path.join(home, latch.HALT), "x").close(),
        lambda home: os.truncate(os.path.join(home, latch.PAGE), 4095),
        lambda home: os.unlink(os.path.join(home, latch.PAGE)),
    ],
)
def test_channel_that_says_stop_without_a_record_refuses_the_start(trader_home, channel):
    with held_run(trader_home):
        pass
    channel(str(trader_home))
    with pytest.raises(KilledError, match="UNRECORDED"):
        arm(str(trader_home), "r1", INFO)


def test_record_that_cannot_be_read_refuses_the_start(trader_home):
    with held_run(trader_home):
        pass
    os.mkdir(trader_home / "kills")
    (trader_home / "kills" / "k1.json").write_bytes(b"\xff not json")
    with pytest.raises(KilledError, match=r"k1.*SYSTEM_ERROR(.|\n)*cannot be read"):
        arm(str(trader_home), "r1", INFO)


def test_latch_in_a_fallback_folder_refuses_the_start(trader_home, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = stop.Stop(str(trader_home), stop.StopOrder("read-only disk", 7))
    stop.fall_back(done)
    try:
        with pytest.raises(KilledError, match="read-only disk"):
            arm(str(trader_home), "r1", INFO)
        assert rearm.rearm(str(trader_home), done.order.kill_id, "disk is back")["armed"]
        with held_run(trader_home) as held:
            held.open_gate()
    finally:
        for folder in statedir.fallback_folders(str(trader_home)):
            shutil.rmtree(folder, ignore_errors=True)


def test_latch_of_one_run_in_a_fallback_binds_that_run_only(trader_home, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = stop.Stop(str(trader_home), stop.StopOrder("one", 7, "r1"))
    stop.fall_back(done)
    try:
        with pytest.raises(KilledError):
            arm(str(trader_home), "r1", INFO)
        with held_run(trader_home, "r2") as held:
            held.open_gate()
    finally:
        for folder in statedir.fallback_folders(str(trader_home)):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.process
def test_forked_child_does_not_keep_a_dead_runner_alive(trader_home, tmp_path):
    code = """
import os, sys, time
from trader.safety.lease import arm, RunInfo
held = arm(sys.argv[1], "r1", RunInfo("paper", "/x"))
gate = held.open_gate()
if os.fork() == 0:
    assert gate.stop_cause() == "a forked child trades nothing"
    open(sys.argv[2], "x").close()
    time.sleep(30)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
os._exit(0)
"""
    words = [sys.executable, "-c", code, str(trader_home), str(tmp_path / "forked")]
    process = subprocess.Popen(words, start_new_session=True)
    try:
        assert process.wait(timeout=20) == 0
        assert not registry.Run(str(trader_home), "r1").alive
    finally:
        os.killpg(process.pid, 9)


@pytest.mark.process
def test_killed_run_that_could_not_cancel_is_told_to_cancel_first(trader_home, tmp_path, capfd):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0])
        runner.kill()
        runner.wait()
    with held_run(trader_home, "other"):
        pass
    _, document = kill_here(capfd, "--reason", "it was dead")
    rearm.rearm(str(trader_home), document["kill_id"], "go on")
    with held_run(trader_home, "sender", resumes=True) as held:
        assert held.cancel_first
    with held_run(trader_home, "sender", resumes=True) as held:
        assert not held.cancel_first


@pytest.mark.process
def test_run_that_crashed_without_a_kill_need_not_cancel(trader_home, tmp_path, capfd):
    _, document = kill_here(capfd, "--reason", "long ago")
    rearm.rearm(str(trader_home), document["kill_id"], "go on")
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0])
        runner.kill()
        runner.wait()
    with held_run(trader_home, "sender", resumes=True) as held:
        assert not held.cancel_first


def test_trip_shuts_this_gate_first_and_latches_everything(trader_home):
    broker = ListBroker()
    with held_run(trader_home, "a") as first, held_run(trader_home, "b") as second:
        gates = [first.open_gate(), second.open_gate()]
        done = first.trip("DAILY_LOSS_LIMIT", "loss 1001 of 1000")
        assert done.durable
        assert [gate.send(FakeOrder("x"), broker).reason for gate in gates] == ["KILLED"] * 2
        (kill,) = first.kills()
        assert (kill["code"], kill["source"], kill["scope"]) == (
            "DAILY_LOSS_LIMIT", "engine", "everything",
        )  # fmt: skip
        assert records.audited_ids(str(trader_home)) == {kill["kill_id"]}
    assert broker.sent == []


def test_trip_of_one_run_leaves_the_others(trader_home):
    with held_run(trader_home, "a") as first, held_run(trader_home, "b") as second:
        gates = [first.open_gate(), second.open_gate()]
        first.trip("RISK_BREACH", "mine alone", everything=False)
        assert gates[0].stop_cause()
        assert gates[1].stop_cause() == ""


def test_trips_of_one_code_are_one_kill_until_it_is_rearmed(trader_home):
    with held_run(trader_home) as held:
        ids = {held.trip("RISK_BREACH", f"breach {n}").order.kill_id for n in range(5)}
        ids |= {held.trip("SYSTEM_ERROR", "another").order.kill_id}
        assert len(ids) == len(pending.pending_kills(str(trader_home))) == 2


def test_trip_that_no_disk_takes_still_shuts_this_gate(trader_home, monkeypatch):
    def broken(*_, **__):
        raise OSError(5, "Input/output error")

    with held_run(trader_home) as held:
        gate = held.open_gate()
        with monkeypatch.context() as patch:
            for name in ("pwrite", "unlink", "mkdir", "fsync", "rename"):
                patch.setattr(os, name, broken)
            patch.setattr(latch, "raise_halt", lambda *_: "EIO")
            patch.setattr(latch, "create_page", broken)
            done = held.trip("SYSTEM_ERROR", "the disk is gone")
        assert not done.durable
        assert done.failures()
        assert gate.stop_cause() == "SYSTEM_ERROR: the disk is gone"
        with pytest.raises(KilledError, match="the disk is gone"):
            held.check()


def test_flatten_wish_of_a_kill_reaches_the_runner(trader_home, capfd):
    with held_run(trader_home, cancel_timeout_s=0.0, barrier_ms=1.0) as held:
        held.open_gate()
        assert not held.is_flatten_asked()
        shut(trader_home)
        assert not held.is_flatten_asked()
        done = stop.Stop(str(trader_home), stop.StopOrder("close all", 7, flatten=True))
        stop.shut(done)
        assert held.is_flatten_asked()


def test_status_file_is_replaced_whole(trader_home):
    with held_run(trader_home) as held:
        held.write_status({"equity": 1.0})
        held.write_status({"equity": 2.0})
        assert registry.read_json(os.path.join(held.folder, "status.json")) == {"equity": 2.0}
        assert not [name for name in os.listdir(held.folder) if name.startswith("status.json.")]


def test_goodbye_on_a_disk_that_takes_nothing_still_frees_the_run(trader_home, monkeypatch):
    def broken(*_):
        raise OSError(28, "No space left on device")

    held = arm(str(trader_home), "r1", INFO)
    monkeypatch.setattr(os, "pwrite", broken)
    held.close()
    assert not held.is_held
    left = registry.Run(str(trader_home), "r1")
    assert left.lock == registry.FREE
    assert left.alive  # without the goodbye, until its process has gone


def test_heartbeat_tells_running_from_hung(trader_home):
    with held_run(trader_home) as held:
        held.open_gate()
        held.heartbeat(time.monotonic_ns())
        assert registry.Run(str(trader_home), "r1").was == "running"
        held.heartbeat(time.monotonic_ns() - registry.SILENT_NS - 1)
        assert registry.Run(str(trader_home), "r1").was == "hung"


@pytest.mark.parametrize("value", [True, "250", None, -1, float("nan"), [], float("inf")])
def test_deadline_that_makes_no_sense_is_replaced(trader_home, value):
    with held_run(trader_home):
        run = registry.Run(str(trader_home), "r1")
    run.entry["barrier_ms"] = value
    assert run.deadline("barrier_ms") == (5_000.0 if value == float("inf") else registry.BARRIER_MS)


def test_registry_survives_a_page_that_cannot_be_read(trader_home):
    with held_run(trader_home) as held:
        held.open_gate()
        os.rename(os.path.join(held.folder, latch.PAGE), os.path.join(held.folder, "old"))
        run = registry.Run(str(trader_home), "r1")
        assert (run.alive, run.runner.pid) == (True, os.getpid())


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b'{"pid": "x"}', b""])
def test_damaged_entry_is_no_process(trader_home, content):
    with held_run(trader_home) as held:
        path = os.path.join(held.folder, registry.ENTRY)
        with open(path, "wb") as file:
            file.write(content)
        os.unlink(os.path.join(held.folder, latch.PAGE))
        assert registry.Run(str(trader_home), "r1").runner is None


@pytest.mark.process
def test_two_first_starts_at_once_both_get_an_armed_folder(tmp_path):
    code = """
import sys
from trader.safety.lease import arm, RunInfo
held = arm(sys.argv[1], sys.argv[2], RunInfo("paper", "/x"))
held.open_gate()
held.close()
"""
    for attempt in range(3):
        home = str(tmp_path / str(attempt))
        both = [subprocess.Popen([sys.executable, "-c", code, home, name]) for name in "ab"]
        assert [process.wait(timeout=20) for process in both] == [0, 0]


@pytest.mark.process
def test_command_line_shows_the_refusal_and_exit_code_7(trader_home):
    shut(trader_home, "seen from the command line")
    code = """
import sys
from trader.cli.outcome import exit_code_of
from trader.safety.lease import arm, RunInfo
sys.exit(exit_code_of(lambda: arm(sys.argv[1], "r1", RunInfo("paper", "/x"))))
"""
    words = [sys.executable, "-c", code, str(trader_home)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "error: trading is stopped" in done.stderr
    assert "seen from the command line" in done.stderr
    assert trader(trader_home, "status").stdout.count("seen from the command line") == 1


def test_live_leases_are_those_held_by_this_process(trader_home):
    with held_run(trader_home, "a") as first, held_run(trader_home, "b") as second:
        found = lease.live_leases(str(trader_home))
        assert {item.run_id for item in found} == {first.run_id, second.run_id}
        assert lease.live_leases("/elsewhere") == []
    assert lease.live_leases(str(trader_home)) == []
    arming.drop(str(trader_home / "never there"))


def test_lease_forgotten_in_a_child_holds_nothing(trader_home):
    with held_run(trader_home) as held:
        gate = held.open_gate()
        lease._forget_in_child()
        assert not held.is_held
        assert gate.stop_cause() == "a forked child trades nothing"


def test_trip_between_the_last_look_and_the_open_gate_shuts_it(trader_home, monkeypatch):
    with held_run(trader_home) as held:
        real = held.check

        def and_then_a_trip():
            real()
            held.shut_gate("at the last moment")

        monkeypatch.setattr(held, "check", and_then_a_trip)
        assert held.open_gate().stop_cause() == "at the last moment"


def test_kill_that_comes_while_a_new_folder_is_armed_stays(tmp_path, monkeypatch):
    folder = str(tmp_path)
    assert latch.create_page(folder, latch.page_bytes(latch.Stamp("k", 7, "now", 1)))
    monkeypatch.setattr(os.path, "lexists", lambda _: False)  # it came after the look
    assert not arming.arm_if_new(folder)
    assert os.listdir(folder) == [latch.PAGE]


def test_page_and_lock_that_cannot_be_read_leave_the_run_alive(trader_home, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    with held_run(trader_home) as held:
        held.open_gate()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", broken)
            run = registry.Run(str(trader_home), "r1")
            assert (run.alive, run.runner.pid, run.heartbeat_ns) == (True, os.getpid(), 0)
        with monkeypatch.context() as patch:
            patch.setattr("fcntl.flock", broken)
            run = registry.Run(str(trader_home), "r1")
            assert (run.lock, run.alive) == (registry.UNKNOWN, True)


def test_lock_held_by_another_process_than_the_page_names_is_a_start(trader_home):
    with held_run(trader_home) as held:
        held._write(
            registry.encode_runner(registry.Runner(1, "0", registry.OPEN, 1)), latch.RUNNER_AT
        )
        held.heartbeat(0)
        assert registry.Run(str(trader_home), "r1").was == "starting"
