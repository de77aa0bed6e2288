"""`trader paper` as a child process on a loopback exchange: closed bars only, a kill, a restart,
and what the exchange says of the same bars afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue.binance import options
from tests.venue.kit import SECRETS, ask, forms, shown, with_spread, write_config
from tests.venue.test_download import iso, trader, venue_process
from trader.core.schema import BAR_HISTORY, BAR_PROOF_BITS, Reason
from trader.journal import readback
from trader.journal.store import read_records

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600  # a first start compiles, on a machine that may be busy


class Runner:
    """One `trader paper`, whose events are read from a file."""

    def __init__(self, folder, name):
        self.out = folder / f"{name}.jsonl"
        self.err = folder / f"{name}.err"
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "TRADER_HOME": str(folder / "home")}
        command = [sys.executable, "-m", "trader", "paper", "-c", "live.yaml", "--json"]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environ, stdout=out, stderr=err
            )

    def events(self, kind):
        lines = self.out.read_text().split("\n")[:-1]
        return [event for line in lines if (event := json.loads(line))["event"] == kind]

    def until(self, condition):
        for _ in range(PATIENCE_S * 10):
            if condition():
                return
            assert self.process.poll() is None, self.err.read_text()
            time.sleep(0.1)
        raise AssertionError(self.err.read_text())

    def end(self, code):
        assert self.process.wait(PATIENCE_S) == code, self.err.read_text()


def live_slices(journal):
    """(BAR rows, ACTION rows) of every slice of a journal, in order."""
    records = list(read_records(journal, types=("BAR", "ACTION")))
    bars = [
        readback.bars_of(one) for one in records if one.type == "BAR" and one.data["use"] == "slice"
    ]
    actions = [readback.actions_of(one) for one in records if one.type == "ACTION"]
    return list(zip(bars, actions, strict=True))


@pytest.mark.timeout(1800)
def test_closed_bars_a_broken_line_a_kill_and_a_restart(tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with venue_process() as port:
        keys = {"apiKey": "${VENUE_KEY}", "secret": "${VENUE_SECRET}"}
        with_spread(write_config(tmp_path, {**options(port), **keys}))

        run = Runner(tmp_path, "first")
        run.until(lambda: run.events("order_filled"))
        ask(port, "/_fault", {"name": "maintenance", "value": True})
        run.until(lambda: any(e["kind"] == "FEED_DOWN" for e in run.events("error")))
        down_s = time.time()
        time.sleep(2.5)  # a hole of two bars
        up_s = time.time()
        ask(port, "/_fault", {"name": "maintenance", "value": False})
        count = len(run.events("bar"))
        run.until(lambda: len(run.events("bar")) > count + 8)
        trader("kill", "--reason", "test", cwd=tmp_path)
        run.end(7)
        kill_id = run.err.read_text().split("trader rearm ")[1].split()[0]
        orders = len(run.events("order_sent"))
        trader("rearm", kill_id, "--reason", "test", cwd=tmp_path)
        (journal,) = (tmp_path / "runs").glob("*/journal.sqlite")
        told_s = int(live_slices(journal)[-1][0][0]["ts_ns"]) // 10**9
        ask(
            port, "/_fault", {"name": "revise", "value": told_s - 1}
        )  # the last bar, while it is down

        again = Runner(tmp_path, "second")
        again.until(lambda: len(again.events("bar")) > 8)
        again.process.send_signal(signal.SIGINT)
        again.end(130)

        slices = live_slices(journal)
        first_s = int(slices[0][0][0]["ts_ns"]) // 10**9 - 1
        last_s = int(slices[-1][0][0]["ts_ns"]) // 10**9
        for index, name in enumerate(("BTCUSDT", "ETHUSDT")):
            true = ask(port, f"/_truth?symbol={name}&start={first_s}&end={last_s}")
            rows = [row for bars, _ in slices for row in bars if row["symbol"] == index]
            true = [row for row in true if row[0] != told_s - 1]
            rows = [row for row in rows if row["ts_ns"] != told_s * 10**9]
            assert [[int(row["ts_ns"]) // 10**9 - 1, *row.item()[1:6]] for row in rows] == true
        ask(port, "/_fault", {"name": "revise", "value": first_s + 3})  # when nobody listens
        time.sleep(max(last_s + 2.5 - time.time(), 0.0))  # a download believes REST after a grace
        trader("data", "download", "-c", "live.yaml", "--from", iso(first_s), "--to", iso(last_s),
               cwd=tmp_path)  # fmt: skip
    assert orders > 0
    assert len(run.events("order_sent")) == orders
    live = [
        int(bars[0]["ts_ns"]) / 1e9
        for bars, actions in slices
        if any(action["reason"] != Reason.DATA_HISTORY and action["action"] for action in actions)
    ]
    assert [at for at in live if down_s < at <= up_s] == []
    for bars, actions in slices:
        for row, action in zip(bars, actions, strict=True):
            assert row["flags"] & BAR_PROOF_BITS
            if row["flags"] & BAR_HISTORY:
                assert action["action"] == 0
    start = next(iter(read_records(journal, types=("RUN_START",))))
    assert start.data["facts"]["BTC/USDT"]["lot_size"] == "0.0001"
    steps = start.data["rules"]["instruments"]
    step = dict(zip(steps["fields"], steps["rows"][0], strict=True))
    assert (step["lot_size"], step["min_notional"]) == (0.0001, 5.0)
    trader("audit", "verify", journal.parent.name, cwd=tmp_path)
    trader("replay", journal.parent.name, cwd=tmp_path)
    held = trader("parity", journal.parent.name, "--history", "data/binance", "--json",
                  cwd=tmp_path)  # fmt: skip
    market = json.loads(held.stdout)["market"]
    assert (market["changed"], market["told"], market["not_in_history"]) == (4, 2, 0)
    assert market["compared"] == sum(len(bars) for bars, _ in slices)
    assert {(one["close"], one["told"]) for one in market["changes"]} == {
        (iso(first_s + 4), False),
        (iso(told_s), True),
    }
    assert all("close" in one["run, history"] for one in market["changes"])
    told = repr(list(read_records(journal))).encode() + shown(tmp_path)  # what is packed, too
    assert not any(form.encode() in told for one in SECRETS.values() for form in forms(one))
    quoted = [row for bars, _ in slices for row in bars if row["bid"] < row["ask"]]
    assert quoted  # which the throttle of the replay and of the backtest needed too


@pytest.mark.trials
@pytest.mark.timeout(3600)
def test_a_kill_holds_during_each_fault(tmp_path):
    faults = ("mute", "duplicate", "reorder", "never_final", "maintenance", "429", "418", "503")
    with venue_process() as port:
        write_config(tmp_path, options(port))

        def fault(name, value):
            assert ask(port, "/_fault", {"name": name, "value": value}) == {}

        for name in faults:
            run = Runner(tmp_path, name)
            run.until(lambda run=run: len(run.events("bar")) > 12)
            fault(name, True)
            time.sleep(1.5)
            trader("kill", "--reason", name, cwd=tmp_path)
            run.end(7)
            refused = Runner(tmp_path, f"{name}-again")
            refused.end(7)
            fault(name, False)
            kill_id = run.err.read_text().split("trader rearm ")[1].split()[0]
            trader("rearm", kill_id, "--reason", name, cwd=tmp_path)
        (journal,) = (tmp_path / "runs").glob("*/journal.sqlite")
        kinds = [r.type for r in read_records(journal)]
        assert kinds.count("KILL") == len(faults)
        is_killed = False
        for kind in kinds:
            is_killed = kind == "KILL" or (is_killed and kind != "RUN_RESUME")
            assert not (is_killed and kind in ("ORDER_INTENT", "ORDER_SENT", "FILL"))
        trader("audit", "verify", journal.parent.name, cwd=tmp_path)
