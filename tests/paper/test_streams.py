"""stdout and stderr that are closed, or that nobody reads, stop no run and keep no process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.warm import as_from_a_terminal
from tests.paper_kit import Paper, bar

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
PROCESS = ("model_isolation: thread", "model_isolation: process")


@pytest.fixture
def full_pipe():
    """The writing end of a pipe that takes nothing any more and is not read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 512)
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


def python(code: str, stderr: int, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        preexec_fn=as_from_a_terminal,  # noqa: PLW1509 - no thread of ours runs
        **options,
    )


def test_a_run_whose_stderr_is_closed_trades(tmp_path: Path):
    paper = Paper(tmp_path / "run", PROCESS)
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec '{sys.executable}' -m trader paper -c live.yaml --json 2>&-"],
        check=False,
        cwd=paper.folder,
        env=paper.environ,
        input="".join(bar(minute, 60) for minute in range(1, 4)),
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["slices"], summary["fills"]) == (3, 1)


def test_last_words_that_nobody_reads_keep_no_process(full_pipe: int):
    code = "from trader.jobs.paper.exit_message import say_last; say_last('no')"
    code = f"import os; {code}; os._exit(7)"
    process = python(code, full_pipe)
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_ctrl_c_ends_a_command_that_waits_for_a_reader_of_stderr(full_pipe: int):
    code = """
import sys
from trader.cli.outcome import exit_code_of
def waits():
    print("ready", flush=True)
    print("for nobody", file=sys.stderr, flush=True)
sys.exit(exit_code_of(waits))
"""
    process = python(code, full_pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_run_whose_stderr_nobody_reads_ends_with_its_results(tmp_path: Path, full_pipe: int):
    paper = Paper(tmp_path / "run")
    code = """
import sys
from trader.cli import paperscreen
from trader.cli import app
paperscreen.PATIENCE_S = 0.2
sys.exit(app.run(["paper", "-c", "live.yaml", "--json"]))
"""
    options = {"cwd": paper.folder, "stdin": subprocess.PIPE}
    process = python(f"import os; os.environ.update({paper.environ!r}){code}", full_pipe, **options)
    out, _ = process.communicate("".join(bar(m, 60) for m in range(1, 4)), timeout=120)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["slices"] == 3


def test_a_working_folder_that_is_gone_is_named_with_the_remedy(tmp_path: Path):
    folder = tmp_path / "gone"
    folder.mkdir()
    code = """
import os, sys
from trader.cli.outcome import exit_code_of
os.rmdir(os.getcwd())
sys.exit(exit_code_of(os.getcwd))
"""
    process = python(code, subprocess.PIPE, cwd=folder)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the working folder" in err
    assert "cd" in err
