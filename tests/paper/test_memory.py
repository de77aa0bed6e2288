"""Many minutes through `trader paper`: its memory stays where it was."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.paper_kit import Paper, bar
from tests.tiers import cases
from trader.journal.store import read_records

pytestmark = pytest.mark.process

BARS = cases(7 * 24 * 60)  # a week of them in `make trials`
WARM = BARS // 3
BOUND_MB = 24.0


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def decided(paper: Paper) -> int:
    """Slices that are decided and on disk."""
    paths = list(paper.folder.glob("runs/*-paper-*/journal.sqlite"))
    if not paths:
        return 0
    return sum(1 for record in read_records(paths[0], types=("DECISION",)))


def wait_for(paper: Paper, slices: int) -> None:
    deadline = time.monotonic() + 240
    while decided(paper) < slices:
        assert paper.process is not None
        assert paper.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(1.0)  # counting takes time of the run that is waited for


def test_a_long_run_does_not_grow_in_memory(tmp_path: Path):
    """Orders, fills, denials and journal snapshots on the way; the bound is fixed."""
    paper = Paper(tmp_path / "run")

    lines = [bar(i, 50 + (i % 13) - 6 * (i % 3)) for i in range(1, BARS + 1)]
    paper.start()
    assert paper.process is not None
    paper.send(*lines[:WARM])
    wait_for(paper, WARM)
    before = resident_mb(paper.process.pid)
    paper.send(*lines[WARM:])
    wait_for(paper, BARS)
    after = resident_mb(paper.process.pid)
    code, out, err = paper.end(120)
    assert code == 0, err
    assert out[-1]["slices"] == BARS
    assert out[-1]["fills"] > 100
    assert after - before < BOUND_MB, f"{before:.0f} MB after {WARM} bars, {after:.0f} at the end"
    print(f"{before:.1f} → {after:.1f} MB", os.getpid())
