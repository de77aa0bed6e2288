"""What one client of ccxt hears: its subscriptions kept alive, bars and quotes as they come.

Law: a stream tells what it hears and when it hears nothing more; whether another hears the same,
its owner knows. One that is closed tells nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from trader.feeds.ccxt_classes import FLAGS, Ears, FlaggedBar, tells_of_an_end
from trader.feeds.ccxt_errors import is_refusal, source_error
from trader.feeds.ccxt_markets import groups_of, raw_bar, timeframe_of, volume_unit
from trader.feeds.ccxt_quotes import QuoteWatch
from trader.feeds.line_wait import LineWait
from trader.feeds.quotes import QuoteBook
from trader.feeds.source import (
    Event,
    Finality,
    FrameTap,
    Notice,
    RawBar,
    Remedy,
    Row,
    SourceError,
    SourceTerms,
    StreamLoss,
    Up,
)

NEWEST = 16  # rows of ccxt's cache that are looked at after each update
GROUP = {"binance": 100, "binanceus": 100, "binanceusdm": 100, "binancecoinm": 100}
SMALL_GROUP = 10  # symbols of one subscription elsewhere
FIRST_WAIT_S = 0.5
OLD_ENOUGH_S = 60.0  # for the announcement of an end to be heeded: no storm of new streams

Told = Callable[["CcxtStream", Event | SourceError], None]
Make = Callable[[Ears], Any]  # a client of ccxt


class CcxtStream:
    """The lines of one client."""

    def __init__(
        self, terms: SourceTerms, make: Make, quotes: QuoteBook, told: Told, tap: FrameTap
    ) -> None:
        self.number = 0  # its owner's, of the rows that it tells
        self.up: set[int] = set()  # the symbols that speak
        self.exchange = make(Ears(self._heard, self._line_lost, self._flagged))
        self.finality = Finality.POLL
        if self.exchange.has.get("watchOHLCV"):
            self.finality = Finality.FLAG if terms.exchange in FLAGS else Finality.SUCCESSOR
        self.timeframe = timeframe_of(self.exchange, terms.period_ns)
        self._terms, self._quotes, self._told, self._tap = terms, quotes, told, tap
        self._numbers = {symbol: index for index, symbol in enumerate(terms.symbols)}
        self._seen: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._session = 0
        self._began_s = self._spoken_s = 0.0  # the last bar; by the loop's clock
        self._end = asyncio.Event()  # announced by the exchange
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False

    def start(self) -> None:
        """Subscribe to everything."""
        self._began_s = asyncio.get_running_loop().time()
        asked = QuoteWatch(self.exchange, self._terms, self._quotes, self._put)
        works: list[Coroutine[Any, Any, None]] = [*map(self._watch, self._groups())]
        works += asked.works(self._group_size())
        self._tasks = [asyncio.ensure_future(work) for work in works]

    async def ending(self, within_s: float | None) -> None:
        """Return when the exchange announces the end of a line, or after that time."""
        self._end.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._end.wait()

    def reconnect(self, why: str) -> None:
        """Drop the lines and make them anew."""
        for client in list(self.exchange.clients.values()):
            with contextlib.suppress(Exception):
                client.on_error(ConnectionError(why))

    async def close(self) -> None:
        """Let go of every line. ccxt's client can still ask by REST."""
        self._line_lost("closed by us", True)
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self.exchange.close_ws_clients()

    # subscriptions

    def _groups(self) -> list[tuple[str, ...]]:
        symbols = self._terms.symbols
        if self.finality == Finality.POLL:
            return []
        many = self.exchange.has.get("watchOHLCVForSymbols")
        return list(groups_of(self.exchange, symbols, self._group_size() if many else 1))

    def _group_size(self) -> int:
        return GROUP.get(self._terms.exchange, SMALL_GROUP)

    async def _watch(self, group: Sequence[str]) -> None:
        """Keep one subscription alive, whatever becomes of it. Several symbols that are refused
        are asked for one by one: who refuses does not say which."""
        loop, wait = asyncio.get_running_loop(), LineWait(FIRST_WAIT_S)
        while True:
            began_s = loop.time()
            try:
                await self._listen(group)
            except Exception as error:
                found, is_refused = self._error(error), is_refusal(error)
            if found.remedy == Remedy.NEVER:
                self._put(found)
                return
            if not is_refused:
                self._line_lost(found.text, True)
            else:
                self._lost(found.text, group)
            if is_refused and len(group) > 1:
                self._tasks += [asyncio.ensure_future(self._watch((one,))) for one in group]
                return
            if found.remedy == Remedy.GONE:
                self._put(Notice("FEED_REFUSES", found.text))
                return  # the question by REST says which symbol it is
            wait_s = wait.next_s(loop.time() - began_s, self._spoken_s > began_s)
            await asyncio.sleep(max(wait_s, found.after_s))

    async def _listen(self, group: Sequence[str]) -> None:
        exchange, timeframe = self.exchange, self.timeframe
        while True:
            session = self._session
            if len(group) == 1:
                rows = await exchange.watch_ohlcv(group[0], timeframe)
                changed = {group[0]: rows}
            else:
                pairs = [[symbol, timeframe] for symbol in group]
                changed = await exchange.watch_ohlcv_for_symbols(pairs)
            if self.finality == Finality.FLAG or session != self._session:
                continue  # the bars came by `_flagged`, or of a line that has ended meanwhile
            for symbol in changed:
                self._cached(symbol)

    def _cached(self, symbol: str) -> None:
        """What is new in ccxt's cache of one symbol."""
        cache = self.exchange.ohlcvs.get(symbol, {}).get(self.timeframe) or []
        index = self._numbers[symbol]
        is_first, unit = self._is_first(index), volume_unit(self.exchange, symbol)
        for row in sorted(list(cache)[-NEWEST:]):
            bar = raw_bar(row, unit)
            if self._is_news(index, bar):
                self._put(Row(index, bar, None, is_first))

    def _is_first(self, index: int) -> bool:
        """Whether a symbol speaks for the first time on this line; then it is up."""
        self._spoken_s = asyncio.get_running_loop().time()
        if index in self.up:
            return False
        self.up.add(index)
        self._put(Up(index))
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
        self._tap(channel, message)
        age_s = asyncio.get_running_loop().time() - self._began_s
        if age_s >= OLD_ENOUGH_S and tells_of_an_end(message):
            self._end.set()

    def _flagged(self, bar: FlaggedBar) -> None:
        index = self._numbers.get(bar.symbol)
        if index is None or bar.timeframe != self.timeframe:
            return
        self._is_first(index)
        self._put(Row(index, raw_bar(bar.row), bar.is_closed))

    def _line_lost(self, why: str, has_bars: bool) -> None:
        """A line has ended."""
        if not self._is_closed:
            self._quotes.forget()
            if has_bars:
                self._lost(why, self._terms.symbols)

    def _lost(self, why: str, symbols: Sequence[str]) -> None:
        """Of these nothing is known to be whole from here on."""
        if self._is_closed:
            return
        gone = {self._numbers[symbol] for symbol in symbols}
        self._session += 1
        was_up, self.up = sorted(self.up & gone), self.up - gone
        self._seen = {key: bar for key, bar in self._seen.items() if key[0] not in gone}
        text = source_error(self.exchange, ConnectionError(why), self._terms.secrets).text
        for index in was_up:
            self._put(StreamLoss(index, text))

    def _put(self, event: Event | SourceError) -> None:
        if not self._is_closed:
            self._told(self, event)

    def _error(self, error: Exception) -> SourceError:
        if isinstance(error, SourceError):
            return error
        return source_error(self.exchange, error, self._terms.secrets)
