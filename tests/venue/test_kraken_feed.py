"""The real ccxt against a loopback Kraken, which says of no bar that it is closed."""

import asyncio

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue.kit import is_whole, listening, truth, until, write_config
from tests.venue.kraken import Kraken, options
from tests.venue.market import Market

pytestmark = pytest.mark.process


def run(test, **market):
    async def whole():
        venue = await Kraken(Market(13, **market)).start()
        try:
            return await test(venue)
        finally:
            await venue.stop()

    return asyncio.run(whole())


def config(tmp_path, venue, symbols="BTC/USD, ETH/USD"):
    return write_config(tmp_path, options(venue.port), symbols=symbols, exchange="kraken")


def test_a_bar_is_closed_when_the_next_has_begun(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue)) as got:
            await until(got, lambda: len(got.live(0)) >= 4 and len(got.live(1)) >= 4)
            for symbol, name in ((0, "BTC/USD"), (1, "ETH/USD")):
                values = got.values(symbol)
                assert is_whole(values)
                assert values == truth(venue.market, name, values)
                assert "SUCCESSOR" in got.proofs(symbol)
            fact = got.feed.facts[0]
            assert (str(fact.tick_size), str(fact.min_notional)) == ("0.01", "0.5")

    run(test)


@pytest.mark.trials
def test_a_second_without_a_trade_is_a_gap_and_no_flat_bar(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue, "BTC/USD")) as got:
            await until(got, lambda: len(got.live(0)) >= 6 and "FEED_GAP" in got.kinds())
            values = got.values(0)
            assert values == truth(venue.market, "BTC/USD", values)
            opens = range(values[0][0], values[-1][0] + 1)
            traded = [at for at in opens if venue.market.has_trades("BTC/USD", at)]
            assert [row[0] for row in values] == traded

    run(test, empty=0.4)


@pytest.mark.trials
def test_a_line_that_breaks_proves_nothing_and_is_filled(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue, "BTC/USD")) as got:
            await until(got, lambda: len(got.live(0)) >= 2)
            for _ in range(3):
                await venue.do("drop")
                count = len(got.values(0))
                await until(got, lambda count=count: len(got.values(0)) >= count + 2)
            values = got.values(0)
            assert is_whole(values)
            assert values == truth(venue.market, "BTC/USD", values)

    run(test)
