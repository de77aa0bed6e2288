"""Waits before a line is made anew: longer and longer, and short again once a line has lasted."""

import asyncio

import pytest

from tests.venue.kit import until, write_config
from trader.feeds import line_wait
from trader.feeds.line_wait import LASTING_S, LONGEST_S, LineWait

pytestmark = pytest.mark.filterwarnings("ignore:websockets.legacy:DeprecationWarning")


@pytest.fixture
def exactly(monkeypatch):
    monkeypatch.setattr(line_wait.random, "uniform", lambda low, high: 1.0)


def test_waits_double_up_to_the_longest_while_nothing_is_heard(exactly):
    wait = LineWait(0.5)
    assert [wait.next_s(100.0, False) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_only_a_line_that_spoke_and_lasted_makes_the_wait_short_again(exactly):
    wait = LineWait(0.5)
    for _ in range(6):
        wait.next_s(0.0, False)  # 16 s now
    assert wait.next_s(LASTING_S, True) == 32.0  # spoke, and ended soon: a storm else
    assert wait.next_s(31.0, False) == LONGEST_S
    assert wait.next_s(61.0, False) == LONGEST_S
    assert wait.next_s(59.0, True) == 30.0  # had been waited for longer: half of it
    assert wait.next_s(29.0, True) == 15.0
    assert wait.next_s(15.1, True) == 0.5
    assert wait.next_s(LASTING_S + 0.1, True) == 0.5


def test_waits_differ_by_chance():
    assert len({LineWait(1.0).next_s(0.0, False) for _ in range(20)}) > 1


@pytest.mark.process
@pytest.mark.parametrize("name", ["binance", "kraken", "alpaca"])
def test_a_line_that_brought_bars_is_known_to_have_spoken(tmp_path, monkeypatch, name):
    for library in ("ccxt", "alpaca", "aiohttp"):
        pytest.importorskip(library)
    from tests.venue.market import Market
    from tests.venue.test_quotes import VENUES

    lived = []

    class Noted(LineWait):
        def next_s(self, lived_s, has_spoken):
            lived.append((lived_s, has_spoken))
            return super().next_s(lived_s, has_spoken)

    adapter = "alpaca_source" if name == "alpaca" else "ccxt_stream"
    monkeypatch.setattr(f"trader.feeds.{adapter}.LineWait", Noted)
    make, options, symbols, listen = VENUES[name]

    async def whole():
        venue = await make(Market(29)).start()
        kind = {"type": "alpaca"} if name == "alpaca" else {}
        try:
            path = write_config(
                tmp_path, options(venue.port), symbols=symbols, exchange=name, **kind
            )
            async with listen(path) as got:
                await until(got, lambda: len(got.live(0)) >= 1)
                await venue.do("drop")
                await until(got, lambda: lived)
        finally:
            await venue.stop()

    asyncio.run(whole())
    assert lived[0][0] > 0.0
    assert lived[0][1]
