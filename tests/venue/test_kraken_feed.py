"""The real ccxt against a loopback Kraken, which says of no bar that it is closed."""

import asyncio

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue.kit import NAMES, is_whole, listening, truth, until, write_config
from tests.venue.kraken import Kraken, options
from tests.venue.market import Market
from trader.feeds import final_bars

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


def test_what_a_line_loses_without_a_word_is_told_once_rest_is_asked(tmp_path, monkeypatch):
    """The last rows of a bar, and the first of the next: nothing on the line shows it."""
    monkeypatch.setattr(final_bars, "CHECKED_EVERY", 3)

    async def test(venue):
        async with listening(config(tmp_path, venue)) as got:
            await until(got, lambda: len(got.live(0)) >= 2)
            now_s = venue.market.now_s()
            lost_s = int(now_s) + 1
            await asyncio.sleep(lost_s + 0.7 - now_s)
            await venue.do("mute")
            await asyncio.sleep(lost_s + 1.8 - venue.market.now_s())
            await venue.do("mute", False)
            await until(got, lambda: len(got.again) >= 2)
            for symbol, name in ((0, "BTC/USD"), (1, "ETH/USD")):
                (told,) = [bar for bar in got.again if bar["symbol"] == symbol]
                assert int(told["ts_ns"]) // 10**9 - 1 == lost_s
                true = venue.market.bar(name, lost_s)
                assert [float(told[value]) for value in NAMES] == list(true)
                (traded,) = [row for row in got.values(symbol) if row[0] == lost_s]
                assert traded[5] < true[4]
            assert {"FEED_DOWN", "FEED_GAP"}.isdisjoint(got.kinds())

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
