"""`trader kill`: stops every run, or one, at once. The whole command.

Law: standard library only, and nothing of `trader` but this package's light modules, so that it
starts in tens of milliseconds. The order of the steps is fixed, and no failure skips the next:

    1 page   2 PERMIT and HALT   3 flush   4 barrier   5 acknowledge
    6 wait for runners to cancel and leave   7 flatten (done by the runner)   8 audit

The exit code tells the truth: 0 durable and every run past its barrier, 9 stopped and not
durable, 10 a run could not be stopped. 2 is a command line that stopped nothing.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from trader.safety import barrier, kill_args, latch, pending, records, statedir, stop

EXIT_STOPPED, EXIT_USAGE, EXIT_NOT_DURABLE, EXIT_NOT_STOPPED = 0, 2, 9, 10
FLUSHED_WITHIN_S, LISTED_WITHIN_S, TOLD_WITHIN_S, AUDITED_WITHIN_S = 2.0, 5.0, 1.0, 3.0


def main(argv: Sequence[str]) -> int:
    """Runs `trader kill` with the words after `kill`; returns the exit code."""
    started_ns = time.monotonic_ns()
    _plug_standard_streams()
    home = statedir.home_path()
    try:
        asked = kill_args.parse(argv, home)
    except kill_args.BadArguments as refused:
        _say(2, f"{refused}trader kill: NOTHING WAS STOPPED\n")
        return EXIT_USAGE
    if asked is None:  # --help
        return EXIT_STOPPED
    order = stop.StopOrder(
        reason=records.storable(asked.reason),
        code=asked.code,
        scope=asked.run_id or records.EVERYTHING,
        flatten=asked.flatten,
    )
    with _undisturbed():
        done = stop.Stop(home, order)
        done.started_ns = started_ns
        targets = _stop(done)
        # Who cannot be ended from here has to leave by itself before the answer can be true.
        if afar := [target for target in targets if barrier.is_out_of_reach(target)]:
            barrier.see_off(afar)
        ack_ns = time.monotonic_ns()
        code = _exit_code(done, targets)
        text = _document(done, targets, ack_ns, code) if asked.as_json else ""
        text = text or _account(done, targets, ack_ns, code)
        stop.within(lambda: _say(1, text), TOLD_WITHIN_S)  # a pipe nobody reads holds up nothing
    _afterwards(done, targets, code, ack_ns)
    is_any_left = any(target.outcome == barrier.NOT_STOPPED for target in targets)
    return EXIT_NOT_STOPPED if is_any_left else code  # as it is now, after the last SIGKILL


def _stop(done: stop.Stop) -> list[barrier.Target]:
    """Steps 1 to 4, and the fallbacks where the state folder does not take the latch.

    The disk is written from a thread of its own: one that hangs there must not hold up the barrier.
    """
    trouble = stop.within(lambda: stop.shut(done), FLUSHED_WITHIN_S)
    if not done.finished:
        done.durable = False
        done.errors.append(f"the state folder: {trouble}")
        _find_runs_again(done)
    if not done.durable:
        stop.within(lambda: stop.fall_back(done), FLUSHED_WITHIN_S)
    since_ns = done.order.mono_ns
    targets = [barrier.Target(run, done.binds(run), since_ns) for run in list(done.runs)]
    try:
        barrier.pass_barrier(targets)
    except Exception as error:  # whatever it is, the answer must come, and must be true
        done.errors.append(f"the barrier: {type(error).__name__}: {error}")
        for target in targets:
            if not target.outcome:
                target.finish(barrier.NOT_STOPPED, since_ns)
    return targets


def _find_runs_again(done: stop.Stop) -> None:
    """The disk hangs, or takes long: whom to stop must be known all the same."""
    if not done.listed:
        stop.within(lambda: stop.find_runs(done), LISTED_WITHIN_S)
    if not done.listed:
        done.blind.append("runs: no answer from the disk")


def _exit_code(done: stop.Stop, targets: list[barrier.Target]) -> int:
    is_any_left = any(target.outcome == barrier.NOT_STOPPED for target in targets)
    if done.blind or is_any_left or not _is_latched(done):  # unlatched, a start is not refused
        return EXIT_NOT_STOPPED
    return EXIT_STOPPED if done.durable else EXIT_NOT_DURABLE


def _is_latched(done: stop.Stop) -> bool:
    """Whether every start in scope is refused from now on: a run's own latch is none for others."""
    scope = done.folders.get(done.scope_folder)
    is_visible = scope is not None and scope.visible
    return is_visible or bool(done.fallbacks) or not done.record_error


def _document(done: stop.Stop, targets: list[barrier.Target], ack_ns: int, code: int) -> str:
    """Step 5 with --json."""
    document = {
        "kill_id": done.order.kill_id,
        "code": latch.CODE_NAMES[done.order.code],
        "reason": done.order.reason,
        "durable": done.durable,
        "ack_us": done.micros(ack_ns),
        "runs": [_told(target) for target in targets],
        "exit": code,
    }
    return json.dumps(document) + "\n"


def _account(done: stop.Stop, targets: list[barrier.Target], ack_ns: int, code: int) -> str:
    """Step 5 for a person."""
    order = done.order
    what = "everything" if order.scope == records.EVERYTHING else f"run {order.scope}"
    head = "NOT ALL STOPPED, asked for" if code == EXIT_NOT_STOPPED else "KILLED"
    lines = [
        f"{head} {what}: {order.kill_id} {latch.CODE_NAMES[order.code]}",
        f"  reason   {pending.shown(order.reason)}",
        f"  durable  {'yes' if done.durable else 'NO'}  ({done.home})",
        f"  page {_after(done, done.page_ns)}, PERMIT and HALT {_after(done, done.visible_ns)}, "
        f"durable {_after(done, done.durable_ns if done.durable else 0)}, "
        f"acknowledged {_after(done, ack_ns)} after the start",
    ]
    for target in targets:
        line = f"  run {target.run.run_id}: {target.was} -> {target.outcome}"
        why = f" - {target.trouble}" if target.trouble else ""
        lines.append(f"{line} (barrier {target.barrier_us} µs){why}")
    if done.blind:
        lines.append(f"  THE RUNS ARE NOT KNOWN: {'; '.join(done.blind)}")
    elif not targets:
        lines.append(f"  no live run is registered in {done.home}")
    if not _is_latched(done):
        lines.append("  NO LATCH COULD BE WRITTEN: a start is not refused")
        return "\n".join(lines) + "\n"
    lines.append(f"  to trade again: trader rearm {order.kill_id} --reason TEXT")
    return "\n".join(lines) + "\n"


def _after(done: stop.Stop, moment_ns: int) -> str:
    """When a step was done, counted from the start; "not" for one that was not (0)."""
    return f"{done.micros(moment_ns)} µs" if moment_ns else "not"


def _told(target: barrier.Target) -> dict[str, object]:
    return {
        "run_id": target.run.run_id,
        "was": target.was,
        "outcome": target.outcome,
        "barrier_us": target.barrier_us,
    }


def _afterwards(done: stop.Stop, targets: list[barrier.Target], code: int, ack_ns: int) -> None:
    """Steps 6 to 8. The order is stopped by now; what goes wrong here is told on stderr."""
    if done.order.reason == kill_args.NO_REASON:
        _say(2, f"trader kill: {kill_args.NO_REASON}; -r TEXT keeps yours with the stop\n")
    for failure in done.failures():
        _say(2, f"trader kill: {failure}\n")
    for folder in done.fallbacks:
        _say(2, f"trader kill: the latch is in {folder}, which may not outlive a reboot\n")
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends the waiting, not the audit
        barrier.see_off(targets)
    for target in targets:
        if target.trouble:
            _say(2, f"trader kill: run {target.run.run_id}: {target.trouble}\n")
    if done.order.flatten:
        _say(2, _left_open(targets))
    entry = {
        **done.order.record(),
        "event": "KILL",
        "durable": done.durable,
        "exit": code,
        "page_mono_ns": done.page_ns,
        "ack_mono_ns": ack_ns,
        "failures": done.failures(),
        "runs": [_told(target) | {"trouble": target.trouble} for target in targets],
    }
    told = ["audit.jsonl: no answer from the disk"]
    trouble = stop.within(
        lambda: told.__setitem__(0, stop.settle_audit(done, entry)), AUDITED_WITHIN_S
    )
    if trouble or told[0]:
        _say(2, f"trader kill: {told[0]} {trouble}\n")


def _left_open(targets: list[barrier.Target]) -> str:
    """For --flatten: the runs whose process could not close its positions, in lines."""
    dead = [each.run for each in targets if each.outcome != barrier.HALTED or each.trouble]
    lines = [f"run {run.run_id} had no process left to close its positions" for run in dead]
    if not targets:
        lines = ["no run is alive: what runs that have ended hold stays open"]
    return "".join(f"trader kill: --flatten: {line}\n" for line in lines)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """No Ctrl-C, hang-up or polite request ends the stop half way."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
    before = []
    with contextlib.suppress(ValueError):  # not the main thread: signals do not come here
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _plug_standard_streams() -> None:
    """Opens /dev/null where stdin, stdout or stderr is closed, so that no file of ours gets its
    number and is written to as if it were the terminal."""
    with contextlib.suppress(OSError):
        fd = os.open(os.devnull, os.O_RDWR)
        while fd <= 2:
            fd = os.dup(fd)
        os.close(fd)


def _say(stream: int, text: str) -> None:
    """Writes to stdout (1) or stderr (2) past every buffer. A closed or full pipe is no matter."""
    data = text.encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(stream, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
