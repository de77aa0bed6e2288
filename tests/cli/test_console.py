"""What commands print: one JSON document, text that pipes keep, progress on terminals only."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from trader.cli import console
from trader.core.schema import TradingAction

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (1.5, 1.5),
        (np.float64("nan"), None),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.array([[1.0, np.inf]]), [[1.0, None]]),
        (np.array(2.0), 2.0),
        (True, True),
        (None, None),
        (TradingAction.BUY, "BUY"),
        (Path("a/b"), "a/b"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        ({np.int64(1): (1, {TradingAction.SELL: 2})}, {"1": [1, {"SELL": 2}]}),
    ],
)
def test_value_becomes_json(value, written):
    assert console.json_value(value) == written


def test_unknown_type_is_a_bug_and_raises():
    with pytest.raises(TypeError, match="cannot write object as JSON"):
        console.json_value({"a": object()})


def test_json_document_is_all_that_stdout_gets(capsys):
    console.log("not in stdout")
    console.print_json({"a": float("nan"), "symbol": "Ä/USD"})
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"a": None, "symbol": "Ä/USD"}
    assert shown.err == "not in stdout\n"


def test_json_line_is_one_line(capsys):
    console.print_json({"a": [1, {"b": 2}]}, line=True)
    assert capsys.readouterr().out == '{"a": [1, {"b": 2}]}\n'


def test_text_in_a_pipe_is_neither_wrapped_nor_read_as_markup(capsys):
    text = "[red]BTC/USD[/red] :smile: " + "long " * 300
    console.out().print(text)
    console.log(text)
    shown = capsys.readouterr()
    assert shown.out == shown.err == text + "\n"


def test_table_in_a_pipe_is_not_cropped(capsys):
    table = Table("run", "digest")
    table.add_row("r" * 90, "d" * 64)
    console.out().print(table)
    shown = capsys.readouterr().out
    assert "r" * 90 in shown
    assert "d" * 64 in shown
    assert "\x1b" not in shown


def test_progress_is_silent_without_a_terminal(capsys):
    with console.progress() as report:
        report("model", 1, 2)
    assert capsys.readouterr() == ("", "")


def on_terminal(code, **environment):
    """Run `code` with stderr and stdout on one terminal; all that the terminal got."""
    ours, theirs = pty.openpty()
    settings = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, env={**os.environ, **settings}
    )
    os.close(theirs)
    got = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        got += part
    os.close(ours)
    assert process.wait() == 0, got
    return got.decode()


BARS = """
from trader.cli import console
with console.progress() as report:
    report("features", 5, 5)
    report("model", 0, None)
    console.log("a line")
console.out().print("result", style="red")
"""


@pytest.mark.process
def test_terminal_shows_bars_logs_and_colour():
    got = on_terminal(BARS)
    for part in ("features", "100%", "model", "a line", "\x1b[31mresult"):
        assert part in got


@pytest.mark.process
def test_no_color_is_honoured_on_a_terminal():
    assert "\x1b[31m" not in on_terminal(BARS, NO_COLOR="1")


STRANGER = """import os
from trader.cli import console

with console.own_stdout() as stream:
    print("a stranger's")
    stream.write("late\\n")
other = os.open("other", os.O_WRONLY | os.O_CREAT)
stream.flush()
print("the result")
"""


@pytest.mark.process
def test_what_is_written_late_reaches_stdout_and_no_other_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("late\nthe result\n", "a stranger's\n")
    assert (tmp_path / "other").read_bytes() == b""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 1.75 MiB"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_too_little_memory_is_told_in_words_and_is_no_internal_error(capsys, error, is_wrapped):
    from trader.cli.outcome import exit_code_of

    def command() -> None:
        if not is_wrapped:
            raise error
        try:
            raise error
        except type(error) as cause:
            raise ValueError("while it read") from cause

    assert exit_code_of(command) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: not enough memory")
    assert "internal error" not in told
    assert "Traceback" not in told
