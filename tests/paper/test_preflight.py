"""What a start looks at first: the latch, before anything is paid for, and file handles."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paper_kit import Paper
from trader.errors import TraderError
from trader.jobs.paper import preflight

HEAVY = ("numpy", "numba", "pandas", "pydantic", "asyncio")


@pytest.mark.process
def test_the_first_look_imports_nothing_that_takes_long():
    code = (
        f"import sys, trader.jobs.paper.preflight; print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_low_soft_limit_is_raised_and_a_high_one_is_left():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(32, before[0] // 1_000), before[1]))
        preflight.require_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert (soft, hard) == (min(preflight.ENOUGH, before[1]), before[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        preflight.require_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_too_few_handles_are_told_with_their_number_and_none_is_kept(monkeypatch):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    monkeypatch.setattr(preflight, "_raised_limit", lambda: 20)
    really, left = os.open, [3]

    def few(*words: object) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(24, "Too many open files")
        return really(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", few)
    with pytest.raises(TraderError, match=r"only 3 more files can be opened.*at most 20") as told:
        preflight.require_files()
    monkeypatch.undo()
    assert told.value.exit_code == 1
    assert "ulimit -n 1024" in str(told.value)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.process
def test_a_process_with_too_little_address_space_is_refused_in_clear_words(tmp_path: Path):
    """A process from scratch: the limit is there before any library is loaded."""
    paper = Paper(tmp_path / "run")
    done = subprocess.run(
        ["sh", "-c", f"ulimit -v 614400; exec '{sys.executable}' -m trader paper -c live.yaml"],
        cwd=paper.folder,
        env=paper.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "may use 600 MiB of address space (`ulimit -v`)" in done.stderr
    assert "internal error" not in done.stderr
    assert not (paper.folder / "runs").exists()
