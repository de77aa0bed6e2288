"""Bybit, market data of spot and linear contracts: REST and WebSocket v5.

Read at bybit-exchange.github.io/docs/v5 (market: time, instrument, kline; websocket: connect,
public kline, public orderbook), 2026-11. A bar's last frame has `confirm`. What the documents do
not say is taken at its worst: one topic that is not there refuses the whole request.
An interval of 1s is ours: it lets tests run in seconds.
"""

import json

from aiohttp import WSMsgType, web

from tests.venue.server import Venue, main

MARKETS = ("spot.BTCUSDT", "spot.ETHUSDT", "linear.BTCUSDT", "linear.ETHUSDT")
ALL = (*MARKETS, "inverse.BTCUSD")
CONTRACTS = {"linear": "LinearPerpetual", "inverse": "InversePerpetual"}


class Bybit(Venue):
    name = "bybit"
    delistable = "spot.ETHUSDT"
    symbols = MARKETS

    @property
    def interval(self):
        return {1: "1s", 60: "1"}[self.market.period_s]

    def routes(self):
        return [
            web.get("/v5/market/time", self.time),
            web.get("/v5/market/instruments-info", self.instruments),
            web.get("/v5/market/kline", self.klines),
            web.get("/v5/public/{category}", self.socket),
        ]

    def now_ms(self):
        return round(self.market.now_s() * 1000)

    def answer(self, result, code=0, text="OK"):
        told = {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}}
        return web.json_response({**told, "time": self.now_ms()})

    def refusal(self):
        """HTTP 200 all the same."""
        if "10006" in self.faults:
            return self.answer({}, 10006, "Too many visits. Exceeded the API Rate Limit.")
        return None

    async def time(self, request):
        now_ms = self.now_ms()
        return self.answer({"timeSecond": str(now_ms // 1000), "timeNano": f"{now_ms}000000"})

    async def instruments(self, request):
        category = request.query["category"]
        rows = [
            self.instrument(*name.split("."))
            for name in ALL
            if name.startswith(f"{category}.") and name not in self.delisted
        ]
        if request.query.get("status", "Trading") != "Trading":
            rows = []
        return self.answer({"category": category, "list": rows, "nextPageCursor": ""})

    def instrument(self, category, symbol):
        base, quote = symbol[:3], symbol[3:]
        told = {"symbol": symbol, "baseCoin": base, "quoteCoin": quote, "status": "Trading"}
        if category == "spot":
            lots = {"basePrecision": "0.000001", "quotePrecision": "0.00000001",
                    "minOrderQty": "0.000048", "maxOrderQty": "71.7", "minOrderAmt": "5",
                    "maxOrderAmt": "4000000"}  # fmt: skip
            prices = {"tickSize": "0.01"}
            return {**told, "innovation": "0", "marginTrading": "utaOnly", "lotSizeFilter": lots,
                    "priceFilter": prices}  # fmt: skip
        lots = {"qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "1190.000",
                "postOnlyMaxOrderQty": "1190.000", "minNotionalValue": "5"}  # fmt: skip
        return {
            **told, "contractType": CONTRACTS[category], "launchTime": "1585526400000",
            "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "2", "fundingInterval": 480,
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
            "lotSizeFilter": lots, "unifiedMarginTrade": True,
            "settleCoin": base if category == "inverse" else quote,
        }  # fmt: skip

    async def klines(self, request):
        name = f"{request.query['category']}.{request.query['symbol']}"
        if told := self.refusal():
            return told
        if name not in self.symbols or name in self.delisted:
            spot = name.startswith("spot")
            text = "Not supported symbols" if spot else "params error: Symbol Is Invalid"
            return self.answer({}, 10001, text)
        if request.query["interval"] != self.interval:
            return self.answer({}, 10001, "Invalid period!")
        start_s, now_s = int(request.query["start"]) / 1000, self.market.now_s()
        opens = self.market.opens(start_s, now_s)[: int(request.query.get("limit", 200))]
        rows = [
            [str(at * 1000), *self.numbers(name, at, self.market.share(at))]
            for at in reversed(opens)
        ]
        category, symbol = name.split(".")
        return self.answer({"category": category, "symbol": symbol, "list": rows})

    def numbers(self, name, at, share):
        """Open, high, low, close, volume, turnover as texts."""
        *prices, volume = self.market.bar(name, at, share)
        return [*map(str, prices), str(volume), f"{volume * prices[3]:.4f}"]

    def frame(self, symbol, open_s, share, is_closed):
        numbers = self.numbers(symbol, open_s, share)
        names = ("open", "high", "low", "close", "volume", "turnover")
        row = dict(zip(names, numbers, strict=True))
        end_ms = (open_s + self.market.period_s) * 1000 - 1
        row |= {"start": open_s * 1000, "end": end_ms, "interval": self.interval,
                "confirm": is_closed, "timestamp": self.now_ms()}  # fmt: skip
        topic = f"kline.{self.interval}.{symbol.split('.')[1]}"
        return {"topic": topic, "data": [row], "ts": self.now_ms(), "type": "snapshot"}

    def quote_frame(self, symbol, bid, ask):
        name = symbol.split(".")[1]
        data = {"s": name, "b": [[str(bid), "1.5"]], "a": [[str(ask), "2.5"]], "u": 18521288,
                "seq": 7961638724}  # fmt: skip
        told = {"topic": f"orderbook.1.{name}", "type": "snapshot", "data": data}
        return {**told, "ts": self.now_ms(), "cts": self.now_ms()}

    async def socket(self, request):
        category = request.match_info["category"]
        async with self.line(request) as line:
            async for message in line.socket:
                if message.type != WSMsgType.TEXT:
                    continue
                asked = json.loads(message.data)
                told = {"success": True, "ret_msg": "", "conn_id": "c", "op": asked["op"],
                        "req_id": str(asked.get("req_id", ""))}  # fmt: skip
                if asked["op"] == "ping":
                    told["ret_msg"] = "pong"
                elif asked["op"] == "subscribe":
                    told |= self.subscribed(line, category, asked["args"])
                await line.socket.send_json(told)
            return line.socket

    def subscribed(self, line, category, topics):
        """What the answer says; a spot line takes ten topics of a request."""
        names = [f"{category}.{topic.split('.')[-1]}" for topic in topics]
        for topic, name in zip(topics, names, strict=True):
            if not self.has_line(name):
                return {"success": False, "ret_msg": f"error:handler not found,topic:{topic}"}
        if category == "spot" and len(topics) > 10:
            return {"success": False, "ret_msg": "args size >10"}
        for topic, name in zip(topics, names, strict=True):
            if topic.startswith(f"kline.{self.interval}."):
                line.wanted.add(name)
            elif topic.startswith("orderbook.1."):
                line.quoted.add(name)
        return {"ret_msg": "subscribe"}


def options(port):
    """What `feed.options` says to point ccxt here, with bars of a second."""
    rest, line = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/v5/public"
    lines = {category: f"{line}/{category}" for category in ("spot", "linear", "inverse")}
    urls = {"api": {"public": rest, "private": rest, "ws": {"public": lines}}}
    return {"urls": urls, "timeframes": {"1s": "1s"}}


if __name__ == "__main__":
    main(Bybit)
