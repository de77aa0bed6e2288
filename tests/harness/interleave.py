"""Kills and re-arms at the same moment, cut off at every step, on disks that fail at every call.

    interleave.py race HOME N     2 kills and 1 re-arm of an older kill, N times: halted must win
    interleave.py crash HOME STEP a re-arm ended at every STEP-th call: halted unless it was through
    interleave.py cut HOME STEP   a kill ended at every STEP-th call: acknowledged means halted
    interleave.py faults HOME     a kill whose n-th disk call fails, once or from then on

Prints one JSON document: {"cases": N, "failures": [text, ...], ...}.
"""

import contextlib
import errno
import json
import os
import random
import shutil
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from trader.safety import arming, kill, latch, pending, rearm, statedir, stop, trip  # noqa: E402

SPREAD_S = 0.008
CALLS = ("open", "pwrite", "write", "fsync", "link", "unlink", "mkdir", "rename", "ftruncate")


def fresh_home(home, killed):
    """An armed state folder, or one with a pending kill; that kill's id."""
    shutil.rmtree(home, ignore_errors=True)
    for folder in statedir.fallback_folders(home):
        shutil.rmtree(folder, ignore_errors=True)
    statedir.make_folder(home)
    with arming.LatchLock(home):
        arming.arm_if_new(home)
    if not killed:
        return ""
    done = stop.Stop(home, stop.StopOrder("before", 7))
    stop.shut(done)
    return done.order.kill_id


def is_open(home):
    """Whether a run could start: nothing pending, every channel open."""
    return not pending.pending_kills(home) and not latch.inspect(home).causes


def in_child(work):
    """Runs `work` in a fork, quietly; its process id."""
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        code = 97
        with contextlib.suppress(BaseException):
            code = work() or 0
        os._exit(code)
    return pid


def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def stumbling(seed):
    """Pauses at random between calls, so that every interleaving gets its chance."""
    chance = random.Random(seed)

    def pause(frame, event, argument):
        if event == "c_call" and chance.random() < 0.005:
            time.sleep(chance.random() * 0.0004)

    return pause


def race(home, count):
    """Every fifth time with processes and the whole command, else with threads: no fork, and the
    same system calls in the same disorder."""
    failures, opened = [], 0
    os.environ["TRADER_HOME"] = home
    for number in range(count):
        kill_id = fresh_home(home, killed=True)
        chance = random.Random(number)  # the kills come before, during and after the re-arm
        spread = SPREAD_S if opened else SPREAD_S * (1 + number // 10)  # later on a busy machine
        delays = [0.0, chance.random() * spread, chance.random() * spread]
        together = by_processes if number % 5 == 0 else by_threads
        stopped = together(home, kill_id, delays)
        with open(os.path.join(home, "audit.jsonl"), "rb") as file:
            opened += any(json.loads(line).get("armed") is True for line in file)
        if not (latch.inspect(home).causes and len(pending.pending_kills(home)) == 2):
            failures.append(f"interleaving {number}: open after two kills")
        if stopped != [True, True]:
            failures.append(f"interleaving {number}: a kill was not durable")
    return {"cases": count, "failures": failures, "opened": opened}


def by_processes(home, kill_id, delays):
    """The re-arm, `trader kill` and a trip, each in a fork; whether both kills are durable."""
    ready, start = os.pipe()

    def go(work, delay_s):
        def run():
            os.close(start)
            os.read(ready, 1)  # all wait here for the end of the file
            time.sleep(delay_s)
            return work()

        return in_child(run)

    children = [
        go(lambda: do_rearm(home, kill_id, delays[1]), delays[0]),
        go(lambda: kill.main(["--reason", "stop"]), delays[1]),
        go(lambda: not do_trip(home, delays[2]), delays[2]),
    ]
    os.close(start)
    os.close(ready)
    return [code_of(pid) == 0 for pid in children][1:]


def by_threads(home, kill_id, delays):
    """The re-arm and two trips; whether both trips are durable."""
    start = threading.Barrier(3)
    stopped = [False, False, False]

    def go(index, work):
        def run():
            start.wait()
            time.sleep(delays[index])
            stopped[index] = work(delays[index])

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    threads = [
        go(0, lambda seed: do_rearm(home, kill_id, seed)),
        go(1, lambda seed: do_trip(home, seed)),
        go(2, lambda seed: do_trip(home, seed)),
    ]
    for thread in threads:
        thread.join()
    return stopped[1:]


def do_rearm(home, kill_id, seed):
    sys.setprofile(stumbling(seed))
    rearm.rearm(home, kill_id, "it was a false alarm")


def do_trip(home, seed):
    """A kill from inside, as a limit makes it; whether it is durable."""
    sys.setprofile(stumbling(seed))
    return trip.Tripwire(home).trip(stop.StopOrder("limit", 1, source="engine")).durable


def dying(at):
    """Ends the process at its `at`-th call of a C function."""
    left = [at]

    def count(frame, event, argument):
        if event == "c_call":
            left[0] -= 1
            if left[0] <= 0:
                os._exit(96)

    return count


def crash(home, step):
    failures, number = [], random.randrange(step)
    while True:
        number += step
        kill_id = fresh_home(home, killed=True)

        def work(number=number, kill_id=kill_id):
            sys.setprofile(dying(number))
            rearm.rearm(home, kill_id, "crash test")
            sys.setprofile(None)

        code = code_of(in_child(work))
        through = os.path.exists(os.path.join(home, latch.PERMIT))
        if is_open(home) and not through:
            failures.append(f"call {number}: open without PERMIT")
        if not is_open(home):
            for left in pending.pending_kills(home):  # the same command again must finish it
                rearm.rearm(home, left["kill_id"], "again")
            if not is_open(home):
                failures.append(f"call {number}: a second re-arm does not open it")
        if code == 0:
            return {"cases": number // step, "failures": failures}


def cut(home, step):
    failures, number = [], random.randrange(step)
    os.environ["TRADER_HOME"] = home
    while True:
        number += step
        fresh_home(home, killed=False)
        out = os.path.join(os.path.dirname(home), "answer")

        def work(number=number, out=out):
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            sys.setprofile(dying(number))
            code = kill.main(["--reason", "cut", "--json"])
            sys.setprofile(None)
            return code

        code = code_of(in_child(work))
        with open(out, "rb") as file:
            acknowledged = bool(file.read())
        reading = latch.inspect(home)
        if acknowledged and not (reading.causes and pending.pending_kills(home)):
            failures.append(f"call {number}: acknowledged and open")
        if bool(reading.causes) != bool(pending.pending_kills(home)):
            failures.append(f"call {number}: channels {reading.causes} and pending differ")
        if code == 0:
            return {"cases": number // step, "failures": failures}


def failing(at, lasting):
    """Makes the `at`-th disk call fail with EIO, or that and all after it."""
    count = [0]

    def wrap(real):
        def call(*arguments, **named):
            count[0] += 1
            if count[0] == at or (lasting and count[0] > at):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    return count


def faults(home, _):
    failures, cases, codes = [], 0, {}
    os.environ["TRADER_HOME"] = home
    for lasting in (False, True):
        number = 0
        while True:
            number += 1
            cases += 1
            fresh_home(home, killed=False)

            def work(number=number, lasting=lasting):
                real_write = os.write
                count = failing(number, lasting)
                os.write = real_write if lasting else os.write
                code = kill.main(["--reason", "faulty disk"])
                return code if count[0] >= number else 50 + code

            code = code_of(in_child(work))
            codes[code] = codes.get(code, 0) + 1
            stopped = bool(pending.pending_kills(home))
            if code in (0, 50) and not stopped:
                failures.append(f"call {number} (lasting: {lasting}): exit {code} and open")
            if code not in (0, 9, 10, 50):
                failures.append(f"call {number} (lasting: {lasting}): exit {code}")
            if code == 9 and not stopped:
                failures.append(f"call {number}: exit 9 and neither latch nor fallback holds")
            if code == 50:
                break
    return {"cases": cases, "failures": failures, "codes": codes}


def main(argv):
    what, home = argv[0], argv[1]
    count = int(argv[2]) if len(argv) > 2 else 1
    done = {"race": race, "crash": crash, "cut": cut, "faults": faults}[what](home, count)
    for folder in statedir.fallback_folders(home):
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1:])
