"""Heads handed to a program or to syslog: delivered, or said to be lost; never waited for."""

import sys
import syslog
import threading
import time
from pathlib import Path

import pytest

from tests.journal_kit import paper_run
from tests.paper_kit import Paper, bar
from trader.journal.anchor import Checkpoint, parse_anchor
from trader.journal.audit.verify import verify_here
from trader.journal.head_sender import MOST_WAITING, CommandAnchor, HeadSender, to_syslog

pytestmark = pytest.mark.process

HEAD = Checkpoint("run-1", 7, b"r" * 32, b"h" * 32)
LONG_S = 60.0  # of a wait that ends much earlier unless something is broken


def command(*lines: str) -> list[str]:
    return [sys.executable, "-S", "-c", "\n".join(lines)]


def appending(path: Path) -> list[str]:
    """A command that appends its standard input to `path`."""
    return command("import sys", f"open({str(path)!r}, 'a').write(sys.stdin.read())")


def test_a_program_gets_what_an_anchor_file_holds(tmp_path):
    head_sender = HeadSender(CommandAnchor(appending(tmp_path / "heads"), LONG_S))
    run = paper_run(tmp_path / "run", 6, on_checkpoint=head_sender)
    run.end()
    head_sender.close(LONG_S)
    assert head_sender.failures == []
    (anchor,) = parse_anchor(str(tmp_path / "heads"))
    report = verify_here(run.path, [anchor])
    assert (report.ok, report.anchored_seq) == (True, report.records - 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (command("raise SystemExit(3)"), "ended with 3"),
        (["/no/such/program"], "No such file"),
        (command("import time", "time.sleep(600)"), "took over 0.3 s"),
    ],
)
def test_a_program_that_fails_is_a_failure_with_its_checkpoint(words, said):
    head_sender = HeadSender(CommandAnchor(words, 0.3 if "took" in said else LONG_S))
    head_sender(HEAD)
    head_sender.close(LONG_S)
    (failure,) = head_sender.failures
    assert failure.startswith("checkpoint 7: ")
    assert said in failure


def test_what_a_hanging_program_started_is_killed_with_it(tmp_path):
    flag = tmp_path / "grandchild"
    late = f"import time; time.sleep(1.5); open({str(flag)!r}, 'w')"
    words = command(
        "import subprocess, sys, time",
        f"subprocess.Popen([sys.executable, '-S', '-c', {late!r}])",
        "time.sleep(600)",
    )
    with pytest.raises(OSError, match="took over"):
        CommandAnchor(words, 1.0)(HEAD)
    time.sleep(2.0)
    assert not flag.exists()


def test_whoever_puts_a_checkpoint_down_does_not_wait_for_its_delivery():
    go, threads = threading.Event(), []

    def deliver(checkpoint: Checkpoint) -> None:
        go.wait(LONG_S)
        threads.append((checkpoint.size, threading.current_thread().name))

    head_sender = HeadSender(deliver)
    for size in range(MOST_WAITING + 2):  # one on its way, so many waiting, one too many
        head_sender(HEAD._replace(size=size))
        if size == 0:
            while not head_sender._waiting.empty():
                time.sleep(0.001)
    assert threads == [], "nothing was delivered while it was put down"
    assert head_sender.failures == [
        f"checkpoint {MOST_WAITING + 1}: {MOST_WAITING} before it are still waiting"
    ]
    head_sender.failures.clear()
    head_sender.close(0.01)
    assert "no time to wait" in head_sender.failures[0]
    go.set()
    head_sender.close(LONG_S)
    assert [size for size, _ in threads] == list(range(MOST_WAITING + 1))
    assert {name for _, name in threads} == {"anchor"}


def test_closing_without_a_checkpoint_is_harmless():
    head_sender = HeadSender(to_syslog)
    head_sender.close(LONG_S)
    assert head_sender.failures == []


def test_syslog_gets_one_line_with_a_head_that_verify_takes(monkeypatch):
    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda level, line: lines.append((level, line)))
    to_syslog(HEAD)
    ((level, line),) = lines
    assert level == syslog.LOG_NOTICE
    assert line == f"journal head run-1 7:{HEAD.head.hex()}"
    assert parse_anchor(line.split()[-1])[0].seq == HEAD.size


def anchored(folder: Path, anchor: str) -> Paper:
    hooks = "execution: {model_isolation: thread}"
    return Paper(folder / "desk", (hooks, f"{hooks}\naudit: {{anchor: {anchor}}}"))


def test_a_run_hands_its_heads_to_the_command_of_its_config(tmp_path):
    (tmp_path / "keep.py").write_text(
        f"import sys\nopen({str(tmp_path / 'heads')!r}, 'a').write(sys.stdin.read())\n"
    )
    paper = anchored(tmp_path, f"{{command: [{sys.executable}, -S, {tmp_path / 'keep.py'}]}}")
    paper.start().send(bar(1, 60), bar(2, 60))
    code, _, err = paper.end()
    assert code == 0, err
    deadline = time.monotonic() + LONG_S  # a run does not wait long for its last head
    while not (tmp_path / "heads").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    done = paper.run("audit", "verify", "--from", str(tmp_path / "heads"))
    assert done.returncode == 0, done.stdout
    assert "tail not anchored" not in done.stdout


def test_a_run_whose_anchor_fails_trades_on_and_says_so(tmp_path):
    paper = anchored(tmp_path, "{command: [/no/such/program]}")
    next_day = 24 * 60
    paper.start().send(bar(1, 60), bar(2, 60), bar(next_day, 60)).until("ALERT")
    code, lines, err = paper.end()
    assert code == 0, err
    (alert,) = (data for kind, data in paper.records() if kind == "ALERT")
    assert alert["kind"] == "ANCHOR_FAILED"
    assert "/no/such/program" in alert["text"]
    assert [line["kind"] for line in lines if line["event"] == "error"] == ["ANCHOR_FAILED"]
    assert lines[-1]["orders"] == 1
    assert "warning: a head was not copied to audit.anchor: checkpoint " in err
    paper.assert_sound()
