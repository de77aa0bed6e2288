"""A process of the warm server is what a process from scratch is, but for the time it takes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.harness import warm
from tests.paper_kit import Paper, bar

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="descriptors over a socket"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("backtest", "-c", "configs/demo.yaml", "--json"),
        ("backtest", "-c", "nowhere.yaml"),
        ("validate", "-c", "configs/demo.yaml", "--set", "broker.cash=-1"),
        ("status", "--json"),
        ("kill", "--code", "none-such"),
        ("--version",),
        ("no-such-command",),
    ],
)
def test_it_says_and_leaves_what_a_process_from_scratch_does(place: Path, words: tuple[str, ...]):
    cold = subprocess.run(
        [sys.executable, "-m", "trader", *words], capture_output=True, text=True, check=False
    )
    done = warm.run(words)
    assert (done.args[1:], done.returncode) == (cold.args[1:], cold.returncode)
    assert _without_notice(done.stderr) == _without_notice(cold.stderr)
    if cold.stdout.startswith("{") and words[0] == "backtest":
        told, other = json.loads(done.stdout), json.loads(cold.stdout)
        assert told["digest"] == other["digest"]
        assert list(told) == list(other)
        assert len(list(place.glob("runs/*/manifest.json"))) == 2
    else:
        assert done.stdout == cold.stdout


def _without_notice(text: str) -> list[str]:
    """The lines of stderr but the one that the first run on a machine says, whichever it was."""
    return [line for line in text.splitlines() if not line.startswith("compiling the trading core")]


def test_each_has_an_environment_a_folder_and_streams_of_its_own(tmp_path: Path):
    for name, cash in (("one", 1000.0), ("two", 2000.0)):
        paper = Paper(tmp_path / name, ("cash: 100000", f"cash: {cash}"))
        code, lines, err = paper.start().send(bar(1, 60)).end()
        assert code == 0, err
        assert lines[-1]["start_equity"] == cash
        assert Path(lines[-1]["run_dir"]).is_relative_to(paper.folder)
    assert "TRADER__BROKER__CASH" not in os.environ
    done = warm.run(
        ["config", "show", "-c", "live.yaml"],
        cwd=paper.folder,
        env={**paper.environ, "TRADER__BROKER__CASH": "3000"},
    )
    assert re.search(r"broker\.cash +3000", done.stdout), done.stderr
    done = warm.run(["config", "show", "-c", "live.yaml"], cwd=paper.folder, env=paper.environ)
    assert re.search(r"broker\.cash +2000", done.stdout), done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_signals_reach_it_and_its_end_is_told(tmp_path: Path, number: signal.Signals):
    paper = Paper(tmp_path / "run").start().send(bar(1, 60)).until("ACTION")
    assert paper.process is not None
    assert paper.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        paper.process.wait(0.1)
    paper.signal(number)
    assert paper.process.wait(60) == (-number if number == signal.SIGKILL else 0)
    assert paper.process.poll() == paper.process.returncode
    paper.signal(number)  # it has ended: nobody else is hit


def test_an_answer_nobody_waited_for_is_not_taken_for_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
):
    """A test whose time is up while the server compiles leaves the others theirs."""

    class TimeIsUp(BaseException):
        pass

    def end_it(*_: object) -> None:
        raise TimeIsUp

    server = warm._Server()
    monkeypatch.setattr(warm, "_server", lambda: server)
    before = signal.signal(signal.SIGUSR1, end_it)
    try:
        os.kill(server._process.pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(TimeIsUp):
            warm.run(["--version"])
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.kill(server._process.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert warm.run(["no-such-command"]).returncode == 2
    assert warm.run(["--version"]).returncode == 0
