"""Crash safety with the real command in real processes: SIGKILL, Ctrl-C, a disk that is full."""

import contextlib
import json
import random
import signal
import time
from pathlib import Path

import pytest

from tests.harness import desk
from tests.harness.disks import run_mount, why_no_mount
from tests.harness.warm import Process
from tests.tiers import cases

pytestmark = pytest.mark.process

SAME = ("digest", "bars", "slices", "orders", "fills", "denied", "throttled", "final_equity")

SLOW = "6000"  # times real time: the 60 bars take 0.6 s


class Desk(desk.Desk):
    """One whose run is followed over several lives."""

    def begun(self, process: Process) -> None:
        """Wait until the run has a journal, and a moment more."""
        deadline = time.monotonic() + 60
        while not list(self.folder.glob("runs/*/journal.sqlite")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def registered(self, process: Process) -> None:
        """Wait until this process holds the run: before, Python may not see to signals yet."""
        deadline = time.monotonic() + 60
        while process.poll() is None:
            for path in self.folder.glob("home/registry/live-*/run.json"):
                with contextlib.suppress(OSError, ValueError):
                    if json.loads(path.read_text())["pid"] == process.pid:
                        return
            assert time.monotonic() < deadline
            time.sleep(0.005)

    @property
    def run_id(self) -> str:
        (found,) = [path.parent.name for path in self.folder.glob("runs/*-paper-*/journal.sqlite")]
        return found

    def assert_ends_as_the_backtest(self) -> None:
        code, out, err = self.end(self.paper())
        assert code == 0, err
        ended = json.loads(out.splitlines()[-1])
        code, out, err = self.run("backtest", "-c", "crash.yaml", "--json", "--out", "backtests")
        assert code == 0, err
        backtest = json.loads(out)
        assert [ended[key] for key in SAME] == [backtest[key] for key in SAME]
        self.assert_sound()

    def assert_sound(self) -> None:
        for words in (("audit", "verify"), ("replay",)):
            code, out, err = self.run(*words, self.run_id)
            assert code == 0, (words, out, err)


@pytest.fixture(name="desk")
def desk_in_a_new_folder(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("seed", range(cases(4, fewest=1)))
def test_a_run_killed_at_random_moments_ends_as_its_backtest(desk: Desk, seed: int):
    chance = random.Random(seed)
    for _ in range(3):
        process = desk.paper(SLOW)
        desk.begun(process)
        time.sleep(chance.uniform(0.0, 0.25))
        process.kill()
        desk.end(process)
    desk.assert_ends_as_the_backtest()


def test_a_run_that_ctrl_c_ends_at_random_goes_on_and_reproduces_itself(desk: Desk):
    chance = random.Random(5)
    for presses in (1, 2, 1):
        process = desk.paper(SLOW)
        desk.registered(process)
        time.sleep(chance.uniform(0.0, 0.2))
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
        code, _, err = desk.end(process)
        assert code == 130, err
        assert "Traceback" not in err
    assert desk.end(desk.paper())[0] == 0
    desk.assert_sound()


def test_a_full_disk_kills_the_run_and_with_room_again_it_goes_on(desk: Desk):
    why = why_no_mount(str(desk.folder))
    if why:
        pytest.skip(why)
    runs = desk.folder / "runs"
    runs.mkdir()
    assert not run_mount("mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(runs)).returncode
    try:
        code, out, err = desk.end(desk.paper())
        assert code == 7, (out, err)
        assert "cannot write the journal" in err
        assert desk.run("audit", "verify", desk.run_id)[0] == 0
        code, _, err = desk.end(desk.paper())
        assert code == 7, err  # the latch holds
        (kill,) = (desk.folder / "home" / "kills").glob("*.json")
        assert json.loads(kill.read_text())["code"] in (8, "SYSTEM_ERROR")
        done = run_mount("mount", "-o", "remount,size=16m", str(runs))
        assert done.returncode == 0, done.stderr
        assert desk.run("rearm", kill.stem, "--reason", "there is room again")[0] == 0
        code, out, err = desk.end(desk.paper())
        assert code == 0, err
        backtest = json.loads(desk.run("backtest", "-c", "crash.yaml", "--json")[1])
        assert json.loads(out.splitlines()[-1])["slices"] == backtest["slices"]
        desk.assert_sound()
    finally:
        with contextlib.suppress(OSError):
            run_mount("umount", "-l", str(runs))
