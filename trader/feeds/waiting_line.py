"""Final bars of many symbols, let out in the order of time.

Law: a bar waits for what another symbol owes of its time or before, and never for long: first for
the history of a start, then for what a broken line missed, then for a question that is being asked.
A revision never overtakes the bar that it revises, nor a late bar the older ones.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from trader.feeds.finality import Final, Late, Revision

CATCH_UP_S = 10.0  # for which bars of other symbols wait for one that was cut off
OWED_S = 1.0  # for which a bar waits for another symbol's of the same time or before


class Lines(Protocol):
    """What is known of the symbols: see `BarFinaliser`."""

    @property
    def is_catching_up(self) -> bool: ...

    @property
    def is_down(self) -> bool: ...

    def owed_ns(self) -> int: ...


Leaving = Final | Revision | Late


class Waiting(NamedTuple):
    """A bar that has not gone out yet, or a word about one."""

    out: Leaving
    since_s: float

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the line; what came first goes first among equals."""
        bar = self.out.new if isinstance(self.out, Revision) else self.out.bar
        return bar.open_ns, self.out.symbol


class WaitingLine:
    """The bars that wait."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._since_s: float | None = None  # since when symbols are caught up with
        self._is_begun = False  # whether the history of the start is in

    def put(self, out: Leaving, now_s: float) -> None:
        """One more."""
        self._waiting.append(Waiting(out, now_s))

    def ready(self, lines: Lines, now_s: float) -> Iterator[Leaving]:
        """Those that may go, in order of time and symbol."""
        if not self._waiting or not self._may_go(lines, now_s):
            return
        owed_ns = lines.owed_ns()
        waiting = sorted(self._waiting, key=lambda one: one.place)
        self._waiting = []
        for one in waiting:
            if one.place[0] >= owed_ns and now_s - one.since_s < OWED_S:
                self._waiting.append(one)
            else:
                yield one.out

    def _may_go(self, lines: Lines, now_s: float) -> bool:
        lacks_history = lines.is_catching_up
        if not lacks_history and not lines.is_down:
            self._is_begun, self._since_s = True, None
            return True
        self._since_s = now_s if self._since_s is None else self._since_s
        if lacks_history and not self._is_begun:
            return False
        return now_s - self._since_s >= CATCH_UP_S
