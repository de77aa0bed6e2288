"""Calling other people's code without waiting for it.

Law: whoever reports an event only appends to queues. Callbacks run on worker threads, each one's
events in order and never two at a time. A callback that raises is counted; one that does not
return in time is left behind on its thread, counted, replaced by a fresh worker and gets nothing
more until it returns. A coroutine function runs in the loop it was registered from, if that
answers; else in a loop of its own. Where it is told so, it runs in an `OwnLoop` from the first.
"""

import asyncio
import inspect
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from trader.safety.ownloop import OwnLoop

WORKERS = 2
MAILBOX = 1_000  # events one slow callback can be behind; older ones are dropped and counted


class CallbackStats:
    """How one callback behaved."""

    __slots__ = ("calls", "dropped", "last_error", "raised", "timed_out")

    def __init__(self) -> None:
        self.calls = self.raised = self.timed_out = self.dropped = 0
        self.last_error = ""


class Subscriber:
    """One callback, its waiting events and its record."""

    def __init__(self, callback: Callable[[Any], Any], apart: OwnLoop | None = None) -> None:
        """`apart`: where its coroutines run; None for the loop that is running now."""
        self.callback = callback
        self.apart = apart
        self.stats = CallbackStats()
        self.mailbox: deque[Any] = deque()
        self.scheduled = False  # in the run queue or being called; guarded by `lock`
        self.lock = threading.Lock()
        self.loop = _running_loop() if is_async(callback) and apart is None else None


class _Call:
    """One call under way, for the timekeeper."""

    def __init__(self, subscriber: Subscriber, deadline: float) -> None:
        self.subscriber, self.deadline = subscriber, deadline
        self.abandoned = False


class Dispatcher:
    """Workers shared by all subscribers, and a timekeeper that replaces those that hang."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ready: queue.SimpleQueue[Subscriber] = queue.SimpleQueue()
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()  # of `_calls` and `_started`; never held during a call
        self._started = False

    def deliver(self, subscriber: Subscriber, event: Any) -> None:
        """Leaves an event for a subscriber. Microseconds, whatever the subscriber does."""
        with subscriber.lock:
            if len(subscriber.mailbox) >= MAILBOX:
                subscriber.mailbox.popleft()
                subscriber.stats.dropped += 1
            subscriber.mailbox.append(event)
            idle = not subscriber.scheduled
            subscriber.scheduled = True
        if idle:
            self._ready.put(subscriber)
        self._start()

    def _start(self) -> None:
        with self._lock:
            for target in (self._keep_time, *[self._work] * WORKERS):
                if self._started or not _start_thread(target):
                    return  # no more threads for this user: the next event tries again
            self._started = True

    def _work(self) -> None:
        while True:
            subscriber = self._ready.get()
            with subscriber.lock:
                event = subscriber.mailbox.popleft()
            patience = 2.0 if is_async(subscriber.callback) else 1.0  # those time out by themselves
            call = _Call(subscriber, time.monotonic() + patience * self._timeout_s)
            with self._lock:
                self._calls.add(call)
            self._invoke(call, event)
            with self._lock:
                self._calls.discard(call)
                abandoned = call.abandoned
            with subscriber.lock:
                subscriber.scheduled = bool(subscriber.mailbox)
                again = subscriber.scheduled
            if again:
                self._ready.put(subscriber)
            if abandoned:
                return  # another worker has our place

    def _invoke(self, call: _Call, event: Any) -> None:
        subscriber, stats = call.subscriber, call.subscriber.stats
        stats.calls += 1
        try:
            if is_async(subscriber.callback):
                self._run_async(subscriber, event)
            else:
                found = subscriber.callback(event)
                if inspect.iscoroutine(found) and subscriber.apart is not None:
                    subscriber.apart.run(lambda: found, self._timeout_s)
                elif inspect.iscoroutine(found):
                    asyncio.run(asyncio.wait_for(found, self._timeout_s))
        except TimeoutError:
            stats.timed_out += not call.abandoned
        except BaseException as error:  # sys.exit() in a callback ends no worker either
            stats.raised += 1
            stats.last_error = f"{type(error).__name__}: {error}"

    def _run_async(self, subscriber: Subscriber, event: Any) -> None:
        """In the loop it came from while that runs; else in one of its own."""
        if subscriber.apart is not None:
            return subscriber.apart.run(lambda: subscriber.callback(event), self._timeout_s)
        loop = subscriber.loop
        if loop is None or not loop.is_running():
            asyncio.run(asyncio.wait_for(subscriber.callback(event), self._timeout_s))
            return
        future = asyncio.run_coroutine_threadsafe(subscriber.callback(event), loop)
        try:
            future.result(self._timeout_s)
        finally:
            future.cancel()

    def _keep_time(self) -> None:
        while True:
            time.sleep(min(0.05, self._timeout_s / 4))
            now = time.monotonic()
            with self._lock:
                late = [call for call in self._calls if now > call.deadline and not call.abandoned]
                for call in late:
                    call.abandoned = True
            for call in late:
                call.subscriber.stats.timed_out += 1
                _start_thread(self._work)


def _start_thread(target: Callable[[], None]) -> bool:
    try:
        threading.Thread(target=target, name="risk-events", daemon=True).start()
    except RuntimeError:
        return False
    return True


def is_async(callback: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, or an object with one."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
        getattr(callback, "__call__", None)  # noqa: B004 - to look at, not to test for
    )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
