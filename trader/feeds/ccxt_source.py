"""Any exchange that ccxt knows: bars by WebSocket where it has them, by REST where it has not.

How a closed bar is known: Binance, Bybit and OKX flag it; elsewhere the next bar's first update
tells; without a stream it is asked for after its close.

Law: `feed.options` goes to ccxt's constructor as it is. Whatever ccxt raises becomes a
`SourceError`; no message holds a secret. Where an exchange ends a line after a known time, the
next one speaks before that: a symbol is up as long as one stream has it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from trader.codes import DAY_NS
from trader.errors import ConfigError
from trader.feeds.ccxt_classes import IS_TIMED, Ears, exchange_class, library_of
from trader.feeds.ccxt_errors import is_refusal, source_error
from trader.feeds.ccxt_markets import (
    facts_of,
    options_for,
    raw_bar,
    require_tradable,
    volume_unit,
)
from trader.feeds.ccxt_stream import CcxtStream
from trader.feeds.quotes import QuoteBook
from trader.feeds.source import (
    Abilities,
    Event,
    Finality,
    FrameTap,
    InstrumentFacts,
    RawBar,
    Remedy,
    Row,
    SourceError,
    SourceTerms,
    StreamLoss,
    Up,
)
from trader.moments import NS_PER_MS

PAGE = 1000  # bars asked for at once; fewer where ccxt knows that an exchange gives fewer
FEW = 10  # bars: every exchange gives as many at once, so that what it leaves out is not there
QUIET_STEP = 300  # bars that a page without any passes over; some exchanges give no more
DAY_S = 86_400.0
LIVES_S = {  # after which an exchange ends a line, by its documents
    "binance": DAY_S,
    "binanceus": DAY_S,
    "binanceusdm": DAY_S,
    "binancecoinm": DAY_S,
    "mexc": DAY_S,
}
AHEAD_S = 600.0  # of that end the next line is made, and has as long to speak
LOOK_S = 0.1
LISTS_EVERY_S = 60.0  # at most, for the sake of questions that are refused


class CcxtSource:
    """One exchange through ccxt.pro."""

    def __init__(self, terms: SourceTerms) -> None:
        self.name = terms.exchange
        self.can = Abilities(Finality.SUCCESSOR)
        self.tap: FrameTap | None = None
        self.quotes = QuoteBook()
        self._terms = terms
        self._timeframe = ""
        self._exchange: Any = None  # which is asked by REST
        self._lists_after_s = 0.0
        self._streams: list[CcxtStream] = []  # the one that speaks, and the next one for a while
        self._queue: asyncio.Queue[Event | SourceError] = asyncio.Queue()

    # opening

    async def open(self) -> None:
        """See `BarSource`. Can be called again after a failure."""
        if self._exchange is None:
            stream = self._next_stream()
            self._exchange, self._timeframe = stream.exchange, stream.timeframe
            self.can = Abilities(stream.finality, self._resolution_ms())
        try:
            await self._exchange.load_markets()
        except Exception as error:
            raise self._error(error) from None
        for index, symbol in enumerate(self._terms.symbols):
            require_tradable(self._exchange, symbol, f"instruments.{index}.symbol")

    def _next_stream(self) -> CcxtStream:
        """One client of ccxt more, with the markets that are known."""
        stream = CcxtStream(self._terms, self._made, self.quotes, self._told, self._heard)
        stream.number = self._streams[-1].number + 1 if self._streams else 0
        self._streams.append(stream)
        self._share()
        return stream

    def _share(self) -> None:
        """One copy of markets (thousands) and certificates is enough for all clients."""
        for stream in self._streams:
            if self._exchange is not None and stream.exchange is not self._exchange:
                stream.exchange.set_markets_from_exchange(self._exchange)
                stream.exchange.ssl_context = self._exchange.ssl_context

    def _made(self, ears: Ears) -> Any:
        library = library_of(self.name)
        options = options_for(self.name, self._terms.symbols, self._terms.options)
        try:
            return exchange_class(self.name, library, ears)(options)
        except Exception as error:
            raise ConfigError(f"ccxt refuses the options: {error}", "feed.options") from None

    def _resolution_ms(self) -> int:
        return 1 if self._exchange.has.get("fetchTime") and self.name != "kraken" else 1000

    # asking

    async def facts(self, is_fresh: bool = False) -> Sequence[InstrumentFacts]:
        """See `BarSource`."""
        if is_fresh:
            try:
                await self._exchange.load_markets(True)
            except Exception as error:
                raise self._error(error) from None
            self._share()
        try:
            return [facts_of(self._exchange, symbol) for symbol in self._terms.symbols]
        except Exception as error:
            raise self._error(error) from None

    async def venue_ns(self) -> int:
        """See `BarSource`."""
        timed = IS_TIMED.set(True)
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
        finally:
            IS_TIMED.reset(timed)

    async def history(self, symbol: int, start_ns: int, end_ns: int) -> Sequence[RawBar]:
        """See `BarSource`. A page that is empty says nothing of later ones: many exchanges answer
        with the bars of a span of time, in which nothing may have traded."""
        name, period_ns = self._terms.symbols[symbol], self._terms.period_ns
        found: dict[int, RawBar] = {}
        page_bars, since_ns = self._page_bars(name), start_ns
        unit = volume_unit(self._exchange, name)
        while since_ns < end_ns:
            left = -(-(end_ns - since_ns) // period_ns) + 1  # with the forming one
            wanted = min(page_bars, left)
            try:
                rows = await self._exchange.fetch_ohlcv(
                    name, self._timeframe, since_ns // NS_PER_MS, wanted
                )
                page = [raw_bar(row, unit) for row in rows]
            except Exception as error:
                raise await self._refusal(name, error) from None
            found |= {bar.open_ns: bar for bar in page if start_ns <= bar.open_ns < end_ns}
            if left <= FEW:
                break
            newest_ns = max((bar.open_ns for bar in page), default=0)
            if newest_ns >= since_ns:
                since_ns = newest_ns + period_ns
            else:
                passed_ns = min(wanted, QUIET_STEP) * period_ns
                since_ns = max(since_ns + passed_ns, self._listed_ns(name))
        return [found[at] for at in sorted(found)]

    def _page_bars(self, symbol: str) -> int:
        """The bars of a page, as far as ccxt knows."""
        with contextlib.suppress(Exception):
            return min(int(self._exchange.feature_value(symbol, "fetchOHLCV", "limit")), PAGE)
        return PAGE

    def _listed_ns(self, symbol: str) -> int:
        """The day on which the trading of a symbol began; 0 where that is not said."""
        created = (self._exchange.markets.get(symbol) or {}).get("created")
        return int(created or 0) * NS_PER_MS // DAY_NS * DAY_NS

    async def _refusal(self, symbol: str, error: Exception) -> SourceError:
        """What a question about a symbol raised. Some exchanges say of one that is gone only that
        the question was wrong (Bybit): then their list of markets says it."""
        found, now_s = self._error(error), asyncio.get_running_loop().time()
        if found.remedy != Remedy.RETRY or not is_refusal(error) or now_s < self._lists_after_s:
            return found
        self._lists_after_s = now_s + LISTS_EVERY_S
        with contextlib.suppress(SourceError):
            await self.facts(is_fresh=True)
        market = self._exchange.markets.get(symbol)
        is_gone = market is None or market.get("active") is False
        return SourceError(found.text, Remedy.GONE if is_gone else found.remedy)

    # listening

    async def events(self) -> AsyncIterator[Event]:
        """See `BarSource`."""
        if self.can.finality == Finality.POLL:
            for index in range(len(self._terms.symbols)):
                yield Up(index)
        self._streams[-1].start()
        renewing = asyncio.ensure_future(self._renew())
        try:
            while True:
                event = await self._queue.get()
                if isinstance(event, SourceError):
                    raise event
                yield event
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self) -> None:
        """Again and again before the end of a line: the next one is made, and once it has every
        symbol that the old one has, the old one is let go of. One that is down has a new life."""
        life_s = LIVES_S.get(self.name)
        while True:
            old = self._streams[-1]
            await old.ending(None if life_s is None else life_s - AHEAD_S)
            if not old.up:
                continue
            following = self._next_stream()
            following.start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AHEAD_S):
                    while not old.up <= following.up:
                        await asyncio.sleep(LOOK_S)
            await self._let_go(old)

    async def _let_go(self, stream: CcxtStream) -> None:
        await stream.close()
        self._streams.remove(stream)
        if stream.exchange is not self._exchange:
            with contextlib.suppress(Exception):
                await stream.exchange.close(clean_instance_data=True)

    def _told(self, stream: CcxtStream, event: Event | SourceError) -> None:
        """What a stream tells; that it has a symbol, or has it no more, if no other has it."""
        others = [one for one in self._streams if one is not stream]
        if isinstance(event, Up | StreamLoss) and any(event.symbol in one.up for one in others):
            return
        if isinstance(event, Row):
            event = event._replace(line=stream.number)
        self._queue.put_nowait(event)

    def _heard(self, channel: str, raw: object) -> None:
        if self.tap is not None:
            self.tap(channel, raw)

    async def reconnect(self, symbol: int, why: str) -> None:
        """See `BarSource`. ccxt's lines are shared: all of them are made anew."""
        for stream in self._streams:
            stream.reconnect(why)

    async def close(self) -> None:
        """See `BarSource`."""
        for stream in list(self._streams):
            await self._let_go(stream)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            with contextlib.suppress(Exception):
                await exchange.close()

    def _error(self, error: Exception) -> SourceError:
        if isinstance(error, SourceError):
            return error
        return source_error(self._exchange, error, self._terms.secrets)
