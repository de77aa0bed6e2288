"""Best bid and ask beside the bars: of the bar's own time, and only where something reads them."""

import asyncio
import math

import pytest

from tests.extras import require

require("ccxt", "alpaca", "aiohttp")

from tests.venue import alpaca, binance, kraken, test_alpaca_feed
from tests.venue.kit import listening, until, with_spread, write_config
from tests.venue.market import Market
from trader.config.load import load_config
from trader.core.schema import BAR_HISTORY
from trader.feeds.ccxt_quotes import QuoteWatch
from trader.feeds.quotes import QuoteBook, newest_quote, reads_quotes
from trader.feeds.source import SourceTerms

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore:websockets.legacy:DeprecationWarning"),
]
KEYS = {"ALPACA_KEY": "key-id", "ALPACA_SECRET": "key-secret"}
VENUES = {
    "binance": (binance.Binance, binance.options, "BTC/USDT, ETH/USDT", listening),
    "kraken": (kraken.Kraken, kraken.options, "BTC/USD, ETH/USD", listening),
    "alpaca": (
        alpaca.Alpaca,
        alpaca.options,
        "AAPL, MSFT",
        lambda path: test_alpaca_feed.listening(path, KEYS),
    ),
}


def is_quoted(bar):
    return bar["bid"] == bar["bid"]


@pytest.mark.parametrize("name", VENUES)
def test_a_live_bar_carries_a_quote_of_its_own_time_and_none_of_a_line_that_ended(tmp_path, name):
    make, options, symbols, listen = VENUES[name]

    async def test():
        venue = await make(Market(19)).start()
        kind = {"type": "alpaca"} if name == "alpaca" else {}
        try:
            path = write_config(
                tmp_path, options(venue.port), symbols=symbols, exchange=name, **kind
            )
            async with listen(with_spread(path)) as got:
                for symbol in (0, 1):
                    await until(got, lambda s=symbol: sum(map(is_quoted, got.live(s))) >= 2)
                venue.faults.set("no_quotes")
                await venue.do("drop")
                count = len(got.live(0))
                await until(got, lambda: len(got.live(0)) >= count + 2)
                assert not is_quoted(got.live(0)[-1])
        finally:
            await venue.stop()
        return venue, got

    venue, got = asyncio.run(test())
    for symbol, of_venue in enumerate(venue.symbols):
        for bar in got.bars[symbol]:
            if not is_quoted(bar):
                assert math.isnan(bar["ask"])
                continue
            assert not bar["flags"] & BAR_HISTORY
            open_s = int(bar["ts_ns"]) // 10**9 - 1
            shown = venue.shown_quotes
            mine = [pair for at in range(3) for pair in shown.get((of_venue, open_s + at), ())]
            assert (float(bar["bid"]), float(bar["ask"])) in mine


def test_bars_go_on_where_the_line_of_quotes_ends(tmp_path):
    async def test():
        venue = await binance.Binance(Market(19)).start()
        try:
            path = with_spread(write_config(tmp_path, binance.options(venue.port)))
            async with listening(path) as got:
                await until(got, lambda: any(map(is_quoted, got.live(0))))
                (line,) = (line for line in venue.lines if line.quoted)
                assert not line.wanted  # ccxt has a line of its own for them
                line.socket._req.transport.abort()
                count = len(got.bars[0])
                await until(got, lambda: len(got.bars[0]) >= count + 4)
                await until(got, lambda: is_quoted(got.bars[0][-1]))
                assert len(got.live(0)) >= 4
                assert "FEED_DOWN" not in got.kinds()
                assert not [bar for bar in got.bars[0][count:] if bar["flags"] & BAR_HISTORY]
        finally:
            await venue.stop()

    asyncio.run(test())


def test_an_exchange_without_a_stream_of_quotes_says_so():
    import ccxt.pro

    told = []
    terms = SourceTerms(("BTC/USD",), 60 * 10**9, "luno", wants_quotes=True)
    works = list(QuoteWatch(ccxt.pro.luno(), terms, QuoteBook(), told.append).works(10))
    assert works == []
    assert [(one.kind, one.text) for one in told] == [
        ("NO_QUOTES", "luno gives no bid and ask: it streams none")
    ]


def test_nobody_listens_for_quotes_that_nothing_reads(tmp_path):
    async def test():
        venue = await binance.Binance(Market(19)).start()
        try:
            path = write_config(tmp_path, binance.options(venue.port))
            async with listening(path) as got:
                await until(got, lambda: len(got.live(0)) >= 2)
                assert not any(line.quoted for line in venue.lines)
        finally:
            await venue.stop()
        assert not venue.shown_quotes

    asyncio.run(test())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: live", "name: live", False),
        ("max_spread_bps: none", "max_spread_bps: 5", True),
        (
            "broker: {cash: 100000}",
            "broker: {cash: 100000, slippage: {type: half_spread, value: 1}}",
            True,
        ),
        ("slow: {type: sma, period: 4}", "slow: {type: spread_bps}", True),
        ("slow: {type: sma, period: 4}", "slow: {type: SMA, timeperiod: 4, input: bid}", True),
        ("slow: {type: sma, period: 4}", 'slow: {type: python, target: "a:B"}', True),
        ("buy: fast > slow", "buy: fast > slow and ask < 9", True),
        ("buy: fast > slow", "buy: fast > slow and close < 9", False),
    ],
)
def test_quotes_are_wanted_where_the_config_reads_them(tmp_path, old, new, expected):
    path = write_config(tmp_path, {})
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert reads_quotes(load_config(path).config) is expected


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(None, 2.0), (1.0, None), (0.0, 2.0), (1.0, 0.0), (math.nan, 2.0), (1.0, math.inf)],
)
def test_half_a_quote_is_none_and_takes_the_one_before_away(bid, ask):
    book = QuoteBook()
    book.hear(0, 1.0, 2.0, 10.0)
    assert book.since(0, 10.0) == (1.0, 2.0)
    assert math.isnan(book.since(0, 10.1)[0])
    book.hear(0, bid, ask, 11.0)
    assert all(map(math.isnan, book.since(0, 0.0)))


def test_a_market_without_quotes_gives_bars_without():
    assert all(map(math.isnan, newest_quote(object(), 0, 10)))
