"""Who listens to a simulated day, and how badly: hooks that raise, hang and call back.

Law: what a listener does in the loop follows from the seed; what it does on a thread (the real
hooks) may come at any moment, and so changes nothing but the counts of the hooks.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from trader.engine.loop import ExecutionLoop

PATIENCE_S = 0.05  # of real time: hooks run on real threads


class Listeners:
    """The listeners of one life of a day. `look` may be called from anywhere."""

    def __init__(
        self, loop: ExecutionLoop, chance: np.random.Generator, tell: Callable[[str], None]
    ) -> None:
        self._loop, self._chance, self._tell = loop, chance, tell
        self._done = threading.Event()
        self._newest = {"loop": 0, "thread": 0}
        loop.hooks.tap(self._in_loop)
        loop.hooks.tap(self._raises)

    def add_hooks(self) -> None:
        """Real hooks, on real threads; each life that has them leaves some threads behind."""
        self._loop.register_hook("bar", self._raises)
        self._loop.register_hook("bar", self._hangs)
        self._loop.register_hook("action_generated", self._enters_again)

    def finish(self) -> None:
        """Let go of whoever hangs."""
        self._done.set()

    def look(self, place: str = "loop") -> None:
        """A snapshot is whole and never older than the one before."""
        found = self._loop.snapshot()
        book = found.book
        worth = float((book.positions["qty"] * book.positions["mark"]).sum())
        account = book.account[0]
        if not abs(account["cash"] + worth - account["equity"]) <= 1e-4:
            self._tell("a snapshot in mid-slice")
        ts_ns = int(account["ts_ns"])
        if ts_ns < self._newest[place]:
            self._tell("a snapshot older than the one before")
        self._newest[place] = ts_ns

    def now_and_then(self, share: float) -> None:
        """`look` in that share of calls."""
        if self._chance.random() < share:
            self.look()

    def _in_loop(self, details: dict[str, Any]) -> None:
        self.now_and_then(0.05)
        if self._chance.random() < 0.0002:
            self._loop.request_stop("interrupted", "a listener")
        details.clear()  # its own, to do with as it likes

    def _raises(self, details: dict[str, Any]) -> None:
        raise ValueError("a listener")

    def _hangs(self, details: dict[str, Any]) -> None:
        self._done.wait()

    def _enters_again(self, details: dict[str, Any]) -> None:
        self.look("thread")
        self._loop.register_hook("trading_started", self._raises)
