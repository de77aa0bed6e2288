"""Doubles and real runners for the tests of the kill switch."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from trader.safety import kill, latch, registry
from trader.safety.lease import RunInfo, arm

ROOT = Path(__file__).resolve().parent.parent
RUNNER = """
import random, sys
from tests.harness.sender import Ledger, run_sender
run_sender(sys.argv[1], sys.argv[2], Ledger(sys.argv[3]), random.Random(int(sys.argv[4])))
"""


class FakeOrder:
    def __init__(self, order_id, qty=1.0, decision=None, leg=0):
        self.order_id, self.qty, self.leg = order_id, qty, leg
        self.decision = decision if decision is not None else abs(hash(order_id))


class ListBroker:
    """Keeps what it is sent; raises `error` instead when there is one."""

    def __init__(self, error=None):
        self.sent, self.error = [], error

    def submit(self, order):
        if self.error:
            raise self.error
        self.sent.append(order.order_id)


@contextmanager
def held_run(home, run_id="r1", **info):
    """A lease of this process, given back at the end."""
    lease = arm(str(home), run_id, RunInfo("paper", str(home), **info))
    try:
        yield lease
    finally:
        lease.close()


def die(lease):
    """What a process that dies leaves: its files closed, no goodbye, its number nobody's."""
    lease._runner.started = "gone"
    lease._write(registry.encode_runner(lease._runner), latch.RUNNER_AT)
    lease.drop_files()


@contextmanager
def open_gate(home, run_id="r1", **named):
    """An armed run of this process with its gate open: lease, gate."""
    with held_run(home, run_id) as lease:
        yield lease, lease.open_gate(**named)


def run_kill(home, *words, command=None, **named):
    """`trader kill` as a process of its own."""
    words = command or [sys.executable, "-m", "trader", "kill", *words]
    environ = {**os.environ, "TRADER_HOME": str(home), **named.pop("env", {})}
    return subprocess.run(words, env=environ, capture_output=True, timeout=60, check=False, **named)


def kill_here(capfd, *words):
    """`trader kill --json` in this process: exit code, document."""
    capfd.readouterr()
    code = kill.main([*words, "--json"])
    out = capfd.readouterr().out
    return code, json.loads(out) if out else None


def trader(home, *words):
    """Any other `trader` command as a process of its own."""
    environ = {**os.environ, "TRADER_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "trader", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_latched(home):
    return bool(latch.inspect(str(home)).causes)


@contextmanager
def runner_process(home, state, ledger, seed=1):
    """A real runner of the harness as a process of its own; ended at the end."""
    words = [sys.executable, "-c", RUNNER, str(home), state, str(ledger), str(seed)]
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def wait_for(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.002)


def is_silent(ledger):
    """Whether a runner has sent something and then nothing for a while."""
    before = ledger.read()[0]
    time.sleep(0.05)
    return before > 0 and ledger.read()[0] == before
