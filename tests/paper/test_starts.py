"""Starts of `trader paper`: refused under a kill whatever they wait for, found by a kill, harmless.

Real processes.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.paper_kit import Paper, bar
from tests.safety_kit import held_run
from trader.jobs.paper.lost_kills import put_back
from trader.safety import stop

pytestmark = pytest.mark.process


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "run")


def registered(paper: Paper) -> list[dict[str, object]]:
    """The runs in `trader status`, once there is one."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        runs = json.loads(paper.run("status", "--json").stdout)["runs"]
        if runs:
            return list(runs)
        time.sleep(0.05)
    raise AssertionError("the start is not registered")


def killed(paper: Paper, *words: str) -> dict[str, object]:
    done = paper.run("kill", "--reason", "enough", "--json", *words)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_start_that_would_wait_for_its_first_bar_is_refused_under_a_kill(paper: Paper):
    kill_id = killed(paper)["kill_id"]
    began = time.monotonic()
    paper.start()  # and nothing is sent
    assert paper.process is not None
    assert paper.process.wait(timeout=20) == 7
    assert time.monotonic() - began < 20
    err = (paper.folder / "err").read_text()
    assert f"trader rearm {kill_id} --reason TEXT" in err
    assert not list(paper.folder.glob("runs/*"))


def test_a_start_that_waits_for_its_first_bar_is_ended_by_a_kill_and_cannot_be_rearmed_under(
    paper: Paper,
):
    paper.start()
    (run,) = registered(paper)
    assert run["state"] == "starting"
    document = killed(paper)
    assert [found["run_id"] for found in document["runs"]] == [run["run_id"]]
    assert document["runs"][0]["outcome"] == "halted"
    code, _, err = paper.end()
    assert code == 7, err
    assert "enough" in err
    assert not list(paper.folder.glob("runs/*")), "it never began"
    assert paper.run("rearm", str(document["kill_id"]), "--reason", "go on").returncode == 0
    code, lines, err = paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).end()
    assert code == 0, err
    assert lines[-1]["fills"] == 1


def test_a_start_that_failed_does_not_stand_in_the_way_of_the_corrected_config(paper: Paper):
    code, _, err = paper.start("--set", "features.odd={type: smaa}").send(bar(1, 60)).end()
    assert (code, "smaa" in err) == (3, True), err
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL").signal(signal.SIGINT)
    code, lines, err = paper.end()
    assert (code, lines[-1]["fills"]) == (130, 1), err
    assert "ended as it started, with another config: a new run begins" in err
    code, _, err = paper.start("--set", "broker.cash=5").send(bar(4, 60)).end()
    assert (code, "its config has changed" in err) == (2, True), "a run that had bars stays"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_start_that_waits_ends_with_a_signal_and_leaves_nothing(paper: Paper, number, code):
    paper.start()
    registered(paper)
    paper.signal(number)
    found, _, err = paper.end()
    assert found == code, err
    assert "Traceback" not in err
    assert not list(paper.folder.glob("runs/*"))
    assert json.loads(paper.run("status", "--json").stdout)["runs"] == []


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_start_whose_model_takes_long_to_load_is_ended_by_a_kill(tmp_path: Path, isolation: str):
    rule = "model: {type: rule, buy: level > 50, sell: level < 50}"
    slow = "model: {type: python, target: 'slow:predict'}"
    kept = ("execution: {model_isolation: thread}", f"execution: {{model_isolation: {isolation}}}")
    paper = Paper(tmp_path / "run", (rule, slow), kept)
    text = "import os, time\nopen('loading', 'w').close()\ntime.sleep(30)\n"
    (paper.folder / "slow.py").write_text(text + "def predict(x):\n    return ['HOLD'] * len(x)\n")
    paper.start().send(bar(1, 60))
    deadline = time.monotonic() + 60
    while not (paper.folder / "loading").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.2)  # long enough to be called hung, had nobody beaten for it
    (run,) = registered(paper)
    assert run["state"] in ("starting", "running")
    document = killed(paper)
    assert document["runs"][0]["outcome"] == "halted"
    code, _, err = paper.end()
    assert code == 7, err
    assert "enough" in err


def test_a_start_that_a_kill_has_to_end_before_its_journal_leaves_no_folder(tmp_path: Path):
    """It is caught in an import, which nothing can cancel."""
    # A calendar that nothing else here asks for: one that is kept on disk is not imported for.
    paper = Paper(tmp_path / "run", ("market_hours: 24x7", "market_hours: XICE"))
    (paper.folder / "exchange_calendars.py").write_text(
        "import time\nopen('loading', 'w').close()\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "trader", "paper", "-c", "live.yaml"],
        cwd=paper.folder, env=paper.environ, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as start:  # fmt: skip
        assert start.stdin is not None
        start.stdin.write(bar(1, 60))
        start.stdin.flush()
        deadline = time.monotonic() + 60
        while not (paper.folder / "loading").exists():
            assert start.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [run["state"] for run in registered(paper)] == ["starting"]
        (run,) = killed(paper)["runs"]
        assert run["outcome"] == "halted"
        _, err = start.communicate(timeout=60)
    assert start.returncode == 7, err
    assert "enough" in err
    assert list(paper.folder.glob("runs/*")) == []


def test_a_refused_start_takes_no_results_away(paper: Paper):
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL")
    killed(paper)
    assert paper.end()[0] == 7
    before = sorted(path.name for path in paper.run_dir.iterdir())
    assert "manifest.json" in before
    assert paper.start().end()[0] == 7
    assert sorted(path.name for path in paper.run_dir.iterdir()) == before
    assert paper.run("runs", "show", "latest").returncode == 0


def test_a_start_that_died_before_its_journal_began_is_forgotten_by_the_next(paper: Paper):
    paper.start()
    (dead,) = registered(paper)
    paper.signal(signal.SIGKILL)
    paper.end()
    other = paper.folder / "runs" / "20240101T000000Z-paper-live-other"
    other.mkdir()
    (other / "config.resolved.yaml").touch()
    (run,) = list(paper.folder.glob("runs/*-live"))
    assert (run.name, [path.name for path in run.iterdir()]) == (
        dead["run_id"], ["config.resolved.yaml"],
    )  # fmt: skip
    code, lines, err = paper.start().send(bar(1, 60)).end()
    assert code == 0, err
    assert not run.exists() or lines[-1]["run_id"] == run.name
    assert other.exists(), "another config's"
    assert json.loads(paper.run("status", "--json").stdout)["runs"] == []


def test_a_new_run_takes_the_place_of_one_that_died(paper: Paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    paper.signal(signal.SIGKILL)
    paper.end()
    assert [run["state"] for run in registered(paper)] == ["dead"]
    code, _, err = paper.start("--new").send(bar(1, 60)).end()
    assert code == 0, err
    assert json.loads(paper.run("status", "--json").stdout)["runs"] == []


def test_a_kill_that_the_state_folder_has_lost_is_in_force_again_and_can_be_rearmed(paper: Paper):
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL")
    kill_id = killed(paper)["kill_id"]
    assert paper.end()[0] == 7
    shutil.rmtree(paper.folder / "home")
    code, _, err = paper.start().end()
    assert code == 7
    lost = f"UNRECORDED-{paper.run_dir.name}"
    assert lost in err
    assert paper.run("rearm", lost, "--reason", "the folder was deleted").returncode == 0
    code, _, err = paper.start().end()
    assert code == 7, err
    assert f"trader rearm {kill_id} --reason TEXT" in err
    assert "enough" in err
    done = paper.run("rearm", str(kill_id), "--reason", "looked into it")
    assert done.returncode == 0, done.stderr
    code, lines, err = paper.start().send(bar(4, 40), bar(5, 40), bar(6, 40)).end()
    assert code == 0, err
    assert lines[-1]["risk"]["open_positions"] == {}
    paper.assert_sound()


def test_a_page_that_is_deleted_under_a_run_stops_it(paper: Paper):
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL")
    (paper.folder / "home" / "kill.page").unlink()
    paper.until("KILL")
    code, _, err = paper.end()
    assert code == 7, err


def test_the_end_tells_the_head_of_the_journal_and_the_start_how_to_stop_it(paper: Paper):
    code, _, err = paper.start().send(bar(1, 60), bar(2, 60)).end()
    assert code == 0, err
    head = err.split("journal head ")[1].split()[0]
    assert paper.run("audit", "verify", "latest", "--from", head).returncode == 0
    assert f"touch {paper.folder}/home/HALT" in err


def test_a_kill_on_record_is_not_written_again_from_the_journal(tmp_path: Path):
    """A kill that comes between arming and the gate is in both; its record is the operator's."""
    home = tmp_path / "home"
    with held_run(home) as lease:
        done = stop.Stop(str(home), stop.StopOrder("enough", 7))
        stop.shut(done)
        path = home / "kills" / f"{done.order.kill_id}.json"
        before = path.read_bytes()
        held = {"code": 6, "code_name": "SYSTEM_ERROR", "reason": "gone", "scope": "everything"}
        own = {**held, "scope": "r1"}
        put_back(lease, {done.order.kill_id: own, "lost": own, "lost-for-all": held})
        assert path.read_bytes() == before
        found = {kill["kill_id"]: kill["scope"] for kill in lease.kills()}
    assert found == {done.order.kill_id: "everything", "lost": "r1", "lost-for-all": "everything"}


def test_a_second_start_is_refused_by_name_while_the_first_waits_and_others_run_beside_it(
    paper: Paper,
):
    paper.start()
    (run,) = registered(paper)
    for words in ((), ("--new",)):
        done = paper.run("paper", "-c", "live.yaml", *words)
        assert done.returncode == 2, done.stderr
        assert f"run {run['run_id']} (pid {run['pid']}) is already running" in done.stderr
    # by another name: a run of this second has the id of the first
    beside = paper.run("paper", "-c", "live.yaml", "--out", "elsewhere", "--set", "name=beside")
    assert beside.returncode == 4, beside.stderr  # its stdin is empty
    code, lines, err = paper.send(bar(1, 60), bar(2, 60)).end()
    assert code == 0, err
    assert lines[-1]["slices"] == 2
    assert len(list(paper.folder.glob("runs/*"))) == 1


def test_of_several_starts_at_one_moment_one_trades(paper: Paper):
    starts = [process for _ in range(3) if (process := paper.start().process) is not None]
    deadline = time.monotonic() + 60
    while len(alive := [one for one in starts if one.poll() is None]) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (winner,) = alive
    winner.communicate("".join(bar(minute, 60) for minute in range(1, 4)))
    assert sorted(process.returncode for process in starts) == [0, 2, 2]
    assert len(list(paper.folder.glob("runs/*"))) == 1
