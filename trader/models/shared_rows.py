"""Memory that a run and its model's process share, so that a history is not sent through a pipe.

Law: files without names, which both have mapped and nobody else can open. A file has one question
at a time: the run writes a matrix, the model its answer behind it, and neither holds on to what is
there after the answer was read. The run copies an answer before it looks at it.
"""

import contextlib
import mmap
import os
import tempfile
from typing import NamedTuple

import numpy as np

from trader.models.actions import ModelActions

ANSWER_BYTES = 11  # a row: score f8, reason i2, action i1


class SharedMatrix(NamedTuple):
    """Where a matrix lies: which file, from its beginning, in C or F order."""

    file: int
    rows: int
    columns: int
    order: str

    @property
    def size(self) -> int:
        """Bytes of the matrix; its answer is behind them."""
        return self.rows * self.columns * 8


class SharedRows:
    """One side of a file: made by the run, opened by the model's process."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _made() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def put(self, features: np.ndarray, file: int = 0) -> SharedMatrix:
        """Copy float64 (n, k) in; what to tell the other side, which knows this as `file`."""
        rows, columns = features.shape
        order = "F" if abs(features.strides[0]) <= abs(features.strides[1]) else "C"
        told = SharedMatrix(file, rows, columns, order)
        self._require(told, grow=True)
        self._view(told)[...] = features
        return told

    def get(self, told: SharedMatrix) -> np.ndarray:
        """The matrix that the other side put in: a view, gone with the next."""
        self._require(told, grow=False)
        view = self._view(told)
        view.flags.writeable = False
        return view

    def put_answer(self, told: SharedMatrix, said: ModelActions) -> None:
        """Copy an answer in, behind its matrix."""
        for place, column in zip(self._answer(told), said, strict=True):
            place[:] = column

    def answer(self, told: SharedMatrix) -> ModelActions:
        """A copy of the answer that the other side put in."""
        return ModelActions(*(place.copy() for place in self._answer(told)))

    def close(self) -> None:
        """Let go of the memory. May be called again."""
        self._map = None  # views of it may still be about; it goes with the last of them
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = -1

    def _require(self, told: SharedMatrix, grow: bool) -> None:
        size = max(told.size + ANSWER_BYTES * told.rows, mmap.PAGESIZE)
        if self._map is not None and len(self._map) >= size:
            return
        if grow:
            os.truncate(self.descriptor, size)
        self._map = mmap.mmap(self.descriptor, size)

    def _view(self, told: SharedMatrix) -> np.ndarray:
        assert self._map is not None, "`_require` was called"
        flat = np.frombuffer(self._map, np.float64, told.rows * told.columns)
        if told.order == "F":
            return flat.reshape((told.columns, told.rows)).T
        return flat.reshape((told.rows, told.columns))

    def _answer(self, told: SharedMatrix) -> ModelActions:
        assert self._map is not None, "`_require` was called"
        scores = np.frombuffer(self._map, np.float64, told.rows, told.size)
        reasons = np.frombuffer(self._map, np.int16, told.rows, told.size + 8 * told.rows)
        actions = np.frombuffer(self._map, np.int8, told.rows, told.size + 10 * told.rows)
        return ModelActions(actions, reasons, scores)


def _made() -> int:
    if hasattr(os, "memfd_create"):  # not bounded by the size of /dev/shm
        return os.memfd_create("trader-rows", os.MFD_CLOEXEC)
    descriptor, path = tempfile.mkstemp(prefix="trader-rows-")
    os.unlink(path)
    return descriptor
