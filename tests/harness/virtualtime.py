"""An event loop, a clock and executors whose time is made up: a day passes in a blink.

Law: nothing sleeps and nothing runs beside the loop. When nothing is ready, the loop's time jumps
to the next timer; work handed to an executor is done at once, and its result may be made to come
later, in made-up time. A loop that waits for what can never come is an error, not a hang.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

NS = 1_000_000_000
Result = TypeVar("Result")


class Stuck(RuntimeError):
    """The loop waits, and nothing is left that could wake it."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Never waits: lets the loop's time pass instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise Stuck("waiting for something that no timer, file or thread will bring")
            self.loop.advance(max(timeout, 0.0))
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in made-up time, from 0 s on."""

    def __init__(self) -> None:
        self._now_s = 0.0
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Made-up seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let time pass; at least so much that a timer that is due is past."""
        self._now_s += seconds + 1e-9

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Do the work now; its result comes when the executor says."""
        done = self.create_future()
        delay_s = executor.delay_s() if isinstance(executor, VirtualExecutor) else 0.0
        try:
            result = func(*args)
        except BaseException as error:
            self._later(delay_s, done.set_exception, error)
        else:
            self._later(delay_s, done.set_result, result)
        return done

    def _later(self, delay_s: float, settle: Callable[[Any], None], value: Any) -> None:
        if delay_s <= 0.0:
            settle(value)
            return

        def arrive() -> None:
            if not settle.__self__.done():  # type: ignore[attr-defined]
                settle(value)

        self.call_later(delay_s, arrive)


class VirtualExecutor(Executor):
    """Work that is done at once and takes `delay_s()` made-up seconds."""

    def __init__(self, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        self.delay_s = delay_s


class VirtualClock:
    """The clocks of a run, on a virtual loop. `jump` moves the wall clock, `still_s` stops all."""

    def __init__(self, loop: VirtualLoop, start_ns: int) -> None:
        self._loop = loop
        self._start_ns = start_ns
        self._ahead_ns = 0  # of the wall clock
        self._told_ns = 0
        self._still: tuple[float, int] = (0.0, 0)  # until when, and what the clocks say till then

    def now_ns(self) -> int:
        """Steady UTC nanoseconds."""
        until_s, frozen_ns = self._still
        if self._loop.time() < until_s:
            return frozen_ns
        return self._start_ns + int(self._loop.time() * NS)

    def wall_ns(self) -> int:
        """The wall clock."""
        return self.now_ns() + self._ahead_ns

    def mono_ns(self) -> int:
        """The monotonic clock."""
        return self.now_ns() - self._start_ns + NS

    def latest_ns(self) -> int:
        return self.now_ns()

    async def sleep_until_ns(self, ts_ns: int) -> None:
        """Let made-up time pass."""
        while (left_ns := ts_ns - self.now_ns()) > 0:
            await asyncio.sleep(left_ns / NS)

    def jump(self, by_s: float) -> None:
        """Set the wall clock."""
        self._ahead_ns += int(by_s * NS)

    def stand_still(self, for_s: float) -> None:
        """The time source says the same for a while."""
        self._still = (self._loop.time() + for_s, self.now_ns())

    def jump_ns(self) -> int:
        """What a clock watch sees of jumps."""
        jump_ns = self._ahead_ns - self._told_ns
        self._told_ns = self._ahead_ns
        return jump_ns if abs(jump_ns) > NS else 0


def run_virtually(loop: VirtualLoop, main: Coroutine[Any, Any, Result]) -> Result:
    """`main` to its end on a virtual loop, which is closed afterwards."""
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
