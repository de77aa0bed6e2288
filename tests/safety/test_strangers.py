"""State folders as they are met: made by root, by a group, damaged by hand. Halted wins, truly."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.safety_kit import die, held_run, kill_here, trader
from trader.errors import KilledError, TraderError
from trader.safety import (
    barrier,
    kill,
    latch,
    processes,
    rearm,
    records,
    registry,
    statedir,
    status,
    stop,
)

pytestmark = pytest.mark.process

SOMEBODY = 12345

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


def as_user(work, *given, umask=0o022):
    """What `work` returns in a process of another user; an error of `trader` as its text."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.umask(umask)
            os.setgroups([])
            os.setgid(SOMEBODY)
            os.setuid(SOMEBODY)
            answer = work(*given)
        except TraderError as error:
            answer = f"{type(error).__name__}: {error}"
        except BaseException as error:
            answer = repr(error)
        os.write(write_end, json.dumps(answer).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        answer = json.load(pipe)
    os.waitpid(pid, 0)
    return answer


@pytest.fixture
def theirs(monkeypatch):
    """The state folder of another user, armed and never killed, where that user can reach it."""
    base = Path(tempfile.mkdtemp(prefix="trader-theirs-", dir="/tmp"))
    os.chmod(base, 0o755)
    home = base / "home"
    monkeypatch.setenv("TRADER_HOME", str(home))
    with held_run(home):
        pass
    for folder, folders, files in os.walk(home):
        for name in [".", *folders, *files]:
            os.chown(os.path.join(folder, name), SOMEBODY, SOMEBODY)
    yield home
    shutil.rmtree(base)


@needs_root
def test_kills_by_root_are_the_owners_to_see_and_to_rearm_one_by_one(theirs, capfd):
    ids = [kill_here(capfd, "--reason", text)[1]["kill_id"] for text in ("one", "two")]
    found = as_user(status.collect)
    assert [each["kill_id"] for each in found["kills"]] == ids
    assert [each["reason"] for each in found["kills"]] == ["one", "two"]
    for kill_id, armed in zip(ids, (False, True), strict=True):
        done = as_user(rearm.rearm, str(theirs), kill_id, "looked into it")
        assert (done["armed"], done["audit"]) == (armed, "written")


def fallen_back(home):
    """What a kill on a state folder that takes nothing leaves: (fallback folders, errors)."""
    done = stop.Stop(home, stop.StopOrder("the disk takes nothing", latch.CODES["MANUAL_STOP"]))
    stop.fall_back(done)
    return done.fallbacks, done.errors


@needs_root
def test_fallback_of_a_kill_by_root_is_the_owners(theirs):
    folders, errors = fallen_back(str(theirs))
    try:
        assert (errors, len(folders) > 0) == ([], True)
        (found,) = as_user(status.collect)["kills"]
        assert found["reason"] == "the disk takes nothing"
        done = as_user(rearm.rearm, str(theirs), found["kill_id"], "looked into it")
        assert (done["armed"], done["pending"]) == (True, [])
    finally:
        for folder in folders:
            shutil.rmtree(folder)


@needs_root
def test_fallback_that_the_owners_starts_would_not_see_is_none(theirs):
    os.chown(theirs, SOMEBODY + 1, SOMEBODY)
    folders, errors = as_user(fallen_back, str(theirs))
    assert folders == []
    assert all(f"only uid {SOMEBODY + 1}, whose starts look there" in error for error in errors)
    assert not os.path.exists(f"/tmp/trader-{SOMEBODY + 1}")


def test_latch_of_one_run_is_none_for_everything(trader_home):
    order = stop.StopOrder("x", latch.CODES["MANUAL_STOP"])
    done = stop.Stop(str(trader_home), order)
    done.folders = {str(trader_home): latch.Channels(), "a run": latch.Channels()}
    done.folders["a run"].page = ""
    assert not kill._is_latched(done)
    done.record_error = ""  # a record alone refuses every start
    assert kill._is_latched(done)
    done.record_error, done.folders[str(trader_home)].halt = "ENOSPC", ""
    assert kill._is_latched(done)


@needs_root
def test_records_that_cannot_be_listed_count_as_a_kill(theirs, capfd):
    ids = [kill_here(capfd, "--reason", text)[1]["kill_id"] for text in ("one", "two")]
    os.chown(theirs / "kills", 0, 0)
    os.chmod(theirs / "kills", 0o700)
    found = as_user(status.collect)
    assert "UNREADABLE" in [each["kill_id"] for each in found["kills"]]
    assert as_user(rearm.rearm, str(theirs), ids[0], "the page tells of it")["armed"] is False
    refused = as_user(rearm.rearm, str(theirs), "UNREADABLE", "now all of it")
    assert refused.startswith("KilledError: ")
    assert "cannot be listed" in refused
    os.chown(theirs / "kills", SOMEBODY, SOMEBODY)
    assert [each["kill_id"] for each in as_user(status.collect)["kills"]] == [ids[1]]


@needs_root
def test_state_folder_that_cannot_be_entered_is_no_folder_without_kills(theirs, capfd):
    kill_here(capfd, "--reason", "enough")
    os.chown(theirs, 0, 0)
    os.chmod(theirs, 0o700)
    assert as_user(status.collect)["latched"] is True


@needs_root
def test_kill_by_a_member_of_the_group_can_be_read_whatever_the_umask(theirs):
    os.chown(theirs, 0, SOMEBODY)
    os.chmod(theirs, 0o2770)
    for folder, folders, _ in os.walk(theirs):
        for name in folders:
            os.chmod(os.path.join(folder, name), 0o2770)
    assert as_user(kill.main, ["--reason", "by a member"], umask=0o077) == 0
    (record,) = (theirs / "kills").iterdir()
    found = os.stat(record)
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, SOMEBODY)


@pytest.mark.parametrize(
    "record", [{"x": 1}, {}, {"reason": 3, "code": "RISK_BREACH", "scope": "r1"}, {"code": "?"}]
)
def test_record_without_its_facts_stops_everything_and_is_told(trader_home, capfd, record):
    with held_run(trader_home):
        pass
    (trader_home / "kills").mkdir()
    (trader_home / "kills" / "odd.json").write_text(json.dumps(record))
    done = trader(trader_home, "status")
    assert (done.returncode, "cannot be read" in done.stdout) == (0, True), done.stderr
    with pytest.raises(KilledError, match="odd"):
        held_run(trader_home).__enter__()
    assert rearm.rearm(str(trader_home), "odd", "looked into it")["armed"]


def test_status_with_senseless_numbers_is_still_an_answer(trader_home):
    with held_run(trader_home) as lease:
        lease.open_gate()
        lease.write_status({"ts_ns": 10**30, "last_bar_ns": 10**30, "equity": float("nan")})
        found = status.collect()
        text = status.render(found)
    (run,) = found["runs"]
    assert (run["equity"], run["updated"]) == (None, str(10**30))
    json.dumps(found, allow_nan=False)
    assert "RUNNING" in text


def test_run_that_a_kill_has_ended_stays_in_status_until_the_rearm(trader_home, capfd):
    with held_run(trader_home, "demo") as lease:
        lease.open_gate()
        lease.write_status({"mode": "paper", "equity": 5.0, "trading_state": "HALTED"})
        done = lease.trip("MANUAL_STOP", "enough")
    (run,) = status.collect()["runs"]
    assert (run["run_id"], run["state"], run["equity"]) == ("demo", "halted", 5.0)
    assert run["mode"] == "paper"
    assert run["clear"] == f"trader rearm {done.order.kill_id} --reason TEXT"
    rearm.rearm(str(trader_home), done.order.kill_id, "go on")
    assert status.collect()["runs"] == []


def test_headline_names_what_is_stopped(trader_home, capfd):
    with held_run(trader_home, "a"), held_run(trader_home, "b"):
        pass
    assert kill.main(["--reason", "only a", "--run", "a"]) == 0
    assert status.render(status.collect()).splitlines()[1] == "STOPPED: a"
    assert kill.main(["--reason", "all"]) == 0
    assert status.render(status.collect()).splitlines()[1] == "TRADING IS STOPPED"


def test_hang_of_a_dead_run_is_pointed_to(trader_home):
    with held_run(trader_home, "demo") as lease:
        (trader_home / "registry" / "live-demo" / "hang.txt").write_text("Thread 0x1")
        die(lease)
        (run,) = status.collect()["runs"]
        assert run["why"].endswith(f"after it hung: {trader_home}/registry/live-demo/hang.txt")


@pytest.mark.parametrize("pid", [99999999999999999999, -1, 0, 2**31])
def test_number_that_is_no_process_is_never_signalled(trader_home, capfd, pid):
    with held_run(trader_home) as lease:
        lease.open_gate()
        place = os.path.join(trader_home, "registry", "live-r1")
        entry = registry.read_json(os.path.join(place, registry.ENTRY))
        registry.write_json(os.path.join(place, registry.ENTRY), {**entry, "pid": pid})
        with open(os.path.join(place, latch.PAGE), "r+b") as page:
            page.seek(latch.RUNNER_AT)
            page.write(b"\xff" * 64)
        assert registry.Run(str(trader_home), "r1").runner is None


def test_flatten_without_a_process_says_that_nothing_was_closed(trader_home, capfd):
    assert kill.main(["--reason", "x", "--flatten"]) == 0
    assert "no run is alive: what runs that have ended hold stays open" in capfd.readouterr().err


def test_flatten_of_a_dead_run_names_it(trader_home, capfd):
    with held_run(trader_home, "demo") as lease:
        die(lease)
        assert kill.main(["--reason", "x", "--flatten"]) == 0
    assert "run demo had no process left to close its positions" in capfd.readouterr().err


def test_kill_whose_barrier_breaks_still_answers(trader_home, capfd, monkeypatch):
    def broken(pid, started):
        raise RuntimeError("not thought of")

    monkeypatch.setattr(processes, "kill_process", broken)
    monkeypatch.setattr(barrier, "gate_state", lambda run: registry.UNKNOWN)
    with held_run(trader_home, "dead") as lease:
        die(lease)
        with held_run(trader_home, "live"):
            code, document = kill_here(capfd, "--reason", "x")
    outcomes = {run["run_id"]: run["outcome"] for run in document["runs"]}
    assert (code, outcomes) == (10, {"dead": "already_dead", "live": "not_stopped"})


@pytest.mark.parametrize("place", ["file/home", "/proc/nowhere/home"])
def test_kill_that_leaves_no_latch_anywhere_says_so(tmp_path, capfd, monkeypatch, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRADER_HOME", str(tmp_path / place))
    monkeypatch.setattr("trader.safety.statedir.make_fallback", lambda path, _: f"{path}: EROFS")
    assert kill.main(["--reason", "x"]) == 10
    told = capfd.readouterr().out
    assert "NO LATCH COULD BE WRITTEN" in told
    assert "KILLED" not in told


def test_rearm_that_cannot_be_printed_is_done_all_the_same(trader_home, capfd):
    with held_run(trader_home):
        pass
    kill_id = kill_here(capfd, "--reason", "x")[1]["kill_id"]
    words = [sys.executable, "-m", "trader", "rearm", kill_id, "--reason", "fine"]
    environ = {**os.environ, "TRADER_HOME": str(trader_home)}
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            words, env=environ, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert f"re-armed {kill_id}" in done.stderr
    assert records.rearm_of(str(trader_home), kill_id)


def test_runs_that_ended_before_the_last_boot_are_not_in_the_answer(trader_home, capfd):
    with held_run(trader_home, "old") as lease:
        lease.open_gate()
    with open(trader_home / "registry" / "live-old" / latch.PAGE, "r+b") as page:
        page.seek(latch.HEARTBEAT_AT)
        page.write(registry.encode_heartbeat(2**62))  # the clock of then was further
    assert kill_here(capfd, "--reason", "x")[1]["runs"] == []


def test_state_folder_is_the_same_from_every_working_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRADER_HOME", "state")
    found = set()
    for folder in (tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        found.add(statedir.home_path())
    assert found == {str(tmp_path / "state")}
