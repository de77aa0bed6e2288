"""Stopping from inside: the same latch as `trader kill`, for limits, watchdogs and callbacks.

Law: standard library only; takes no lock, so that any thread can stop at any time, whatever the
others hold. First the gate of this process, in memory; then the latch; then the record; last the
audit line. A disk that hangs is waited for so long and no longer. Trips of one code in one process
are one kill until it is re-armed: a limit breached on every bar makes no thousand kills.
"""

import time
from collections.abc import Callable
from typing import Any

from trader.safety import latch, records, stop

WAIT_S = 2.0  # for the disk, or for another thread's trip of the same code
AUDIT_S = 1.0


class Tripwire:
    """Trips the latch of one state folder. `close` shuts what this process has open."""

    def __init__(self, home: str, close: Callable[[str], None] = lambda why: None) -> None:
        self._home, self._close = home, close
        self._stops: dict[tuple[int, str], stop.Stop] = {}

    def trip(self, order: stop.StopOrder) -> stop.Stop:
        """Stops, and returns how far that came: the first stop of that code and scope where this
        process has already made one that still binds. One that a disk refused, so that it never
        bound anything, is the same kill tried again. Returns only with the latch in force, or with
        `durable` False and the reasons in `failures()`."""
        self._close(f"{latch.CODE_NAMES[order.code]}: {order.reason}")
        key = (order.code, order.scope)
        mine = stop.Stop(self._home, order)
        first = self._stops.setdefault(key, mine)
        if first is not mine:
            if self._still_binds(first):
                return first
            if first.finished and not _was_seen(first) and not self._is_rearmed(first):
                mine = stop.Stop(self._home, first.order)
        self._stops[key] = mine
        late = stop.within(lambda: stop.shut(mine), WAIT_S)
        if late:
            mine.errors.append(f"the state folder: {late}")
        if not mine.durable:
            stop.within(lambda: stop.fall_back(mine), WAIT_S)
        self._audit(mine)
        return mine

    def _still_binds(self, first: stop.Stop) -> bool:
        deadline = time.monotonic() + WAIT_S
        while not first.finished and time.monotonic() < deadline:
            time.sleep(0.001)
        # What was latched may have been deleted since, and made anew.
        holds = _was_seen(first) and bool(latch.inspect(first.scope_folder).causes)
        return first.finished and holds and not self._is_rearmed(first)

    def _is_rearmed(self, first: stop.Stop) -> bool:
        return records.rearm_of(self._home, first.order.kill_id) is not None

    def _audit(self, done: stop.Stop) -> None:
        entry: dict[str, Any] = {
            **done.order.record(),
            "event": "KILL",
            "durable": done.durable,
            "failures": done.failures(),
        }
        told = [""]
        late = stop.within(lambda: told.__setitem__(0, stop.settle_audit(done, entry)), AUDIT_S)
        done.errors.extend(why for why in (told[0], late and f"audit.jsonl: {late}") if why)


def _was_seen(first: stop.Stop) -> bool:
    """Whether the latch of that stop was ever in the state folder, a fallback folder aside."""
    return any(done.visible for done in list(first.folders.values()))
