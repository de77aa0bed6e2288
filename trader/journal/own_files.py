"""The files of a journal while it is written: still the ones that were opened.

Law: a file that was deleted, replaced or restored under the run takes no further record: what is
written to it would be read by nobody. The write-ahead file counts as the main file does.
"""

import os
from pathlib import Path

from trader.journal.store import BUSY_SECONDS

Identity = tuple[int, int]  # device and inode


class OwnFiles:
    """The journal and its write-ahead file, by device and inode."""

    def __init__(self, path: Path) -> None:
        """OSError where there is no journal."""
        self._path, self._wal_path = path, f"{path}-wal"
        self._main = _identity(path)
        self._wal: Identity | None = None  # made by the first write

    def require_same(self) -> None:
        """OSError unless both are what they were."""
        if _identity(self._path) != self._main:
            raise OSError("the file was replaced while the run was writing it")
        if self._wal is not None and self._wal_now() != self._wal:
            raise OSError("its -wal file was deleted or replaced while the run was writing it")

    def written(self) -> None:
        """A write is done: from now on there is a write-ahead file."""
        self._wal = self._wal or self._wal_now()

    def _wal_now(self) -> Identity | None:
        try:
            return _identity(self._wal_path)
        except FileNotFoundError:
            return None


def _identity(path: Path | str) -> Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def remedy(error: Exception) -> str:
    """What to do about a write that failed."""
    if "locked" in str(error) or "busy" in str(error):
        return (
            f"Another program has held the file for more than {BUSY_SECONDS:g} s (a backup, a "
            "copy, a database browser): end it"
        )
    return "Make room or repair the disk"
