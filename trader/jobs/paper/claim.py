"""One run alive of a config name in an out folder: claimed before it is known which run it is.

Law: the claim is a lock in the state folder, held from the start of a process to the end of its
run; the kernel lets go of it with the process. Two starts at one moment cannot both have it, so
that no run trades beside its own copy. What the file says is for the one who is refused.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from trader.errors import UsageError
from trader.jobs.backtest import Order
from trader.report.folder import run_id_stem
from trader.safety import latch, statedir
from trader.safety.lease import unusable

CLAIMS = "claims"  # folder in the state folder
LONGEST = 256  # bytes read of what a holder says
FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def claimed(order: Order) -> Iterator[Callable[[str], None]]:
    """The right to the runs of this name in this folder; yields a function that takes the run id.

    Raises `UsageError` (exit 2) that names the run where one is alive, with `--new` as well.
    """
    home, name = statedir.home_path(), order.loaded.config.name
    parent = os.path.realpath(order.parent)
    slug = run_id_stem("paper", name, datetime.fromtimestamp(0, UTC))
    key = hashlib.sha256(f"{parent}\0{slug}".encode("utf-8", "surrogateescape")).hexdigest()
    fd = _opened(home, f"{key[:32]}.lock")
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
        _say(fd, "a start that has no run yet")
        yield lambda run_id: _say(fd, f"run {run_id}")
    finally:
        os.close(fd)


def _opened(home: str, name: str) -> int:
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


def _say(fd: int, who: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock is what counts
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{who} (pid {os.getpid()})\n".encode(), 0)
