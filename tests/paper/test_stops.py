"""How a paper run stops and goes on: signals, kills, limits, a failing model. Real processes."""

import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.paper_kit import Paper, bar

pytestmark = pytest.mark.process


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path / "run")


def kinds(paper: Paper, *wanted: str) -> list[str]:
    return [kind for kind, _ in paper.records() if kind in wanted]


def changes(lines: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What was told of the trading state: before, after, reason."""
    told = [line for line in lines if line["event"] == "trading_state_changed"]
    return [(line["before"], line["after"], line["reason"]) for line in told]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)]
)
def test_a_signal_cancels_working_orders_writes_results_and_the_run_goes_on(paper, number, code):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    paper.signal(number)
    found, lines, err = paper.end()
    assert found == code, err
    assert lines[-1]["event"] == "summary"
    assert lines[-1]["risk"]["cancelled_by_reason"] == {"SHUTDOWN": 1}
    assert (paper.run_dir / "manifest.json").is_file()
    assert kinds(paper, "ORDER_SENT", "CANCEL_INTENT", "CANCEL_ACK", "RUN_END") == [
        "ORDER_SENT",
        "CANCEL_INTENT",
        "CANCEL_ACK",
        "RUN_END",
    ]
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 61), bar(4, 62))  # repeats are known
    found, lines, err = paper.end()
    assert found == 0, err
    assert (lines[-1]["slices"], lines[-1]["orders"], lines[-1]["fills"]) == (4, 2, 1)
    assert len(list(paper.folder.glob("runs/*-paper-*"))) == 1
    paper.assert_sound()


def test_a_second_sigint_exits_at_once_and_the_restart_is_exact(paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    paper.signal(signal.SIGINT)
    paper.signal(signal.SIGINT)
    code, _, err = paper.end()
    assert code == 130, err
    paper.start().send(bar(3, 61), bar(4, 62))
    code, lines, err = paper.end()
    assert code == 0, err
    assert lines[-1]["slices"] == 4
    paper.assert_sound()


def test_a_killed_run_closes_what_flatten_asks_for_and_goes_on_after_the_rearm(paper):
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL")
    killed = paper.run("kill", "--reason", "enough", "--flatten", "--json")
    assert killed.returncode == 0, killed.stderr
    code, lines, err = paper.end()
    assert code == 7, err
    assert err.count("enough") == 1, "the end is told once"
    assert err.endswith("after the re-arm start it again to go on where it is, "
                        "or with --new for a fresh run\n")  # fmt: skip
    (run,) = json.loads(paper.run("status", "--json").stdout)["runs"]
    assert (run["state"], run["trading_state"], run["positions"]) == ("halted", "HALTED", [])
    shown = " ".join(paper.run("runs", "show", "latest").stdout.split())
    assert "sent to close 1" in shown
    assert "Time halted none before its end" in shown
    assert changes(lines) == [("ACTIVE", "HALTED", "KILLED")]
    names = [line["event"] for line in lines]
    assert names.index("trading_state_changed") < names.index("emergency_stop")
    sent, filled = (
        [line for line in lines if line["event"] == event][-1]
        for event in ("order_sent", "order_filled")
    )
    assert set(sent) == {"event", "timestamp", "symbol", "side", "qty", "order_id"}
    assert (sent["side"], sent["qty"], filled["qty"]) == ("SELL", 10.0, 10.0)
    assert filled["price"] == pytest.approx(59.94)
    (asked,) = [data for kind, data in paper.records() if data.get("purpose") == "flatten"]
    assert sent["order_id"] == filled["order_id"] == asked["client_order_id"]
    assert names.index("emergency_stop") < len(names) - 1 - names[::-1].index("order_sent")
    assert lines[-1]["risk"]["open_positions"] == {}
    closing = (paper.run_dir / "fills.csv").read_text().splitlines()[-1].split(",")[-3]
    told = paper.run("audit", "show", "--order", closing).stdout
    assert told.startswith(f"order {closing} ")
    assert "SELL 10 ACME, filled 10" in told
    assert lines[-1]["final_equity"] == pytest.approx(100_000 - 1.2 - 0.06006 - 0.05994)
    assert kinds(paper, "KILL", "FILL", "RUN_END") == ["FILL", "KILL", "FILL", "RUN_END"]
    paper.assert_sound()
    refused = paper.start().end()
    assert refused[0] == 7
    assert "enough" in refused[2]
    kill_id = json.loads(killed.stdout)["kill_id"]
    rearmed = paper.run("rearm", kill_id, "--reason", "looked into it")
    assert (rearmed.returncode, "may buy back" in rearmed.stdout) == (0, True)
    paper.start().send(bar(4, 61), bar(5, 62))
    code, lines, err = paper.end()
    assert code == 0, err
    assert changes(lines) == [("HALTED", "ACTIVE", "NONE")]
    assert lines[-1]["risk"]["open_positions"] == {"ACME": 10.0}
    paper.assert_sound()


def test_a_kill_cancels_a_working_order_with_its_intent_on_record_first(paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    assert paper.run("kill", "--reason", "enough").returncode == 0
    code, lines, err = paper.end()
    assert code == 7, err
    assert lines[-1]["risk"]["cancelled_by_reason"] == {"KILLED": 1}
    assert (lines[-1]["fills"], lines[-1]["risk"]["orders_working_at_end"]) == (0, 0)
    wanted = ["ORDER_SENT", "KILL", "CANCEL_INTENT", "CANCEL_ACK", "RUN_END"]
    assert kinds(paper, *wanted, "FILL") == wanted
    paper.assert_sound()


def test_a_limit_that_kills_ends_the_run_with_6_and_latches_with_its_code(tmp_path: Path):
    limit = ("max_daily_loss: none", "max_daily_loss: 50\n  on_daily_loss: kill")
    paper = Paper(tmp_path / "run", limit)
    paper.start().send(*(bar(i, 60) for i in range(1, 5)), bar(5, 51)).until("RUN_END")
    code, lines, err = paper.end()
    assert code == 6, err
    assert lines[-1]["risk"]["trading_state"] == "HALTED"
    status = json.loads(paper.run("status", "--json").stdout)
    assert status["latched"] is True
    (kill,) = status["kills"]
    assert kill["code"] == "DAILY_LOSS_LIMIT"
    allowed = "of 50.00 allowed (risk.max_daily_loss)"
    assert re.fullmatch(rf"daily loss 9\d\.\d\d {re.escape(allowed)}, run \S+", kill["reason"])
    assert changes(lines) == [("ACTIVE", "HALTED", "DAILY_LOSS_LIMIT")]
    assert f"limit reached: {kill['reason'].split(', run')[0]}; kill" in err
    (breach,) = [line for line in lines if line["event"] == "limit_breach"]
    assert f"daily loss {breach['observed']:.2f} {allowed}" in kill["reason"]
    assert paper.start().end()[0] == 7
    paper.assert_sound()


def test_a_model_that_fails_three_times_in_a_row_trips_system_error(tmp_path: Path):
    rule = "model: {type: rule, buy: level > 50, sell: level < 50}"
    paper = Paper(tmp_path / "run", (rule, "model: {type: python, target: 'broken:predict'}"))
    (paper.folder / "broken.py").write_text("def predict(x):\n    raise SystemExit('no')\n")
    paper.start().send(*(bar(i, 60) for i in range(1, 8))).until("RUN_END")
    code, lines, err = paper.end()
    assert code == 7, err
    assert lines[-1]["risk"]["held_by_reason"]["MODEL_ERROR"] == 3
    assert changes(lines) == [("ACTIVE", "HALTED", "KILLED")]
    status = json.loads(paper.run("status", "--json").stdout)
    assert [kill["code"] for kill in status["kills"]] == ["SYSTEM_ERROR"]
    paper.assert_sound()


def test_an_operator_who_touches_halt_stops_the_run(paper):
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL")
    (paper.folder / "home" / "HALT").touch()
    code, _, err = paper.end()
    assert code == 7, err
    assert paper.count("KILL") == 1
    (run,) = json.loads(paper.run("status", "--json").stdout)["runs"]
    assert (run["run_id"], run["state"], run["mode"]) == (paper.run_dir.name, "halted", "paper")
    assert [held["qty"] for held in run["positions"]] == [10.0]
    assert run["positions"][0]["unrealized_pnl"] == run["unrealized_pnl"]
    assert (run["slices"], run["fills"], run["denied"], run["refused"]) == (3, 1, 0, {})
    assert run["commissions"] > 0.0
    assert run["equity"] == pytest.approx(
        100_000 + run["realized_pnl"] + run["unrealized_pnl"] - run["commissions"]
    )
    paper.assert_sound()


def test_a_reason_cannot_write_to_the_terminal_of_the_run_it_ends(paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("DECISION", 2)
    wild = "\x1b]0;pwned\x07first\nsecond"
    assert paper.run("kill", "--reason", wild).returncode == 0
    code, lines, err = paper.end()
    assert code == 7, err
    assert "\x1b" not in err
    assert "MANUAL_STOP: \\x1b]0;pwned\\x07first\\nsecond; to trade again: trader rearm " in err
    (told,) = [line["reason"] for line in lines if line["event"] == "emergency_stop"]
    assert told == wild


def test_a_run_killed_after_its_intent_sends_the_same_order_once(paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    paper.signal(signal.SIGKILL)
    paper.end()
    paper.start().send(bar(3, 61), bar(4, 62))
    code, lines, err = paper.end()
    assert code == 0, err
    assert (lines[-1]["orders"], lines[-1]["fills"]) == (1, 1)
    paper.assert_sound()


def test_another_config_or_model_does_not_take_up_the_run(paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    paper.signal(signal.SIGKILL)
    paper.end()
    code, _, err = paper.start("--set", "position_sizing.base_size=20").end()
    assert code == 2
    assert "its config has changed" in err
    assert "(position_sizing.base_size was 10.0, is 20.0)" in err
    assert "--new" in err


def test_a_config_that_changes_under_a_run_is_told_of_and_changes_nothing(paper):
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    path = paper.folder / "live.yaml"
    text = path.read_text()
    path.write_text(text.replace("base_size: 10", "base_size: 20"))
    paper.until("ALERT")
    paper.send(bar(3, 60), bar(4, 40), bar(5, 40), bar(6, 40))
    code, lines, err = paper.end()
    assert code == 0, err
    assert lines[-1]["orders"] == 2
    (alert,) = [data for kind, data in paper.records() if kind == "ALERT"]
    assert alert["kind"] == "CONFIG_CHANGED"
    assert alert["before"] != alert["now"]
    path.write_text(text)
    paper.assert_sound()


def test_a_terminal_that_goes_away_does_not_stop_trading(paper):
    paper.piped = True
    paper.start()
    assert paper.process is not None
    assert paper.process.stdout is not None
    assert paper.process.stderr is not None
    paper.send(bar(1, 60)).until("ACTION")
    paper.process.stdout.close()
    paper.process.stderr.close()
    paper.send(*(bar(i, 60 if i % 3 else 40) for i in range(2, 40)))
    assert paper.process.stdin is not None
    paper.process.stdin.close()
    paper.process.wait(60)
    assert paper.count("DECISION") == 39
    assert paper.count("RUN_END") == 1
    assert (paper.run_dir / "manifest.json").is_file()
    paper.assert_sound()


def test_a_process_without_file_handles_is_refused_in_clear_words_and_leaves_nothing(paper):
    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    starved = subprocess.run(
        [sys.executable, "-m", "trader", "paper", "-c", "live.yaml"],
        cwd=paper.folder, env=paper.environ, input=bar(1, 60) + bar(2, 60), check=False,
        capture_output=True, text=True, timeout=60, preexec_fn=starve,
    )  # fmt: skip
    assert starved.returncode == 1, starved.stderr
    assert "a paper run needs 64: at most 20 (`ulimit -n`)" in starved.stderr
    assert "Traceback" not in starved.stderr
    assert not list(paper.folder.glob("runs/*"))


def test_a_reader_that_takes_nothing_does_not_delay_trading_and_misses_nothing(paper):
    paper.piped = True
    lines = [bar(i, 60 if i % 3 else 40) for i in range(1, 1_000)]
    paper.start().send(*lines).until("DECISION", 999)  # far more than a pipe holds
    assert paper.process is not None
    out, err = paper.process.communicate(timeout=60)
    assert paper.process.returncode == 0, err
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events.count("bar") == 999
    assert events[-1] == "summary"
    paper.assert_sound()
