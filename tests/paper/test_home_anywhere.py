"""TRADER_HOME may be any folder: nothing that somebody else made in it is touched."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.paper_kit import Paper, bar
from tests.safety_kit import die, held_run
from trader.safety import latch, registry, statedir, status, takeover
from trader.safety.lease import RunInfo, arm
from trader.safety.stop import Stop, StopOrder, shut

RESULTS = {"journal.sqlite", "manifest.json", "fills.csv", "metrics.json"}


class AtHome(Paper):
    """`trader paper` whose state folder is the one it works in."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "TRADER_HOME": str(self.folder)}


def traded(paper: Paper) -> Path:
    """A run of five bars to its end; the folder it names."""
    code, lines, err = paper.start().send(*(bar(minute, 60) for minute in range(5))).end()
    assert code == 0, err
    return Path(lines[-1]["run_dir"])


@pytest.mark.process
def test_home_that_is_the_working_folder_loses_no_run_and_no_file(tmp_path: Path):
    paper = AtHome(tmp_path / "run")
    (paper.folder / "registry").mkdir()
    (paper.folder / "registry" / "mine.txt").write_text("the user's")
    first = traded(paper)
    second = traded(paper)
    for folder in (first, second):
        assert set(os.listdir(folder)) >= RESULTS
    paper.assert_sound()
    assert json.loads(paper.run("status", "--json").stdout)["runs"] == []
    assert os.listdir(paper.folder / "registry") == ["mine.txt"]


@pytest.mark.process
def test_out_folder_named_as_the_registry_loses_no_run(tmp_path: Path):
    paper = AtHome(tmp_path / "run")
    code, lines, err = paper.start("--out", "registry").send(bar(1, 60), bar(2, 60)).end()
    assert code == 0, err
    assert set(os.listdir(lines[-1]["run_dir"])) >= RESULTS


@pytest.mark.process
def test_kill_finds_the_run_of_a_home_that_is_the_working_folder(tmp_path: Path):
    paper = AtHome(tmp_path / "run")
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    done = paper.run("kill", "-r", "enough", "--json")
    assert [run["outcome"] for run in json.loads(done.stdout)["runs"]] == ["halted"]
    assert paper.end()[0] == 7
    assert set(os.listdir(paper.run_dir)) >= RESULTS


def old_entry(home: Path, run_id: str) -> Path:
    """A run that died, as versions before 2026-11-28 left it: in `runs/<run_id>` of the home."""
    held = arm(str(home), run_id, RunInfo("paper", str(home / "runs" / run_id)))
    die(held)
    old = home / "runs" / run_id
    old.mkdir(parents=True, exist_ok=True)
    for path in Path(held.folder).iterdir():
        path.rename(old / path.name)
    Path(held.folder).rmdir()
    return old


def test_old_home_is_taken_over_with_what_it_holds_and_results_stay(trader_home: Path):
    old = old_entry(trader_home, "demo")
    bare = Path(shutil.copytree(old, old.with_name("bare")))
    for name in ("journal", "results"):
        (old / name).write_text("mine")
    assert latch.raise_halt(str(old), "by hand") == ""
    assert [run.run_id for run in registry.all_runs(str(trader_home))] == ["bare", "demo"]
    assert [kill["kill_id"] for kill in status.collect()["kills"]] == ["UNRECORDED-demo"]
    with held_run(trader_home, "another"):
        pass
    assert sorted(os.listdir(old)) == ["journal", "results"]
    assert not bare.exists()
    new = Path(statedir.run_folder(str(trader_home), "demo"))
    assert new == trader_home / "registry" / "live-demo"
    assert {"kill.page", "PERMIT", "HALT", "run.json"} <= set(os.listdir(new))
    assert [kill["kill_id"] for kill in status.collect()["kills"]] == ["UNRECORDED-demo"]


def test_run_of_an_old_version_that_lives_is_stopped_where_it_is(trader_home: Path, capfd):
    old = old_entry(trader_home, "demo")
    lock = os.open(old / "run.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with held_run(trader_home, "another"):
        assert old.is_dir()
        assert registry.Run(str(trader_home), "demo").alive
    done = Stop(str(trader_home), StopOrder("x", 7, "demo"))
    shut(done)
    assert latch.read_page(str(old))[0] == latch.KILLED
    assert done.durable
    os.close(lock)


@pytest.mark.parametrize("cut_after", range(6))
def test_takeover_cut_off_anywhere_loses_no_stop_and_goes_on(
    trader_home: Path, monkeypatch, cut_after: int
):
    old = old_entry(trader_home, "demo")
    latch.raise_halt(str(old), "by hand")
    real, calls = os.rename, [0]

    def rename(source, target):
        calls[0] += 1
        if calls[0] > cut_after:
            raise OSError(5, "cut off")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        takeover.take_over(str(trader_home))
    assert status.collect()["kills"], "halted at every moment"
    with held_run(trader_home, "second"):
        pass
    new = trader_home / "registry" / "live-demo"
    assert {"kill.page", "PERMIT", "HALT", "run.json"} <= set(os.listdir(new))
    assert not old.exists()


def test_retire_leaves_what_the_registry_did_not_make(trader_home: Path):
    with held_run(trader_home, "demo") as lease:
        folder = Path(lease.folder)
        (folder / "notes.txt").write_text("the user's")
    registry.retire(str(trader_home), "demo")
    assert (folder / "notes.txt").read_text() == "the user's"
    (folder / "notes.txt").unlink()
    registry.retire(str(trader_home), "demo")
    assert not folder.exists()


def test_home_shared_with_a_group_changes_no_other_file(trader_home: Path):
    trader_home.mkdir(exist_ok=True)
    mine = trader_home / "mine"
    mine.mkdir(mode=0o700)
    (mine / "file").write_text("")
    trader_home.chmod(0o770)
    with held_run(trader_home, "demo"):
        pass
    assert mine.stat().st_mode & 0o7777 == 0o700
    assert (trader_home / "kill.page").exists()
