"""A line that the exchange will end: the next one speaks before, and no bar is lost or doubled."""

import asyncio

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue import binance, kraken, okx
from tests.venue.kit import is_whole, listening, truth, until, write_config
from tests.venue.market import Market
from trader.feeds import ccxt_source, ccxt_stream

pytestmark = pytest.mark.process

VENUES = {
    "binance": (binance.Binance, binance.options, "BTC/USDT, ETH/USDT"),
    "kraken": (kraken.Kraken, kraken.options, "BTC/USD, ETH/USD"),
    "okx": (okx.Okx, okx.options, "BTC/USDT, ETH/USDT"),
}


def run(test, tmp_path, name="binance"):
    make, options, symbols = VENUES[name]

    async def whole():
        venue = await make(Market(31)).start()
        path = write_config(tmp_path, options(venue.port), symbols=symbols, exchange=name)
        try:
            async with listening(path) as got:
                await until(got, lambda: len(got.live(0)) >= 1 and len(got.live(1)) >= 1)
                await test(venue, got)
                require_true(venue, got)
        finally:
            await venue.stop()

    asyncio.run(whole())


def require_true(venue, got):
    for symbol, name in enumerate(venue.symbols[:2]):
        values = got.values(symbol)
        assert is_whole(values)
        assert values == truth(venue.market, name, values)


async def bars_more(got, count):
    """When each symbol has so many more that may be decided on."""
    wanted = [len(got.live(symbol)) + count for symbol in (0, 1)]
    for symbol in (0, 1):
        await until(got, lambda s=symbol: len(got.live(s)) >= wanted[s])


def is_unbroken(got):
    """Whether every bar since the first that may be decided on may be, too."""
    return all(
        len(got.live(symbol)) == sum(bar["ts_ns"] >= got.live(symbol)[0]["ts_ns"] for bar in bars)
        for symbol, bars in got.bars.items()
    )


@pytest.mark.parametrize("name", ["binance", pytest.param("kraken", marks=pytest.mark.trials)])
def test_a_line_of_known_life_is_followed_before_its_end(tmp_path, monkeypatch, name):
    monkeypatch.setitem(ccxt_source.LIVES_S, name, 60.0)
    monkeypatch.setattr(ccxt_source, "AHEAD_S", 58.5)  # a next line each 1.5 s, 58.5 to speak

    async def test(venue, got):
        await until(got, lambda: venue.opened >= 3 * len(venue.lines) >= 3)
        await bars_more(got, 2)
        assert got.kinds() == []
        assert is_unbroken(got)
        assert {"binance": "FLAG", "kraken": "SUCCESSOR"}[name] in got.proofs(0)[-3:]
        assert len(venue.lines) <= 2  # those that were followed are gone

    run(test, tmp_path, name)


@pytest.mark.parametrize("name", ["binance", pytest.param("okx", marks=pytest.mark.trials)])
def test_a_line_whose_end_is_announced_is_followed(tmp_path, monkeypatch, name):
    monkeypatch.setattr(ccxt_stream, "OLD_ENOUGH_S", 0.0)

    async def test(venue, got):
        (old,) = venue.lines
        await venue.do("shutdown")
        await until(got, lambda: venue.lines and old not in venue.lines)
        await bars_more(got, 2)
        assert got.kinds() == []
        assert is_unbroken(got)
        assert venue.opened == 2
        source = got.feed._source
        await source.facts(is_fresh=True)
        (stream,) = source._streams
        assert stream.exchange is not source._exchange
        assert stream.exchange.markets is source._exchange.markets

    run(test, tmp_path, name)


def test_a_new_line_is_not_asked_for_again_at_every_announcement(tmp_path):
    async def test(venue, got):
        await venue.do("shutdown")
        await bars_more(got, 2)
        assert venue.opened == 1

    run(test, tmp_path)


@pytest.mark.trials
def test_a_line_that_ends_while_no_other_is_to_be_had_is_a_hole(tmp_path, monkeypatch):
    monkeypatch.setitem(ccxt_source.LIVES_S, "binance", 60.0)
    monkeypatch.setattr(ccxt_source, "AHEAD_S", 59.0)

    async def test(venue, got):
        venue.faults.set("full")
        tried = venue.counts["/ws/0"]
        await until(got, lambda: venue.counts["/ws/0"] > tried)  # the next one is refused
        await bars_more(got, 2)
        assert got.kinds() == []
        await venue.do("close")
        await until(got, lambda: "FEED_DOWN" in got.kinds())
        venue.faults.set("full", False)
        await until(got, lambda: "FEED_UP" in got.kinds())
        await bars_more(got, 2)

    run(test, tmp_path)
