"""One writer per journal: a lock the kernel lets go of when its holder dies.

Law: `flock` on a file beside the journal, never on the journal itself: SQLite uses POSIX record
locks there, and closing a second descriptor of the same file would drop them. The lock file stays;
only the lock on it means anything.
"""

import fcntl
import os
from pathlib import Path

from trader.journal.records import JournalError


class WriterLock:
    """Held from construction until `release` or the end of the process."""

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot lock the journal: {error}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise JournalError(
                f"{journal} is being written by process {holder or 'unknown'}; "
                "a journal has one writer: stop that run first"
            ) from None
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(f"cannot lock the journal: {error}") from error

    def release(self) -> None:
        """Let another process write."""
        os.close(self._descriptor)
