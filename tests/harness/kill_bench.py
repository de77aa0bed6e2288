"""`make kill-bench N=trials`: does an order leave after the acknowledgement, and how fast is it?

Each trial: a fresh state folder, a real runner in one of seven states, a disk in one of five, the
real `trader kill`, and a look at the time of the last order. Exit 1 on any violation:

    an order at or after the acknowledgement; a wrong exit code; a run not stopped; a latch that
    does not hold afterwards; (with --budgets) a p99 above its budget

The time of the acknowledgement is the monotonic clock in the audit line, or in the spooled one.
Fallback folders that others can reach (/tmp/trader-UID) are emptied before the look: a cleaner of
/tmp is no violation, and what only such a folder holds counts for nothing.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.harness.disks import DISKS, MOUNTED, Disk, why_no_mount  # noqa: E402
from tests.harness.gate_cost import load_average, measure_gate  # noqa: E402
from tests.harness.sender import BARRIER_MS, STATES, Ledger, run_sender  # noqa: E402
from trader.safety import kill, pending, statedir  # noqa: E402

# Enter to acknowledged, p99 in ms: the budgets
BUDGET_MS = {"hung": 600, "gil": 600, "sigstop": 600}
HEALTHY_BUDGET_MS = 250
EFFECT_BUDGET_MS = 5.0
GATE_BUDGET_US = 10.0
GATE_ORDERS = 50_000
# A runner that is out of the way before the kill is asked sends nothing more; one that is alive
# gets so long after the acknowledgement to send what it should not.
TEMPTATION_S = 0.01
PROGRESS = 500  # trials between two lines on stderr


class Trial:
    """What one trial showed."""

    def __init__(self, state, disk):
        self.state, self.disk = state, disk
        self.enter_to_ack_ms = self.barrier_us = self.effect_ms = None
        self.orders = 0
        self.outcome = ""
        self.violations = []


def wait_until(done, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the runner did not get ready")
        time.sleep(0.0003)


def start_runner(home, state, ledger, chance):
    """Forks a runner; its process id."""
    seed = chance.random()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            run_sender(home, state, ledger, random.Random(seed))
        os._exit(99)
    return pid


def bring_into_state(state, pid, ledger, chance):
    """Waits for the runner and does to it what its state says."""
    if state == "starting":
        time.sleep(chance.random() * 0.02)
        return
    wait_until(lambda: ledger.read()[2])
    if state in ("busy", "sigstop", "dead"):
        wait_until(lambda: ledger.read()[0] > 20)
    time.sleep(chance.random() * 0.01)
    if state == "sigstop":
        os.kill(pid, signal.SIGSTOP)
    elif state == "dead":
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def kill_by_command(home):
    """The installed command. Exit code, document, ms from Enter to acknowledged."""
    command = os.path.join(os.path.dirname(sys.executable), "trader")
    words = [command] if os.path.exists(command) else [sys.executable, "-m", "trader"]
    words += ["kill", "--reason", "kill-bench", "--json"]
    environ = {**os.environ, "TRADER_HOME": home, "PYTHONPATH": ROOT}
    environ.pop("COVERAGE_PROCESS_START", None)
    began = time.monotonic_ns()
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, cwd="/"
    )
    line = process.stdout.readline()
    seen = time.monotonic_ns()
    process.stdout.close()
    return process.wait(), json.loads(line), (seen - began) / 1e6


def kill_by_fork(home):
    """The same code without the start of an interpreter: many more trials a minute."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write_end, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.environ["TRADER_HOME"] = home
        code = 98
        with contextlib.suppress(BaseException):
            code = kill.main(["--reason", "kill-bench", "--json"])
        os._exit(code)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        document = json.loads(pipe.readline())
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), document, None


def private_places(folder):
    """Settings under which a kill's fallback folders are found in `folder`, among others."""
    places = {"XDG_RUNTIME_DIR": "runtime", "TMPDIR": "tmp"}
    found = {name: os.path.join(folder, "private", place) for name, place in places.items()}
    for place in found.values():
        os.makedirs(place, mode=0o700, exist_ok=True)
    return found


def drop_shared_fallbacks(home, folder):
    """Removes a state folder's fallbacks outside of `folder`."""
    for fallback in statedir.fallback_folders(home):
        if os.path.commonpath([os.path.abspath(folder), fallback]) != os.path.abspath(folder):
            shutil.rmtree(fallback, ignore_errors=True)


def audited(home, kill_id):
    """The audit line of a kill, or the spooled one; None where neither was taken."""
    entries = []
    with contextlib.suppress(OSError), open(os.path.join(home, "audit.jsonl"), "rb") as file:
        entries = [json.loads(line) for line in file]
    for folder in (home, *statedir.fallback_folders(home)):
        path = os.path.join(folder, statedir.SPOOL, f"{kill_id}.json")
        with contextlib.suppress(OSError), open(path, "rb") as file:
            entries.append(json.load(file))
    found = [entry for entry in entries if entry["kill_id"] == kill_id]
    return found[0] if found else None


def run_trial(state, disk, ledger, chance, by_command):
    trial = Trial(state, disk.kind)
    disk.heal()
    ledger.clear()
    pid = start_runner(disk.home, state, ledger, chance)
    try:
        if state == "starting" and disk.kind != "normal":
            wait_until(lambda: os.path.exists(os.path.join(disk.home, "registry", "live-sender")))
        bring_into_state(state, pid, ledger, chance)
        disk.break_down()
        do_kill = kill_by_command if by_command else kill_by_fork
        code, document, trial.enter_to_ack_ms = do_kill(disk.kill_home)
        drop_shared_fallbacks(disk.kill_home, os.path.dirname(disk.root))
        entry = audited(disk.kill_home, document["kill_id"])
        if state == "sigstop":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(TEMPTATION_S)
        judge(trial, disk, (code, document, entry), ledger.read())
    except TimeoutError as error:
        trial.violations.append(f"{state}: {error}")
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for folder in statedir.fallback_folders(disk.kill_home):
            shutil.rmtree(folder, ignore_errors=True)
    return trial


def judge(trial, disk, answer, sent):
    """Compares what happened with what was promised."""
    code, document, entry = answer
    trial.orders, last_ns, _ = sent
    if entry is None:
        trial.violations.append("neither an audit line nor a spooled one")
    elif trial.orders and last_ns >= entry["ack_mono_ns"]:
        late = (last_ns - entry["ack_mono_ns"]) / 1000
        trial.violations.append(f"an order left {late:.0f} µs AFTER the acknowledgement")
    expected = (9,) if disk.kind == "read_only" else (0,)
    if trial.state == "starting" and disk.kind != "normal":
        expected = (0, 9)  # in trouble before the state folder could take a latch
    if code not in expected or document["exit"] != code:
        trial.violations.append(f"exit code {code}, document {document}, expected {expected}")
    if not pending.pending_kills(disk.kill_home, "sender"):
        trial.violations.append("a start would not be refused")
    if not document["runs"] and trial.state != "starting":
        trial.violations.append(f"the run is not in {document}")
    for run in document["runs"]:
        trial.barrier_us, trial.outcome = run["barrier_us"], run["outcome"]
        if run["outcome"] == "not_stopped":
            trial.violations.append(f"run not stopped: {run}")
    if entry and trial.state == "busy" and disk.kind != "read_only":
        trial.effect_ms = max(0.0, (last_ns - entry["page_mono_ns"]) / 1e6)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values):
    if not values:
        return "-"
    named = (percentile(values, 0.5), percentile(values, 0.99), max(values))
    return " / ".join(f"{value:.2f}" for value in named)


def print_table(title, trials, key):
    print(f"\n{title:12s} {'trials':>7s} {'orders':>9s} {'SIGKILL':>8s} {'late':>5s}   "
          "Enter to ack ms p50/p99/max    barrier ms p50/p99/max")  # fmt: skip
    for name in dict.fromkeys(key(trial) for trial in trials):
        rows = [trial for trial in trials if key(trial) == name]
        late = sum(any("AFTER" in text for text in trial.violations) for trial in rows)
        ack = [trial.enter_to_ack_ms for trial in rows if trial.enter_to_ack_ms is not None]
        barrier = [trial.barrier_us / 1000 for trial in rows if trial.barrier_us is not None]
        ended = sum(trial.outcome == "killed" for trial in rows)
        print(f"{name:12s} {len(rows):7d} {sum(trial.orders for trial in rows):9d} {ended:8d} "
              f"{late:5d}   {spread(ack):29s}  {spread(barrier)}")  # fmt: skip


def over_budget(trials, gate_us):
    """The p99s above their budgets, as text."""
    found = []
    for state in STATES:
        rows = [trial for trial in trials if trial.state == state]
        ack = [trial.enter_to_ack_ms for trial in rows if trial.enter_to_ack_ms is not None]
        budget = BUDGET_MS.get(state, HEALTHY_BUDGET_MS)
        if ack and not percentile(ack, 0.99) <= budget:
            found.append(f"{state}: Enter to ack p99 {percentile(ack, 0.99):.0f} ms > {budget} ms")
    effect = [trial.effect_ms for trial in trials if trial.effect_ms is not None]
    if effect and not percentile(effect, 0.99) <= EFFECT_BUDGET_MS:
        found.append(f"busy: visible to last order p99 {percentile(effect, 0.99):.2f} ms")
    if not percentile(gate_us, 0.5) <= GATE_BUDGET_US:
        found.append(f"gate: {percentile(gate_us, 0.5):.1f} µs an order > {GATE_BUDGET_US:g} µs")
    return found


def hardware():
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--states", default=",".join(STATES))
    parser.add_argument("--disks", default=",".join(DISKS))
    parser.add_argument("--fork", action="store_true", help="without starting an interpreter")
    parser.add_argument("--budgets", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--barrier-ms", type=float, default=BARRIER_MS[0])
    parser.add_argument("--dir", default=None, help="where the state folders go")
    return parser.parse_args(argv)


def run_trials(asked, folder):
    chance = random.Random(asked.seed)
    BARRIER_MS[0] = asked.barrier_ms
    states, names = asked.states.split(","), asked.disks.split(",")
    refused = why_no_mount(folder)
    if refused and set(names) & set(MOUNTED):
        print(f"NOTICE: disk states {', '.join(MOUNTED)} are left out: {refused}", flush=True)
        names = [name for name in names if name not in MOUNTED]
    ledger = Ledger(os.path.join(folder, "ledger"))
    trials = []
    with contextlib.ExitStack() as stack:
        disks = [stack.enter_context(Disk(name, folder)) for name in names]
        pairs = [(state, disk) for disk in disks for state in states]
        for number in range(asked.trials):
            state, disk = pairs[number % len(pairs)]
            trials.append(run_trial(state, disk, ledger, chance, not asked.fork))
            if (number + 1) % PROGRESS == 0:
                bad = sum(bool(trial.violations) for trial in trials)
                print(f"{number + 1} trials, {bad} with a violation, load {load_average()}",
                      file=sys.stderr, flush=True)  # fmt: skip
    return trials


def main(argv):
    asked = parse(argv)
    asked.seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    print(
        f"{hardware()}\nseed {asked.seed}, {asked.trials} trials, load {load_average()}", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="kill-bench-", dir=asked.dir) as folder:
        os.environ.update(private_places(folder))
        gate_us, bare_us = measure_gate(os.path.join(folder, "gate-cost"), GATE_ORDERS)
        began = time.monotonic()
        trials = run_trials(asked, folder)
        took = time.monotonic() - began
    print_table("state", trials, lambda trial: trial.state)
    print_table("disk", trials, lambda trial: trial.disk)
    effect = [trial.effect_ms for trial in trials if trial.effect_ms is not None]
    print(f"\nvisible to last order of a busy runner, ms p50/p99/max: {spread(effect)}")
    print(f"one order at the gate without a flush, µs p50/p99/max: {spread(gate_us)}")
    print(f"its nine system calls alone, µs p50/p99/max: {spread(bare_us)}")
    print(f"load average at the end: {load_average()}")
    violations = [(trial, text) for trial in trials for text in trial.violations]
    for trial, text in violations:
        print(f"VIOLATION {trial.state} on {trial.disk}: {text}")
    missed = over_budget(trials, gate_us) if asked.budgets else []
    for text in missed:
        print(f"OVER BUDGET {text}")
    late = sum("AFTER" in text for _, text in violations)
    print(f"{len(trials)} trials in {took:.0f} s: {late} orders after the acknowledgement, "
          f"{len(violations)} violations, {len(missed)} over budget")  # fmt: skip
    return 1 if violations or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
