"""The right to run: one process for a name in a folder, one for a run, until the run has ended.

    claim_name         before it is known which run it is: a lock in the state folder
    own_run            its folder, run.lock, latch; a watch on the latch until trading looks itself

Law: both are locks that the kernel lets go of with the process, so two starts at one moment cannot
both go on. A start is registered while it reads, waits for its first bar or loads a model, so that
`trader kill` finds it; one that is killed leaves with exit 7 and has sent nothing. A new run that
never began leaves no folder behind.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trader.config.sections.running import Kill
from trader.errors import KilledError, UsageError
from trader.jobs.backtest import Order
from trader.jobs.paper.exit_message import say_last
from trader.journal.store import FILE_NAME
from trader.report.artifacts import CONFIG
from trader.report.folder import create_live, run_id_stem, write_file
from trader.safety import latch, pending, registry, statedir
from trader.safety.lease import Lease, RunInfo, arm, unusable
from trader.safety.statedir import home_path

CLAIMS = "claims"  # folder in the state folder
LONGEST = 256  # bytes read of what a holder says
FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
LOOK_S = 0.1
PATIENCE_S = 1.5  # for a start that is killed to leave in order; well under what a kill waits
SHOW_CURSOR = "\x1b[?25h"


@contextlib.contextmanager
def claim_name(order: Order) -> Iterator[Callable[[str], None]]:
    """The right to the runs of this name in this folder; yields a function that takes the run id.

    Raises `UsageError` (exit 2) that names the run where one is alive, with `--new` as well.
    """
    home, name = home_path(), order.loaded.config.name
    parent = os.path.realpath(order.parent)
    slug = run_id_stem("paper", name, datetime.fromtimestamp(0, UTC))
    key = hashlib.sha256(f"{parent}\0{slug}".encode("utf-8", "surrogateescape")).hexdigest()
    fd = _claim_file(home, f"{key[:32]}.lock")
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, LONGEST, 0).decode("utf-8", "replace").strip()
            raise UsageError(
                f"{holder or 'a start'} is already running: a second run of {name!r} in {parent} "
                "would trade beside it. Stop it first, or give the other a name (--set name=…) or "
                "a folder (--out) of its own"
            ) from None
        _write_holder(fd, "a start that has no run yet")
        yield lambda run_id: _write_holder(fd, f"run {run_id}")
    finally:
        os.close(fd)


def _claim_file(home: str, name: str) -> int:
    """Raises as `lease.arm` does where the state folder is no safe place, or cannot be written."""
    folder = os.path.join(home, CLAIMS)
    try:
        statedir.make_folder(home)
        unsafe = statedir.unsafe_because(home)
        if unsafe:
            raise UsageError(unsafe)
        statedir.make_folder(folder)
        return os.open(os.path.join(folder, name), FLAGS, latch.FILE_MODE)
    except OSError as error:
        raise unusable(home, error) from None


def _write_holder(fd: int, who: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock is what counts
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{who} (pid {os.getpid()})\n".encode(), 0)


class StartWatch:
    """Beats and looks at the latch from a thread while a run starts. Made in the task it ends."""

    def __init__(self, lease: Lease, new: Path | None) -> None:
        """`new`: the folder of a run that begins; None of one that goes on."""
        self.killed = False
        self._lease, self._new = lease, new
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="start", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more looks; from here on the run looks itself."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            with contextlib.suppress(OSError):  # the watchdog of the run will say so
                self._lease.heartbeat(time.monotonic_ns())
            if self._lease.is_halted():
                self.killed = True
                if self._task is not None:
                    self._loop.call_soon_threadsafe(self._task.cancel)
                if not self._ended.wait(PATIENCE_S):
                    self._leave()
                return

    def _leave(self) -> None:
        """The start is caught in something that cannot be cancelled: out, at once."""
        text = pending.explain(self._lease.kills(), self._lease.home)
        say_last(f"{SHOW_CURSOR if os.isatty(2) else ''}error: {text}\n")
        self._lease.close(has_not_begun(self._new))
        remove_unbegun(self._new)
        os._exit(KilledError.exit_code)


@dataclass
class OwnedRun:
    """A run that is this process's."""

    folder: Path
    lease: Lease
    watch: StartWatch
    over: bool = False  # it will not go on
    heard: Sequence[str] = ()  # SIGTERM, SIGHUP of before trading listens


def has_not_begun(new: Path | None) -> bool:
    """Whether a new run has no journal yet. One that goes on has begun, whatever became of it."""
    return new is not None and not (new / FILE_NAME).exists()


def remove_unbegun(new: Path | None) -> None:
    """Leave no folder of a run in which there is nothing to find."""
    if new is not None and has_not_begun(new):
        _remove(new)


def _remove(folder: Path) -> None:
    """Remove what a start that ended before its journal has made, and nothing else."""
    with contextlib.suppress(OSError):
        for name in (CONFIG, f"{FILE_NAME}.lock"):
            (folder / name).unlink(missing_ok=True)
        for draft in folder.glob(f"{FILE_NAME}.new*"):
            draft.unlink()
        folder.rmdir()  # holds something of the user's: then it stays


def new_folder(order: Order, started_at: datetime) -> Path:
    """The folder of a new run, with its config. Its id is no other's of this state folder, whose
    registry knows runs by it whatever folder they are in."""
    home, name = home_path(), order.loaded.config.name
    made = create_live(
        order.parent,
        "paper",
        name,
        started_at,
        lambda run_id: not os.path.lexists(statedir.run_folder(home, run_id)),
    )
    write_file(made.final / CONFIG, order.loaded.resolved_yaml())
    return made.final


def forget_unbegun(folders: Iterable[Path]) -> None:
    """Take away, and off the list of runs, those of `folders` whose process died before their
    journal began: there is nothing to go on with."""
    home = home_path()
    for folder in folders:
        with contextlib.suppress(OSError):
            if {path.name for path in folder.iterdir()} != {CONFIG}:
                continue
            run = registry.Run(home, folder.name)
            if run.alive or run.entry.get("run_dir") != str(folder):  # not listed yet: it starts
                continue
            registry.forget(home, folder.name)
            _remove(folder)


@contextlib.contextmanager
def own_run(folder: Path, kill: Kill) -> Iterator[OwnedRun]:
    """The run of `folder`, until the block is left; it goes on where there is a journal.

    Raises `KilledError` (exit 7) under a kill, `UsageError` where the run is alive already.
    """
    resumes = (folder / FILE_NAME).exists()
    new = None if resumes else folder
    info = RunInfo("paper", str(folder), resumes, kill.barrier_ms, kill.cancel_timeout_seconds)
    try:
        lease = arm(home_path(), folder.name, info)
        watch = StartWatch(lease, new)
        held = OwnedRun(folder, lease, watch)
        try:
            yield held
        except asyncio.CancelledError:
            if watch.killed:
                lease.check()
            raise
        finally:
            watch.stop()
            lease.close(held.over or has_not_begun(new))
    finally:
        remove_unbegun(new)
