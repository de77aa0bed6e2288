"""Requests that block: none holds up another, nor the end."""

import asyncio
import threading

import pytest

from trader.feeds import request_threads
from trader.feeds.request_threads import RequestThreads
from trader.feeds.source import SourceError


def test_requests_that_are_never_answered_hold_up_no_other_and_not_the_end(monkeypatch):
    monkeypatch.setattr(request_threads, "MOST", 3)
    never = threading.Event()

    async def run():
        threads = RequestThreads()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await threads.call(never.wait)
        for number in range(5):
            assert await threads.call(lambda number=number: number) == number
        held = asyncio.ensure_future(threads.call(never.wait))
        await asyncio.sleep(0)
        with pytest.raises(SourceError, match="3 requests are not answered"):
            await threads.call(int)
        held.cancel()

    asyncio.run(run())  # which waits for no thread
    assert not never.is_set()
    never.set()


def test_what_a_request_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(RequestThreads().call(lambda: 1 // 0))
