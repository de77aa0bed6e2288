"""Signals that end a paper run in order, so that nothing is left working.

    at_once     outside the event loop, while modules and config are loaded
    cancelling  inside it, until it trades
    listen      while it trades

Law: standard library only. The first signal ends a start as Ctrl-C does, the second at once
(130, 143, 129): what is on disk is enough. What is ignored (SIGHUP under `nohup`) stays ignored.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Termination(BaseException):
    """A start was told to end before it traded; no error. The text is the signal's name."""


@contextmanager
def at_once(numbers: Sequence[int] = ENDING) -> Iterator[None]:
    """A signal raises `Termination` where the main thread just is, SIGINT `KeyboardInterrupt`.

    The compiler calls back into Python, loses what is raised there, and may fail for it: the
    first signal is raised again at the end of the block.
    """
    heard: list[BaseException] = []

    def hear(number: int, frame: FrameType | None) -> None:
        is_ctrl_c = number == signal.SIGINT
        heard.append(KeyboardInterrupt() if is_ctrl_c else Termination(signal.Signals(number).name))
        raise heard[-1]

    with _heard_by(hear, numbers), _untold(heard):
        try:
            yield
        except Exception:
            if heard:
                raise heard[0] from None
            raise
    if heard:
        raise heard[0]


@contextmanager
def _untold(known: Sequence[BaseException]) -> Iterator[None]:
    """Python writes a traceback of what a callback loses: not of these."""
    tell = sys.unraisablehook

    def tell_others(lost: "sys.UnraisableHookArgs") -> None:
        if lost.exc_value not in known:
            tell(lost)

    sys.unraisablehook = tell_others
    try:
        yield
    finally:
        sys.unraisablehook = tell


@contextmanager
def cancelling() -> Iterator[list[str]]:
    """A signal cancels the task that this is used in; yields the names of those heard."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    heard: list[str] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(signal.Signals(number).name)
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    with _heard_by(hear, ENDING):
        yield heard


def listen(stop: Callable[[signal.Signals], None]) -> None:
    """The first of Ctrl-C, SIGTERM and SIGHUP is given to `stop`, on the running event loop."""
    heard: list[signal.Signals] = []

    def hear(number: signal.Signals) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(number)
        stop(number)

    for number in (signal.SIGINT, *ENDING):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # the terminal may go
        asyncio.get_running_loop().add_signal_handler(number, hear, number)


@contextmanager
def _heard_by(
    hear: Callable[[int, FrameType | None], None], numbers: Sequence[int]
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # a caller's thread: signals are the caller's
        return
    found = {number: signal.getsignal(number) for number in numbers}
    heard = {number: before for number, before in found.items() if before != signal.SIG_IGN}
    try:
        for number in heard:
            signal.signal(number, hear)
        yield
    finally:
        for number, before in heard.items():
            signal.signal(number, before)
