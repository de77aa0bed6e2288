"""The requirements K1 to K12: the table of tests/FAULTS.md, and those that no other file tests.

K5: a latch that another boot has left. K11: a model, a hook and a callback inside a live run that
try to get out of a stop by what `trader` offers them.
"""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.sender import Ledger
from tests.paper_kit import Paper, bar
from tests.safety_kit import held_run, kill_here, runner_process, trader, wait_for
from trader.errors import KilledError
from trader.safety import latch, records, registry, status

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "tests" / "FAULTS.md").read_text("utf-8")
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| K\d", line)]


def test_every_requirement_has_its_tests_and_they_exist():
    assert [row[0].strip() for row in ROWS] == [f"K{number}" for number in range(1, 13)]
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for number, what, tests in ROWS:
        named = re.findall(r"`(test_\w+)`", tests)
        assert named, (number, what)
        assert not [name for name in named if not re.search(rf"def {name}\(", sources)]


# --- K5: another boot ---


@pytest.fixture
def other_boot(trader_home, tmp_path, monkeypatch, capfd):
    """A killed run of a machine that has booted since: home, kill id, a process that has the
    number of its runner now."""
    path = tmp_path / "ledger"
    ledger = Ledger(path)
    with runner_process(trader_home, "busy", path) as runner:
        wait_for(lambda: ledger.read()[0] > 20)
        runner.kill()  # as a power cut does: no goodbye, the lock is free
    _, document = kill_here(capfd, "--reason", "before the power cut")
    record = trader_home / "kills" / f"{document['kill_id']}.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "ts_mono_ns": 2**61}))
    stranger = subprocess.Popen(["sleep", "60"])
    with (trader_home / "registry" / "live-sender" / latch.PAGE).open("r+b") as page:
        page.seek(latch.RUNNER_AT)
        page.write(
            registry.encode_runner(
                registry.Runner(stranger.pid, "of another boot", registry.OPEN, 1)
            )
        )
        page.seek(latch.HEARTBEAT_AT)
        page.write(registry.encode_heartbeat(2**61))  # the clock of then was further
    real, booted = time.monotonic_ns, time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: real() - booted + 3_000_000_000)
    try:
        yield trader_home, document["kill_id"], stranger
    finally:
        stranger.kill()
        stranger.wait()


def test_a_latch_found_after_a_reboot_refuses_every_start_until_it_is_rearmed(other_boot, capfd):
    home, kill_id, stranger = other_boot
    for run_id in ("sender", "new"):
        with (
            pytest.raises(KilledError, match=f"{kill_id}(.|\n)*before the power cut") as refused,
            held_run(home, run_id, resumes=run_id == "sender"),
        ):
            pass
        assert refused.value.exit_code == 7
        assert f"trader rearm {kill_id}" in str(refused.value)
    (run,) = [run for run in status.collect()["runs"] if run["run_id"] == "sender"]
    assert run["state"] == "dead", "the power cut ended it, no kill did"
    code, second = kill_here(capfd, "--reason", "again")
    assert code == 0
    assert [run["outcome"] for run in second["runs"]] == ["already_dead"]
    assert stranger.poll() is None, "whoever has the number now is no runner of ours"
    for pending in (kill_id, second["kill_id"]):
        done = trader(home, "rearm", pending, "--reason", "checked after the power cut")
        assert done.returncode == 0, done.stderr
    assert stranger.poll() is None
    with held_run(home, "sender", resumes=True) as lease:
        gate = lease.open_gate()
        assert (lease.stop_cause(), gate.stop_cause()) == ("", "")
        (run,) = [run for run in status.collect()["runs"] if run["run_id"] == "sender"]
        assert run["state"] == "running"


def test_a_run_of_another_boot_is_dead_and_keeps_nothing_from_starting(other_boot):
    home, kill_id, stranger = other_boot
    assert trader(home, "rearm", kill_id, "--reason", "checked").returncode == 0
    (run,) = [run for run in status.collect()["runs"] if run["run_id"] == "sender"]
    assert run["state"] == "dead", "its heartbeat lies in the future of this boot's clock"
    assert stranger.poll() is None
    assert records.rearm_of(str(home), kill_id)
    with held_run(home, "sender", resumes=True) as lease:
        lease.open_gate()


# --- K11: from inside ---

INSIDE = """
import contextlib, json, os
import numpy as np
from trader import RiskEventHandler
from trader.safety import arming, latch, pending, rearm, statedir

asked = [0]

def wriggle(who):
    home = statedir.home_path()
    tried = {"who": who}
    for kill in pending.pending_kills(home):
        try:
            rearm.rearm(home, kill["kill_id"], "let me go on")
            tried["rearm"] = "done"
        except Exception as error:
            tried["rearm"] = f"{type(error).__name__}: {error}"
    registry = os.path.join(home, "registry")
    folders = [home, *(os.path.join(registry, name) for name in os.listdir(registry))]
    for folder in folders:
        tried["arm_if_new"] = arming.arm_if_new(folder)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, latch.HALT))
            tried["halt"] = "deleted"
        open(os.path.join(folder, latch.PERMIT), "w").close()
    with open("tried.jsonl", "a") as file:
        file.write(json.dumps(tried) + "\\n")

def hook(details):
    if details["event"] in ("emergency_stop", "trading_state_changed", "trading_stopped"):
        wriggle("hook")

def callback(event):
    wriggle("callback")

def predict(features):
    asked[0] += 1
    if asked[0] == STOPS_AT:
        handler = RiskEventHandler()
        handler.register_callback("emergency_stop", callback)
        handler.emergency_stop("enough, says the model")
        wriggle("model")
    return np.full(len(features), 1)
"""


@pytest.mark.parametrize("who", ["model", "operator"])
def test_a_model_a_hook_and_a_callback_cannot_get_a_run_out_of_a_stop(tmp_path: Path, who: str):
    rule = "model: {type: rule, buy: level > 50, sell: level < 50}"
    paper = Paper(
        tmp_path / "run",
        (rule, "model: {type: python, target: 'inside:predict'}\nhooks: ['inside:hook']"),
    )
    stops_at = 2 if who == "model" else 0
    (paper.folder / "inside.py").write_text(INSIDE.replace("STOPS_AT", str(stops_at)))
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    if who == "operator":
        assert paper.run("kill", "--reason", "enough, says the operator").returncode == 0
    else:
        paper.send(bar(3, 60), bar(4, 60), bar(5, 60)).until("RUN_END")
    code, lines, err = paper.end()
    assert (code, f"enough, says the {who}" in err) == (7, True), err
    assert lines[-1]["risk"]["trading_state"] == "HALTED"
    tried = [json.loads(line) for line in (paper.folder / "tried.jsonl").read_text().splitlines()]
    assert {"hook"} | ({"model", "callback"} if who == "model" else set()) <= {
        each["who"] for each in tried
    }
    assert {each["arm_if_new"] for each in tried} == {False}
    refusals = [each["rearm"] for each in tried if "rearm" in each]
    assert refusals
    assert all(text.startswith("KilledError: run ") for text in refusals), refusals
    sent = [kind for kind, _ in paper.records() if kind in ("ORDER_SENT", "KILL")]
    assert sent[-1] == "KILL", "no order after the stop is on record"
    assert paper.start().end()[0] == 7, "deleted names are not enough: page and record say stop"
    status_now = json.loads(paper.run("status", "--json").stdout)
    assert status_now["latched"] is True
