"""The run before, named in RUN_START: what a later look finds of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import config_demo
from tests.core_kit import random_bars
from tests.journal_kit import edit, finished_run, limited_rules, paper_run, records_of, start_of
from tests.paper_kit import Paper, bar
from trader.cli import app
from trader.jobs.backtest import Order
from trader.jobs.paper.which_run import journals_of
from trader.journal.audit.findings import Report
from trader.journal.audit.verify import verify, verify_here
from trader.journal.parent_runs import newest_parent

pytestmark = pytest.mark.process

CORRUPT = 8


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with a run, and one that names its head; the journals of both."""
    monkeypatch.chdir(tmp_path)
    first = finished_run(tmp_path / "runs" / "one", 6, run_id="one")
    return first.path, child_of(tmp_path / "runs" / "two", *newest_parent([first.path]))


def child_of(folder: Path, run_id: object, head: object) -> Path:
    """A finished run that names this one as the one before it."""
    rules = limited_rules(random_bars(1, 6, 2), 2)
    start = replace(start_of(rules, folder.name), parent_run=run_id, parent_head=head)
    return finished_run(folder, 6, run_id=folder.name, start=start).path


def judged(path: Path) -> Report:
    return verify_here(path, parents=path.parent.parent)


def test_a_run_is_a_witness_of_the_one_before(runs, capsys):
    first, second = runs
    head = str(records_of(first)[-1].seq) + ":" + records_of(first)[-1].hash.hex()
    report = judged(second)
    assert report.ok
    assert (report.parent.run_id, report.parent.head) == ("one", head)
    assert report.parent.status == "matches"
    assert app.run(["audit", "verify", "two"]) == 0
    assert f"run before one, head {head}: still there" in capsys.readouterr().out
    assert app.run(["audit", "verify", "two", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["parent"]
    assert told == {"run_id": "one", "head": head, "status": "matches"}


def test_a_run_before_that_was_cut_is_an_anchor_fault_of_the_next(runs, capsys):
    first, _ = runs
    last = len(records_of(first))
    edit(first, ("DELETE FROM records WHERE seq = ?", (last,)))
    assert verify_here(first).ok, "alone it looks whole"
    assert app.run(["audit", "verify", "two"]) == CORRUPT
    out = capsys.readouterr().out
    assert f"record 1: anchor: it names record {last} of the run before, one, which ends at" in out
    assert "NOT what is in this folder" in out


def test_a_run_before_that_was_made_anew_is_an_anchor_fault_of_the_next(runs):
    first, second = runs
    first.unlink()
    other = finished_run(first.parent, 12, run_id="one", seed=2)
    assert verify_here(other.path).ok
    report = judged(second)
    assert [problem.kind for problem in report.problems] == ["anchor"]
    assert "is not the one it names" in report.problems[0].text
    assert report.parent.status == "differs"
    assert not report.ok


def test_a_run_before_that_went_on_still_matches(tmp_path):
    first = paper_run(tmp_path / "one", 6, run_id="one")
    second = child_of(tmp_path / "two", *newest_parent([first.path]))
    first.snapshot()
    first.end()
    assert judged(second).parent.status == "matches"


def test_a_run_before_that_is_elsewhere_is_not_judged(runs):
    first, second = runs
    first.parent.rename(first.parent.parent / "moved")
    report = judged(second)
    assert (report.ok, report.parent.status) == (True, "absent")


def test_a_run_before_that_cannot_be_read_is_a_fault_only_where_it_is_asked_for(runs):
    first, second = runs
    first.write_bytes(b"no database")
    assert judged(second).problems[0].kind == "anchor"
    assert verify(second).ok, "what a run goes on from is its own journal"
    assert verify(second).parent is None


@pytest.mark.parametrize(
    ("run_id", "head"),
    [("../one", "1:" + "0" * 64), ("one", "0" * 64), ("one", "soon"), (7, "1:" + "0" * 64),
     ("one", None), ("one", "0:" + "0" * 64)],
)  # fmt: skip
def test_a_parent_that_is_none_is_a_fault_and_no_crash(tmp_path, run_id, head):
    finished_run(tmp_path / "one", 4, run_id="one")
    assert judged(child_of(tmp_path / "two", run_id, head)).problems[0].kind == "anchor"


def test_a_run_without_one_before_says_nothing(runs):
    first, _ = runs
    assert judged(first).parent is None
    assert newest_parent([]) == (None, None)
    first.write_bytes(b"no database")
    assert newest_parent([first]) == (None, None)


def test_a_paper_run_names_the_newest_one_of_its_name(tmp_path):
    paper = Paper(tmp_path / "desk")
    paper.start().send(bar(1, 60), bar(2, 60))
    assert paper.end()[0] == 0
    first = paper.run_dir
    paper.start().send(bar(1, 60))
    assert paper.end()[0] == 0
    assert paper.run_dir != first
    start = next(data for kind, data in paper.records() if kind == "RUN_START")
    last = records_of(first / "journal.sqlite")[-1]
    assert start["parent_run"] == first.name
    assert start["parent_head"] == f"{last.seq}:{last.hash.hex()}"
    told = json.loads(paper.run("audit", "verify", "--json").stdout)
    assert told["parent"]["status"] == "matches"


def test_the_newest_run_is_told_by_time_and_number_and_only_runs_of_the_name_count(tmp_path):
    names = ["20240101T000000Z-paper-demo", "20240101T000000Z-paper-demo-2",
             "20240101T000000Z-paper-demo-10", "20231231T000000Z-paper-demo-11",
             "20240102T000000Z-paper-demonstration", "20240102T000000Z-backtest-demo"]  # fmt: skip
    for name in [*names, "20240103T000000Z-paper-demo"]:
        (tmp_path / "runs" / name).mkdir(parents=True)
    for name in names:  # the last one has no journal yet
        (tmp_path / "runs" / name / "journal.sqlite").touch()
    loaded = config_demo.load(config_demo.write(tmp_path, config_demo.DEMO))
    order = Order(loaded, [], "loop", tmp_path / "runs", ())
    found = [path.parent.name for path in journals_of(order)]
    assert found == [names[2], names[1], names[0], names[3]]
