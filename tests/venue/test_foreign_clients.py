"""The venues are no mirror of our adapters: clients that others wrote accept them.

Alpaca's older library pins an old websockets, so that it is in no extra: install it beside
(`pip install --no-deps --target DIR alpaca-trade-api websockets==10.4 deprecation
websocket-client`) and put DIR first on the path. Those of Bybit and OKX likewise, each with a
folder of its own: `pip install --target DIR pybit`, `pip install --target DIR python-okx`.
"""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from tests.extras import require

require("aiohttp")

from tests.venue.market import Market

pytestmark = pytest.mark.process


def test_python_binance_reads_the_same_bars():
    binance = pytest.importorskip("binance")
    from tests.venue.binance import Binance

    async def whole():
        venue = await Binance(Market(5)).start()
        client = binance.AsyncClient()
        client.API_URL = f"http://127.0.0.1:{venue.port}/api"
        try:
            now_s = int(venue.market.now_s())
            rows = await client.get_klines(
                symbol="BTCUSDT", interval="1s", startTime=(now_s - 5) * 1000, limit=3
            )
            info = await client.get_symbol_info("BTCUSDT")
            streams = binance.BinanceSocketManager(client)
            streams.STREAM_URL = f"ws://127.0.0.1:{venue.port}/"
            async with streams.kline_socket("BTCUSDT", interval="1s") as line:
                while not (told := (await asyncio.wait_for(line.recv(), 30))["k"])["x"]:
                    pass
        finally:
            await client.close_connection()
            await venue.stop()
        for row in rows:
            values = tuple(float(value) for value in row[1:6])
            assert values == venue.market.bar("BTCUSDT", row[0] // 1000)
        values = tuple(float(told[name]) for name in "ohlcv")
        assert values == venue.market.bar("BTCUSDT", told["t"] // 1000)
        assert info["filters"][1]["stepSize"] == "0.00010000"

    asyncio.run(whole())


def test_python_kraken_sdk_reads_the_same_bars():
    sdk = pytest.importorskip("kraken.spot")
    from tests.venue.kraken import Kraken

    async def whole():
        venue = await Kraken(Market(5, 60)).start()
        asked = sdk.Market(url=f"http://127.0.0.1:{venue.port}")
        heard = asyncio.Queue()

        async def hear(message):
            heard.put_nowait(message)

        client = sdk.SpotWSClient(
            callback=hear,
            rest_url=f"http://127.0.0.1:{venue.port}",
            ws_url=f"ws://127.0.0.1:{venue.port}",
        )
        try:
            rows = (await asyncio.to_thread(asked.get_ohlc, "XXBTZUSD", 1))["XXBTZUSD"]
            pairs = await asyncio.to_thread(asked.get_asset_pairs)
            await client.start()
            wanted = {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1}
            await client.subscribe(params=wanted)
            while True:
                told = await asyncio.wait_for(heard.get(), 30)
                if told.get("channel") == "ohlc" and told["type"] == "snapshot":
                    break
        finally:
            await client.close()
            await venue.stop()
        for row in rows[-20:-1]:
            values = tuple(float(row[place]) for place in (1, 2, 3, 4, 6))
            assert values == venue.market.bar("BTC/USD", row[0])
        assert len(told["data"]) > 2
        for candle in told["data"][:-1]:
            opened = datetime.fromisoformat(candle["interval_begin"][:19] + "+00:00")
            names = ("open", "high", "low", "close", "volume")
            values = tuple(candle[name] for name in names)
            assert values == venue.market.bar("BTC/USD", int(opened.timestamp()))
        assert pairs["XXBTZUSD"]["tick_size"] == "0.01"

    asyncio.run(whole())


def test_pybit_reads_the_same_bars(monkeypatch):
    sdk = pytest.importorskip("pybit.unified_trading")
    from tests.venue.bybit import Bybit

    async def whole():
        venue = await Bybit(Market(5, 60)).start()
        monkeypatch.setattr(sdk, "PUBLIC_WSS", f"ws://127.0.0.1:{venue.port}/v5/public/linear")
        asked, heard, loop = sdk.HTTP(), asyncio.Queue(), asyncio.get_running_loop()
        asked.endpoint = f"http://127.0.0.1:{venue.port}"
        terms = {"category": "linear", "symbol": "BTCUSDT"}
        line = None
        try:
            start_ms = (int(venue.market.now_s()) - 600) * 1000
            told = await asyncio.to_thread(
                asked.get_kline, **terms, interval=1, start=start_ms, limit=5
            )
            info = await asyncio.to_thread(asked.get_instruments_info, **terms)
            line = await asyncio.to_thread(sdk.WebSocket, "linear", testnet=False)
            hear = lambda frame: loop.call_soon_threadsafe(heard.put_nowait, frame)  # noqa: E731
            await asyncio.to_thread(line.kline_stream, 1, "BTCUSDT", hear)
            frame = venue.frame("linear.BTCUSDT", start_ms // 60_000 * 60, 1.0, True)
            while not any(one.wanted for one in venue.lines):
                await asyncio.sleep(0.01)
            await venue._send("linear.BTCUSDT", frame)
            bar = (await asyncio.wait_for(heard.get(), 30))["data"][0]
        finally:
            if line is not None:
                line.exit()
            await venue.stop()
        for row in told["result"]["list"]:
            values = tuple(float(value) for value in row[1:6])
            assert values == venue.market.bar("linear.BTCUSDT", int(row[0]) // 1000)
        names = ("open", "high", "low", "close", "volume")
        values = tuple(float(bar[name]) for name in names)
        assert values == venue.market.bar("linear.BTCUSDT", bar["start"] // 1000)
        assert bar["confirm"] is True
        assert info["result"]["list"][0]["lotSizeFilter"]["qtyStep"] == "0.001"

    asyncio.run(whole())


def test_python_okx_reads_the_same_bars():
    sdk = pytest.importorskip("okx.MarketData")
    import websockets
    from okx import PublicData
    from okx.websocket.WsPublicAsync import WsPublicAsync

    from tests.venue.okx import Okx

    async def whole():
        venue = await Okx(Market(5)).start()
        name, url = "BTC-USDT-SWAP", f"127.0.0.1:{venue.port}"
        asked = sdk.MarketAPI(flag="0", domain=f"http://{url}")
        public = PublicData.PublicAPI(flag="0", domain=f"http://{url}")
        line, heard = WsPublicAsync("wss://nowhere"), asyncio.Queue()
        line.factory.connect = lambda: websockets.connect(f"ws://{url}/ws/v5/business")
        try:
            told = await asyncio.to_thread(asked.get_candlesticks, name, bar="1s", limit=5)
            info = await asyncio.to_thread(public.get_instruments, "SWAP")
            await line.start()
            await line.subscribe([{"channel": "candle1s", "instId": name}], heard.put_nowait)
            while True:
                frame = json.loads(await asyncio.wait_for(heard.get(), 30))
                if frame.get("data") and frame["data"][0][-1] == "1":
                    break
            await line.stop()
        finally:
            await venue.stop()
        rows = [*told["data"][1:], *frame["data"]]
        assert len(rows) == 5
        for row in rows:
            values = *map(float, row[1:5]), float(row[6])
            assert values == venue.market.bar(name, int(row[0]) // 1000)
            assert row[8] == "1"
        assert info["data"][0]["ctVal"] == "0.01"

    asyncio.run(whole())


def test_alpaca_trade_api_reads_the_same_bars(monkeypatch):
    sdk = pytest.importorskip("alpaca_trade_api")
    from alpaca_trade_api.stream import DataStream

    from tests.venue.alpaca import Alpaca

    async def whole():
        venue = await Alpaca(Market(5)).start()
        url = f"http://127.0.0.1:{venue.port}"
        monkeypatch.setenv("APCA_API_DATA_URL", url)
        asked = sdk.REST(*venue.keys, url)
        line, heard = DataStream(*venue.keys, url, raw_data=True), asyncio.Queue()
        line.subscribe_bars(heard.put, "AAPL")
        try:
            now_s = int(venue.market.now_s())
            day = [datetime.fromtimestamp(now_s - ago, UTC).isoformat() for ago in (9, 2)]
            span = sdk.TimeFrame.Minute, *day
            pages = asked.get_bars_iter(["AAPL"], *span, raw=True)
            rows = await asyncio.to_thread(list, pages)
            await line._start_ws()
            await line._subscribe_all()
            listening = asyncio.ensure_future(line._consume())
            told = await asyncio.wait_for(heard.get(), 30)
            listening.cancel()
            await line.close()
        finally:
            await venue.stop()
        assert len(rows) == 8  # by three pages
        for row in rows:
            values = tuple(row[name] for name in "ohlcv")
            opened = datetime.fromisoformat(row["t"])
            assert values == venue.market.bar("AAPL", int(opened.timestamp()))
        values = tuple(told[name] for name in "ohlcv")
        assert values == venue.market.bar("AAPL", told["t"].seconds)

    asyncio.run(whole())
