"""Coinbase Advanced Trade (ccxt's `coinbase`), market data by REST alone.

Read at docs.cdp.coinbase.com: api-reference/advanced-trade-api/rest-api/public (list-public-
products, get-public-product-candles), coinbase-app/track-apis (currencies, exchange-rates, time),
2026-11. The same market as Coinbase Exchange in other words: the time in whole seconds, candles as
objects of texts, fewer than 350 of a request.
"""

from aiohttp import web

from tests.venue.coinbase import Coinbase
from tests.venue.server import main

MOST = 350
LONG = {"ONE_SECOND": 1, "ONE_MINUTE": 60, "FIVE_MINUTE": 300}  # the first for tests only


class CoinbaseAdvanced(Coinbase):
    name = "coinbase"

    def routes(self):
        products = "/api/v3/brokerage/market/products"
        return [
            web.get("/v2/currencies", self.currencies),
            web.get("/v2/currencies/crypto", self.crypto),
            web.get("/v2/exchange-rates", self.rates),
            web.get("/v2/time", self.time),
            web.get(products, self.products),
            web.get(products + "/{id}/candles", self.candles),
        ]

    async def time(self, request):
        return self.refusal() or web.json_response({"data": {"epoch": int(self.market.now_s())}})

    async def currencies(self, request):
        usd = {"id": "USD", "name": "US Dollar", "min_size": "0.01"}
        return self.refusal() or web.json_response({"data": [usd]})

    async def crypto(self, request):
        names = [name.split("-")[0] for name in self.symbols]
        told = [{"asset_id": name, "code": name, "name": name, "exponent": "8"} for name in names]
        return self.refusal() or web.json_response({"data": told})

    async def rates(self, request):
        return self.refusal() or web.json_response({"data": {"currency": "USD", "rates": {}}})

    async def products(self, request):
        is_spot = request.query.get("product_type", "SPOT") == "SPOT"
        told = [
            {
                "product_id": name, "base_increment": "0.0001", "quote_increment": "0.01",
                "price_increment": "0.01", "quote_min_size": "1", "quote_max_size": "150000000",
                "base_min_size": "0.0001", "base_max_size": "3400", "status": "online",
                "trading_disabled": name in self.delisted, "product_type": "SPOT",
                "base_currency_id": name.split("-")[0], "quote_currency_id": name.split("-")[1],
                "alias": "", "alias_to": [],
            }
            for name in self.symbols
        ]  # fmt: skip
        told = told if is_spot else []
        return self.refusal() or web.json_response({"products": told, "num_products": len(told)})

    async def candles(self, request):
        name, period_s = request.match_info["id"], self.market.period_s
        start_s, end_s = (int(request.query[key]) for key in ("start", "end"))
        self.asked.append((self.market.now_s(), name, start_s, end_s))
        if refusal := self.refusal():
            return refusal
        if name not in self.symbols or name in self.delisted:
            return web.json_response({"error": "NOT_FOUND", "message": "no product"}, status=404)
        if LONG.get(request.query["granularity"]) != period_s:
            return web.json_response({"error": "INVALID_ARGUMENT"}, status=400)
        if (end_s - start_s) / period_s >= MOST:
            return web.json_response({"error": "INVALID_ARGUMENT"}, status=400)
        opens = [at for at in self.market.opens(start_s, end_s + 1) if self.trades(name, at)]
        keys = ("start", "low", "high", "open", "close", "volume")
        rows = [dict(zip(keys, map(str, self.row(name, at)), strict=True)) for at in opens]
        return web.json_response({"candles": rows[::-1]})


def options(port):
    """What `feed.options` says to point ccxt here, with bars of a second."""
    rest = f"http://127.0.0.1:{port}"
    return {"urls": {"api": {"rest": rest}}, "timeframes": {"1s": "ONE_SECOND"}}


if __name__ == "__main__":
    main(CoinbaseAdvanced)
