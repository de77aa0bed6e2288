"""`trader rearm`: one id, by the owner, with a reason, nothing alive; halted wins."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.harness.sender import Ledger
from tests.safety_kit import (
    ROOT,
    held_run,
    is_latched,
    kill_here,
    runner_process,
    trader,
    wait_for,
)
from tests.tiers import cases
from trader.errors import KilledError, TraderError, UsageError
from trader.safety import arming, latch, pending, rearm, records, statedir, stop

INTERLEAVE = ROOT / "tests" / "harness" / "interleave.py"


@pytest.fixture(autouse=True)
def no_latch_left_behind(trader_home):
    """The fallback folders are outside of pytest's own, and its paths come again."""
    yield
    for folder in statedir.fallback_folders(str(trader_home)):
        shutil.rmtree(folder, ignore_errors=True)


def shut(home, scope="everything", code=7):
    done = stop.Stop(str(home), stop.StopOrder("stop", code, scope))
    stop.shut(done)
    return done.order.kill_id


def pending_ids(home):
    return {kill["kill_id"] for kill in pending.pending_kills(str(home))}


@pytest.fixture
def armed(trader_home):
    with held_run(trader_home, "r1"), held_run(trader_home, "r2"):
        pass
    return str(trader_home)


def touch_later(folder):
    """`touch HALT` of somebody, ten seconds after what is there."""
    path = os.path.join(folder, latch.HALT)
    later_ns = os.stat(path).st_mtime_ns + 10_000_000_000
    os.utime(path, ns=(later_ns, later_ns))
    return later_ns


@pytest.mark.parametrize("first", ["kill", "hand"])
@pytest.mark.parametrize("scope", ["everything", "r1"])
def test_halt_that_was_touched_under_a_kill_is_a_stop_of_its_own(armed, monkeypatch, first, scope):
    kill_id = shut(armed, scope)
    name = "UNRECORDED" if scope == "everything" else "UNRECORDED-r1"
    folder = armed if scope == "everything" else statedir.run_folder(armed, scope)
    later_ns = touch_later(folder)
    assert pending_ids(armed) == {kill_id, name}
    monkeypatch.setattr("time.time_ns", lambda: later_ns + 1)
    ids = [kill_id, name] if first == "kill" else [name, kill_id]
    done = rearm.rearm(armed, ids[0], "my part is mended")
    assert (done["armed"], done["pending"]) == (False, [ids[1]])
    with pytest.raises(KilledError, match=ids[1]), held_run(armed, "r1"):
        pass
    done = rearm.rearm(armed, ids[1], "so is mine")
    assert (done["armed"], done["pending"]) == (True, [])
    with held_run(armed, "r1") as lease:
        lease.open_gate()


def test_rearm_opens_records_and_audits(armed):
    kill_id = shut(armed)
    done = rearm.rearm(armed, kill_id, "checked the books", "a typo")
    assert done == {
        "kill_id": kill_id,
        "rearmed": True,
        "armed": True,
        "flatten": False,
        "pending": [],
        "audit": "written",
    }
    record = records.rearm_of(armed, kill_id)
    assert (record["reason"], record["root_cause"]) == ("checked the books", "a typo")
    assert (record["uid"], record["pid"], record["kill"]["kill_id"]) == (
        os.getuid(), os.getpid(), kill_id,
    )  # fmt: skip
    with open(os.path.join(armed, "audit.jsonl"), encoding="ascii") as file:
        assert json.loads(file.read().splitlines()[-1])["event"] == "REARM"
    with held_run(armed) as lease:
        lease.open_gate()


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_rearm_without_a_reason_is_refused(armed, reason):
    kill_id = shut(armed)
    with pytest.raises(UsageError, match="--reason is empty"):
        rearm.rearm(armed, kill_id, reason)
    assert pending_ids(armed) == {kill_id}


@pytest.mark.parametrize("wrong", ["no-such-kill", "", "../kills/x", "--all", "UNRECORDED"])
def test_rearm_of_a_wrong_id_is_refused_and_names_the_pending(armed, wrong):
    kill_id = shut(armed)
    with pytest.raises(UsageError, match=f"no pending kill.*pending: {kill_id}"):
        rearm.rearm(armed, wrong, "because")
    assert is_latched(armed)


def test_rearm_twice_is_refused_and_tells_who_did(armed):
    kill_id = shut(armed)
    rearm.rearm(armed, kill_id, "fine")
    with pytest.raises(UsageError, match=rf"{kill_id} was re-armed at .* pending: none"):
        rearm.rearm(armed, kill_id, "again")


def test_every_pending_kill_must_be_rearmed(armed):
    first, second, third = shut(armed), shut(armed, code=1), shut(armed, code=2)
    for kill_id, left in ((second, {first, third}), (first, {third})):
        done = rearm.rearm(armed, kill_id, "one of several")
        assert (done["armed"], set(done["pending"])) == (False, left)
        assert len(latch.inspect(armed).causes) == 3
    assert rearm.rearm(armed, third, "the last")["armed"]
    assert latch.inspect(armed).causes == []


def test_kill_of_one_run_and_of_everything_are_apart(armed):
    one, everything = shut(armed, "r1"), shut(armed)
    assert pending.pending_kills(armed, "r2")[0]["kill_id"] == everything
    assert not rearm.rearm(armed, one, "its own is not enough")["armed"]
    assert rearm.rearm(armed, everything, "now both")["armed"]
    for run_id in ("r1", "r2"):
        with held_run(armed, run_id) as lease:
            lease.open_gate()


def test_rearming_everything_leaves_the_kill_of_one_run(armed):
    one, everything = shut(armed, "r1"), shut(armed)
    done = rearm.rearm(armed, everything, "all but r1")
    assert (done["armed"], done["pending"]) == (True, [one])
    with held_run(armed, "r2") as lease:
        lease.open_gate()
    with pytest.raises(KilledError):
        held_run(armed, "r1").__enter__()
    assert rearm.rearm(armed, one, "and r1")["armed"]


@pytest.mark.process
def test_pages_of_the_runs_that_lived_then_are_armed_again(trader_home, tmp_path, capfd):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0])
        _, document = kill_here(capfd, "--reason", "all")
        assert runner.wait(timeout=10) == 7
    folder = statedir.run_folder(str(trader_home), "sender")
    assert rearm.rearm(str(trader_home), document["kill_id"], "fine")["armed"]
    assert latch.inspect(folder).causes == []
    with held_run(trader_home, "sender", resumes=True) as lease:
        lease.open_gate()


def test_rearm_is_refused_while_a_runner_lives(armed, tmp_path):
    kill_id = shut(armed, "r1")
    with held_run(armed, "r2"):
        assert rearm.rearm(armed, kill_id, "r2 is no part of it")["armed"]
        everything = shut(armed)
        with pytest.raises(KilledError, match=rf"run r2 is .* \(pid {os.getpid()}\)") as refusal:
            rearm.rearm(armed, everything, "r2 lives")
        assert refusal.value.exit_code == 7
    assert rearm.rearm(armed, everything, "r2 has ended")["armed"]


def test_rearm_is_refused_while_it_is_unknown_whether_a_runner_lives(armed):
    kill_id = shut(armed)
    path = os.path.join(armed, "registry", "live-r1", "run.lock")
    os.unlink(path)
    os.symlink("/dev/null", path)
    with pytest.raises(KilledError, match="r1 cannot be told dead"):
        rearm.rearm(armed, kill_id, "who knows")


def test_rearm_is_refused_when_the_runs_cannot_be_listed(armed):
    kill_id = shut(armed)
    shutil.rmtree(os.path.join(armed, "registry"))
    with open(os.path.join(armed, "registry"), "w", encoding="ascii"):
        pass
    with pytest.raises(KilledError, match="cannot be listed"):
        rearm.rearm(armed, kill_id, "who knows")


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be somebody else")
def test_only_the_owner_may_rearm_and_the_group_may_stop(tmp_path):  # K9
    """uid 65534 in the group of a folder that its owner has opened to the group."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o770)
    os.chown(home, 0, 65534)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith("pytest-") or "pytest-of-" in str(folder):
            folder.chmod(0o755)
    with held_run(home):
        pass
    code = f"""
import difflib, locale, os, shutil, sys
sys.path.insert(0, {str(ROOT)!r})
from trader.safety.kill import main
from trader.safety.rearm import rearm
os.setgroups([65534]); os.setgid(65534); os.setuid(65534)
os.environ["TRADER_HOME"] = {str(home)!r}
"""
    stop_it = code + 'sys.exit(main(["--reason", "group"]))'
    done = subprocess.run([sys.executable, "-c", stop_it], capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    (kill,) = pending.pending_kills(str(home))
    assert (kill["uid"], kill["reason"]) == (65534, "group")
    rearm_it = code + (f"rearm({str(home)!r}, {kill['kill_id']!r}, 'not mine')")
    done = subprocess.run([sys.executable, "-c", rearm_it], capture_output=True, check=False)
    assert b"only the owner" in done.stderr
    assert is_latched(home)
    assert rearm.rearm(str(home), kill["kill_id"], "the owner")["armed"]


def test_halt_made_by_hand_has_an_id_of_its_own(armed):
    with open(os.path.join(armed, "HALT"), "w", encoding="ascii"):
        pass
    (kill,) = pending.pending_kills(armed)
    assert (kill["kill_id"], kill["code"], kill["uid"]) == (
        "UNRECORDED",
        "MANUAL_STOP",
        os.getuid(),
    )
    assert rearm.rearm(armed, "UNRECORDED", "seen to")["armed"]
    with open(os.path.join(armed, "registry", "live-r1", "HALT"), "w", encoding="ascii"):
        pass
    assert pending_ids(armed) == {"UNRECORDED-r1"}
    assert rearm.rearm(armed, "UNRECORDED-r1", "seen to")["armed"]
    with open(os.path.join(armed, "HALT"), "w", encoding="ascii"):
        pass
    assert pending_ids(armed) == {"UNRECORDED"}  # a new one is not re-armed by the old


def test_damaged_page_and_missing_permit_can_be_rearmed(armed):
    os.truncate(os.path.join(armed, "kill.page"), 17)
    os.unlink(os.path.join(armed, "PERMIT"))
    (kill,) = pending.pending_kills(armed)
    assert "kill.page is damaged, PERMIT is missing" in kill["reason"]
    assert (kill["code"], kill["at"]) == ("SYSTEM_ERROR", None)
    assert rearm.rearm(armed, "UNRECORDED", "restored")["armed"]


def test_kill_known_by_its_page_only_can_be_rearmed(armed):
    kill_id = shut(armed)
    shutil.rmtree(os.path.join(armed, "kills"))
    assert pending_ids(armed) == {kill_id}
    assert rearm.rearm(armed, kill_id, "fine")["armed"]


def test_rearm_that_did_not_finish_is_finished_by_doing_it_again(armed, monkeypatch):
    def broken(_):
        raise OSError(28, "No space left on device")

    kill_id = shut(armed)
    with monkeypatch.context() as patch:
        patch.setattr(arming, "arm_folder", broken)
        with pytest.raises(TraderError, match="still halted") as refusal:
            rearm.rearm(armed, kill_id, "first try")
    assert kill_id in str(refusal.value)
    (kill,) = pending.pending_kills(armed)
    assert "its re-arm did not finish" in kill["reason"]
    with pytest.raises(KilledError):
        held_run(armed).__enter__()
    assert rearm.rearm(armed, kill_id, "second try")["armed"]


def test_rearm_that_cannot_be_recorded_opens_nothing(armed):
    kill_id = shut(armed)
    with open(os.path.join(armed, "rearms"), "w", encoding="ascii"):
        pass
    with pytest.raises(TraderError, match=r"could not be recorded.*still halted"):
        rearm.rearm(armed, kill_id, "no room")
    assert len(latch.inspect(armed).causes) == 3


def test_rearm_whose_audit_line_fails_says_so(armed):
    kill_id = shut(armed)
    os.mkdir(os.path.join(armed, "audit.jsonl"))
    done = rearm.rearm(armed, kill_id, "fine")
    assert done["armed"]
    assert done["audit"].startswith("EISDIR")


def test_kill_that_comes_while_the_folder_opens_shuts_it_again(armed, monkeypatch):
    real, late = arming.arm_folder, []

    def and_then_a_kill(folder):
        real(folder)
        order = stop.StopOrder("at the last moment", 2)
        late.append(order.kill_id)
        assert not records.store(armed, "kills", order.record())

    kill_id = shut(armed)
    monkeypatch.setattr(arming, "arm_folder", and_then_a_kill)
    done = rearm.rearm(armed, kill_id, "fine")
    assert (done["armed"], done["pending"]) == (False, late)
    assert len(latch.inspect(armed).causes) == 3
    assert latch.inspect(armed).stamp.kill_id == late[0]


def test_no_folder_to_rearm_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no state folder"):
        rearm.rearm(str(tmp_path / "none"), "x", "why")


@pytest.mark.process
def test_command_rearms_and_its_refusals_have_exit_codes(armed):
    kill_id = shut(armed)
    second = shut(armed, code=1)
    done = trader(armed, "rearm", kill_id, "--reason", "checked")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"re-armed {kill_id}" in done.stdout
    assert f"still in force: {second}" in done.stdout
    done = trader(armed, "rearm", second, "--reason", "checked", "--root-cause", "cable", "--json")
    assert json.loads(done.stdout)["armed"] is True
    assert trader(armed, "rearm", second, "--reason", "x").returncode == 2
    assert trader(armed, "rearm", second).returncode == 2
    third = shut(armed)
    with held_run(os.path.dirname(armed) + "/other"):
        pass
    os.makedirs(os.path.join(armed, "audit.jsonl.d"))
    os.rename(os.path.join(armed, "audit.jsonl"), os.path.join(armed, "audit.jsonl.d", "x"))
    os.mkdir(os.path.join(armed, "audit.jsonl"))
    done = trader(armed, "rearm", third, "--reason", "no audit")
    assert (done.returncode, "its scope may trade again" in done.stdout) == (0, True)
    assert "the audit line could not be written" in done.stderr


def interleave(what, folder, *words):
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(folder)
    home = os.path.join(place, f"trader-test-{os.getpid()}-{what}", "home")
    os.makedirs(os.path.dirname(home))
    try:
        done = subprocess.run(
            [sys.executable, INTERLEAVE, what, home, *words],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        shutil.rmtree(os.path.dirname(home))
    return json.loads(done.stdout)


@pytest.mark.process
def test_halted_wins_over_interleavings_of_two_kills_and_a_rearm(tmp_path):
    number = cases(1000)
    found = interleave("race", tmp_path, str(number))
    assert (found["cases"], found["failures"]) == (number, [])
    assert 0 < found["opened"] < number  # the re-arm came before, during and after


@pytest.mark.process
def test_rearm_cut_off_at_any_call_leaves_it_halted_or_through(tmp_path):
    found = interleave("crash", tmp_path, "6")
    assert found["cases"] > 100
    assert found["failures"] == []


@pytest.mark.process
def test_kill_cut_off_at_any_call_is_not_acknowledged_unless_it_is_halted(tmp_path):
    found = interleave("cut", tmp_path, "8")
    assert found["cases"] > 100
    assert found["failures"] == []


@pytest.mark.process
def test_kill_with_any_disk_call_failing_tells_the_truth(tmp_path):
    found = interleave("faults", tmp_path)
    assert found["cases"] > 30
    assert found["failures"] == []
    assert set(found["codes"]) == {"0", "9", "10", "50"}


@pytest.mark.process
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_rearm_and_status_work_with_closed_streams(armed, closed):
    kill_id = shut(armed)
    environ = {**os.environ, "TRADER_HOME": str(armed)}
    for words in ("status", "status --json", f"rearm {kill_id} --reason 'nobody listens'"):
        line = f"{sys.executable} -m trader {words} {closed}"
        assert subprocess.run(line, shell=True, env=environ, check=False).returncode == 0, words
    assert not is_latched(armed)


def test_page_that_is_a_folder_keeps_it_halted_and_the_message_names_it(armed):
    kill_id = shut(armed)
    page = os.path.join(armed, "kill.page")
    os.unlink(page)
    os.mkdir(page)
    with pytest.raises(TraderError, match=f"{page}: EISDIR .*still halted"):
        rearm.rearm(armed, kill_id, "not yet")
    assert is_latched(armed)
    os.rmdir(page)
    (left,) = pending_ids(armed)  # with its page the kill has lost its name
    assert left == records.UNRECORDED
    assert rearm.rearm(armed, left, "mended")["armed"]


def test_fifo_in_the_place_of_the_latch_lock_holds_up_no_kill(armed, capfd, monkeypatch):
    monkeypatch.setenv("TRADER_HOME", str(armed))
    lock = os.path.join(armed, "latch.lock")
    os.unlink(lock)
    os.mkfifo(lock)
    code, document = kill_here(capfd, "--reason", "a trap")
    assert (code, document["durable"]) == (0, True)
