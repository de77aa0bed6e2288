"""Work beside a feed: none breaks without a word."""

import asyncio

from trader.feeds.side_tasks import SideTasks
from trader.feeds.source import Remedy


def test_work_that_breaks_ends_the_feed_and_work_that_is_cancelled_does_not():
    async def breaks():
        raise KeyError("a key: s3cret")

    async def run():
        told = []
        beside = SideTasks(told.append)
        beside.spawn(asyncio.sleep(60))
        beside.spawn(breaks())
        await asyncio.sleep(0.01)
        await beside.end()
        return told

    (error,) = asyncio.run(run())
    assert error.remedy == Remedy.NEVER
    assert "KeyError in breaks" in error.text
    assert "s3cret" not in error.text
