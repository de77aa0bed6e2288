"""Coinbase Exchange, market data by REST alone: products, time, candles.

Read at docs.cdp.coinbase.com/api-reference/exchange-api (rest-api: currencies; products,
products/get-product-candles; rate-limits), 2026-11. Candles come newest first, at most 300
of a request, one of more is rejected; there is none for a minute without a trade. Of an address 10
requests a second are answered, 15 in a burst.
A granularity of 1 means one second here, which Coinbase has not: it lets tests run in seconds.
"""

import time
from datetime import UTC, datetime

from aiohttp import web

from tests.venue.server import Venue, main

GRANULARITIES = (1, 60, 300, 900, 3600, 21600, 86400)
MOST = 300  # candles of a request
A_SECOND, BURST = 10.0, 15.0  # requests


class Coinbase(Venue):
    name = "coinbaseexchange"
    delistable = "ETH-USD"
    time_digits = 3  # of a second that its clock tells
    lag_s = 0.0  # after a close, before REST has the last quarter of the bar

    def __init__(self, market, faults=None, symbols=("BTC-USD", "ETH-USD")):
        super().__init__(market, faults)
        self.symbols = tuple(n if "-" in n else f"{n[:-4]}-{n[-4:]}" for n in symbols)
        self.quiet = ()  # [from, until) in which nothing trades
        self.asked = []  # (when, product, start, end) of candles
        self.refused = 0  # for asking too often
        self._left, self._at_s = BURST, time.monotonic()

    def routes(self):
        return [
            web.get("/time", self.time),
            web.get("/currencies", self.currencies),
            web.get("/products", self.products),
            web.get("/products/{id}/candles", self.candles),
        ]

    def frame(self, symbol, open_s, share, is_closed):
        return None  # it streams no bars

    def frames_closed(self, symbol, open_s):
        return []

    def refusal(self):
        """An answer where an address asks too often."""
        now_s = time.monotonic()
        self._left = min(BURST, self._left + (now_s - self._at_s) * A_SECOND)
        self._at_s = now_s
        if self._left >= 1.0:
            self._left -= 1.0
            return None
        self.refused += 1
        return self.no(429, "Public rate limit exceeded")

    def no(self, status, text):
        return web.json_response({"message": text}, status=status)

    async def time(self, request):
        now_s = self.market.now_s()
        text = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds")
        step = 10**self.time_digits
        told = {"iso": text.replace("+00:00", "Z"), "epoch": int(now_s * step) / step}
        return self.refusal() or web.json_response(told)

    async def currencies(self, request):
        codes = sorted({code for name in self.symbols for code in name.split("-")})
        return self.refusal() or web.json_response([
            {"id": code, "name": code, "min_size": "0.00000001", "status": "online",
             "message": "", "max_precision": "0.00000001", "convertible_to": [],
             "details": {"type": "crypto"}, "supported_networks": []}
            for code in codes
        ])  # fmt: skip

    async def products(self, request):
        return self.refusal() or web.json_response([
            {
                "id": name, "base_currency": name.split("-")[0],
                "quote_currency": name.split("-")[1], "quote_increment": "0.01",
                "base_increment": "0.0001", "display_name": name.replace("-", "/"),
                "min_market_funds": "1", "margin_enabled": False, "post_only": False,
                "limit_only": False, "cancel_only": False, "trading_disabled": False,
                "status": "delisted" if name in self.delisted else "online",
                "status_message": "", "fx_stablecoin": False, "auction_mode": False,
                "max_slippage_percentage": "0.02000000", "high_bid_limit_percentage": "",
            }
            for name in self.symbols
        ])  # fmt: skip

    async def candles(self, request):
        name, period_s = request.match_info["id"], self.market.period_s
        start_s, end_s = (moment(request.query.get(key)) for key in ("start", "end"))
        self.asked.append((self.market.now_s(), name, start_s, end_s))
        if refusal := self.refusal():
            return refusal
        if name not in self.symbols or name in self.delisted:
            return self.no(404, "NotFound")
        granularity = int(request.query.get("granularity", 60))
        if granularity not in GRANULARITIES or granularity != period_s:
            return self.no(400, "Unsupported granularity")
        if start_s is None or end_s is None:
            end_s = self.market.now_s()
            start_s = end_s - MOST * period_s
        if (end_s - start_s) / period_s > MOST:
            return self.no(400, "granularity too small for the requested time range. Count of "
                                f"aggregations requested exceeds {MOST}")  # fmt: skip
        opens = [at for at in self.market.opens(start_s, end_s + 1) if self.trades(name, at)]
        return web.json_response([self.row(name, at) for at in reversed(opens)])

    def trades(self, name, at):
        is_quiet = bool(self.quiet) and self.quiet[0] <= at < self.quiet[1]
        return not is_quiet and self.market.has_trades(name, at)

    def row(self, name, at):
        share = self.market.share(at)
        if self.market.now_s() < at + self.market.period_s + self.lag_s:
            share = min(share, 0.75)
        opened, high, low, close, volume = self.market.bar(name, at, share)
        return [at, low, high, opened, close, volume]


def moment(text):
    """Seconds of an ISO time or of a number."""
    if text is None:
        return None
    return float(text) if text.isdigit() else datetime.fromisoformat(text).timestamp()


def options(port):
    """What `feed.options` says to point ccxt here, with bars of a second."""
    rest = f"http://127.0.0.1:{port}"
    return {"urls": {"api": {"public": rest}}, "timeframes": {"1s": 1}}


if __name__ == "__main__":
    main(Coinbase)
