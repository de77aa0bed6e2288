"""Hooks: the user's own callables, told what happened, sync or async.

Law: a hook is called off the trading path and changes nothing there: one that raises, hangs or
blocks is timed out, counted and reported, and trading does not wait for it. Every callback gets a
dictionary of its own to do with as it likes.
"""

import asyncio
from collections.abc import Callable
from typing import Any, get_args

from trader.config.sections.running import HookEvent
from trader.errors import UsageError
from trader.safety.callbacks import CallbackStats, Dispatcher, Subscriber
from trader.safety.ownloop import OwnLoop

EVENTS: tuple[str, ...] = get_args(HookEvent)

LOOK_S = 0.02  # between two looks at callbacks that are still at work


class Hooks:
    """Callbacks by event."""

    def __init__(self, timeout_s: float = 1.0, apart: bool = False) -> None:
        """`apart`: async callbacks run in one loop of theirs, in its own thread, and not in the
        loop that they are registered from."""
        self._own_loop = OwnLoop() if apart else None
        self._dispatcher = Dispatcher(timeout_s)
        self._subscribers: dict[str, tuple[Subscriber, ...]] = dict.fromkeys(EVENTS, ())
        self._taps: tuple[Callable[[dict[str, Any]], None], ...] = ()
        self.any_listener = False

    def register_hook(self, event: str, callback: Callable[[Any], Any]) -> CallbackStats:
        """Call `callback(details)` at every `event`; returns how it behaves.

        `details` is a dictionary with `event` and the keys of docs/paper.md. UsageError if there
        is no such event, or the callback cannot be called.
        """
        if event not in self._subscribers:
            raise UsageError(f"no hook event {event!r}; there are {', '.join(EVENTS)}")
        if not callable(callback):
            raise UsageError(f"a hook of {event} must be callable, not {callback!r}")
        subscriber = Subscriber(callback, self._own_loop)
        self._subscribers[event] = (*self._subscribers[event], subscriber)
        self.any_listener = True
        return subscriber.stats

    def tap(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Call our own `callback` for every event, in order, in the loop. It must not wait; one
        that raises (a terminal that is gone, say) is not called again."""
        self._taps = (*self._taps, callback)
        self.any_listener = True

    def has(self, event: str) -> bool:
        """Whether anybody listens: details need not be made for nobody."""
        return bool(self._taps) or bool(self._subscribers[event])

    def emit(self, event: str, **details: Any) -> None:
        """Leave an event for its callbacks; microseconds, whatever they do."""
        for tap in self._taps:
            try:
                tap({"event": event, **details})
            except (Exception, SystemExit):  # Rich leaves by SystemExit when a pipe is closed
                self._taps = tuple(other for other in self._taps if other is not tap)
        for subscriber in self._subscribers[event]:
            self._dispatcher.deliver(subscriber, {"event": event, **details})

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every callback has had its events, but no longer; whether it has."""
        for _ in range(max(1, round(timeout_s / LOOK_S))):
            every = [one for group in self._subscribers.values() for one in group]
            if not any(one.scheduled for one in every):
                return True
            await asyncio.sleep(LOOK_S)
        return False

    def stats(self) -> dict[str, int]:
        """How all hooks together behaved: calls, raised, timed_out, dropped."""
        every = [one.stats for group in self._subscribers.values() for one in group]
        names = ("calls", "raised", "timed_out", "dropped")
        return {name: sum(getattr(stats, name) for stats in every) for name in names}

    def failures(self) -> list[str]:
        """One line for each hook that raised, hung or lost events."""
        return [
            f"{event} hook {_name(one.callback)}: {one.stats.raised} raised, "
            f"{one.stats.timed_out} timed out, {one.stats.dropped} events lost"
            + (f"; last: {one.stats.last_error}" if one.stats.last_error else "")
            for event, group in self._subscribers.items()
            for one in group
            if one.stats.raised or one.stats.timed_out or one.stats.dropped
        ]


def _name(callback: Callable[..., Any]) -> str:
    return str(getattr(callback, "__qualname__", callback))
