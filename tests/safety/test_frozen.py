"""A disk on which every write hangs in the kernel: a frozen file system under a live runner."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.harness.disks import run_mount
from tests.harness.sender import Ledger
from tests.safety_kit import is_silent, runner_process, wait_for

pytestmark = pytest.mark.process

THAWED_AFTER_S = 60  # by a process of its own, whatever becomes of the test


@pytest.fixture
def disk(tmp_path):
    """An ext4 of its own on a loop device."""
    image, root = tmp_path / "image", tmp_path / "disk"
    root.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    steps = (("mkfs.ext4", "-q", str(image)), ("mount", "-o", "loop", str(image), str(root)))
    for words in steps:
        try:
            done = run_mount(*words)
        except OSError as error:
            pytest.skip(f"a frozen disk needs a mount of its own: {error}")
        if done.returncode:
            pytest.skip(f"a frozen disk needs a mount of its own: {done.stderr.strip()}")
    yield root
    run_mount("umount", "-l", str(root))


@contextmanager
def frozen(root):
    """The disk takes no write until the block is left."""
    thaw = f"sleep {THAWED_AFTER_S}; fsfreeze -u {root}"
    watchdog = subprocess.Popen(["sh", "-c", thaw], start_new_session=True)
    try:
        done = run_mount("fsfreeze", "-f", str(root))
        if done.returncode:
            pytest.skip(f"no disk can be frozen here: {done.stderr.strip()}")
        yield
    finally:
        run_mount("fsfreeze", "-u", str(root))
        os.killpg(watchdog.pid, signal.SIGKILL)
        watchdog.wait()


def test_runner_on_a_disk_that_hangs_is_ended_before_the_answer(disk, tmp_path):
    home, ledger = disk / "home", Ledger(tmp_path / "ledger")
    environ = {**os.environ, "TRADER_HOME": str(home), "TMPDIR": str(tmp_path)}
    with runner_process(home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0] > 0)
        with frozen(disk):
            asked = [sys.executable, "-m", "trader", "kill", "--reason", "frozen", "--json"]
            kill = subprocess.Popen(asked, env=environ, stdout=subprocess.PIPE, text=True)
            document = json.loads(kill.stdout.readline())
            assert is_silent(ledger)
        assert kill.wait(30) == document["exit"]  # a thread of its own hangs in the kernel as well
        assert runner.wait(30) == -signal.SIGKILL
    assert not document["durable"]
    # One whose heartbeat hangs in the kernel dies with the thaw: it is not called stopped before.
    (run,) = document["runs"]
    assert (run["outcome"], document["exit"]) in (("killed", 9), ("not_stopped", 10))
