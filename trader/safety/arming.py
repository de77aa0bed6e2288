"""Opening a folder of the latch for trading: the one place that does.

Law: standard library only. Used by `trader rearm` with no runner alive, and for a folder that has
just been made. Halted until the last step: PERMIT goes first and comes back last, everything in
between is on the medium before it. A crash at any point leaves the folder halted.
"""

import errno
import fcntl
import os

from trader.safety import latch, pending
from trader.safety.flocks import locked

FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO of that name holds up nobody
LOCK = "latch.lock"


def arm_folder(folder: str) -> None:
    """Page armed, HALT gone, PERMIT there. OSError when any part failed: then it is halted."""
    permit = os.path.join(folder, latch.PERMIT)
    drop(permit)
    latch.sync_path(folder)
    if latch.read_page(folder)[0] == latch.MISSING:
        latch.create_page(folder, latch.page_bytes(None))
    else:
        _rewrite_page(os.path.join(folder, latch.PAGE))
    drop(os.path.join(folder, latch.HALT))
    latch.sync_path(folder)
    os.close(os.open(permit, os.O_WRONLY | os.O_CREAT | FLAGS, latch.FILE_MODE))
    latch.sync_path(folder)


def _rewrite_page(path: str) -> None:
    """In place and with byte 0 last, so that a page half written is not an armed one."""
    fd = os.open(path, os.O_RDWR | FLAGS)
    try:
        os.ftruncate(fd, latch.PAGE_SIZE)
        os.pwrite(fd, latch.page_bytes(None)[1:], 1)
        os.fsync(fd)
        os.pwrite(fd, b"\0", 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def drop(path: str) -> None:
    """Removes a file, or a folder of that name, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):  # `mkdir HALT` halts as well; macOS says EPERM
        os.rmdir(path)


def arm_if_new(folder: str) -> bool:
    """Arms a folder without a trace of the latch; False, and nothing changed, for any other.

    Takes nothing away, so a kill that comes at the same moment stays. Call it under `LatchLock`.
    """
    if not pending.is_new(folder):
        return False
    if not latch.create_page(folder, latch.page_bytes(None)):
        return False
    permit = os.path.join(folder, latch.PERMIT)
    os.close(os.open(permit, os.O_WRONLY | os.O_CREAT | FLAGS, latch.FILE_MODE))
    latch.sync_path(folder)
    return True


class LatchLock:
    """Held by whoever opens (a start, a re-arm), so that no two do at once. Kills never need it.

    TimeoutError (an OSError) when somebody else does not finish in `timeout_s`.
    """

    def __init__(self, home: str, timeout_s: float = 10.0) -> None:
        self._path, self._timeout_s = os.path.join(home, LOCK), timeout_s

    def __enter__(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | FLAGS, latch.FILE_MODE)
        if not locked(fd, fcntl.LOCK_EX, self._timeout_s):
            os.close(fd)
            why = "another start or re-arm is under way, or was suspended"
            raise TimeoutError(errno.ETIMEDOUT, why, self._path)
        self._fd = fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def nobody_opens(home: str, timeout_s: float) -> int | None:
    """A shared hold on the latch lock, for a kill that looks again at what it wrote.

    The file descriptor to close, or None when somebody opening did not finish in time. A state
    folder without the lock file has nobody opening it: an error here counts as a hold (-1).
    """
    try:
        fd = os.open(os.path.join(home, LOCK), os.O_RDONLY | FLAGS)
    except OSError:
        return -1
    if locked(fd, fcntl.LOCK_SH, timeout_s):
        return fd
    os.close(fd)
    return None
