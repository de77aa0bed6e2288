"""What a run has left and is not there any more is missed by the next start. Real processes."""

import json
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.paper_kit import Paper, bar
from trader.errors import VerificationError
from trader.jobs.paper.which_run import MissingRun, require_none_missed
from trader.journal.anchor import anchors_in

pytestmark = pytest.mark.process


def crashed(paper: Paper) -> Path:
    """A run that holds a position and was killed, its status as new as its journal; its folder."""
    paper.start().send(*(bar(minute, 60) for minute in range(1, 7))).until("ACTION", 6)
    folder = paper.run_dir
    (status,) = (paper.folder / "home" / "registry").glob("live-*/status.json")
    deadline = time.monotonic() + 60
    while True:  # written every second
        head = json.loads(status.read_text())["journal_head"] if status.exists() else ""
        if head.partition(":")[0] == str(sum(1 for _ in paper.records())):
            break
        assert time.monotonic() < deadline, head
        time.sleep(0.05)
    kill(paper)
    return folder


def kill(paper: Paper) -> None:
    """SIGKILL, and nothing of the process left."""
    paper.signal(signal.SIGKILL)
    assert paper.process is not None
    paper.process.communicate(timeout=60)


def refused(paper: Paper, *words: str) -> str:
    """A start that must refuse with exit 8, and what it said."""
    code, lines, err = paper.start(*words).send(bar(7, 61), bar(8, 61)).end()
    assert code == 8, err
    assert not any(line.get("event") == "trading_started" for line in lines)
    return err


def resumed(paper: Paper) -> list[dict[str, Any]]:
    code, lines, err = paper.start().send(bar(7, 61), bar(8, 61)).end()
    assert code == 0, err
    assert lines[0]["resumed"] is True, err
    return lines


def test_a_journal_that_lost_its_tail_is_missed_by_what_the_status_file_knows(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    folder = crashed(paper)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    for path in folder.glob("journal.sqlite-*"):
        path.unlink()
    assert paper.run("audit", "verify", folder.name).returncode == 0, "the chain alone is clean"
    err = refused(paper)
    assert "lacks records that this run has written: record" in err
    assert "status.json in the state folder" in err
    assert "--new" in err
    for path in whole.glob("journal.sqlite*"):
        shutil.copy(path, folder)
    assert resumed(paper)


def test_an_older_copy_of_a_journal_is_missed_by_the_anchor_of_the_config(tmp_path: Path):
    paper = Paper(tmp_path / "run", ("execution:", "audit: {anchor: heads.txt}\nexecution:"))
    folder = crashed(paper)
    older = tmp_path / "older.sqlite"
    (folder / "journal.sqlite").rename(older)
    for path in folder.glob("journal.sqlite-*"):
        path.rename(tmp_path / path.name.replace("journal", "older"))
    shutil.copytree(tmp_path, tmp_path.with_name("copies"))
    for path in tmp_path.glob("older.sqlite*"):
        shutil.copy(path, folder / path.name.replace("older", "journal"))
    paper.start().send(bar(7, 61)).until("ACTION", 7)
    paper.signal(signal.SIGINT)
    assert paper.end()[0] == 130
    assert anchors_in(paper.folder / "heads.txt")
    for path in folder.glob("journal.sqlite*"):
        path.unlink()
    for path in tmp_path.glob("older.sqlite*"):
        shutil.copy(path, folder / path.name.replace("older", "journal"))
    (status,) = (paper.folder / "home" / "registry").glob("live-*/status.json")
    status.unlink()  # the anchor is left
    assert "by audit.anchor" in refused(paper)


@pytest.mark.parametrize("gone", ["folder", "journal", "name"])
def test_a_run_that_held_a_position_and_is_gone_is_never_replaced_by_fresh_cash(
    tmp_path: Path, gone: str
):
    paper = Paper(tmp_path / "run")
    folder = crashed(paper)
    if gone == "folder":
        shutil.rmtree(folder)
    elif gone == "journal":
        for path in folder.glob("journal.sqlite*"):
            path.unlink()
    else:
        folder.rename(folder.with_name("kept"))
    err = refused(paper)
    assert f"run {folder.name} was not over (held 10 ACME), and journal.sqlite is gone" in err
    code, lines, err = paper.start("--new").send(bar(7, 61), bar(8, 61)).end()
    assert code == 0, err
    assert "--new leaves it behind" in err
    assert lines[0]["resumed"] is False
    assert paper.start().send(bar(9, 61)).end()[0] == 0, "forgotten for good"


def test_a_run_that_held_nothing_and_is_gone_is_told_of_and_forgotten():
    flat = MissingRun(
        "r", "/runs/r", {"positions": [], "working_orders": 0, "trading_state": "ACTIVE"}
    )
    require_none_missed([flat])
    assert "was flat" in str(flat)
    for told in ({"trading_state": "REDUCING"}, {"working_orders": 1}):
        with pytest.raises(VerificationError, match="--new"):
            require_none_missed([flat, MissingRun("q", "/runs/q", told)])


def test_a_run_whose_folder_is_dated_ahead_does_not_switch_recovery_off(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    assert paper.start().send(bar(1, 60)).end()[0] == 0  # over
    first = paper.run_dir
    ahead = first.with_name(f"2099{first.name[4:]}")
    first.rename(ahead)
    connection = sqlite3.connect(ahead / "journal.sqlite")
    text = connection.execute("SELECT payload FROM records WHERE seq = 1").fetchone()[0]
    connection.execute(
        "UPDATE records SET payload = ? WHERE seq = 1", (text.replace(first.name, ahead.name),)
    )
    connection.commit()
    connection.close()
    paper.start().send(bar(1, 60), bar(2, 60))
    (second,) = _when(lambda: [f for f in paper.folder.glob("runs/*-paper-*") if f != ahead])
    _when(lambda: (second / "fills.csv").exists() or _actions(second) >= 2)
    kill(paper)
    assert resumed(paper)[0]["run_id"] == second.name


def _actions(folder: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{folder / 'journal.sqlite'}?mode=ro", uri=True)
        return connection.execute("SELECT count(*) FROM records WHERE type='ACTION'").fetchone()[0]
    except sqlite3.Error:
        return 0


def _when(found: Any) -> Any:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def test_a_write_ahead_file_that_is_deleted_under_the_run_stops_it(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    paper.start().send(bar(1, 60), bar(2, 60)).until("ACTION", 2)
    (paper.run_dir / "journal.sqlite-wal").unlink()
    paper.send(bar(3, 60), bar(4, 60))
    code, _, err = paper.end()
    assert code == 7, err
    assert "its -wal file was deleted or replaced while the run was writing it" in err


def test_a_start_that_may_not_open_its_journal_refuses_itself_and_stops_nobody(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    mine = crashed(paper)
    held = sqlite3.connect(mine / "journal.sqlite", isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")  # as a backup that takes its time
    other = Paper(paper.folder, ("name: live", "name: other"))
    other.start().send(bar(1, 60), bar(2, 60))
    (second,) = _when(lambda: list(paper.folder.glob("runs/*-paper-other")))
    _when(lambda: _actions(second) >= 2)
    (paper.folder / "live.yaml").write_text(
        (paper.folder / "live.yaml").read_text().replace("name: other", "name: live")
    )
    done = paper.run("paper", "-c", "live.yaml")
    assert done.returncode == 1, done.stderr
    assert "locked" in done.stderr
    status = json.loads(paper.run("status", "--json").stdout)
    assert status["latched"] is False
    held.close()
    assert other.end()[0] == 0
