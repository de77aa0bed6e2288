"""OKX, market data of spot and of swaps in USDT: REST and WebSocket v5.

Read at www.okx.com/docs-v5/en (public data: instruments, system time; market data: candlesticks,
candlesticks history; websocket: connect, candlesticks channel, order book channel), 2026-11. The
last field of a candle says whether it is closed. Candles come by /business only. Sizes of swaps
are in contracts of `ctVal`. Bars of a second are OKX's own; ccxt does not list them.
"""

import json

from aiohttp import WSMsgType, web

from tests.venue.server import Venue, main

MARKETS = ("BTC-USDT", "ETH-USDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP")
ALL = (*MARKETS, "BTC-USD-SWAP")
CONTRACT = {"BTC-USDT-SWAP": "0.01", "ETH-USDT-SWAP": "0.1", "BTC-USD-SWAP": "100"}
PAGE = 300


class Okx(Venue):
    name = "okx"
    delistable = "ETH-USDT"
    symbols = MARKETS
    listed_s = 0  # before that there is no bar

    @property
    def bar(self):
        return {1: "1s", 60: "1m", 21_600: "6Hutc"}[self.market.period_s]

    def routes(self):
        return [
            web.get("/api/v5/public/time", self.time),
            web.get("/api/v5/public/instruments", self.instruments),
            web.get("/api/v5/market/candles", self.candles),
            web.get("/api/v5/market/history-candles", self.candles),
            web.get("/ws/v5/{part}", self.socket),
        ]

    def now_ms(self):
        return round(self.market.now_s() * 1000)

    def answer(self, data, code="0", text=""):
        return web.json_response({"code": code, "msg": text, "data": data})

    async def time(self, request):
        return self.answer([{"ts": str(self.now_ms())}])

    async def instruments(self, request):
        kind = request.query["instType"]
        rows = [self.instrument(name) for name in ALL if name not in self.delisted]
        return self.answer([row for row in rows if row["instType"] == kind])

    def instrument(self, name):
        base, quote = name.split("-")[:2]
        told = {"instId": name, "state": "live", "listTime": str(self.listed_s * 1000 or ""),
                "instFamily": "", "lever": "10", "alias": "", "stk": "", "optType": "",
                "expTime": "", "ruleType": "normal"}  # fmt: skip
        if name not in CONTRACT:
            return {**told, "instType": "SPOT", "baseCcy": base, "quoteCcy": quote, "ctVal": "",
                    "ctMult": "", "ctType": "", "ctValCcy": "", "settleCcy": "", "uly": "",
                    "lotSz": "0.00000001", "minSz": "0.00001", "tickSz": "0.01"}  # fmt: skip
        inverse = quote == "USD"
        return {**told, "instType": "SWAP", "baseCcy": "", "quoteCcy": "",
                "uly": f"{base}-{quote}", "instFamily": f"{base}-{quote}",
                "ctVal": CONTRACT[name], "ctMult": "1", "ctValCcy": quote if inverse else base,
                "ctType": "inverse" if inverse else "linear",
                "settleCcy": base if inverse else quote, "lotSz": "0.01", "minSz": "0.01",
                "tickSz": "0.1"}  # fmt: skip

    async def candles(self, request):
        asked = request.query
        name = asked["instId"]
        if name not in self.symbols or name in self.delisted:
            return self.answer([], "51001", "Instrument ID doesn't exist.")
        if asked["bar"] != self.bar:
            return self.answer([], "51000", "Parameter bar error")
        now_s = self.market.now_s()
        after_s = int(asked.get("after", self.now_ms() + 1000)) / 1000  # earlier than
        before_s = int(asked.get("before", 0)) / 1000  # later than
        start_s = max(before_s + 0.001, self.listed_s, after_s - 2000 * self.market.period_s)
        opens = self.market.opens(start_s, min(after_s, now_s))
        limit = min(int(asked.get("limit", 100)), PAGE)
        return self.answer([self.candle(name, at) for at in reversed(opens[-limit:])])

    def candle(self, name, at, share=None, is_closed=None):
        share = self.market.share(at) if share is None else share
        *prices, volume = self.market.bar(name, at, share)
        is_closed = share >= 1.0 if is_closed is None else is_closed
        turnover = f"{volume * prices[3]:.4f}"
        sizes = [str(volume), turnover, turnover]  # volume, in currency, in quote
        if name in CONTRACT:
            sizes = [f"{volume / float(CONTRACT[name]):.4f}", str(volume), turnover]
        return [str(at * 1000), *map(str, prices), *sizes, "1" if is_closed else "0"]

    def frame(self, symbol, open_s, share, is_closed):
        arg = {"channel": f"candle{self.bar}", "instId": symbol}
        return {"arg": arg, "data": [self.candle(symbol, open_s, share, is_closed)]}

    def quote_frame(self, symbol, bid, ask):
        data = {"asks": [[str(ask), "2.5", "0", "17"]], "bids": [[str(bid), "1.5", "0", "2"]],
                "ts": str(self.now_ms()), "seqId": 363996337}  # fmt: skip
        return {"arg": {"channel": "bbo-tbt", "instId": symbol}, "data": [data]}

    def last_word(self):
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return {"event": "notice", "code": "64008", "msg": text, "connId": "a4d3ae55"}

    async def socket(self, request):
        async with self.line(request) as line:
            async for message in line.socket:
                if message.type != WSMsgType.TEXT:
                    continue
                if message.data == "ping":
                    await line.socket.send_str("pong")
                    continue
                asked = json.loads(message.data)
                for arg in asked["args"] if asked["op"] == "subscribe" else ():
                    told = self.subscribed(line, request.match_info["part"], arg)
                    await line.socket.send_json({**told, "connId": "a4d3ae55"})
            return line.socket

    def subscribed(self, line, part, arg):
        """What the answer says; each argument has its own."""
        name, channel = arg["instId"], arg["channel"]
        is_bar = channel == f"candle{self.bar}"
        is_right = part == ("business" if is_bar else "public")
        if not self.has_line(name) or not is_right:
            text = f"Wrong URL or channel:{channel},instId:{name} doesn't exist."
            return {"event": "error", "code": "60018", "msg": text}
        if is_bar:
            line.wanted.add(name)
        elif channel == "bbo-tbt":
            line.quoted.add(name)
        return {"event": "subscribe", "arg": arg}


def options(port):
    """What `feed.options` says to point ccxt here, with bars of a second."""
    rest, line = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws/v5"
    urls = {"api": {"rest": rest, "ws": line}}
    return {"urls": urls, "timeframes": {"1s": "1s"}, "rateLimit": 20}


if __name__ == "__main__":
    main(Okx)
