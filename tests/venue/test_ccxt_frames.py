"""Frames of exchanges that no loopback server speaks, through ccxt's classes with ears.

The frames have the shapes of ccxt's own notes (4.5.90) and values of ours.
"""

import asyncio
import sys
from types import SimpleNamespace

import pytest

from tests.extras import require

require("ccxt")

from trader.errors import ConfigError
from trader.feeds.ccxt_classes import Ears, exchange_class, library_of
from trader.feeds.ccxt_markets import (
    facts_of,
    groups_of,
    options_for,
    raw_bar,
    require_tradable,
    volume_unit,
)
from trader.feeds.ccxt_source import CcxtSource
from trader.feeds.source import Finality, RawBar, SourceTerms

OPEN_S = 1_796_000_040
PRICES = {"o": "10.0", "h": "12.0", "l": "9.0", "c": "11.0"}
LIST = ["10.0", "12.0", "9.0", "11.0"]  # open, high, low, close
CHINESE = ["10.0", "11.0", "12.0", "9.0"]  # open, close, high, low
GATE = {**PRICES, "t": OPEN_S, "v": "3", "n": "1m_BTC_USDT"}
KUCOIN = [str(OPEN_S), *CHINESE, "3", "3"]
MEXC = {**PRICES, "t": OPEN_S, "interval": "Min1", "q": 3, "a": 33, "symbol": "BTC_USDT"}
HTX = {"id": OPEN_S, "open": 10.0, "close": 11.0, "low": 9.0, "high": 12.0, "amount": 3, "vol": 33}
FRAMES = {  # exchange, symbol, its id, size of a contract, frame, volume
    "gate": ("gate", "BTC/USDT", "BTC_USDT", None,
             {"channel": "spot.candlesticks", "result": GATE}, 3.0),
    "gate swap": ("gate", "BTC/USDT:USDT", "BTC_USDT", 0.0001,
                  {"channel": "futures.candlesticks", "result": [GATE]}, 0.0003),
    "kucoin": ("kucoin", "BTC/USDT", "BTC-USDT", None,
               {"data": {"symbol": "BTC-USDT", "candles": KUCOIN},
                "topic": "/market/candles:BTC-USDT_1min"}, 3.0),
    "kucoin swap": ("kucoinfutures", "BTC/USDT:USDT", "XBTUSDTM", 0.001,
                    {"data": {"symbol": "XBTUSDTM", "candles": KUCOIN},
                     "topic": "/contractMarket/limitCandle:XBTUSDTM_1min"}, 0.003),
    "bitget": ("bitget", "BTC/USDT", "BTCUSDT", None,
               {"arg": {"instType": "SPOT", "channel": "candle1m", "instId": "BTCUSDT"},
                "data": [[str(OPEN_S * 1000), *LIST, "3", "33", "33"]]}, 3.0),
    "bitget swap": ("bitget", "BTC/USDT:USDT", "BTCUSDT", 1.0,
                    {"arg": {"instType": "USDT-FUTURES", "channel": "candle1m",
                             "instId": "BTCUSDT"},
                     "data": [[str(OPEN_S * 1000), *LIST, "3", "33", "33"]]}, 3.0),
    "mexc swap": ("mexc", "BTC/USDT:USDT", "BTC_USDT", 0.0001,
                  {"channel": "push.kline", "data": MEXC, "symbol": "BTC_USDT"}, 0.0003),
    "htx swap": ("htx", "BTC/USDT:USDT", "BTC-USDT", 0.001,
                 {"ch": "market.BTC-USDT.kline.1min", "tick": HTX}, 3.0),
    "hyperliquid": ("hyperliquid", "BTC/USDC:USDC", "0", 1.0,
                    {"channel": "candle", "data": {**PRICES, "t": OPEN_S * 1000, "s": "BTC",
                                                   "i": "1m", "v": "3"}}, 3.0),
    "bitfinex": ("bitfinex", "BTC/USD", "tBTCUSD", None,
                 [1, [OPEN_S * 1000, 10.0, 11.0, 12.0, 9.0, 3.0]], 3.0),
}  # fmt: skip


def market(symbol, of_venue, size, **more):
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    return {
        "id": of_venue, "symbol": symbol, "base": base, "quote": quote, "settle": settle or None,
        "baseId": base, "quoteId": quote, "settleId": settle or None, "baseName": base,
        "type": "swap" if settle else "spot", "spot": not settle, "swap": bool(settle),
        "future": False, "option": False, "active": True, "contract": bool(settle),
        "linear": settle == quote if settle else None, "contractSize": size,
        "precision": {"price": 0.1, "amount": 1.0}, "limits": {"amount": {"min": 1.0}}, **more,
    }  # fmt: skip


def exchange_of(name, *markets):
    ears = Ears(lambda *_: None, lambda *_: None, lambda *_: None)
    options = options_for(name, [market["symbol"] for market in markets], {})
    made = exchange_class(name, library_of(name), ears)(options)
    made.set_markets(list(markets))
    return made


@pytest.mark.parametrize("case", FRAMES)
def test_a_documented_frame_is_the_bar_it_says_in_units_of_the_base(case):
    name, symbol, of_venue, size, frame, volume = FRAMES[case]
    if name == "mexc":
        pytest.importorskip("google.protobuf")

    async def test():
        exchange = exchange_of(name, market(symbol, of_venue, size))
        client = SimpleNamespace(url="wss://venue", resolve=lambda *_: None)
        rest = [{"channel": "candles", "key": "trade:1m:tBTCUSD"}] if name == "bitfinex" else []
        exchange.handle_ohlcv(client, frame, *rest)
        (row,) = exchange.ohlcvs[symbol]["1m"]
        bar = raw_bar(row, volume_unit(exchange, symbol))
        assert bar == RawBar(OPEN_S * 10**9, 10.0, 12.0, 9.0, 11.0, volume)
        assert exchange.bar_lines == {"wss://venue"}
        await exchange.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("name", "finality", "groups"),
    [
        ("gate", Finality.SUCCESSOR, [("A/B",), ("C/B",), ("A/B:B",)]),
        ("bybitid", Finality.FLAG, [("A/B", "C/B"), ("A/B:B",)]),
        ("coinbase", Finality.POLL, []),
    ],
)
def test_symbols_are_subscribed_to_as_the_exchange_takes_them(name, finality, groups):
    async def test():
        source = CcxtSource(SourceTerms(("A/B", "A/B:B", "C/B"), 60 * 10**9, name))
        stream = source._next_stream()
        symbols = zip(source._terms.symbols, ("a", "p", "c"), strict=True)
        stream.exchange.set_markets([market(symbol, of_venue, 1.0) for symbol, of_venue in symbols])
        assert (stream.finality, stream._groups()) == (finality, groups)
        await source.close()

    asyncio.run(test())


def test_markets_are_in_groups_of_one_kind_and_size():
    exchange = exchange_of("bybit", *(market(f"{name}/B", name, None) for name in "ACDEF"))
    assert list(groups_of(exchange, ["A/B", "C/B", "D/B"], 2)) == [("A/B", "C/B"), ("D/B",)]


def test_long_bars_of_bitget_are_asked_for_and_read_by_their_utc_names():
    asked = []
    exchange = exchange_of("bitget", market("BTC/USDT", "BTCUSDT", None))

    async def watch_public(_is_unified, _hash, arguments, _params):
        asked.append(arguments["channel"])
        raise LookupError

    exchange.watch_public = watch_public
    with pytest.raises(LookupError):
        asyncio.run(exchange.watch_ohlcv("BTC/USDT", "1d"))
    arg = {"instType": "SPOT", "channel": asked[0], "instId": "BTCUSDT"}
    client = SimpleNamespace(url="wss://venue", resolve=lambda *_: None)
    exchange.handle_ohlcv(client, {"arg": arg, "data": [["86400000", *LIST, "3", "33", "33"]]})
    assert asked == ["candle1Dutc"]
    assert list(exchange.ohlcvs["BTC/USDT"]) == ["1d"]


def test_a_contract_of_unknown_size_is_refused_and_a_known_one_multiplies_the_steps():
    markets = market("A/B:B", "a", 0.01), market("C/B:B", "c", None), market("A/B:A", "i", 1.0)
    option = market("D/B:B", "d", 1.0, option=True, swap=False)
    exchange = exchange_of("okx", *markets, option)
    require_tradable(exchange, "A/B:B", "key")
    fact = facts_of(exchange, "A/B:B")
    assert (str(fact.lot_size), str(fact.min_qty), str(fact.tick_size)) == ("0.01", "0.01", "0.1")
    for symbol, message in (
        ("C/B:B", "okx does not say how much a contract of C/B:B is"),
        ("A/B:A", "does not gain in proportion"),
        ("D/B:B", "it is an option"),
    ):
        with pytest.raises(ConfigError, match=message):
            require_tradable(exchange, symbol, "key")


def test_mexc_without_what_reads_its_bars_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(ConfigError, match="pip install protobuf"):
        library_of("mexc")
