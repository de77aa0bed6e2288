"""The right to run, held from before anything of the run is read until it has ended.

    taken              folder, run.lock, latch; a watch on the latch until trading looks itself

Law: a start is registered while it reads, waits for its first bar or loads a model, so that
`trader kill` finds it; one that is killed leaves with exit 7 and has sent nothing. A new run that
never began leaves no folder behind.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trader.config.sections.running import Kill
from trader.errors import KilledError
from trader.jobs.backtest import Order
from trader.jobs.paper.exit_message import say_last
from trader.journal.store import FILE_NAME
from trader.report.artifacts import CONFIG
from trader.report.folder import create_live, write_file
from trader.safety import pending, runs
from trader.safety.lease import Lease, RunInfo, arm
from trader.safety.statedir import home_path

LOOK_S = 0.1
PATIENCE_S = 1.5  # for a start that is killed to leave in order; well under what a kill waits
SHOW_CURSOR = "\x1b[?25h"


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
        self._lease.close(never_began(self._new))
        take_away_unbegun(self._new)
        os._exit(KilledError.exit_code)


@dataclass
class Held:
    """A run that is this process's."""

    folder: Path
    lease: Lease
    watch: StartWatch
    over: bool = False  # it will not go on
    heard: Sequence[str] = ()  # SIGTERM, SIGHUP of before trading listens


def never_began(new: Path | None) -> bool:
    """Whether a new run has no journal yet. One that goes on has begun, whatever became of it."""
    return new is not None and not (new / FILE_NAME).exists()


def take_away_unbegun(new: Path | None) -> None:
    """Leave no folder of a run in which there is nothing to find."""
    if new is not None and never_began(new):
        _take_away(new)


def _take_away(folder: Path) -> None:
    """Remove what a start that ended before its journal has made, and nothing else."""
    with contextlib.suppress(OSError):
        for name in (CONFIG, f"{FILE_NAME}.lock"):
            (folder / name).unlink(missing_ok=True)
        for draft in folder.glob(f"{FILE_NAME}.new*"):
            draft.unlink()
        folder.rmdir()  # holds something of the user's: then it stays


def new_folder(order: Order, started_at: datetime) -> Path:
    """The folder of a new run, with its config."""
    made = create_live(order.parent, "paper", order.loaded.config.name, started_at)
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
            run = runs.Run(home, folder.name)
            if run.alive or run.entry.get("run_dir") != str(folder):  # not listed yet: it starts
                continue
            runs.forget(home, folder.name)
            _take_away(folder)


@contextlib.contextmanager
def taken(folder: Path, kill: Kill) -> Iterator[Held]:
    """The run of `folder`, until the block is left; it goes on where there is a journal.

    Raises `KilledError` (exit 7) under a kill, `UsageError` where the run is alive already.
    """
    resumes = (folder / FILE_NAME).exists()
    new = None if resumes else folder
    info = RunInfo("paper", str(folder), resumes, kill.barrier_ms, kill.cancel_timeout_seconds)
    try:
        lease = arm(home_path(), folder.name, info)
        watch = StartWatch(lease, new)
        held = Held(folder, lease, watch)
        try:
            yield held
        except asyncio.CancelledError:
            if watch.killed:
                lease.check()
            raise
        finally:
            watch.stop()
            lease.close(held.over or never_began(new))
    finally:
        take_away_unbegun(new)
