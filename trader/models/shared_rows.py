"""Memory that a run and its model's process share, so that a history is not sent through a pipe.

Law: a file without a name, which both have mapped and nobody else can open. One matrix at a time:
the run writes, the model reads, and neither holds on to it after the answer.
"""

import contextlib
import mmap
import os
import tempfile
from typing import NamedTuple

import numpy as np

RAM_FOLDER = "/dev/shm"


class SharedMatrix(NamedTuple):
    """Where a matrix lies: all of the file, in C or F order."""

    rows: int
    columns: int
    order: str

    @property
    def size(self) -> int:
        return self.rows * self.columns * 8


class SharedRows:
    """One side of the memory: made by the run, opened by the model's process."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _made() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def put(self, features: np.ndarray) -> SharedMatrix:
        """Copy float64 (n, k) in; what to tell the other side."""
        rows, columns = features.shape
        order = "F" if abs(features.strides[0]) <= abs(features.strides[1]) else "C"
        told = SharedMatrix(rows, columns, order)
        self._require(told.size, grow=True)
        self._view(told)[...] = features
        return told

    def get(self, told: SharedMatrix) -> np.ndarray:
        """The matrix that the other side put in: a view, gone with the next."""
        self._require(told.size, grow=False)
        view = self._view(told)
        view.flags.writeable = False
        return view

    def close(self) -> None:
        """Let go of the memory. May be called again."""
        self._map = None  # views of it may still be about; it goes with the last of them
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = -1

    def _require(self, size: int, grow: bool) -> None:
        if self._map is not None and len(self._map) >= size:
            return
        if grow:
            os.truncate(self.descriptor, max(size, mmap.PAGESIZE))
        self._map = mmap.mmap(self.descriptor, max(size, mmap.PAGESIZE))

    def _view(self, told: SharedMatrix) -> np.ndarray:
        assert self._map is not None, "`_require` was called"
        flat = np.frombuffer(self._map, np.float64, told.rows * told.columns)
        if told.order == "F":
            return flat.reshape((told.columns, told.rows)).T
        return flat.reshape((told.rows, told.columns))


def _made() -> int:
    folder = RAM_FOLDER if os.access(RAM_FOLDER, os.W_OK) else None
    try:
        descriptor, path = tempfile.mkstemp(prefix="trader-rows-", dir=folder)
    except OSError:
        descriptor, path = tempfile.mkstemp(prefix="trader-rows-")
    os.unlink(path)
    return descriptor
