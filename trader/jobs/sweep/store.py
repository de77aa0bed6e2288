"""The folder that all workers of a sweep share: bars, trading hours, feature columns.

Law: each array is made once, under a lock, whole or not at all, and opened by every worker as a
map of the file: its memory is the page cache's, one copy for all. Maps are private, so that
nobody can change what another reads.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from trader.errors import TraderError
from trader.report.folder import cannot_write


def key_of(*parts: Any) -> str:
    """A short name for plain values, the same in every process."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class StoreError(TraderError):
    """The shared folder cannot be written: the end of a sweep, not the result of a trial."""


class ArrayStore:
    """Arrays by key in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(folder, error) from error

    def has(self, name: str) -> bool:
        """Whether an array is there, whole."""
        return self._path(name).exists()

    def put(self, name: str, array: np.ndarray) -> None:
        """Write an array under its name. Raises `StoreError` where the disk does not take it."""
        draft = self.folder / f".{name}.{os.getpid()}.tmp"
        try:
            with draft.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            draft.replace(self._path(name))
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise _refused(self._path(name), error) from error

    def open(self, name: str) -> np.ndarray:
        """An array as a map of its file."""
        mapped = np.load(self._path(name), mmap_mode="c", allow_pickle=False)
        return np.asarray(mapped)  # a plain array: one type for compiled code

    def ensure(self, name: str, made: Callable[[], None]) -> None:
        """Call `made`, which puts `name`, unless it is there; one process at a time."""
        if self.has(name):
            return
        with self._locked(name):
            if not self.has(name):
                made()

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        path = self.folder / f".{name}.lock"
        try:
            file = path.open("w")
        except OSError as error:
            raise _refused(path, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a process that dies lets go of it
            yield

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def _refused(path: Path, error: OSError) -> StoreError:
    if error.errno is None:  # NumPy's "800000 requested and 4096 written"
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return StoreError(str(cannot_write(path, error)))
