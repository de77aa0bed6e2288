"""The barrier: proof, run by run, that no order can leave any more. Steps 4 and 6.

Law: standard library only. Every order passes `gate.lock` held shared, and looks at the latch
inside. So once the latch is written and the lock has been had exclusively, the last order is out.
Who does not leave the lock in time is ended (SIGKILL, and only that very process).
"""

import fcntl
import os
import time

from trader.safety import processes, registry

HALTED, ENDED, DEAD, NOT_STOPPED = "halted", "killed", "already_dead", "not_stopped"
AFTER_SIGKILL_S = 2.0
UNTIL_WRITTEN_S = 1.0  # for a start that holds its run to be in the registry
NOT_ENDED = (
    "No order can leave, but it is still alive and its working orders are not cancelled: end it "
    "there (in its container, as its user)"
)
_POLL_S = (0.00005, 0.002)  # first and longest pause between two tries


class Target:
    """One run to be stopped, and how that went."""

    __slots__ = ("barrier_us", "bound", "left", "outcome", "run", "trouble", "was")

    def __init__(self, run: registry.Run, bound: bool, since_ns: int) -> None:
        self.run, self.bound = run, bound
        self.left = run.left_since(since_ns)  # saw the latch and was gone before we looked
        self.was = "running" if self.left else run.was
        self.outcome = self.trouble = ""
        self.barrier_us = 0

    def finish(self, outcome: str, since_ns: int) -> None:
        """Notes the outcome and the time it took."""
        self.outcome = outcome
        self.barrier_us = (time.monotonic_ns() - since_ns) // 1000


def pass_barrier(targets: list[Target]) -> None:
    """Step 4. Waits for all runs at once; afterwards every target has its outcome."""
    since = time.monotonic_ns()
    waiting = [target for target in targets if target.bound and target.run.alive]
    for target in targets:
        if not target.run.alive:
            target.finish(HALTED if target.left else DEAD, since)
    pause = _POLL_S[0]
    while waiting:
        waiting = [target for target in waiting if not _passed(target, since)]
        if waiting:
            time.sleep(pause)
            pause = min(pause * 2, _POLL_S[1])
    for target in targets:
        if not target.outcome:
            _end(target, since)


def _passed(target: Target, since_ns: int) -> bool:
    """True when a target needs no more waiting: through, or out of time (then without outcome)."""
    waited_ms = (time.monotonic_ns() - since_ns) / 1e6
    state = gate_state(target.run)
    if state == registry.FREE:
        target.finish(HALTED, since_ns)
        return True
    return state == registry.UNKNOWN or waited_ms >= target.run.deadline("barrier_ms")


def gate_state(run: registry.Run) -> str:
    """FREE when no order is inside, HELD when one may be, UNKNOWN when the lock proves nothing."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    runner = run.runner
    try:
        fd = os.open(os.path.join(run.folder, registry.GATE_LOCK), flags)
    except FileNotFoundError:
        # No gate yet: a runner makes it before it writes itself into the page.
        return registry.FREE if runner is None else registry.UNKNOWN
    except OSError:
        return registry.UNKNOWN
    try:
        if runner and runner.gate_inode != os.fstat(fd).st_ino:
            return registry.UNKNOWN  # another file of that name: not the one the runner holds
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return registry.HELD
    except OSError:
        return registry.UNKNOWN
    finally:
        os.close(fd)
    return registry.FREE


def _end(target: Target, since_ns: int) -> None:
    """SIGKILL, and the proof that it worked: the process is gone.

    A start holds the run some milliseconds before it has written itself into the page, so the
    registry is read again for a while before a holder counts as unknown.
    """
    deadline = time.monotonic() + UNTIL_WRITTEN_S
    while not _ended(target, since_ns):
        if time.monotonic() >= deadline:
            # The number in the registry is not the holder: nothing was signalled or is proven.
            target.trouble = "alive, and its process is not known"
            if target.run.runner is not None:
                target.trouble = (
                    f"pid {target.run.runner.pid} is not to be found here, and somebody still "
                    "holds the run (in another PID namespace?)"
                )
            return target.finish(NOT_STOPPED, since_ns)
        time.sleep(_POLL_S[1])
        target.run = target.run.now()


def _ended(target: Target, since_ns: int) -> bool:
    """Ends the process that the registry names. False where that is not who holds the run."""
    runner = target.run.runner
    if runner is None:
        if lock_of(target.run) != registry.FREE:
            return False
        target.finish(DEAD, since_ns)
        return True
    sent = processes.kill_process(runner.pid, runner.started)
    if sent == processes.GONE and lock_of(target.run) == registry.HELD:
        return False
    if sent in ("", processes.GONE):
        _wait_for_the_end(target, runner, since_ns)
    else:
        target.trouble = sent
        target.finish(NOT_STOPPED, since_ns)
    return True


def _wait_for_the_end(target: Target, runner: registry.Runner, since_ns: int) -> None:
    deadline = time.monotonic() + AFTER_SIGKILL_S
    # The lock goes when the last of its threads has gone.
    while (
        processes.start_token(runner.pid) == runner.started or lock_of(target.run) == registry.HELD
    ):
        if time.monotonic() >= deadline:
            target.trouble = f"pid {runner.pid} was sent SIGKILL, and the run is still held"
            return target.finish(NOT_STOPPED, since_ns)
        time.sleep(_POLL_S[0])
    target.finish(ENDED, since_ns)


def lock_of(run: registry.Run) -> str:
    """State of the run's lock now (`run.lock` is as it was when the run was read)."""
    return registry.lock_state(os.path.join(run.folder, registry.RUN_LOCK))


def see_off(targets: list[Target]) -> None:
    """Step 6. Gives runners time to cancel their open orders and leave, then ends the rest."""
    since = time.monotonic()
    waiting = [target for target in targets if target.outcome == HALTED]
    pause = _POLL_S[1]
    while waiting := [target for target in waiting if target.run.now().alive]:
        for target in [each for each in waiting if _is_late(each, time.monotonic() - since)]:
            waiting.remove(target)
            _see_off_late(target)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _is_late(target: Target, waited_s: float) -> bool:
    return waited_s >= target.run.deadline("cancel_timeout_s")


def is_out_of_reach(target: Target) -> bool:
    """Whether a run that is past the barrier lives on where no SIGKILL of ours can end it."""
    run = target.run.now()
    if target.outcome != HALTED or not run.alive:
        return False
    return run.runner is None or not processes.is_reachable(run.runner.pid, run.runner.started)


def _see_off_late(target: Target) -> None:
    """Ends who did not leave; one that cannot be ended is not stopped."""
    runner = target.run.now().runner
    if runner is None:
        target.outcome = NOT_STOPPED
        target.trouble = "did not leave in time, and its process is not known"
        return
    sent = processes.kill_process(runner.pid, runner.started)
    if not sent:
        target.trouble = "did not leave in time: ended by SIGKILL"
        return
    if sent != processes.GONE:
        target.outcome = NOT_STOPPED
        target.trouble = f"did not leave in time: {sent}. {NOT_ENDED}"
        return
    deadline = time.monotonic() + AFTER_SIGKILL_S  # it may have left this very moment
    while lock_of(target.run) == registry.HELD:
        if time.monotonic() >= deadline:
            target.outcome = NOT_STOPPED
            target.trouble = (
                f"pid {runner.pid} is not to be found here and the run is still held: suspended in "
                f"another PID namespace? {NOT_ENDED}"
            )
            return
        time.sleep(_POLL_S[1])
