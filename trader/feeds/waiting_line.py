"""Final bars of many symbols, let out in the order of time.

Law: a bar waits for what another symbol owes of its time or before, and never for long: first for
the history of a start, then for what a broken line missed, then for a question that is being asked.
A revision never overtakes the bar that it revises, nor a late bar the older ones.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from trader.feeds.finaliser_events import Final, Late, Revision

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
    """A bar that has not gone out yet, or a word about one; in the order of the line."""

    open_ns: int
    symbol: int
    number: int  # what came first goes first among equals
    since_s: float
    out: Leaving


class WaitingLine:
    """The bars that wait."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []  # sorted
        self._number = 0
        self._oldest_s = 0.0  # since when the first that came has waited
        self._since_s: float | None = None  # since when symbols are caught up with
        self._is_begun = False  # whether the history of the start is in

    def put(self, out: Leaving, now_s: float) -> None:
        """One more."""
        bar = out.new if isinstance(out, Revision) else out.bar
        if not self._waiting:
            self._oldest_s = now_s
        self._number += 1
        insort(self._waiting, Waiting(bar.open_ns, out.symbol, self._number, now_s, out))

    def ready(self, lines: Lines, now_s: float) -> Iterator[Leaving]:
        """Those that may go, in order of time and symbol."""
        if not self._waiting or not self._may_go(lines, now_s):
            return
        free = bisect_left(self._waiting, (lines.owed_ns(),))
        going, left = self._waiting[:free], self._waiting[free:]
        if left and now_s - self._oldest_s >= OWED_S:
            going += [one for one in left if now_s - one.since_s >= OWED_S]
            left = [one for one in left if now_s - one.since_s < OWED_S]
            self._oldest_s = min((one.since_s for one in left), default=now_s)
        self._waiting = left
        for one in going:
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
