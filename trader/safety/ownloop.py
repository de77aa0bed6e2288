"""An event loop in a thread of its own, for coroutines that nothing else may wait for.

Law: whatever a coroutine does to its loop (blocks it, stops it, cancels every task, leaves by
`sys.exit`), its caller gets an exception in time, and the next coroutine finds a loop that answers.
All share one loop while it does. One that does not answer is left to what blocks it, and another
takes its place.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any

ANSWER_FRACTION = 0.25  # of the timeout: how long a loop may take to begin before it is left
TRIES = 3  # loops that one call is brought to, should each be blocked by another
LINGER_S = 0.5  # between two looks at whether the tasks of a loop that was left are done


class OwnLoop:
    """One loop for many coroutines. Started by the first, ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, make: Callable[[], Awaitable[Any]], timeout_s: float) -> None:
        """Await `make()` in the loop. From any thread but the loop's.

        Raises what it raises, also SystemExit and its like; TimeoutError when it took longer and
        was cancelled: once it has returned, if it was begun at all.
        """
        for _ in range(TRIES):
            call, loop = _Call(make), self._current()
            loop.call_soon_threadsafe(call.start)
            if call.begun.wait(timeout_s * ANSWER_FRACTION) or not call.claim():
                return call.finish(loop, timeout_s)
            self._leave(loop)
        raise TimeoutError

    def _current(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                fresh = self._loop = asyncio.new_event_loop()
                args = (fresh,)
                threading.Thread(target=self._serve, args=args, name="hooks", daemon=True).start()
            return self._loop

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Another takes the place of one that does not answer; it ends once it is free again."""
        with self._lock:
            if self._loop is loop:
                self._loop = None
        with contextlib.suppress(RuntimeError):  # closed
            loop.call_soon_threadsafe(loop.stop)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run `loop`, whoever stops it; one that was left ends with its last task."""
        asyncio.set_event_loop(loop)
        while not loop.is_closed() and (loop is self._loop or asyncio.all_tasks(loop)):
            if loop is not self._loop:
                loop.call_later(LINGER_S, loop.stop)
            with contextlib.suppress(BaseException):  # sys.exit() in a task comes out here
                loop.run_forever()
        loop.close()


class _Call:
    """One coroutine on its way through a loop."""

    def __init__(self, make: Callable[[], Awaitable[Any]]) -> None:
        self.begun, self._ended = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._make = make
        self._task: asyncio.Task[None] | None = None
        self._turn = threading.Lock()

    def claim(self) -> bool:
        """Whether nobody did so before: the loop to begin it, or its caller to take it back."""
        return self._turn.acquire(blocking=False)

    def start(self) -> None:
        """In the loop."""
        if self.claim():
            self._task = asyncio.get_running_loop().create_task(self._awaited())
            self._task.add_done_callback(self._end)
            self.begun.set()

    def finish(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        """See `OwnLoop.run`, of one that was begun."""
        if not self._ended.wait(timeout_s):
            loop.call_soon_threadsafe(self._cancel)
            self._ended.wait()
            raise TimeoutError
        if self._error is not None:
            raise self._error

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _awaited(self) -> None:
        await self._make()

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._ended.set()
