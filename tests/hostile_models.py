"""Models that do what models must not. Loaded by name in a child process."""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BUY = 1


class Hostile:
    """Answers BUY until the bar whose close price is in `when`; then does `deed`."""

    feature_names = ("x",)
    symbols = ("ACME",)

    def __init__(self, deed: str, when: float, marker: str = "") -> None:
        self.deed, self.when, self.marker = deed, when, marker

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> Any:
        if features[0, 0] == self.when and self.is_armed():
            return getattr(self, self.deed)(len(bars))
        return np.full(len(bars), BUY)

    def is_armed(self) -> bool:
        """Once only, over all processes, if there is a marker file to say so."""
        if not self.marker:
            return True
        path = Path(self.marker)
        if path.exists():
            return False
        path.write_text("done")
        return True

    def sleep(self, rows: int) -> Any:
        time.sleep(3600)

    def loop(self, rows: int) -> Any:
        while True:
            pass

    def hold_the_gil(self, rows: int) -> Any:
        ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the GIL during the call

    def crash(self, rows: int) -> Any:
        ctypes.string_at(0)

    def eat(self, rows: int) -> Any:
        kept = []
        while True:
            kept.append(bytearray(1 << 28))

    def fail(self, rows: int) -> Any:
        raise ValueError("no such luck")

    def fail_beyond_exceptions(self, rows: int) -> Any:
        raise KeyboardInterrupt

    def leave(self, rows: int) -> Any:
        sys.exit(0)

    def leave_at_once(self, rows: int) -> Any:
        os._exit(3)

    def close_everything(self, rows: int) -> Any:
        os.closerange(3, 4096)
        return np.full(rows, BUY)

    def scribble(self, rows: int) -> Any:
        for descriptor in range(3, 4096):
            try:
                os.write(descriptor, b"\xff" * 64)
            except OSError:
                continue
        return np.full(rows, BUY)

    def fork(self, rows: int) -> Any:
        os.fork()
        return np.full(rows, BUY)

    def nan(self, rows: int) -> Any:
        return np.full(rows, np.nan)

    def infinite(self, rows: int) -> Any:
        return np.full(rows, np.inf)

    def shapeless(self, rows: int) -> Any:
        return np.ones((rows, 2))

    def too_many(self, rows: int) -> Any:
        return np.ones(rows + 1)

    def fraction(self, rows: int) -> Any:
        return np.full(rows, 0.5)

    def boxed_truth(self, rows: int) -> Any:
        return [np.True_] * rows

    def truth(self, rows: int) -> Any:
        return np.ones(rows, bool)

    def words(self, rows: int) -> Any:
        return ["BUYY"] * rows

    def generator(self, rows: int) -> Any:
        return (1 for _ in range(rows))

    def nothing(self, rows: int) -> Any:
        return None

    def chatter(self, rows: int) -> Any:
        print("hello from the model")
        return np.full(rows, BUY)


def make(deed: str, when: float = 1.0, marker: str = "") -> Hostile:
    return Hostile(deed, when, marker)


def unloadable() -> Hostile:
    raise RuntimeError("the file is gone")


def endless() -> Hostile:
    time.sleep(3600)
    return make("sleep")
