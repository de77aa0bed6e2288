"""Work that goes on beside a feed: its line, its questions, its watches.

Law: work that breaks ends the feed with a word. Left alone it would leave the run waiting for ever.
The word names what and where; what an exception says may hold a key.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from trader.feeds.source import Remedy, SourceError


class SideTasks:
    """The tasks of one feed."""

    def __init__(self, put: Callable[[SourceError], None]) -> None:
        self._put = put
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """One more."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {place.name}, line {place.lineno}"
            self._put(SourceError(f"a fault of ours, to be reported: {where}", Remedy.NEVER))

    async def end(self) -> None:
        """Cancel all; returns when none is left."""
        tasks, self._tasks = list(self._tasks), set()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
