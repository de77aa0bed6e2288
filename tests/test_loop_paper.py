"""`trader paper` as real processes: the backtest's digest, also after SIGKILL; kills stop it."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = ("-c", "configs/demo.yaml")
PAPER = ("paper", *CONFIG, "--pace", "max", "--json", "--set", "execution.model_isolation=thread")


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "trader", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(folder: Path, *words: str) -> tuple[int, str, str]:
    process = start(folder, *words)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def records(folder: Path) -> int:
    found = list(folder.glob("runs/*-paper-*/journal.sqlite"))
    if not found:
        return 0
    connection = sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT max(seq) FROM records").fetchone()[0] or 0)
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


def stop_at(process: "subprocess.Popen[str]", folder: Path, seq: int, number: int) -> int:
    deadline = time.monotonic() + 60
    while records(folder) < seq and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    assert done(tmp_path, "init", "demo")[0] == 0
    return tmp_path / "demo"


def test_a_run_killed_three_times_ends_as_a_backtest_and_replays(demo: Path):
    assert stop_at(start(demo, *PAPER), demo, 300, signal.SIGKILL) == -signal.SIGKILL
    assert stop_at(start(demo, *PAPER), demo, 3_000, signal.SIGKILL) == -signal.SIGKILL
    assert stop_at(start(demo, *PAPER), demo, 6_000, signal.SIGKILL) == -signal.SIGKILL
    code, out, err = done(demo, *PAPER)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    backtest = json.loads(done(demo, "backtest", *CONFIG, "--json")[1])
    assert summary["event"] == "summary"
    assert set(summary) - {"event"} == set(backtest)
    same = ("digest", "bars", "slices", "orders", "fills", "denied", "throttled", "final_equity")
    assert [summary[key] for key in same] == [backtest[key] for key in same]
    assert len(list(demo.glob("runs/*-paper-*"))) == 1
    assert done(demo, "replay", summary["run_id"])[0] == 0
    assert done(demo, "audit", "verify", summary["run_id"])[0] == 0


def test_a_kill_ends_the_run_with_7_and_no_other_starts(demo: Path):
    process = start(demo, *PAPER)
    while records(demo) < 300:
        time.sleep(0.01)
    assert done(demo, "kill", "--reason", "test")[0] == 0
    process.communicate(timeout=60)
    assert process.returncode == 7
    assert done(demo, *PAPER, "--new")[0] == 7
    run = next(demo.glob("runs/*-paper-*")).name
    assert done(demo, "audit", "verify", run)[0] == 0
    assert done(demo, "replay", run)[0] == 0


def test_a_pace_that_is_no_number_is_a_usage_error(demo: Path):
    code, _, err = done(demo, "paper", *CONFIG, "--pace", "fast")
    assert code == 2
    assert "--pace fast" in err
