"""A market's time: measured by answers that may wait in a queue."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.harness.virtualtime import VirtualLoop
from trader.feeds.venue_clock import VenueClock

S = 1_000_000_000


class Queued:
    """A market whose answers take `there` and `back` seconds."""

    name = "market"
    can = SimpleNamespace(clock_resolution_ms=1000)

    def __init__(self):
        self.there = self.back = 0.0
        self.ahead_s = 1_700_000_000.25  # of the loop's clock

    def now_ns(self):  # the machine's clock is right
        return round((asyncio.get_running_loop().time() + self.ahead_s) * S)

    async def venue_ns(self):
        await asyncio.sleep(self.there)
        told = self.now_ns()
        await asyncio.sleep(self.back)
        return told


def run(test):
    async def whole():
        market = Queued()
        await test(market, VenueClock(market, market))

    loop = VirtualLoop()
    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()


def off_s(market, clock):
    """By how much it is off, but for half a step of what the market tells."""
    return (clock.now_ns() - market.now_ns()) / S - 0.5


def test_an_answer_that_waited_in_a_queue_does_not_set_the_time():
    async def test(market, clock):
        await clock.measure()
        market.there = 4.0  # behind requests for history
        await asyncio.sleep(60.0)
        await clock.measure()
        assert off_s(market, clock) == pytest.approx(0.0, abs=1e-3)
        assert clock.alert() == ""

    run(test)


def test_a_better_answer_corrects_a_first_one_that_waited():
    async def test(market, clock):
        market.there = 2.0
        await clock.measure()
        assert off_s(market, clock) == pytest.approx(1.0, abs=1e-3)
        market.there = 0.0
        await clock.measure()
        assert off_s(market, clock) == pytest.approx(0.0, abs=1e-3)

    run(test)


def test_a_clock_that_was_set_and_one_that_drifts_are_followed():
    async def test(market, clock):
        await clock.measure()
        market.there, market.ahead_s = 2.0, market.ahead_s + 60.0  # the machine has slept
        await clock.measure()
        assert off_s(market, clock) == pytest.approx(1.0, abs=1e-3)
        market.there = market.back = 0.05
        for _ in range(120):
            market.ahead_s += 0.003  # 50 millionths of a minute
            await asyncio.sleep(60.0)
            await clock.measure()
        assert off_s(market, clock) == pytest.approx(0.0, abs=0.1)

    run(test)
