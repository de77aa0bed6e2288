"""Real runners, real kills, disks in trouble: the acceptance trials in a size for the suite.

`make kill-bench` runs the same trials in any number and prints their times.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.harness import kill_bench
from tests.harness.disks import DISKS, MOUNTED, Disk, run_mount, why_no_mount
from tests.harness.sender import STATES, Ledger
from tests.safety_kit import ROOT, held_run, kill_here, run_kill, runner_process, wait_for
from tests.tiers import cases
from trader.errors import KilledError, TraderError
from trader.safety import pending, rearm, statedir, stop

pytestmark = pytest.mark.process

BENCH = ROOT / "tests" / "harness" / "kill_bench.py"


def bench(*words):
    done = subprocess.run(
        [sys.executable, BENCH, "--no-budgets", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 orders after the acknowledgement, 0 violations" in done.stdout
    return done.stdout


@pytest.fixture
def mounts(tmp_path):
    refused = why_no_mount(str(tmp_path))
    if refused:
        pytest.skip(f"disks in trouble need a mount of their own: {refused}")


def test_no_order_after_the_acknowledgement_in_any_state_of_the_runner():
    """Trials of the code of `trader kill` against runners in every state."""
    told = bench(
        "--fork", "--barrier-ms", "30", "--trials", str(cases(280)), "--disks", "normal,audit_dead"
    )
    assert all(f"\n{state} " in told for state in STATES)


def test_no_order_after_the_acknowledgement_on_any_disk(mounts):
    told = bench("--fork", "--trials", str(cases(120)), "--states", "idle,busy,starting,dead")
    assert all(f"\n{disk} " in told for disk in DISKS)


def test_no_order_after_the_acknowledgement_of_the_installed_command():
    bench("--trials", "14", "--disks", "normal")


def test_bench_counts_no_fallback_that_others_can_reach(tmp_path):
    mine, shared, home = tmp_path / "bench", tmp_path / "shared", str(tmp_path / "home")
    settings = kill_bench.private_places(str(mine))
    private = [name for name in statedir.fallback_folders(home, settings) if str(mine) in name]
    assert len(private) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", settings["XDG_RUNTIME_DIR"])
        patch.setenv("TMPDIR", str(shared))
        found = [name for name in statedir.fallback_folders(home) if str(tmp_path) in name]
        for name in found:
            os.makedirs(name)
        kill_bench.drop_shared_fallbacks(home, str(mine))
    assert [os.path.isdir(name) for name in found] == [True, False]


def test_bench_finds_a_gate_that_is_not_held(tmp_path):
    """The trials can fail: a runner that looks at the latch and then sends outside the lock."""
    code = """
import sys
sys.path.insert(0, {root!r})
from trader.safety import gate
gate.Gate.stop_cause = lambda self: ""
from tests.harness import kill_bench, sender
sys.exit(kill_bench.main(["--fork", "--trials", "10", "--states", "busy", "--disks", "normal"]))
"""
    words = [sys.executable, "-c", code.format(root=str(ROOT))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AFTER the acknowledgement" in done.stdout


@pytest.fixture
def broken_disk(mounts, tmp_path, monkeypatch, capfd):
    """Makes a disk of a kind, with an armed run on it, and breaks it."""
    disks = []

    def make(kind):
        disk = Disk(kind, str(tmp_path))
        disk.__enter__()
        disks.append(disk)
        with held_run(disk.home):
            pass
        disk.break_down()
        monkeypatch.setenv("TRADER_HOME", disk.kill_home)
        return disk

    yield make
    for disk in disks:
        for folder in statedir.fallback_folders(disk.kill_home):
            subprocess.run(["rm", "-rf", folder], check=True)
        disk.__exit__()


@pytest.mark.parametrize("kind", MOUNTED)
def test_kill_on_a_broken_disk_with_nothing_running_refuses_the_next_start(
    broken_disk, capfd, kind
):
    disk = broken_disk(kind)
    code, document = kill_here(capfd, "--reason", f"disk is {kind}")
    assert (code, document["exit"]) == ((9, 9) if kind == "read_only" else (0, 0))
    assert document["durable"] == (kind != "read_only")
    with pytest.raises((KilledError, TraderError)) as refusal:
        held_run(disk.kill_home).__enter__()
    if isinstance(refusal.value, KilledError):
        assert document["kill_id"] in str(refusal.value)
    kills = pending.pending_kills(disk.kill_home)
    assert [kill["kill_id"] for kill in kills] == [document["kill_id"]]
    assert kills[0]["reason"] == f"disk is {kind}"


def test_latch_of_a_read_only_disk_binds_until_it_is_rearmed_on_a_good_one(broken_disk, capfd):
    disk = broken_disk("read_only")
    _, document = kill_here(capfd, "--reason", "read-only")
    with pytest.raises(TraderError, match="still halted"):
        rearm.rearm(disk.kill_home, document["kill_id"], "too early")
    run_mount("mount", "-o", "remount,bind,rw", disk.kill_home)
    with pytest.raises(KilledError, match=document["kill_id"]):
        held_run(disk.kill_home).__enter__()
    assert rearm.rearm(disk.kill_home, document["kill_id"], "disk is back")["armed"]
    with held_run(disk.kill_home) as lease:
        lease.open_gate()


def test_runner_whose_own_disk_turns_read_only_is_stopped(mounts, tmp_path):
    """An ext4 that the kernel remounts read-only after an error, under a runner with open files."""
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    if run_mount("mkfs.ext4", "-q", str(image)).returncode:
        pytest.skip("no mkfs.ext4 here")
    done = run_mount("mount", "-o", "loop,errors=remount-ro", str(image), str(point))
    if done.returncode:
        pytest.skip(f"no loop mount here: {done.stderr.strip()}")
    home, ledger = point / "home", Ledger(tmp_path / "ledger")
    try:
        device = os.stat(point).st_dev
        name = os.path.basename(
            os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
        )
        trigger = f"/sys/fs/ext4/{name}/trigger_fs_error"
        if not os.path.exists(trigger):
            pytest.skip("this kernel cannot be told to find an error")
        with runner_process(home, "gil", tmp_path / "ledger") as runner:
            wait_for(lambda: ledger.read()[0])
            with open(trigger, "w", encoding="ascii") as file:
                file.write("a test")
            done = run_kill(home, "--reason", "the kernel gave up the disk", "--json")
            document = json.loads(done.stdout)
            assert (done.returncode, document["durable"]) == (9, False)
            assert [run["outcome"] for run in document["runs"]] == ["killed"]
            assert runner.wait(timeout=10) == -9
        assert pending.pending_kills(str(home))[0]["reason"] == "the kernel gave up the disk"
    finally:
        run_mount("umount", "-l", str(point))
        for folder in statedir.fallback_folders(str(home)):
            subprocess.run(["rm", "-rf", folder], check=True)


def test_kill_of_a_group_of_runs_on_a_full_disk_passes_every_barrier(broken_disk, capfd):
    disk = broken_disk("full")
    disk.make_room()
    with (
        held_run(disk.home, "a", cancel_timeout_s=0.0) as a,
        held_run(disk.home, "b", cancel_timeout_s=0.0) as b,
    ):
        gates = [a.open_gate(), b.open_gate()]
        disk.break_down()
        # Only steps 1 to 5: this test is the process that holds both runs.
        from trader.safety import barrier

        done = stop.Stop(disk.home, stop.StopOrder("full", 7))
        stop.shut(done)
        targets = [barrier.Target(run, done.binds(run), 0) for run in done.runs if run.alive]
        barrier.pass_barrier(targets)
        assert done.durable
        assert [target.outcome for target in targets] == ["halted", "halted"]
        assert all(gate.stop_cause() for gate in gates)


@pytest.mark.parametrize("kind", ["full", "no_inodes"])
def test_second_kill_on_a_disk_without_room_is_not_lost(broken_disk, capfd, kind):
    disk = broken_disk(kind)
    first, second = (kill_here(capfd, "--reason", text) for text in ("one", "two"))
    assert first[0] == 0, "the page tells of it"
    assert (second[0], second[1]["durable"]) == (9, False), "the page keeps the first"
    disk.make_room()
    ids = [first[1]["kill_id"], second[1]["kill_id"]]
    assert [kill["kill_id"] for kill in pending.pending_kills(disk.home)] == ids
    assert not rearm.rearm(disk.home, ids[0], "one is cleared")["armed"]
    with pytest.raises(KilledError, match="two"):
        held_run(disk.home).__enter__()
    assert rearm.rearm(disk.home, ids[1], "two is cleared")["armed"]


def test_flatten_asked_for_on_a_full_disk_reaches_the_runner(broken_disk, capfd):
    disk = broken_disk("full")
    disk.make_room()
    with held_run(disk.home) as lease:
        lease.open_gate()
        disk.break_down()
        assert not lease.flatten_asked_by()
        done = stop.Stop(disk.home, stop.StopOrder("close it", 7, flatten=True))
        stop.shut(done)
        assert done.record_error.startswith("ENOSPC")
        assert lease.flatten_asked_by() == done.order.kill_id
