"""Any exchange that ccxt knows: bars by WebSocket where it has them, by REST where it has not.

How a closed bar is known: Binance and Bybit flag it; elsewhere the next bar's first update tells;
without a stream it is asked for after its close.

Law: `feed.options` goes to ccxt's constructor as it is. Whatever ccxt raises becomes a
`SourceError`; no message holds a secret.
"""

import asyncio
import contextlib
import difflib
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from trader.errors import ConfigError
from trader.feeds.ccxt_classes import FLAGS, Ears, exchange_class, library_of
from trader.feeds.ccxt_errors import source_error
from trader.feeds.ccxt_markets import NS_PER_MS, facts_of, raw_bar, timeframe_of
from trader.feeds.ccxt_quotes import QuoteWatch
from trader.feeds.line_wait import LineWait
from trader.feeds.quotes import QuoteBook
from trader.feeds.source import (
    Abilities,
    Event,
    Finality,
    FrameTap,
    InstrumentFacts,
    Notice,
    RawBar,
    Remedy,
    Row,
    SourceError,
    SourceTerms,
    StreamLoss,
    Up,
)

PAGE = 1000  # bars asked for at once; an exchange may give fewer
NEWEST = 16  # rows of ccxt's cache that are looked at after each update
GROUP = {"binance": 100, "binanceus": 100, "binanceusdm": 100, "binancecoinm": 100}
SMALL_GROUP = 10  # symbols of one subscription elsewhere
FIRST_WAIT_S = 0.5


class CcxtSource:
    """One exchange through ccxt.pro."""

    def __init__(self, terms: SourceTerms) -> None:
        self.name = terms.exchange
        self.can = Abilities(Finality.SUCCESSOR)
        self.tap: FrameTap | None = None
        self.quotes = QuoteBook()
        self._terms = terms
        self._timeframe = ""
        self._exchange: Any = None
        self._numbers = {symbol: index for index, symbol in enumerate(terms.symbols)}
        self._queue: asyncio.Queue[Event | SourceError] = asyncio.Queue()
        self._up: set[int] = set()
        self._seen: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._session = 0
        self._spoken_s = 0.0  # when the exchange last sent a bar, by the loop's clock

    # opening

    async def open(self) -> None:
        """See `BarSource`. Can be called again after a failure."""
        if self._exchange is None:
            self._exchange = self._made()
        try:
            await self._exchange.load_markets()
        except Exception as error:
            raise self._error(error) from None
        for index, symbol in enumerate(self._terms.symbols):
            self._require(index, symbol)

    def _made(self) -> Any:
        library = library_of(self.name)
        ears = Ears(self._heard, self._lost, self._flagged)
        try:
            exchange = exchange_class(self.name, library, ears)(self._options())
        except Exception as error:
            raise ConfigError(f"ccxt refuses the options: {error}", "feed.options") from None
        self._timeframe = timeframe_of(exchange, self._terms.period_ns)
        self.can = Abilities(self._finality(exchange), self._resolution_ms(exchange))
        return exchange

    def _options(self) -> dict[str, Any]:
        """The user's. Of Binance only what bars need: one request for markets instead of three,
        and none of those that keys would sign."""
        options: dict[str, Any] = dict(self._terms.options)
        if self.name.startswith("binance"):
            wanted: dict[str, Any] = {"fetchCurrencies": False, "fetchMargins": False}
            if self.name == "binance" and not any(":" in name for name in self._terms.symbols):
                wanted["fetchMarkets"] = {"types": ["spot"]}
            options["options"] = wanted | dict(options.get("options") or {})
        return options

    def _finality(self, exchange: Any) -> Finality:
        if not exchange.has.get("watchOHLCV"):
            return Finality.POLL
        return Finality.FLAG if self.name in FLAGS else Finality.SUCCESSOR

    def _resolution_ms(self, exchange: Any) -> int:
        return 1 if exchange.has.get("fetchTime") and self.name != "kraken" else 1000

    def _require(self, index: int, symbol: str) -> None:
        exchange, key = self._exchange, f"instruments.{index}.symbol"
        if symbol not in exchange.markets:
            near = difflib.get_close_matches(symbol, list(exchange.markets), 3, 0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"{self.name} has no market {symbol}{hint}", key)
        if exchange.markets[symbol].get("active") is False:
            raise ConfigError(f"{self.name} does not trade {symbol} at present", key)

    # asking

    async def facts(self, is_fresh: bool = False) -> Sequence[InstrumentFacts]:
        """See `BarSource`."""
        if is_fresh:
            try:
                await self._exchange.load_markets(True)
            except Exception as error:
                raise self._error(error) from None
        return [facts_of(self._exchange, symbol) for symbol in self._terms.symbols]

    async def venue_ns(self) -> int:
        """See `BarSource`."""
        try:
            if self._exchange.has.get("fetchTime"):
                return int(await self._exchange.fetch_time()) * NS_PER_MS
            await self._exchange.fetch_ohlcv(self._terms.symbols[0], self._timeframe, None, 1)
            headers = {
                k.lower(): v for k, v in (self._exchange.last_response_headers or {}).items()
            }
            return round(parsedate_to_datetime(headers["date"]).timestamp() * 1000) * NS_PER_MS
        except Exception as error:
            raise self._error(error) from None

    async def history(self, symbol: int, start_ns: int, end_ns: int) -> Sequence[RawBar]:
        """See `BarSource`: page after page, until one brings nothing new."""
        name, period_ns = self._terms.symbols[symbol], self._terms.period_ns
        found: dict[int, RawBar] = {}
        since_ns = start_ns
        while since_ns < end_ns:
            wanted = min(PAGE, (end_ns - since_ns) // period_ns + 1)
            try:
                rows = await self._exchange.fetch_ohlcv(
                    name, self._timeframe, since_ns // NS_PER_MS, max(int(wanted), 2)
                )
                page = [raw_bar(row) for row in rows]
            except Exception as error:
                raise self._error(error) from None
            found |= {bar.open_ns: bar for bar in page if start_ns <= bar.open_ns < end_ns}
            newest_ns = max((bar.open_ns for bar in page), default=0)
            if newest_ns < since_ns:
                break
            since_ns = newest_ns + period_ns
        return [found[at] for at in sorted(found)]

    # listening

    async def events(self) -> AsyncIterator[Event]:
        """See `BarSource`."""
        if self.can.finality == Finality.POLL:
            for index in range(len(self._terms.symbols)):
                yield Up(index)
        asked = QuoteWatch(self._exchange, self._terms, self.quotes, self._queue.put_nowait)
        works = [*map(self._watch, self._groups()), *asked.works(self._group_size())]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            while True:
                event = await self._queue.get()
                if isinstance(event, SourceError):
                    raise event
                yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def reconnect(self, symbol: int, why: str) -> None:
        """See `BarSource`. ccxt's lines are shared: all of them are made anew."""
        for client in list(self._exchange.clients.values()):
            with contextlib.suppress(Exception):
                client.on_error(ConnectionError(why))

    async def close(self) -> None:
        """See `BarSource`."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            with contextlib.suppress(Exception):
                await exchange.close()

    def _groups(self) -> list[tuple[str, ...]]:
        symbols = self._terms.symbols
        if self.can.finality == Finality.POLL:
            return []
        many = self._exchange.has.get("watchOHLCVForSymbols")
        size = self._group_size() if many else 1
        return [symbols[i : i + size] for i in range(0, len(symbols), size)]

    def _group_size(self) -> int:
        return GROUP.get(self.name, SMALL_GROUP)

    async def _watch(self, group: Sequence[str]) -> None:
        """Keep one subscription alive, whatever becomes of it."""
        loop, wait = asyncio.get_running_loop(), LineWait(FIRST_WAIT_S)
        while True:
            began_s = loop.time()
            try:
                await self._stream(group)
            except Exception as error:
                found = self._error(error)
            if found.remedy == Remedy.NEVER:
                self._queue.put_nowait(found)
                return
            self._lost(found.text)
            if found.remedy == Remedy.GONE:
                self._queue.put_nowait(Notice("FEED_REFUSES", found.text))
                return  # the question by REST says which symbol it is
            wait_s = wait.next_s(loop.time() - began_s, self._spoken_s > began_s)
            await asyncio.sleep(max(wait_s, found.after_s))

    async def _stream(self, group: Sequence[str]) -> None:
        exchange, timeframe = self._exchange, self._timeframe
        while True:
            session = self._session
            if len(group) == 1:
                rows = await exchange.watch_ohlcv(group[0], timeframe)
                changed = {group[0]: rows}
            else:
                pairs = [[symbol, timeframe] for symbol in group]
                changed = await exchange.watch_ohlcv_for_symbols(pairs)
            if self.can.finality == Finality.FLAG or session != self._session:
                continue  # the bars came by `_flagged`, or of a line that has ended meanwhile
            for symbol in changed:
                self._cached(symbol)

    def _cached(self, symbol: str) -> None:
        """What is new in ccxt's cache of one symbol."""
        cache = self._exchange.ohlcvs.get(symbol, {}).get(self._timeframe) or []
        index = self._numbers[symbol]
        is_first = self._is_first(index)
        for row in sorted(list(cache)[-NEWEST:]):
            bar = raw_bar(row)
            if self._is_news(index, bar):
                self._queue.put_nowait(Row(index, bar, None, is_first))

    def _is_first(self, index: int) -> bool:
        """Whether a symbol speaks for the first time on this line; then it is up."""
        self._spoken_s = asyncio.get_running_loop().time()
        if index in self._up:
            return False
        self._up.add(index)
        self._queue.put_nowait(Up(index))
        return True

    def _is_news(self, index: int, bar: RawBar) -> bool:
        key = index, bar.open_ns
        if self._seen.get(key) == bar:
            return False
        self._seen[key] = bar
        while len(self._seen) > 2 * NEWEST * len(self._numbers):
            del self._seen[next(iter(self._seen))]
        return True

    # what ccxt's classes tell

    def _heard(self, channel: str, message: Any) -> None:
        if self.tap is not None:
            self.tap(channel, message)

    def _flagged(self, symbol: str, timeframe: str, row: list[Any], is_closed: bool) -> None:
        index = self._numbers.get(symbol)
        if index is None or timeframe != self._timeframe:
            return
        self._is_first(index)
        self._queue.put_nowait(Row(index, raw_bar(row), is_closed))

    def _lost(self, why: str, is_of_bars: bool = True) -> None:
        """A line has ended: nothing is known to be whole from here on."""
        self.quotes.forget()
        if not is_of_bars:
            return
        self._session += 1
        was_up, self._up = sorted(self._up), set()
        self._seen.clear()
        text = source_error(self._exchange, ConnectionError(why), self._terms.secrets).text
        for index in was_up:
            self._queue.put_nowait(StreamLoss(index, text))

    def _error(self, error: Exception) -> SourceError:
        if isinstance(error, SourceError):
            return error
        return source_error(self._exchange, error, self._terms.secrets)
