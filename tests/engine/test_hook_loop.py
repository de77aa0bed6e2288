"""Async hooks in a loop of their own: whatever they do to it, the others are told everything."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from trader.engine.hooks import Hooks

TIMEOUT_S = 0.4
Hook = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


async def blocks(details: dict[str, Any]) -> None:
    time.sleep(3 * TIMEOUT_S)


async def waits(details: dict[str, Any]) -> None:
    await asyncio.Event().wait()


async def leaves(details: dict[str, Any]) -> None:
    sys.exit(3)


async def interrupts(details: dict[str, Any]) -> None:
    raise KeyboardInterrupt


async def cancels(details: dict[str, Any]) -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


async def stops(details: dict[str, Any]) -> None:
    asyncio.get_running_loop().stop()


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        (blocks, "0 raised, 1 timed out"),
        (waits, "0 raised, 1 timed out"),
        (leaves, "1 raised, 0 timed out"),
        (interrupts, "1 raised, 0 timed out"),
        (cancels, "1 raised, 0 timed out"),
        (stops, ""),
    ],
)
@pytest.mark.long
def test_an_async_hook_touches_neither_the_loop_of_trading_nor_another_hook(hook: Hook, told: str):
    hooks = Hooks(TIMEOUT_S, apart=True)
    seen: list[tuple[int, str]] = []

    async def good(details: dict[str, Any]) -> None:
        seen.append((details["number"], threading.current_thread().name))

    async def trade() -> None:
        hooks.register_hook("bar", hook)
        hooks.emit("bar", number=0)
        hooks.register_hook("action_generated", good)
        for number in range(20):
            hooks.emit("action_generated", number=number)
            await asyncio.sleep(0.01)
        assert await hooks.drained(30.0)

    asyncio.run(trade())
    numbers = [number for number, _ in seen]
    lost = [0] if hook is cancels and 0 not in numbers else []  # it shares the loop, and its tasks
    assert lost + numbers == list(range(20))
    assert {name for _, name in seen} == {"hooks"}
    (*_, line) = ["", *hooks.failures()]
    assert told in line
    assert bool(told) == bool(line)


def test_async_hooks_share_one_loop_and_what_lives_in_it():
    hooks = Hooks(apart=True)
    held: dict[str, asyncio.Event] = {}

    async def waits_for_the_other(details: dict[str, Any]) -> None:
        held["event"] = asyncio.Event()
        await held["event"].wait()

    async def sets(details: dict[str, Any]) -> None:
        while "event" not in held:
            await asyncio.sleep(0)
        held["event"].set()

    hooks.register_hook("bar", waits_for_the_other)
    hooks.register_hook("bar", sets)
    hooks.emit("bar")
    assert asyncio.run(hooks.drained(30.0))
    assert hooks.failures() == []
    assert hooks.stats()["calls"] == 2
