"""Binance spot, market data: REST v3 and the WebSocket streams.

Read at developers.binance.com/docs/binance-spot-api-docs (rest-api, web-socket-streams), 2026-11.
"""

import json

from aiohttp import WSMsgType, web

from tests.venue.server import Venue, main

INTERVALS = {"1s": 1, "10s": 10, "1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}
NAMES = {"BTCUSDT": ("BTC", "USDT"), "ETHUSDT": ("ETH", "USDT"), "SOLUSDT": ("SOL", "USDT")}


def text(number, places=8):
    return f"{number:.{places}f}"


class Binance(Venue):
    name = "binance"
    delistable = "ETHUSDT"

    def __init__(self, market, faults=None, symbols=("BTCUSDT", "ETHUSDT")):
        super().__init__(market, faults)
        self.symbols = symbols

    def routes(self):
        return [
            web.get("/api/v3/ping", self.ping),
            web.get("/api/v3/time", self.time),
            web.get("/api/v3/exchangeInfo", self.info),
            web.get("/api/v3/klines", self.klines),
            web.get("/ws/{stream}", self.socket),
            web.get("/ws", self.socket),
            web.get("/stream", self.socket),
        ]

    async def ping(self, request):
        return web.json_response({})

    async def time(self, request):
        return web.json_response({"serverTime": round(self.market.now_s() * 1000)})

    async def info(self, request):
        return web.json_response(
            {
                "timezone": "UTC",
                "serverTime": round(self.market.now_s() * 1000),
                "rateLimits": [],
                "symbols": [self.instrument(symbol) for symbol in self.symbols],
            }
        )

    def instrument(self, symbol):
        tick = self.faults.on.get("tick", "0.01000000")
        base, quote = NAMES.get(symbol, (symbol.removesuffix("USDT"), "USDT"))
        return {
            "symbol": symbol,
            "status": "BREAK" if symbol in self.delisted else "TRADING",
            "baseAsset": base,
            "baseAssetPrecision": 8,
            "quoteAsset": quote,
            "quotePrecision": 8,
            "orderTypes": ["LIMIT", "MARKET"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01000000",
                 "maxPrice": "1000000.00000000", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": "0.00010000", "maxQty": "9000.00000000",
                 "stepSize": "0.00010000"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000",
                 "applyMinToMarket": True, "maxNotional": "9000000.00000000"},
            ],
        }  # fmt: skip

    async def klines(self, request):
        symbol, interval = request.query["symbol"], request.query["interval"]
        if symbol not in self.symbols or symbol in self.delisted:
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        if INTERVALS.get(interval) != self.market.period_s:
            return web.json_response({"code": -1120, "msg": "Invalid interval."}, status=400)
        limit = min(int(request.query.get("limit", 500)), 1000)
        end_s = int(request.query.get("endTime", 2**62)) / 1000 + 0.001
        now_s = self.market.now_s()
        start = request.query.get("startTime")
        start_s = int(start) / 1000 if start else now_s - limit * self.market.period_s
        opens = list(self.market.opens(start_s, min(end_s, now_s)))[:limit]
        return web.json_response([self.row(symbol, at) for at in opens])

    def row(self, symbol, at):
        opened, high, low, close, volume = self.market.bar(symbol, at, self.market.share(at))
        prices = [text(price) for price in (opened, high, low, close, volume)]
        end_ms = (at + self.market.period_s) * 1000 - 1
        return [at * 1000, *prices, end_ms, text(volume * close), 12, "0.0", "0.0", "0"]

    def interval(self):
        return next(name for name, length in INTERVALS.items() if length == self.market.period_s)

    def frame(self, symbol, open_s, share, is_closed):
        opened, high, low, close, volume = self.market.bar(symbol, open_s, share)
        return {
            "e": "kline",
            "E": round(self.market.now_s() * 1000),
            "s": symbol,
            "k": {
                "t": open_s * 1000,
                "T": (open_s + self.market.period_s) * 1000 - 1,
                "s": symbol,
                "i": self.interval(),
                "f": 100,
                "L": 200,
                "o": text(opened),
                "c": text(close),
                "h": text(high),
                "l": text(low),
                "v": text(volume),
                "n": 12,
                "x": is_closed,
                "q": text(volume * close),
                "V": "0.0",
                "Q": "0.0",
                "B": "0",
            },
        }

    def quote_frame(self, symbol, bid, ask):
        return {"u": round(self.market.now_s() * 1000), "s": symbol, "b": text(bid),
                "B": "1.00000000", "a": text(ask), "A": "2.00000000"}  # fmt: skip

    def wrapped(self, line, symbol, frame):
        if not line.is_combined:
            return frame
        return {"stream": f"{symbol.lower()}@kline_{self.interval()}", "data": frame}

    async def socket(self, request):
        async with self.line(request) as line:
            line.is_combined = request.path == "/stream"
            streams = request.query.get("streams", request.match_info.get("stream", ""))
            self.subscribe(line, streams.split("/"))
            async for message in line.socket:
                if message.type != WSMsgType.TEXT:
                    continue
                told = json.loads(message.data)
                if told.get("method") == "SUBSCRIBE":
                    self.subscribe(line, told["params"])
                    await line.socket.send_json({"result": None, "id": told["id"]})
            return line.socket

    def subscribe(self, line, streams):
        for stream in streams:
            symbol, at, channel = stream.upper().partition("@")
            if at and channel == f"KLINE_{self.interval().upper()}":
                line.wanted.add(symbol)
            elif at and channel == "BOOKTICKER":
                line.quoted.add(symbol)


def options(port):
    """What `feed.options` says to point ccxt here."""
    rest, line = f"http://127.0.0.1:{port}/api/v3", f"ws://127.0.0.1:{port}/ws"
    return {"urls": {"api": {"public": rest, "private": rest, "ws": {"spot": line}}}}


if __name__ == "__main__":
    main(Binance)
