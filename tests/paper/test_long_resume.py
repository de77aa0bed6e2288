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
from trader.jobs.paper.earlier import FOLDER
from trader.journal.store import read_records
from trader.report.artifacts import MANIFEST

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
        os._exit({died})
crash_points.observer = observer
from trader.__main__ import main
sys.argv = ["trader", "paper", "-c", "crash.yaml", "--pace", "max", "--out", {out!r}, "--json"]
sys.exit(main())
"""
SAME = ("fills.csv", "trades.csv", "cashflows.csv", "decisions.parquet", "equity.parquet")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """A config with exits, a split and dividends, and its bars."""
    return next(
        one.folder for one in make_scenes(tmp_path_factory.mktemp("s")) if one.name == "three"
    )


def life(scene: Path, out: str, left: int = -1) -> subprocess.CompletedProcess[str]:
    """One process of the run; it dies after so many slices, or never."""
    return subprocess.run(
        [sys.executable, "-c", RUN.format(left=left, died=DIED, out=out)],
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
