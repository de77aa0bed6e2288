"""A run that goes on from its newest snapshot, as a process: its results are those of one life.

Law: nothing is doubled. That a journal is long is said by the process itself: a constant is lower.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.crash_scenes import make_scenes
from tests.journal_kit import edit
from trader.jobs.paper.earlier_records import FOLDER
from trader.journal.store import read_records
from trader.report.artifacts import MANIFEST
from trader.safety import rearm
from trader.safety.pending import pending_kills

pytestmark = pytest.mark.process
DIED = 99
RUN = """
import os, sys
from trader.engine import crash_points, recover, slices
from trader.journal import log
recover.WHOLE_UP_TO, log.PACK_RECORDS, slices.SLICES_AT_ONCE = 0, 30, 1
left = {left}
def observer(name):
    global left
    left -= name == "after_outcomes"
    if left == 0:
        {then}
crash_points.observer = observer
def kill():
    from trader.safety import stop, trip
    order = stop.StopOrder("a test", 7, source="engine")
    assert trip.Tripwire(os.environ["TRADER_HOME"]).trip(order).durable
{first}
from trader.__main__ import main
sys.argv = ["trader", "paper", "-c", "crash.yaml", "--pace", "max", "--out", {out!r}, "--json"]
sys.exit(main())
"""
ENDLESS = """
from trader.jobs.paper import earlier_records
earlier_records.READER = ("-c", "import time; time.sleep(1000)")
"""
SAME = ("fills.csv", "trades.csv", "cashflows.csv", "decisions.parquet", "equity.parquet")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """A config with exits, a split and dividends, and its bars."""
    return next(
        one.folder for one in make_scenes(tmp_path_factory.mktemp("s")) if one.name == "three"
    )


def life(
    scene: Path, out: str, left: int = -1, then: str = f"os._exit({DIED})", first: str = ""
) -> subprocess.CompletedProcess[str]:
    """One process of the run; it dies after so many slices, or never."""
    return subprocess.run(
        [sys.executable, "-c", RUN.format(left=left, then=then, first=first, out=out)],
        check=False,
        capture_output=True,
        text=True,
        cwd=scene,
        env={**os.environ, "TRADER_HOME": str(scene / f"home-{out}")},
        timeout=120,
    )


def run_dir(scene: Path, out: str) -> Path:
    (found,) = (scene / out).iterdir()
    return found


def test_results_after_a_start_from_the_snapshot_are_those_of_one_life(scene: Path):
    assert life(scene, "once").returncode == 0
    assert life(scene, "twice", 12).returncode == DIED
    assert newest_snapshot_of(run_dir(scene, "twice") / "journal.sqlite") > 2
    done = life(scene, "twice")
    assert done.returncode == 0, done.stderr
    once, twice = run_dir(scene, "once"), run_dir(scene, "twice")
    assert [(twice / name).read_bytes() for name in SAME] == [
        (once / name).read_bytes() for name in SAME
    ]
    digests = [json.loads((one / MANIFEST).read_text())["digest"] for one in (once, twice)]
    assert digests[0] == digests[1]
    assert not (twice / FOLDER).exists()


def test_a_kill_does_not_wait_for_what_lies_before_the_snapshot(scene: Path):
    """The process beside never ends: whoever waited for it would have to be ended by SIGKILL."""
    assert life(scene, "killed", 8).returncode == DIED
    path = run_dir(scene, "killed") / "journal.sqlite"
    assert newest_snapshot_of(path) > 2
    done = life(scene, "killed", 2, "kill()", ENDLESS)
    assert done.returncode == 7, done.stderr
    assert "the start that goes on with it writes its results" in done.stderr.lower()
    assert [record.type for record in read_records(path)][-2:].count("RUN_END") == 1
    home = str(scene / "home-killed")
    for kill in pending_kills(home):
        rearm.rearm(home, kill["kill_id"], "a test")
    done = life(scene, "killed")
    assert done.returncode == 0, done.stderr
    assert (path.parent / MANIFEST).exists()


@pytest.mark.trials
def test_what_is_wrong_before_the_snapshot_stops_the_run(scene: Path):
    """Bars and tail are as they were: only the process beside can find it."""
    assert life(scene, "forged", 12).returncode == DIED
    path = run_dir(scene, "forged") / "journal.sqlite"
    assert newest_snapshot_of(path) > 2
    edit(path, ("UPDATE records SET wall_ns = wall_ns + 1 WHERE seq = 1", ()))
    done = life(scene, "forged")
    assert done.returncode == 8, done.stderr
    assert "changed after it was written" in done.stderr


def newest_snapshot_of(path: Path) -> int:
    return max(record.seq for record in read_records(path, types=("SNAPSHOT",)))
