"""The steps of a stop on disks that fail, and the barrier against runners that will not go."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from tests.safety_kit import held_run, is_latched
from trader.safety import (
    arming,
    barrier,
    kill,
    latch,
    pending,
    processes,
    records,
    registry,
    statedir,
    stop,
    trip,
)


@pytest.fixture
def fallback(tmp_path, monkeypatch, trader_home):
    """Fallback folders of the test's own, as far as there is a choice; removed at the end."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield place
    for folder in statedir.fallback_folders(str(trader_home)):
        shutil.rmtree(folder, ignore_errors=True)


def stop_of(home, scope="everything"):
    return stop.Stop(str(home), stop.StopOrder("test", 7, scope))


def broken(*_, **__):
    raise OSError(5, "Input/output error")


def test_state_folder_that_cannot_be_made_is_told_and_latched_elsewhere(
    tmp_path, monkeypatch, trader_home
):
    home = tmp_path / "file" / "home"
    (tmp_path / "file").write_text("")
    done = stop_of(home)
    stop.shut(done)
    assert (done.durable, done.finished) == (False, True)
    assert done.errors[0].startswith(f"{home}: E")
    stop.fall_back(done)
    assert done.fallbacks
    try:
        assert [kill["kill_id"] for kill in pending.pending_kills(str(home))] == [
            done.order.kill_id
        ]
    finally:
        for folder in statedir.fallback_folders(str(home)):
            shutil.rmtree(folder, ignore_errors=True)


def test_second_look_engages_what_was_opened_meanwhile(trader_home):
    done = stop_of(trader_home)
    stop.shut(done)
    arming.arm_folder(str(trader_home))  # a re-arm that was already under way
    stop.look_again(done)
    assert done.durable
    assert len(latch.inspect(str(trader_home)).causes) == 3


def test_stop_beside_a_suspended_rearm_is_durable_by_its_record_only(trader_home, monkeypatch):
    with held_run(trader_home):
        pass
    with arming.LatchLock(str(trader_home)):
        done = stop_of(trader_home)
        stop.shut(done)
        assert done.durable
        (trader_home / "kills").rename(trader_home / "kills.old")
        (trader_home / "kills").write_text("no folder")
        done = stop_of(trader_home)
        stop.shut(done)
        assert not done.durable
        assert "kills" in " ".join(done.failures())


def test_fallback_of_one_run_is_its_own(trader_home, fallback):
    done = stop_of(trader_home, "r1")
    stop.fall_back(done)
    assert any(folder.startswith(str(fallback)) for folder in done.fallbacks)
    assert pending.pending_kills(str(trader_home), "r2") == []
    assert len(pending.pending_kills(str(trader_home), "r1")) == 1


def test_fallbacks_that_fail_are_told(trader_home, fallback, monkeypatch):
    (fallback / f"trader-{os.getuid()}").symlink_to("/nowhere")
    done = stop_of(trader_home, "r1")
    with monkeypatch.context() as patch:
        patch.setattr(statedir, "make_folder", broken)
        stop.fall_back(done)
    assert done.fallbacks == []
    told = " ".join(done.errors)
    assert "not a folder that only uid" in told
    assert "EIO Input/output error" in told


def test_fallback_that_takes_no_channel_is_none(trader_home, fallback, monkeypatch):
    done = stop_of(trader_home)
    monkeypatch.setattr(latch, "create_page", broken)
    monkeypatch.setattr(latch, "raise_halt", lambda *_: "EIO")
    stop.fall_back(done)
    assert done.fallbacks == []


def test_audit_goes_to_the_spool_of_the_first_place_that_takes_it(trader_home, fallback):
    (trader_home / "audit.jsonl").mkdir()
    (trader_home / "audit-spool").write_text("no folder")
    done = stop_of(trader_home)
    entry = done.order.record()
    told = stop.settle_audit(done, entry)
    assert "spooled in" in told
    assert str(trader_home / "audit-spool") not in told
    told = stop.settle_audit(done, entry)  # the fallback is there and trusted now
    assert "spooled in" in told
    (trader_home / "audit.jsonl").rmdir()
    assert [item["kill_id"] for item in records.take_in_spool(str(trader_home))]


def test_audit_without_any_spool_says_so(trader_home, fallback, monkeypatch):
    done = stop_of(trader_home)
    monkeypatch.setattr(records, "store", lambda *_: "ENOSPC")
    monkeypatch.setattr(records, "audit", lambda *_: "ENOSPC")
    assert "no spool could be written" in stop.settle_audit(done, {})
    monkeypatch.setattr(statedir, "make_fallback", lambda *_: "no")
    assert "no spool could be written" in stop.settle_audit(done, {})


def test_trip_on_a_disk_that_hangs_returns_in_time_and_not_durable(
    trader_home, fallback, monkeypatch
):
    never = threading.Event()
    monkeypatch.setattr(trip, "WAIT_S", 0.2)
    monkeypatch.setattr(stop, "shut", lambda _: never.wait())
    closed = []
    done = trip.Tripwire(str(trader_home), closed.append).trip(stop.StopOrder("hung", 6))
    never.set()
    assert not done.durable
    assert "no answer in 0.2 s" in done.errors[0]
    assert done.fallbacks
    assert closed == ["SYSTEM_ERROR: hung"]


@pytest.mark.long
def test_trip_whose_first_did_not_finish_stops_by_itself(trader_home, fallback, monkeypatch):
    wire = trip.Tripwire(str(trader_home))
    stuck = stop_of(trader_home)
    wire._stops[(7, "everything")] = stuck
    monkeypatch.setattr(trip, "WAIT_S", 1.0)
    order = stop.StopOrder("again", 7)
    assert wire.trip(order).order is order  # the first still hangs: nobody waits for it
    assert is_latched(trader_home)


def test_trip_that_the_disk_refused_is_the_same_kill_tried_again(trader_home, fallback):
    wire = trip.Tripwire(str(trader_home))
    trader_home.rmdir()
    trader_home.write_text("no folder")  # nothing can be latched in there
    first = wire.trip(stop.StopOrder("first", 7))
    assert first.fallbacks
    assert wire.trip(stop.StopOrder("again", 7)).order is first.order
    for folder in first.fallbacks:
        assert os.listdir(os.path.join(folder, "kills")) == [f"{first.order.kill_id}.json"]
    trader_home.unlink()
    bound = wire.trip(stop.StopOrder("once more", 7))
    assert bound.order is first.order
    assert is_latched(trader_home)
    assert wire.trip(stop.StopOrder("and more", 7)) is bound


def holding(home, started, pid=None, barrier_ms=20.0):
    """A run of this process whose registry names another process; its target."""
    held = held_run(home, "r1", barrier_ms=barrier_ms, cancel_timeout_s=0.05)
    lease = held.__enter__()
    lease.open_gate()
    other = registry.Runner(pid or os.getpid(), started, registry.OPEN, lease._runner.gate_inode)
    lease._write(registry.encode_runner(other), latch.RUNNER_AT)
    return held, lease


def target_of(home, bound=True):
    return barrier.Target(registry.Run(str(home), "r1"), bound, 0)


def keep_gate(lease):
    """Holds the gate as an order inside does."""
    fd = os.open(os.path.join(lease.folder, registry.GATE_LOCK), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


@pytest.mark.process
def test_runner_inside_the_gate_past_its_deadline_is_ended(trader_home):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    held, lease = holding(trader_home, processes.start_token(process.pid), process.pid)
    fd = keep_gate(lease)
    target = target_of(trader_home)
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    threading.Timer(0.3, lease.drop_files).start()  # as the kernel does for a process that ends
    barrier.pass_barrier([target])
    reaper.join()
    os.close(fd)
    held.__exit__(None, None, None)
    assert process.returncode == -9
    assert (target.outcome, target.trouble) == (barrier.ENDED, "")


@pytest.mark.process
def test_run_still_held_after_sigkill_is_not_stopped(trader_home, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    held, _ = holding(trader_home, processes.start_token(process.pid), process.pid)
    monkeypatch.setattr(barrier, "AFTER_SIGKILL_S", 0.1)
    target = target_of(trader_home, bound=False)
    barrier.pass_barrier([target])
    process.wait()
    held.__exit__(None, None, None)
    assert target.outcome == barrier.NOT_STOPPED
    assert "still held" in target.trouble


def test_process_that_may_not_be_signalled_is_not_stopped(trader_home, monkeypatch):
    held, _ = holding(trader_home, "1")
    monkeypatch.setattr(processes, "kill_process", lambda *_: "pid 1: Operation not permitted")
    target = target_of(trader_home, bound=False)
    barrier.pass_barrier([target])
    held.__exit__(None, None, None)
    assert (target.outcome, target.trouble) == (
        barrier.NOT_STOPPED, "pid 1: Operation not permitted",
    )  # fmt: skip


@pytest.mark.long
def test_holder_that_is_not_the_registered_process_is_not_stopped(trader_home):
    held, _ = holding(trader_home, "1")
    target = target_of(trader_home, bound=False)
    barrier.pass_barrier([target])
    held.__exit__(None, None, None)
    assert target.outcome == barrier.NOT_STOPPED
    assert "is not to be found here, and somebody still holds the run" in target.trouble


@pytest.mark.process
@pytest.mark.parametrize("before", ["nobody", "a process that is gone"])
def test_start_that_writes_itself_down_after_the_runs_were_read_is_ended(trader_home, before):
    """On a read-only disk it cannot see the latch in the page: it would have traded on."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    held, lease = holding(trader_home, "1")
    if before == "nobody":
        lease._write(bytes(64), latch.RUNNER_AT)
        os.unlink(os.path.join(lease.folder, registry.ENTRY))
    target = target_of(trader_home, bound=False)
    started = registry.Runner(process.pid, processes.start_token(process.pid), registry.STARTING, 0)
    lease._write(registry.encode_runner(started), latch.RUNNER_AT)
    reaper = threading.Thread(target=lambda: (process.wait(), lease.drop_files()))
    reaper.start()
    barrier.pass_barrier([target])
    reaper.join()
    held.__exit__(None, None, None)
    assert process.returncode == -9
    assert (target.outcome, target.trouble) == (barrier.ENDED, "")


def test_start_that_leaves_before_it_has_written_itself_down_is_dead(trader_home):
    held, lease = holding(trader_home, "1")
    lease._write(bytes(64), latch.RUNNER_AT)
    os.unlink(os.path.join(lease.folder, registry.ENTRY))
    target = target_of(trader_home, bound=False)
    lease.drop_files()
    barrier.pass_barrier([target])
    held.__exit__(None, None, None)
    assert (target.outcome, target.trouble) == (barrier.DEAD, "")


def test_lock_that_fails_proves_nothing(trader_home, monkeypatch):
    held, _ = holding(trader_home, "1")
    run = registry.Run(str(trader_home), "r1")
    monkeypatch.setattr("fcntl.flock", broken)
    assert barrier.gate_state(run) == registry.UNKNOWN
    monkeypatch.undo()
    held.__exit__(None, None, None)


def test_runner_that_stays_without_a_known_process_is_told(trader_home):
    held, lease = holding(trader_home, "1")
    target = target_of(trader_home)
    target.outcome = barrier.HALTED
    lease._write(bytes(64), latch.RUNNER_AT)
    os.unlink(os.path.join(lease.folder, registry.ENTRY))
    barrier.see_off([target])
    held.__exit__(None, None, None)
    assert target.trouble == "did not leave in time, and its process is not known"
    assert target.outcome == barrier.NOT_STOPPED


def test_suspended_runner_of_another_namespace_is_past_the_barrier_and_not_stopped(
    trader_home, monkeypatch, capfd
):
    """Its number means nothing here, the gate is free, and it never leaves (K10)."""
    monkeypatch.setattr(barrier, "AFTER_SIGKILL_S", 0.1)
    held, _ = holding(trader_home, "1")
    assert kill.main(["--reason", "out of reach", "--json"]) == 10
    held.__exit__(None, None, None)
    told = capfd.readouterr()
    document = json.loads(told.out)
    assert (document["runs"][0]["outcome"], document["exit"]) == ("not_stopped", 10)
    assert "No order can leave, but it is still alive" in told.err


def test_runner_out_of_reach_that_leaves_in_time_is_stopped(trader_home, capfd):
    held, lease = holding(trader_home, "1")
    target = target_of(trader_home)
    barrier.pass_barrier([target])
    assert barrier.is_out_of_reach(target)
    lease.drop_files()
    barrier.see_off([target])
    held.__exit__(None, None, None)
    assert (target.outcome, target.trouble) == (barrier.HALTED, "")


def test_runner_that_leaves_in_time_is_not_ended(trader_home):
    held, lease = holding(trader_home, "1")
    target = target_of(trader_home)
    target.outcome = barrier.HALTED
    threading.Timer(0.01, lease.drop_files).start()
    barrier.see_off([target])
    held.__exit__(None, None, None)
    assert target.trouble == ""


def test_failures_name_the_channel_and_the_folder(trader_home, monkeypatch):
    with held_run(trader_home):
        pass
    monkeypatch.setattr(latch, "raise_halt", lambda *_: "ENOSPC No space left on device")
    done = stop_of(trader_home)
    stop.shut(done)
    assert done.durable
    assert done.failures() == [f"{trader_home}/HALT: ENOSPC No space left on device"]
