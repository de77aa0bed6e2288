"""Stops that nobody recorded (`touch HALT`, a record that cannot be read) are cleared and gone on
from. Real processes."""

import shutil
from pathlib import Path

import pytest

from tests.paper_kit import Paper, bar

pytestmark = pytest.mark.process


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "run")


def halt(paper: Paper, first: int) -> None:
    """Let the run take two bars more, and stop it by a file."""
    slices = paper.count("DECISION") + 2
    paper.start().send(bar(first, 60), bar(first + 1, 60)).until("DECISION", slices)
    (paper.folder / "home" / "HALT").touch()
    code, _, err = paper.end()
    assert code == 7, err


def test_a_run_halted_by_a_file_goes_on_after_each_rearm(paper):
    for number in range(2):
        halt(paper, 1 + 2 * number)
        done = paper.run("rearm", "UNRECORDED", "--reason", "looked into it")
        assert done.returncode == 0, done.stderr
    code, _, err = paper.start().send(bar(5, 40), bar(6, 40)).end()
    assert code == 0, err
    assert [paper.count(kind) for kind in ("KILL", "REARM")] == [2, 2]
    assert len({run.name for run in paper.folder.glob("runs/*-paper-*")}) == 1
    paper.assert_sound()


def test_a_kill_record_that_cannot_be_read_halts_on_record(paper):
    spool = paper.folder / "home" / "audit-spool"
    paper.start().send(bar(1, 60), bar(2, 60)).until("DECISION", 2)
    spool.mkdir(exist_ok=True)
    (spool / "torn.json").write_text("{")
    (paper.folder / "home" / "HALT").touch()
    assert paper.end()[0] == 7
    assert paper.count("KILL") == 1
    paper.assert_sound()
    done = paper.run("rearm", "torn", "--reason", "looked into it")
    assert done.returncode == 0, done.stderr
    code, _, err = paper.start().send(bar(3, 60)).end()
    assert code == 0, err
    paper.assert_sound()


@pytest.mark.parametrize("how", ["deleted", "moved and put back"])
def test_a_run_whose_state_folder_is_lost_halts_on_record_and_goes_on_after_the_rearm(paper, how):
    paper.start().send(bar(1, 60), bar(2, 60)).until("DECISION", 2)
    home, elsewhere = paper.folder / "home", paper.folder / "elsewhere"
    home.rename(elsewhere)
    code, _, err = paper.end()
    assert code == 7, err
    kill_id = f"UNRECORDED-{paper.run_dir.name}"
    assert f"trader rearm {kill_id}" in err
    assert [data["kill_id"] for kind, data in paper.records() if kind == "KILL"] == [kill_id]
    if how == "deleted":
        shutil.rmtree(elsewhere)
    else:
        elsewhere.rename(home)
    code, _, err = paper.start().end()
    assert (code, kill_id in err) == (7, True), err
    done = paper.run("rearm", kill_id, "--reason", "the folder is back")
    assert done.returncode == 0, done.stderr
    code, out, err = paper.start().send(bar(3, 40), bar(4, 40)).end()
    assert code == 0, err
    assert out[-1]["slices"] == 4
    paper.assert_sound()
