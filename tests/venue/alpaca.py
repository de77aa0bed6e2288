"""Alpaca market data for US stocks: REST v2 and the msgpack stream.

Read at docs.alpaca.markets (market-data-api, real-time stock data), 2026-11. A bar is stated once
it has closed (`b`); a correction comes as `u`. One second counts as its minute here.
"""

import time
from email.utils import formatdate

import msgpack
from aiohttp import WSMsgType, web

from tests.venue.server import Venue, main


class Alpaca(Venue):
    name = "alpaca"
    delistable = "MSFT"
    symbols = ("AAPL", "MSFT")
    keys = ("key-id", "key-secret")

    def __init__(self, market, faults=None):
        super().__init__(market, faults)
        self.actions = {}  # kind -> rows

    def routes(self):
        return [
            web.get("/v2/stocks/bars/latest", self.latest),
            web.get("/v2/stocks/bars", self.bars),
            web.get("/v1/corporate-actions", self.corporate_actions),
            web.get("/stream", self.socket),
            web.get("/v2/iex", self.socket),
        ]

    async def corporate_actions(self, request):
        """By process date, which of a split is its ex-date."""
        query, found = request.query, {}
        wanted, types = query["symbols"].split(","), query["types"].split(",")
        for kind, rows in self.actions.items():
            if kind.removesuffix("s") in types:
                found[kind] = [
                    row for row in rows
                    if row["symbol"] in wanted
                    and query["start"] <= row["process_date"] <= query["end"]
                ]  # fmt: skip
        return self.told(request, {"corporate_actions": found, "next_page_token": None})

    def split(self, symbol, day, new=2, old=1):
        """Announce a split; prices of its day and after are of the new units."""
        kind = "forward_splits" if new > old else "reverse_splits"
        row = {"symbol": symbol, "cusip": "0", "new_rate": new, "old_rate": old,
               "process_date": day, "ex_date": day, "record_date": day}  # fmt: skip
        self.actions.setdefault(kind, []).append(row)
        self.market.splits.append((symbol, seconds(f"{day}T00:00:00+00:00"), new / old))

    def told(self, request, document):
        given = request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY")
        if given != self.keys or "revoked" in self.faults:
            return web.json_response({"code": 40110000, "message": "no such key"}, status=403)
        return web.json_response(document, headers={"Date": formatdate(self.market.now_s())})

    async def latest(self, request):
        at = int(self.market.now_s()) // self.market.period_s * self.market.period_s
        at -= self.market.period_s
        wanted = [name for name in request.query["symbols"].split(",") if name in self.symbols]
        return self.told(request, {"bars": {name: self.row(name, at) for name in wanted}})

    def row(self, symbol, at):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        values = self.market.bar(symbol, at, self.market.share(at))
        return {"t": stamp, **dict(zip("ohlcv", values, strict=True)), "n": 12, "vw": values[3]}

    async def bars(self, request):
        symbol, query = request.query["symbols"], request.query
        start_s, end_s = (seconds(query[name]) for name in ("start", "end"))
        opens = self.market.opens(start_s, min(end_s + 1, self.market.now_s()))  # end included
        gone_s = self.delisted.get(symbol, 2.0**62)
        opens = [at for at in opens if at + self.market.period_s <= gone_s]
        opens = [at for at in opens if self.market.has_trades(symbol, at)]
        first = int(query.get("page_token", 0))
        page = opens[first : first + 3]  # small pages: they have to be followed
        token = str(first + 3) if len(opens) > first + 3 else None
        rows = [self.row(symbol, at) for at in page]
        return self.told(request, {"bars": {symbol: rows}, "next_page_token": token})

    def frame(self, symbol, open_s, share, is_closed):
        if not is_closed or not self.market.has_trades(symbol, open_s):
            return None
        values = self.market.bar(symbol, open_s)
        kind = "u" if (symbol, open_s) in self.market.revised else "b"
        stamp = msgpack.Timestamp(open_s)
        row = dict(zip("ohlcv", values, strict=True))
        return [{"T": kind, "S": symbol, "t": stamp, **row, "n": 12, "vw": values[3]}]

    def quote_frame(self, symbol, bid, ask):
        stamp = msgpack.Timestamp.from_unix(self.market.now_s())
        return [{"T": "q", "S": symbol, "bx": "V", "bp": bid, "bs": 1, "ax": "V", "ap": ask,
                 "as": 2, "c": ["R"], "z": "C", "t": stamp}]  # fmt: skip

    async def put_half(self, line):
        await line.socket.send_bytes(msgpack.packb([{"T": "b", "S": "AAPL"}])[:-3])

    async def put(self, line, frame):
        await line.socket.send_bytes(msgpack.packb(frame))

    async def socket(self, request):
        async with self.line(request) as line:
            await self.put(line, [{"T": "success", "msg": "connected"}])
            async for message in line.socket:
                if message.type != WSMsgType.BINARY:
                    continue
                asked = msgpack.unpackb(message.data)
                if asked["action"] == "auth":
                    ok = (asked["key"], asked["secret"]) == self.keys
                    ok = ok and "revoked" not in self.faults
                    good = {"T": "success", "msg": "authenticated"}
                    bad = {"T": "error", "code": 402, "msg": "auth failed"}
                    await self.put(line, [good if ok else bad])
                else:
                    line.wanted |= set(asked.get("bars", ()))
                    line.quoted |= set(asked.get("quotes", ()))
                    told = {"bars": sorted(line.wanted), "quotes": sorted(line.quoted)}
                    await self.put(line, [{"T": "subscription", **told}])
            return line.socket


def seconds(text):
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def options(port):
    """What `feed.options` says to point alpaca-py here."""
    return {
        "api_key": "${ALPACA_KEY}",
        "secret_key": "${ALPACA_SECRET}",
        "url_override": f"http://127.0.0.1:{port}",
        "stream_url_override": f"ws://127.0.0.1:{port}/stream",
    }


if __name__ == "__main__":
    main(Alpaca)
