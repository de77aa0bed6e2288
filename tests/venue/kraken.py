"""Kraken spot, market data: REST 0/public and WebSocket v2.

Read at docs.kraken.com/api (rest-api: get-ohlc-data, get-tradable-asset-pairs, get-server-time;
websocket-v2: ohlc, ticker), 2026-11. It sends no flag of a close, and no row for a minute without a
trade.
An interval of 0 means one second here, which Kraken has not: it lets tests run in seconds.
"""

import json
import time

from aiohttp import WSMsgType, web

from tests.venue.server import Venue, main

PAIRS = {"BTC/USD": "XXBTZUSD", "ETH/USD": "XETHZUSD"}
ALT = {"XXBTZUSD": ("XBTUSD", "XXBT"), "XETHZUSD": ("ETHUSD", "XETH")}


class Kraken(Venue):
    name = "kraken"
    delistable = "ETH/USD"
    symbols = tuple(PAIRS)

    def shown(self, share):
        """The last trade comes before the end: what the line shows last is the whole bar."""
        return 1.0 if share >= 0.9 else share

    @property
    def interval(self):
        return self.market.period_s // 60

    def routes(self):
        return [
            web.get("/0/public/Time", self.time),
            web.get("/0/public/AssetPairs", self.pairs),
            web.get("/0/public/Assets", self.assets),
            web.get("/0/public/OHLC", self.ohlc),
            web.get("/v2", self.socket),
        ]

    def answer(self, result):
        return web.json_response({"error": [], "result": result})

    async def time(self, request):
        now_s = int(self.market.now_s())
        text = time.strftime("%a, %d %b %y %H:%M:%S +0000", time.gmtime(now_s))
        return self.answer({"unixtime": now_s, "rfc1123": text})

    async def assets(self, request):
        return self.answer({
            name: {"aclass": "currency", "altname": alt, "decimals": 10, "display_decimals": 5,
                   "status": "enabled"}
            for name, alt in (("XXBT", "XBT"), ("XETH", "ETH"), ("ZUSD", "USD"))
        })  # fmt: skip

    async def pairs(self, request):
        return self.answer({
            pair: {
                "altname": ALT[pair][0], "wsname": symbol.replace("BTC", "XBT"),
                "aclass_base": "currency", "base": ALT[pair][1],
                "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit",
                "pair_decimals": 2, "cost_decimals": 5, "lot_decimals": 8, "lot_multiplier": 1,
                "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]],
                "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80,
                "margin_stop": 40, "ordermin": "0.0001", "costmin": "0.5", "tick_size": "0.01",
                "status": "online",
            }
            for symbol, pair in PAIRS.items()
        })  # fmt: skip

    async def ohlc(self, request):
        pair = request.query["pair"]
        symbol = next((name for name, one in PAIRS.items() if one == pair), None)
        if symbol is None or symbol in self.delisted:
            return web.json_response({"error": ["EQuery:Unknown asset pair"]})
        now_s = self.market.now_s()
        newest = int(now_s) // self.market.period_s * self.market.period_s
        since = int(float(request.query.get("since", 0)))
        first = max(since + (1 if self.interval else 0), newest - 719 * self.market.period_s)
        rows = [
            self.row(symbol, at)
            for at in self.market.opens(first, now_s)
            if self.market.has_trades(symbol, at)
        ]
        return self.answer({pair: rows, "last": newest - self.market.period_s})

    def row(self, symbol, at):
        opened, high, low, close, volume = self.market.bar(symbol, at, self.part(at))
        return [at, *(f"{p:.2f}" for p in (opened, high, low, close)), f"{close:.2f}",
                f"{volume:.8f}", 12]  # fmt: skip

    def part(self, at):
        return self.shown(self.market.share(at))

    def candle(self, symbol, at, share):
        opened, high, low, close, volume = self.market.bar(symbol, at, share)
        begin = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(at))
        end = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(at + self.market.period_s))
        return {"symbol": symbol, "open": opened, "high": high, "low": low, "close": close,
                "trades": 12, "volume": volume, "vwap": close, "interval_begin": begin,
                "interval": self.interval, "timestamp": end}  # fmt: skip

    def frame(self, symbol, open_s, share, is_closed):
        if not self.market.has_trades(symbol, open_s):
            return None
        return self.told("update", [self.candle(symbol, open_s, share)])

    def quote_frame(self, symbol, bid, ask):
        row = {"symbol": symbol, "bid": bid, "bid_qty": 1.0, "ask": ask, "ask_qty": 2.0,
               "last": bid, "volume": 10.0, "vwap": bid, "low": bid, "high": ask,
               "change": 0.0, "change_pct": 0.0}  # fmt: skip
        return {"channel": "ticker", "type": "update", "data": [row]}

    def frames_closed(self, symbol, open_s):
        """No frame says that a bar has closed; the last of its time is as it stays."""
        return []

    def told(self, kind, data):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(self.market.now_s()))
        return {"channel": "ohlc", "type": kind, "timestamp": stamp, "data": data}

    async def socket(self, request):
        async with self.line(request) as line:
            async for message in line.socket:
                if message.type != WSMsgType.TEXT:
                    continue
                asked = json.loads(message.data)
                if asked.get("method") == "ping":
                    await line.socket.send_json({"method": "pong", "req_id": asked.get("req_id")})
                elif asked.get("method") == "subscribe":
                    await self.subscribe(line, asked)
            return line.socket

    async def subscribe(self, line, asked):
        if asked["params"]["channel"] == "ticker":
            for symbol in asked["params"]["symbol"]:
                result = {
                    "channel": "ticker",
                    "symbol": symbol,
                    "snapshot": True,
                    "event_trigger": asked["params"].get("event_trigger", "trades"),
                }
                told = {"method": "subscribe", "req_id": asked.get("req_id"), "success": True}
                await line.socket.send_json({**told, "result": result})
            line.quoted |= set(asked["params"]["symbol"])
            return
        for symbol in asked["params"]["symbol"]:
            result = {"channel": "ohlc", "symbol": symbol, "interval": self.interval,
                      "snapshot": True}  # fmt: skip
            told = {"method": "subscribe", "req_id": asked.get("req_id"), "success": True}
            await line.socket.send_json({**told, "result": result})
            now_s = self.market.now_s()
            opens = self.market.opens(now_s - 5 * self.market.period_s, now_s)
            rows = [
                self.candle(symbol, at, self.part(at))
                for at in opens
                if self.market.has_trades(symbol, at)
            ]
            await line.socket.send_json(self.told("snapshot", rows))
            line.wanted.add(symbol)


def options(port):
    """What `feed.options` says to point ccxt here, with bars of a second."""
    rest, line = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/v2"
    urls = {"api": {"public": rest, "ws": {"publicV2": line}}}
    return {"urls": urls, "timeframes": {"1s": 0}, "rateLimit": 50}


if __name__ == "__main__":
    main(Kraken)
