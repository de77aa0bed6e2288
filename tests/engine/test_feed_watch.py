"""A feed that is silent, and one that says that nothing was traded."""

import asyncio
from pathlib import Path

from tests.core_kit import START
from tests.loop_kit import LiveRun, bar
from trader.core.schema import NS_PER_SECOND
from trader.engine.answers import Ages
from trader.engine.supervise import FeedLimits, FeedWatch
from trader.feeds.live import LiveBar, NoTrade


class QueueFeed:
    """Gives what a test puts in."""

    history = None

    def __init__(self) -> None:
        self.queue: asyncio.Queue = asyncio.Queue()

    async def __aiter__(self):
        while True:
            yield await self.queue.get()

    def at_once(self) -> None:
        """A bar at a time."""

    async def aclose(self) -> None:
        """Nothing is open."""


class HandClock:
    """Time as the test sets it."""

    now_s = 0.0

    def mono_ns(self) -> int:
        return round(self.now_s * NS_PER_SECOND)

    def now_ns(self) -> int:
        return START + self.mono_ns()


def test_a_market_that_answers_is_told_and_one_that_does_not_is_lost(tmp_path: Path):
    async def watched() -> tuple[str, list[str]]:
        feed, clock = QueueFeed(), HandClock()
        ages = Ages(120.0, 300.0)
        run = LiveRun(tmp_path, [], feed=feed, ages=ages, now_ns=lambda: START + 61 * NS_PER_SECOND)
        watch = FeedWatch(
            run.loop, (run.slices, run.signals), clock, FeedLimits(120.0, 60.0), lambda ts_ns: True
        )
        trading = asyncio.ensure_future(run.trade())
        first = bar(1)
        feed.queue.put_nowait(LiveBar(first, int(first["ts_ns"]), int(first["ts_ns"])))
        while not run.signals.is_live:
            await asyncio.sleep(0.001)
        await watch.look()

        async def at(second: float, answers: int = 0) -> int:
            """How many words there have been by then, after so many answers."""
            clock.now_s, known = second, run.slices.answers
            for _ in range(answers):
                feed.queue.put_nowait(NoTrade(0))
            while run.slices.answers < known + answers:
                await asyncio.sleep(0.001)
            await watch.look()
            return len(run.told("error"))

        words = [
            await at(119.0),
            await at(121.0, answers=1),  # told: nothing was traded
            await at(240.0),
            await at(242.0),  # no answer either: lost
            await at(243.0),
            await at(250.0, answers=1),
            await at(369.0),
            await at(371.0),  # lost again
            await at(429.0),
        ]
        assert words == [0, 1, 1, 2, 2, 2, 2, 3, 3]
        assert not trading.done()
        await at(431.0)
        return (await trading).how, [one["text"] for one in run.told("error")]

    how, texts = asyncio.run(watched())
    assert how == "connectivity"
    assert texts[0] == "no bar for 121 s: the market answers that nothing was traded"
    assert "242 s; 0 working order(s) cancelled" in texts[1]
