"""Requests of a library that blocks, each in a thread that nobody has to wait for.

Law: a server that answers a byte a second holds a thread for as long as it likes: not the other
questions, and not the end of the run. So many may be held; then a question fails at once.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from trader.feeds.source import SourceError

MOST = 32  # threads

T = TypeVar("T")


class RequestThreads(Executor):
    """The threads of one client, for an event loop's `run_in_executor`."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MOST)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """See `Executor`. `SourceError` where too many are held."""
        if not self._free.acquire(blocking=False):
            raise SourceError(f"{MOST} requests are not answered to their end")
        done: Future[T] = Future()

        def work() -> None:
            result, failure = None, None
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                failure = error
            self._free.release()  # before anybody hears of the end and asks again
            if not done.set_running_or_notify_cancel():
                return
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        threading.Thread(target=work, name="request", daemon=True).start()
        return done
