"""Hooks: the user's own callables, told what happened, sync or async.

Law: a hook is called off the trading path and changes nothing there: one that raises, hangs or
blocks is timed out, counted and reported, and trading does not wait for it.
"""

from collections.abc import Callable
from typing import Any

from trader.errors import UsageError
from trader.safety.callbacks import CallbackStats, Dispatcher, Subscriber

EVENTS = (
    "trading_started",
    "bar",
    "action_generated",
    "order_denied",
    "order_throttled",
    "order_sent",
    "order_filled",
    "trading_state_changed",
    "error",
    "trading_stopped",
)


class Hooks:
    """Callbacks by event."""

    def __init__(self, timeout_s: float = 1.0) -> None:
        self._dispatcher = Dispatcher(timeout_s)
        self._subscribers: dict[str, list[Subscriber]] = {event: [] for event in EVENTS}

    def register_hook(self, event: str, callback: Callable[[Any], Any]) -> CallbackStats:
        """Call `callback(details)` at every `event`; returns how it behaves. UsageError if the
        event is none, or the callback cannot be called."""
        if event not in self._subscribers:
            raise UsageError(f"no hook event {event!r}; there are {', '.join(EVENTS)}")
        if not callable(callback):
            raise UsageError(f"a hook of {event} must be callable, not {callback!r}")
        subscriber = Subscriber(callback)
        self._subscribers[event].append(subscriber)
        return subscriber.stats

    def has(self, event: str) -> bool:
        """Whether anybody listens: details need not be made for nobody."""
        return bool(self._subscribers[event])

    def emit(self, event: str, **details: Any) -> None:
        """Leave an event for its callbacks; microseconds, whatever they do."""
        for subscriber in self._subscribers[event]:
            self._dispatcher.deliver(subscriber, {"event": event, **details})
