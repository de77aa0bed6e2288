"""The venues are no mirror of our adapters: clients that others wrote accept them."""

import asyncio

import pytest

pytest.importorskip("aiohttp")

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
