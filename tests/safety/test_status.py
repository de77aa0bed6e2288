"""`trader status`: what runs, what is halted, why, how to clear it."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.harness.sender import Ledger
from tests.safety_kit import held_run, is_silent, kill_here, runner_process, trader, wait_for
from trader.safety import rearm, status, stop

ACCOUNT = {
    "ts_ns": 1_795_000_000_000_000_000,
    "trading_state": "ACTIVE",
    "equity": 99_950.5,
    "cash": 50_000.0,
    "realized_pnl": -10.0,
    "unrealized_pnl": -39.5,
    "commissions": 1.25,
    "daily_loss": 49.5,
    "max_daily_loss": 1000.0,
    "drawdown_frac": 0.001,
    "max_drawdown_frac": None,
    "positions": [
        {
            "symbol": "ACME",
            "qty": 100,
            "avg_price": 500,
            "mark": 499.6,
            "max_qty": 1000,
            "unrealized_pnl": -40.0,
        }
    ],
    "slices": 120,
    "fills": 6,
    "denied": 3,
    "throttled": 2,
    "feed_lag_s": 0.25,
    "refused": {"late": 2},
    "model": {"failures": 1, "last_error": "no\nanswer"},
    "working_orders": 1,
    "orders_sent": 7,
    "last_bar_ns": 1_795_000_000_000_000_000,
    "journal_head": "12:abcdef",
}


@pytest.mark.process
def test_nothing_there_is_told_as_such(trader_home):
    found = json.loads(trader(trader_home, "status", "--json").stdout)
    assert (found["latched"], found["kills"], found["runs"]) == (False, [], [])
    done = trader(trader_home, "status")
    assert done.returncode == 0
    assert "no kill is in force\nno run is registered" in done.stdout


def test_running_run_with_its_account(trader_home):
    with held_run(trader_home, "demo") as lease:
        assert status.collect()["runs"][0]["state"] == "starting"
        lease.open_gate()
        lease.heartbeat(time.monotonic_ns())
        lease.write_status(ACCOUNT)
        found = status.collect()
        text = status.render(found)
    (run,) = found["runs"]
    assert (run["run_id"], run["state"], run["why"], run["clear"]) == ("demo", "running", "", "")
    assert (run["pid"], run["mode"], run["run_dir"]) == (os.getpid(), "paper", str(trader_home))
    assert run["heartbeat_age_s"] < 5
    assert {key: run[key] for key in status.ACCOUNT_KEYS} == {
        key: ACCOUNT[key] for key in status.ACCOUNT_KEYS
    }
    assert (run["orders_sent"], run["journal_head"]) == (7, "12:abcdef")
    assert "demo  RUNNING  paper" in text
    assert "equity 99,950.50  realised -10.00  unrealised -39.50  commissions 1.25  daily " in text
    assert "daily loss 49.50 of 1,000.00" in text
    assert "ACTIVE  last bar " in text
    assert "7 orders sent, 1 working" in text
    assert run["last_bar_age_s"] == pytest.approx(time.time() - 1_795_000_000, abs=3600)
    assert re.search(r"last bar \S+, -?[\d,]+ s ago", text)
    assert "cash 50,000.00" in text
    assert "ACME  100 of 1,000 at 500, mark 499.6, unrealised -40.00" in text
    assert "120 slices, 6 fills, 3 denied, 2 throttled, feed lag 0.25 s" in text
    assert "2 bars late, 1 model failures (no\\nanswer)" in text
    assert {key: run[key] for key in status.COUNTS} == {key: ACCOUNT[key] for key in status.COUNTS}


def test_killed_run_is_halted_with_the_way_to_clear_it(trader_home):
    with held_run(trader_home, "demo") as lease:
        lease.open_gate()
        done = lease.trip("DAILY_LOSS_LIMIT", "loss 1001 of 1000")
        found = status.collect()
    kill_id = done.order.kill_id
    assert found["latched"]
    assert [kill["kill_id"] for kill in found["kills"]] == [kill_id]
    assert found["kills"][0]["clear"] == f"trader rearm {kill_id} --reason TEXT"
    run = found["runs"][0]
    assert (run["state"], run["why"]) == ("halted", "DAILY_LOSS_LIMIT: loss 1001 of 1000")
    assert run["since"] == found["kills"][0]["at"]
    assert run["clear"] == found["kills"][0]["clear"]
    text = status.render(found)
    assert "TRADING IS STOPPED" in text
    assert f"{kill_id}  DAILY_LOSS_LIMIT  everything by" in text


@pytest.mark.parametrize("is_open", [True, False])
def test_run_that_a_kill_has_ended_still_tells_what_it_was(trader_home, is_open):
    with held_run(trader_home, "demo") as lease:
        if is_open:
            lease.open_gate()
        alive = status.collect()["runs"][0]
        stop.shut(stop.Stop(str(trader_home), stop.StopOrder("enough", 7, "demo")))
    found = status.collect()
    (run,) = found["runs"]
    assert (run["state"], run["pid"], run["mode"]) == ("halted", None, "paper")
    told = ("mode", "run_dir", "cwd", "host", "started")
    assert [run[key] for key in told] == [alive[key] for key in told]
    assert None not in [run[key] for key in told]
    assert "demo  HALTED  paper, no process" in status.render(found)
    rearm.rearm(str(trader_home), found["kills"][0]["kill_id"], "seen")
    assert status.collect()["runs"] == []


def ended_by_a_file(home, run_id, state):
    """A run that leaves while HALT is there; the file is put there before it leaves."""
    with held_run(home, run_id) as lease:
        lease.open_gate()
        lease.write_status({**ACCOUNT, "trading_state": state})
        (home / "HALT").touch()


def test_run_that_a_file_has_ended_is_halted_with_what_it_holds_until_the_rearm(trader_home):
    with held_run(trader_home, "in-order") as lease:  # it left before
        lease.open_gate()
        lease.write_status(ACCOUNT)
    os.utime(os.path.join(lease.folder, "left.json"), ns=(1, 1))
    ended_by_a_file(trader_home, "demo", "ACTIVE")
    (run,) = status.collect()["runs"]
    assert (run["run_id"], run["state"], run["mode"]) == ("demo", "halted", "paper")
    assert run["positions"] == ACCOUNT["positions"]
    assert run["clear"] == "trader rearm UNRECORDED --reason TEXT"
    rearm.rearm(str(trader_home), "UNRECORDED", "seen")
    assert status.collect()["runs"] == []


def test_run_that_a_file_has_ended_stays_when_the_file_is_touched_again(trader_home):
    ended_by_a_file(trader_home, "demo", "HALTED")
    later = time.time_ns() + 60 * 10**9
    os.utime(trader_home / "HALT", ns=(later, later))
    assert [run["run_id"] for run in status.collect()["runs"]] == ["demo"]
    rearm.rearm(str(trader_home), "UNRECORDED", "seen")
    (trader_home / "HALT").touch()  # another stop: it ended nothing
    os.utime(trader_home / "HALT", ns=(later, later))
    assert status.collect()["runs"] == []


def test_run_ended_by_a_permit_that_went_is_halted_until_the_rearm(trader_home):
    with held_run(trader_home, "demo") as lease:
        lease.open_gate()
        lease.write_status({**ACCOUNT, "trading_state": "HALTED"})
        (trader_home / "PERMIT").unlink()
    assert [run["state"] for run in status.collect()["runs"]] == ["halted"]
    rearm.rearm(str(trader_home), "UNRECORDED", "seen")
    assert status.collect()["runs"] == []


def test_run_that_a_limit_has_halted_says_which(trader_home):
    with held_run(trader_home, "demo") as lease:
        lease.open_gate()
        lease.write_status({**ACCOUNT, "trading_state": "HALTED", "reason": "DRAWDOWN_LIMIT"})
        run = status.collect()["runs"][0]
        assert (run["state"], run["why"]) == ("halted", "DRAWDOWN_LIMIT")
        lease.write_status({**ACCOUNT, "trading_state": "REDUCING", "reason": "DAILY_LOSS_LIMIT"})
        run = status.collect()["runs"][0]
        assert (run["state"], run["why"]) == ("running", "DAILY_LOSS_LIMIT")


@pytest.mark.process
@pytest.mark.parametrize("state", ["gil", "sigstop", "dead"])
def test_hung_stopped_and_dead_runs_are_told_apart(trader_home, tmp_path, state):
    import signal

    ledger = Ledger(tmp_path / "ledger")
    with runner_process(
        trader_home, "gil" if state == "gil" else "busy", tmp_path / "ledger"
    ) as it:
        wait_for(lambda: ledger.read()[0])
        if state == "sigstop":
            it.send_signal(signal.SIGSTOP)
        elif state == "dead":
            it.kill()
            it.wait()
        else:
            wait_for(lambda: is_silent(ledger))
        expected = {"gil": "hung", "sigstop": "stopped", "dead": "dead"}[state]
        wait_for(lambda: status.collect()["runs"][0]["state"] == expected)
        run = status.collect()["runs"][0]
        clear = {
            "gil": "trader kill --run sender",
            "sigstop": f"kill -CONT {it.pid}",
            "dead": "start it again: it will recover",
        }[state]
        assert run["clear"] == clear
        assert run["why"]


@pytest.mark.process
def test_dead_run_under_a_kill_tells_both(trader_home, tmp_path, capfd):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0])
        runner.kill()
        runner.wait()
    _, document = kill_here(capfd, "--reason", "post mortem")
    run = status.collect()["runs"][0]
    assert run["state"] == "dead"
    assert "post mortem" in run["why"]
    assert document["kill_id"] in run["clear"]
    rearm.rearm(str(trader_home), document["kill_id"], "buried")
    assert status.collect()["runs"][0]["clear"].startswith("start it again")


def test_kill_of_one_run_halts_only_its_line(trader_home):
    with held_run(trader_home, "a") as first, held_run(trader_home, "b") as second:
        for lease in (first, second):
            lease.open_gate()
            lease.heartbeat(time.monotonic_ns())
        stop.shut(stop.Stop(str(trader_home), stop.StopOrder("one", 7, "a")))
        found = status.collect()
    assert [run["state"] for run in found["runs"]] == ["halted", "running"]
    assert "run a" in status.render(found)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"positions": 7, "equity": "x", "ts_ns": "y"}', b"\xff"]
)
def test_damaged_status_file_is_no_error(trader_home, content):
    with held_run(trader_home, "demo") as lease:
        with open(os.path.join(lease.folder, "status.json"), "wb") as file:
            file.write(content)
        assert "demo" in status.render(status.collect())


def test_positions_that_are_no_positions_are_left_out(trader_home):
    with held_run(trader_home, "demo") as lease:
        lease.write_status({"positions": ["x", {"symbol": "A"}], "equity": 1})
        text = status.render(status.collect())
    assert "A  none of none at none, mark none" in text


def test_reason_cannot_write_to_the_terminal(trader_home):
    stop.shut(stop.Stop(str(trader_home), stop.StopOrder("\x1b]0;pwned\x07" + "x" * 1000, 7)))
    text = status.render(status.collect())
    assert "\x1b" not in text
    assert "(1010 characters)" in text


def test_files_of_others_cannot_write_to_the_terminal_or_break_it(trader_home):
    with held_run(trader_home) as lease:
        lease.write_status(
            {"equity": 10**400, "orders_sent": -(10**400), "trading_state": "\x1b[31m\nRUNNING"}
        )
        found = status.collect()
    assert (found["runs"][0]["equity"], found["runs"][0]["orders_sent"]) == (None, None)
    text = status.render(found)
    assert "\\x1b[31m\\nRUNNING" in text
    assert "\x1b" not in text


@pytest.mark.process
def test_watch_shows_it_again_and_again(trader_home):
    words = [sys.executable, "-m", "trader", "status", "--watch", "--interval", "0.1", "--json"]
    environ = {**os.environ, "TRADER_HOME": str(trader_home)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environ, text=True)
    try:
        first = json.loads(process.stdout.readline())
        stop.shut(stop.Stop(str(trader_home), stop.StopOrder("while watched", 7)))
        wait_for(lambda: json.loads(process.stdout.readline())["latched"])
        assert first["latched"] is False
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_name_of_the_state_folder_cannot_write_to_the_terminal():
    told = status.render({"latched": False, "kills": [], "runs": []}, "/tmp/\x1b[2Jgone\n")
    assert told.startswith("state folder /tmp/\\x1b[2Jgone\\n\n")
