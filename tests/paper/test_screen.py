"""What a paper run shows: lines, JSON documents, the view, and a real terminal."""

import contextlib
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.paper_kit import Paper, bar
from trader.cli.paperscreen import Screen
from trader.engine.hooks import EVENTS
from trader.report.eventlines import event_document, event_line, number
from trader.report.paperview import PaperView

AT = {"timestamp": "2024-03-04T14:31:00Z", "symbol": "ACME"}
DENIED = {
    "event": "order_denied", **AT, "action": "BUY", "requested_qty": 100.0, "approved_qty": 0.0,
    "reason": "POSITION_LIMIT", "observed": 1100.0, "limit": 1000.0,
}  # fmt: skip
EXAMPLES = [
    ({"event": "trading_started", "run_id": "R", "symbols": ["A", "B"], "resumed": True},
     "R resumed: A, B"),
    (DENIED, "2024-03-04T14:31:00Z ACME denied BUY 100: POSITION_LIMIT "
     "(observed 1,100, limit 1,000)"),
    ({"event": "order_throttled", **AT, "requested_qty": -100.0, "approved_qty": -74.0,
      "stages": ["SPREAD", "ABSOLUTE_CAP"]},
     "2024-03-04T14:31:00Z ACME throttled 100 to 74: SPREAD, ABSOLUTE_CAP"),
    ({"event": "order_sent", **AT, "side": "BUY", "qty": 10.0, "order_id": "abc"},
     "2024-03-04T14:31:00Z ACME sent BUY 10 (abc)"),
    ({"event": "order_filled", **AT, "side": "SELL", "qty": 0.5, "price": 118.16,
      "commission": 0.1, "slippage": 0.0, "realized_pnl": -2.5, "order_id": "abc"},
     "2024-03-04T14:31:00Z ACME filled SELL 0.5 at 118.16, commission 0.10, realised -2.50"),
    ({"event": "action_generated", **AT, "action": "HOLD", "reason": "MODEL_TIMEOUT"},
     "2024-03-04T14:31:00Z ACME action HOLD (MODEL_TIMEOUT)"),
    ({"event": "trading_state_changed", "timestamp": AT["timestamp"], "before": "ACTIVE",
      "after": "HALTED", "reason": "KILLED"},
     "2024-03-04T14:31:00Z trading state ACTIVE -> HALTED: KILLED"),
    ({"event": "limit_breach", "timestamp": AT["timestamp"], "reason": "DAILY_LOSS_LIMIT",
      "observed": 1003.2, "limit": 1000.0, "policy": "reduce_only"},
     "2024-03-04T14:31:00Z limit reached: daily loss 1,003.20 of 1,000.00 allowed "
     "(risk.max_daily_loss); reduce_only"),
    ({"event": "emergency_stop", "kill_id": "k1", "code": "MANUAL_STOP", "reason": "enough",
      "scope": "everything", "source": "human"}, "killed by k1 MANUAL_STOP: enough"),
    ({"event": "error", "kind": "BAD_BAR", "text": "line 3"}, "BAD_BAR: line 3"),
    ({"event": "trading_stopped", "how": "end", "text": ""}, "stopped: end"),
    ({"event": "bar", **AT, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1e6},
     "2024-03-04T14:31:00Z ACME bar 1/2/0.5/1.5, volume 1,000,000"),
]  # fmt: skip


@pytest.mark.parametrize(("details", "line"), EXAMPLES)
def test_every_event_has_a_line_and_a_document(details, line):
    assert event_line(details) == line
    assert json.loads(json.dumps(event_document(details), allow_nan=False)) == details


def test_the_examples_are_all_the_events_there_are():
    assert {details["event"] for details, _ in EXAMPLES} == set(EVENTS)


@pytest.mark.parametrize("key", ["reason", "text", "kind"])
@pytest.mark.parametrize("event", EVENTS)
def test_no_event_can_write_to_the_terminal(event, key):
    wild = "\x1b]0;pwned\x07\x1b[2Jfirst\nsecond\r\u202e"
    line = event_line({"event": event, key: wild})
    assert line.isprintable()
    view = PaperView("demo", ["ACME"])
    view.on_event({"event": event, key: wild})
    view.on_status({**FACTS, "model": {"failures": 1, "last_error": wild}})
    text = drawn(view, 200)
    assert "\x1b" not in text
    assert "\nsecond" not in text
    assert event_document({"event": event, key: wild})[key] == wild, "programs get it as it is"


def test_what_is_no_number_is_null_in_a_document_and_said_in_a_line():
    odd = {**DENIED, "observed": float("nan"), "limit": float("inf")}
    assert event_document(odd)["observed"] is None
    assert "observed none, limit none" in event_line(odd)
    assert [number(value) for value in (1e-9, -0.0, 1234567.891, 1e300, None)] == [
        "0", "0", "1,234,567.891", "1e+300", "none",
    ]  # fmt: skip


def drawn(view: PaperView, width: int = 100) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(view.render())
    return file.getvalue()


FACTS = {
    "trading_state": "REDUCING", "state_reason": "DAILY_LOSS_LIMIT", "equity": 99_000.0,
    "cash": 90_000.0, "day_pnl": -750.0, "max_daily_loss": 1000.0, "open_pnl": 12.5,
    "timestamp": "2024-03-04T14:31:00Z", "feed_lag_s": 0.25, "slices": 10, "orders": 3, "fills": 2,
    "denied": 7, "throttled": 4,
    "positions": {"ACME": {"qty": 10.0, "price": 118.5, "unrealized_pnl": 12.5}},
    "refused": {"late": 2}, "model": {"failures": 1, "last_error": "no answer"},
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_the_view_shows_state_money_positions_and_reasons(width):
    view = PaperView("demo", ["ACME"])
    assert "STARTING" in drawn(view, width)
    view.on_status(FACTS)
    view.on_event({"event": "action_generated", **AT, "action": "HOLD", "reason": "WARMUP"})
    view.on_event(DENIED)
    text = drawn(view, width)
    for word in ("REDUCING DAILY_LOSS_LIMIT", "75% used", "118.5", "HOLD WARMUP", "7 denied",
                 "POSITION_LIMIT", "2 bars late", "trader kill --reason"):  # fmt: skip
        assert word in text, word
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_of_many_symbols_the_held_and_the_busy_are_shown_and_the_rest_counted():
    names = [f"S{number:03d}" for number in range(499)] + ["A" * 60]
    view = PaperView("many", names)
    held = {"S400": {"qty": 1.0, "price": 1e-9, "unrealized_pnl": float("nan")}}
    view.on_status({**FACTS, "positions": held, "day_pnl": None, "max_daily_loss": None})
    view.on_event({"event": "order_sent", **AT, "symbol": "S321", "side": "BUY", "qty": 1})
    text = drawn(view, 80)
    assert "S400" in text
    assert "S321" in text
    assert "and 488 more" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_what_many_threads_tell_while_it_is_drawn_is_shown():
    view = PaperView("busy", ["ACME"])

    def tell() -> None:
        for _ in range(300):
            view.on_event(DENIED)
            view.on_status(FACTS)

    threads = [threading.Thread(target=tell) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert "REDUCING" in drawn(view) or "STARTING" in drawn(view)
    assert "7 denied, 4 throttled" in drawn(view)
    assert "POSITION_LIMIT" in drawn(view)


@pytest.mark.process
def test_on_a_terminal_the_view_is_live_and_stdout_carries_the_result_alone(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "trader", "paper", "-c", "live.yaml"],
        cwd=paper.folder, env={**paper.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write("".join(bar(i, 60) for i in range(1, 4)))
    process.stdin.flush()
    seen = b""
    deadline = time.monotonic() + 60
    while b"trader kill" not in seen or b"ACME" not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([ours], [], [], 0.2)[0]:
            seen += os.read(ours, 65536)
    drain = threading.Thread(target=lambda: _drain(ours), daemon=True)
    drain.start()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "unrealised" in seen.decode("utf-8", "replace")
    assert "trader kill" not in out
    assert "3 bars in 3 slices" in out


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        return


def test_money_of_a_line_has_cents_and_digits_that_say_something():
    filled = dict(EXAMPLES[4][0])
    filled |= {"commission": 1.234567, "realized_pnl": 1234.5}
    assert event_line(filled).endswith("commission 1.23, realised 1,234.50")
    filled |= {"commission": 0.000123, "realized_pnl": 0.0}
    assert event_line(filled).endswith("commission 0.00012")
    denied = DENIED | {"reason": "BUYING_POWER", "observed": 100_000.004, "limit": 100_000.0}
    assert event_line(denied).endswith("(observed 100,000.004, limit 100,000.000)")


@pytest.mark.parametrize(("lines", "hidden"), [("24", 12), ("40", 0)])
def test_every_symbol_is_shown_where_the_screen_has_room(
    monkeypatch: pytest.MonkeyPatch, lines: str, hidden: int
):
    import io

    from rich.console import Console

    from trader.report.paperview import PaperView

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", lines)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(PaperView("demo", [f"S{number:02}" for number in range(24)]).render())
    text = console.export_text()
    assert sum(f"S{number:02}" in text for number in range(24)) == 24 - hidden
    assert (f"and {hidden} more" in text) == bool(hidden)


def test_a_line_said_while_the_view_is_live_stands_above_it_and_leaves_no_ghost(
    monkeypatch: pytest.MonkeyPatch,
):
    """Every frame is rubbed out before a line is written: the view is drawn where it stood."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Screen(PaperView("demo", ["ACME"])) as screen:
            seen = b""
            while b"trader kill" not in seen:  # the first frame is drawn
                seen += os.read(ours, 1 << 16)
            screen.say("compiling")
            screen.say("data: a gap")
        monkeypatch.undo()
    with contextlib.suppress(OSError):  # its other end is closed: all is read
        while part := os.read(ours, 1 << 16):
            seen += part
    os.close(ours)
    assert on_screen(seen.decode()) == ["compiling", "data: a gap"]


def on_screen(text: str) -> list[str]:
    """What a terminal shows in the end, of the few controls that Rich uses for a live view."""
    rows, row, column = [""], 0, 0
    for control, mark, plain in re.findall(r"\x1b\[([?\d;]*)([A-Za-z])|([^\x1b])", text):
        if mark == "A":
            row -= int(control or 1)
        elif mark == "K":
            rows[row] = ""
        elif plain == "\r":
            column = 0
        elif plain == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif plain:
            rows[row] = rows[row][:column].ljust(column) + plain + rows[row][column + 1 :]
            column += 1
        else:
            assert mark in "mhl", (control, mark)
    return [line.rstrip() for line in rows if line.strip()]


def test_how_to_stop_is_seen_on_a_low_screen_too():
    view = PaperView("demo", [f"S{number:02}" for number in range(24)])
    for _ in range(20):
        view.on_event(DENIED)
    console = Console(file=io.StringIO(), width=100, height=24)
    head = console.render_lines(view.render())[:2]
    assert "trader kill --reason" in "".join(part.text for part in head[1])
