"""Best bid and ask of an exchange through ccxt: its quotes where it streams them, else its tickers.

Law: quotes are an extra. Whatever becomes of them, bars come as if nobody had asked.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from trader.feeds.ccxt_errors import is_refusal, source_error
from trader.feeds.ccxt_markets import groups_of
from trader.feeds.quotes import QuoteBook
from trader.feeds.source import Notice, Remedy, SourceTerms

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
TOLD_FROM = 3  # failures in a row
CALLS = (  # ability, call, whether it takes several symbols
    ("watchBidsAsks", "watch_bids_asks", True),
    ("watchTickers", "watch_tickers", True),
    ("watchTicker", "watch_ticker", False),
)


class QuoteWatch:
    """Keeps a `QuoteBook` as the exchange has it."""

    def __init__(
        self, exchange: Any, terms: SourceTerms, quotes: QuoteBook, put: Callable[[Notice], None]
    ) -> None:
        self._exchange, self._terms, self._quotes, self._put = exchange, terms, quotes, put
        self._numbers = {symbol: index for index, symbol in enumerate(terms.symbols)}
        self._has_told = False

    def works(self, group_size: int) -> Iterator[Coroutine[Any, Any, None]]:
        """What has to run, if quotes are wanted; a Notice where the exchange streams none."""
        if not self._terms.wants_quotes:
            return
        call = next((one for one in CALLS if self._exchange.has.get(one[0])), None)
        if call is None:
            self._tell("it streams none")
            return
        _, name, several = call
        size = group_size if several else 1
        for symbols in groups_of(self._exchange, self._terms.symbols, size):
            yield self._watch(getattr(self._exchange, name), symbols, several)

    async def _watch(self, watch: Any, symbols: Sequence[str], several: bool) -> None:
        exchange, loop = self._exchange, asyncio.get_running_loop()
        asked = list(symbols) if several else symbols[0]
        seen: dict[str, Any] = {}
        wait_s, failures = 0.0, 0
        while True:
            try:
                await watch(asked)
            except Exception as error:
                if is_refusal(error) and len(symbols) > 1:  # of which one, it does not say
                    await asyncio.gather(*(self._watch(watch, [one], several) for one in symbols))
                failures += 1
                self._failed(error, failures)
                wait_s = min(max(2.0 * wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)
                await asyncio.sleep(wait_s)
                continue
            wait_s, failures = 0.0, 0
            for symbol in symbols:  # a wake-up names one; others may have changed meanwhile
                ticker = exchange.bidsasks.get(symbol) or exchange.tickers.get(symbol)
                if ticker is not None and ticker is not seen.get(symbol):
                    seen[symbol] = ticker
                    sides = ticker.get("bid"), ticker.get("ask")
                    self._quotes.hear(self._numbers[symbol], *sides, loop.time())

    def _failed(self, error: Exception, times: int) -> None:
        """Of a line that ends, ccxt's ears have told; not of one that never was."""
        found = source_error(self._exchange, error, self._terms.secrets)
        if found.remedy != Remedy.RETRY or is_refusal(error) or times >= TOLD_FROM:
            self._tell(found.text)

    def _tell(self, why: str) -> None:
        if not self._has_told:
            self._has_told = True
            self._put(Notice("NO_QUOTES", f"{self._terms.exchange} gives no bid and ask: {why}"))
