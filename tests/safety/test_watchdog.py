"""The watchdogs: silence of the loop trips the kill, and in the end ends the process."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from tests.safety_kit import held_run, wait_for
from trader.safety import pending, records, registry
from trader.safety.watchdog import Watchdog

HANG = """
import ctypes, sys, time
from trader.safety.lease import arm, RunInfo
from trader.safety.watchdog import Watchdog
lease = arm(sys.argv[1], "r1", RunInfo("paper", "/x"))
lease.open_gate()
dog = Watchdog(lease, soft_s=float(sys.argv[2]), hard_s=float(sys.argv[3]))
dog.start()
print("ready", flush=True)
if sys.argv[4] == "gil":
    ctypes.PyDLL(None).sleep(60)
else:
    while True:
        pass
"""


def hang(home, soft_s, hard_s, how):
    words = [sys.executable, "-c", HANG, str(home), str(soft_s), str(hard_s), how]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


@pytest.fixture
def lease(trader_home):
    with held_run(trader_home) as held:
        held.open_gate()
        yield held


def test_beating_loop_is_left_alone_and_seen_from_outside(trader_home, lease):
    dog = Watchdog(lease, soft_s=5, hard_s=30)
    dog.start()
    try:

        async def live():
            task = asyncio.create_task(dog.beating())
            seen = set()
            while len(seen) < 3:
                seen.add(registry.Run(str(trader_home), "r1").heartbeat_ns)
                await asyncio.sleep(0.02)
            dog.stop()
            await asyncio.wait_for(task, 5)

        asyncio.run(live())
    finally:
        dog.stop()
    assert dog.tripped == ""
    assert pending.pending_kills(str(trader_home)) == []


def test_silent_loop_trips_system_error(trader_home, lease):
    dog = Watchdog(lease, soft_s=0.2, hard_s=30)
    dog.start()
    try:
        wait_for(lambda: records.all_kills(str(trader_home)))
    finally:
        dog.stop()
    (kill,) = pending.pending_kills(str(trader_home))
    assert (kill["code"], kill["source"]) == ("SYSTEM_ERROR", "watchdog")
    assert "silent for" in kill["reason"]
    assert lease.stop_cause()


@pytest.mark.process
def test_python_loop_that_hangs_is_tripped_by_the_thread(trader_home):
    process = hang(trader_home, 0.3, 30, "loop")
    try:
        process.stdout.readline()
        wait_for(lambda: records.all_kills(str(trader_home)))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert pending.pending_kills(str(trader_home))[0]["source"] == "watchdog"


@pytest.mark.process
def test_c_code_that_keeps_the_gil_is_ended_with_a_traceback_on_disk(trader_home):
    process = hang(trader_home, 0.3, 0.8, "gil")
    process.stdout.readline()
    assert process.wait(timeout=20) == 1
    process.stdout.close()
    run = registry.Run(str(trader_home), "r1")
    assert run.was == "dead"
    with open(os.path.join(run.folder, "hang.txt"), encoding="utf-8") as file:
        text = file.read()
    assert "Timeout (0:00:00.800000)!" in text
    assert 'File "<string>"' in text


def test_heartbeat_that_the_disk_refuses_trips_once(trader_home, lease, monkeypatch):
    def broken(_):
        raise OSError(30, "Read-only file system")

    dog = Watchdog(lease, soft_s=5, hard_s=30)
    dog.start()
    monkeypatch.setattr(lease, "heartbeat", broken)
    dog.beat()
    dog.beat()
    dog.stop()
    (kill,) = pending.pending_kills(str(trader_home))
    assert kill["reason"] == "the heartbeat cannot be written: Read-only file system"


def test_stopped_watchdog_has_no_consequences(lease):
    dog = Watchdog(lease, soft_s=0.1, hard_s=0.3)
    dog.start()
    dog.stop()
    dog.stop()
    time.sleep(0.4)  # longer than both: nothing may happen to this very process
    assert dog.tripped == ""
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


def test_watchdog_may_be_stopped_before_it_is_started(lease):
    Watchdog(lease).stop()


@pytest.mark.parametrize(("soft_s", "hard_s"), [(0, 1), (2, 1), (1, 1), (-1, 1), (float("nan"), 1)])
def test_times_that_make_no_sense_are_refused(lease, soft_s, hard_s):
    with pytest.raises(ValueError, match="soft_s < hard_s"):
        Watchdog(lease, soft_s, hard_s)
