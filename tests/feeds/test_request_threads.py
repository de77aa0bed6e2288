"""Requests that block: none holds up another, nor the end."""

import asyncio
import functools
import threading

import pytest

from trader.feeds import request_threads
from trader.feeds.request_threads import RequestThreads
from trader.feeds.source import SourceError


def test_requests_that_are_never_answered_hold_up_no_other_and_not_the_end(monkeypatch):
    monkeypatch.setattr(request_threads, "MOST", 3)
    never = threading.Event()

    async def run():
        call = functools.partial(asyncio.get_running_loop().run_in_executor, RequestThreads())
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await call(never.wait)
        for number in range(5):
            assert await call(lambda number=number: number) == number
        held = asyncio.ensure_future(call(never.wait))
        await asyncio.sleep(0)
        with pytest.raises(SourceError, match="3 requests are not answered"):
            await call(int)
        held.cancel()

    asyncio.run(run())  # which waits for no thread
    assert not never.is_set()
    never.set()


def test_what_a_request_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        RequestThreads().submit(lambda: 1 // 0).result()
