"""Requests of a library that blocks, each in a thread that nobody has to wait for.

Law: a server that answers a byte a second holds a thread for as long as it likes: not the other
questions, and not the end of the run. So many may be held; then a question fails at once.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from trader.feeds.source import SourceError

MOST = 32  # threads

T = TypeVar("T")


class RequestThreads:
    """The threads of one client."""

    def __init__(self) -> None:
        self._running = 0  # changed by the event loop's thread alone

    async def call(self, request: Callable[[], T]) -> T:
        """What `request` gives or raises; one that is cancelled runs on, and nobody hears of it."""
        if self._running >= MOST:
            raise SourceError(f"{MOST} requests are not answered to their end")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def end(result: T | None, error: BaseException | None) -> None:
            self._running -= 1
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]
            else:
                done.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = request()
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(end, result, error)

        self._running += 1
        threading.Thread(target=work, name="request", daemon=True).start()
        return await done
