"""The folder that all workers of a sweep share: bars, trading hours, feature columns.

Law: each array is made once, under a lock, whole or not at all, and opened by every worker as a
map of the file: its memory is the page cache's, one copy for all. Maps are private, so that
nobody can change what another reads.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


def key_of(*parts: Any) -> str:
    """A short name for plain values, the same in every process."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class ArrayStore:
    """Arrays by key in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, name: str) -> bool:
        """Whether an array is there, whole."""
        return self._path(name).exists()

    def put(self, name: str, array: np.ndarray) -> None:
        """Write an array under its name."""
        draft = self.folder / f".{name}.{os.getpid()}.tmp"
        with draft.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        draft.replace(self._path(name))

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
        with (self.folder / f".{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a process that dies lets go of it
            yield

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"
