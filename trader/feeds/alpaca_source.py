"""US stocks by Alpaca's market data: closed minute bars by stream, history by REST.

Its stream states closed bars (`b`), about half a second after the minute, and corrections of them
(`u`). Bars of several minutes are asked for by REST after their close.

Law: data only: nothing here can place an order. alpaca-py's own retries are off, its requests have
a deadline, and its keys stand in no message.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from trader.errors import ConfigError, needs_extra
from trader.feeds.alpaca_options import AlpacaOptions
from trader.feeds.alpaca_rows import ACTION_TYPES, actions_of, rest_bar, rfc3339, understood
from trader.feeds.corporate_actions import CorporateAction
from trader.feeds.line_wait import LineWait
from trader.feeds.quotes import QuoteBook
from trader.feeds.request_threads import RequestThreads
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
    redacted,
)

CONNECT_S, ANSWER_S = 5.0, 20.0  # for one request
FIRST_WAIT_S, QUIET_S = 1.0, 30.0
PAGE = 10_000
REFUSALS = ("auth failed", "not authenticated", "insufficient subscription")  # of the stream
ANNOUNCED_DAYS = 60  # a dividend is processed (paid) weeks after its ex-date


class AlpacaSource:
    """Alpaca's stocks."""

    streamed_s = 60  # length of the bars of its stream

    def __init__(self, terms: SourceTerms) -> None:
        self.name = "alpaca"
        self.tap: FrameTap | None = None
        seconds = terms.period_ns / 1e9
        is_streamed = seconds == self.streamed_s
        self.can = Abilities(Finality.STATED if is_streamed else Finality.POLL, 1000)
        self.quotes = QuoteBook()
        self._spoken_s = 0.0  # when it last sent market data, by the loop's clock
        self._terms = terms
        self._options = AlpacaOptions.model_validate(dict(terms.options))
        self._numbers = {symbol: index for index, symbol in enumerate(terms.symbols)}
        self._queue: asyncio.Queue[Event | SourceError] = asyncio.Queue()
        self._client: Any = None
        self._stream: Any = None
        self._date, self._threads = "", RequestThreads()

    async def open(self) -> None:
        """See `BarSource`."""
        seconds = self._terms.period_ns / 1e9
        if seconds % self.streamed_s or 1800 % seconds:
            raise ConfigError(
                f"alpaca has bars of 60, 120, 180, 300, 600, 900 and 1800 s here, not of "
                f"{seconds:g} s",
                "bar_period_seconds",
            )
        if self._client is None:
            self._client = self._rest()
        latest = await self._asked(
            "/stocks/bars/latest", {"symbols": ",".join(self._terms.symbols)}
        )
        known = (latest or {}).get("bars") or {}
        for index, symbol in enumerate(self._terms.symbols):
            if symbol not in known:
                raise ConfigError(f"alpaca has no bars of {symbol}", f"instruments.{index}.symbol")

    def _rest(self) -> Any:
        try:
            from alpaca.data.historical.stock import StockHistoricalDataClient
        except ImportError:
            raise ConfigError(f"it {needs_extra('alpaca')}", "feed.type") from None
        options = self._options
        client = StockHistoricalDataClient(
            options.api_key, options.secret_key, raw_data=True, url_override=options.url_override
        )
        client._retry = 0  # no silent tries: ours are counted and told
        client._session.hooks["response"].append(self._dated)
        send = client._session.request
        client._session.request = functools.partial(send, timeout=(CONNECT_S, ANSWER_S))
        return client

    def _dated(self, response: Any, *rest: Any, **more: Any) -> None:
        self._date = response.headers.get("Date", self._date)

    @property
    def _has_bars(self) -> bool:
        """Whether bars of that length are streamed."""
        return self.can.finality == Finality.STATED

    async def facts(self, is_fresh: bool = False) -> Sequence[InstrumentFacts]:
        """See `BarSource`: its market data says nothing of steps."""
        return [InstrumentFacts(symbol, currency="USD") for symbol in self._terms.symbols]

    async def venue_ns(self) -> int:
        """See `BarSource`: the time of an answer, in whole seconds."""
        await self._asked("/stocks/bars/latest", {"symbols": self._terms.symbols[0]})
        try:
            return round(parsedate_to_datetime(self._date).timestamp()) * 1_000_000_000
        except (TypeError, ValueError):
            raise SourceError(f"an answer without a time: {self._date!r}") from None

    async def history(self, symbol: int, start_ns: int, end_ns: int) -> Sequence[RawBar]:
        """See `BarSource`; prices as traded."""
        name = self._terms.symbols[symbol]
        found: dict[int, RawBar] = {}
        minutes = self._terms.period_ns // (self.streamed_s * 1_000_000_000)
        query = {
            "symbols": name,
            "timeframe": f"{minutes}Min",
            "start": rfc3339(start_ns),
            "end": rfc3339(end_ns - 1),
            "limit": PAGE,
            "adjustment": "raw",
            "feed": self._options.feed,
        }
        while True:
            told = await self._asked("/stocks/bars", query) or {}
            with understood():
                page = [rest_bar(row) for row in (told.get("bars") or {}).get(name) or ()]
            found |= {bar.open_ns: bar for bar in page if start_ns <= bar.open_ns < end_ns}
            if not told.get("next_page_token"):
                return [found[at] for at in sorted(found)]
            query["page_token"] = told["next_page_token"]

    async def actions(self, first_day: str, last_day: str) -> Sequence[CorporateAction]:
        """See `ActionSource`."""
        last = date.fromisoformat(last_day) + timedelta(ANNOUNCED_DAYS)
        query: dict[str, Any] = {
            "symbols": ",".join(self._terms.symbols),
            "types": ",".join(ACTION_TYPES),
            "start": first_day,
            "end": last.isoformat(),
            "limit": 1000,
        }
        found: list[CorporateAction] = []
        while True:
            told = await self._asked("/corporate-actions", query, "v1") or {}
            with understood():
                found += actions_of(told.get("corporate_actions") or {})
            if not told.get("next_page_token"):
                break
            query["page_token"] = told["next_page_token"]
        return sorted(one for one in found if first_day <= one.day <= last_day)

    async def _asked(self, path: str, query: dict[str, Any], version: str = "v2") -> Any:
        try:
            get = functools.partial(self._client.get, path, dict(query), api_version=version)
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, get)
        except Exception as error:  # requests, urllib3 and alpaca-py: anything
            raise self._error(error) from None

    async def events(self) -> AsyncIterator[Event]:
        """See `BarSource`."""
        if self.can.finality == Finality.POLL:
            for index in range(len(self._terms.symbols)):
                yield Up(index)
        task = None
        if self._has_bars or self._terms.wants_quotes:
            task = asyncio.ensure_future(self._listen())
        try:
            while True:
                event = await self._queue.get()
                if isinstance(event, SourceError):
                    raise event
                yield event
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _listen(self) -> None:
        """Keep the stream alive; one connection an account, so never in haste."""
        loop, wait = asyncio.get_running_loop(), LineWait(FIRST_WAIT_S)
        while True:
            began_s = loop.time()
            try:
                await self._streamed()
            except Exception as error:
                found = self._error(error)
            self.quotes.forget()
            for index in self._streamed_symbols():
                self._queue.put_nowait(StreamLoss(index, found.text))
            if found.remedy == Remedy.NEVER:
                self._queue.put_nowait(found)
                return
            wait_s = wait.next_s(loop.time() - began_s, self._spoken_s > began_s)
            await asyncio.sleep(max(wait_s, found.after_s))

    def _streamed_symbols(self) -> range:
        return range(len(self._terms.symbols) if self._has_bars else 0)

    async def _streamed(self) -> None:
        """Listen until the line ends, which raises."""
        stream = self._stream = self._made_stream()
        try:
            await stream._start_ws()
            await stream._send_subscribe_msg()
            for index in self._streamed_symbols():
                self._queue.put_nowait(Up(index))
            await stream._consume()
        finally:
            with contextlib.suppress(Exception):
                await stream.close()
        raise SourceError("the stream ended")

    def _made_stream(self) -> Any:
        from alpaca.data.enums import DataFeed
        from alpaca.data.live.stock import StockDataStream

        options = self._options
        stream = StockDataStream(
            options.api_key,
            options.secret_key,
            raw_data=True,
            feed=DataFeed(options.feed),
            url_override=options.stream_url_override,
        )
        if self._has_bars:
            stream.subscribe_bars(self._taken, *self._terms.symbols)
            stream.subscribe_updated_bars(self._taken, *self._terms.symbols)
        if self._terms.wants_quotes:
            stream.subscribe_quotes(self._quoted, *self._terms.symbols)
        return stream

    async def _quoted(self, message: dict[str, Any]) -> None:
        if self.tap is not None:
            self.tap("stream", {**message, "t": str(message.get("t"))})
        index = self._numbers.get(message.get("S", ""))
        if index is not None:
            self._spoken_s = asyncio.get_running_loop().time()
            self.quotes.hear(index, message.get("bp"), message.get("ap"), self._spoken_s)

    async def _taken(self, message: dict[str, Any]) -> None:
        if self.tap is not None:
            self.tap("stream", {**message, "t": str(message.get("t"))})
        index = self._numbers.get(message.get("S", ""))
        if index is None:
            return
        self._spoken_s = asyncio.get_running_loop().time()
        stamp = message["t"]  # msgpack's timestamp
        open_ns = int(stamp.seconds) * 1_000_000_000 + int(stamp.nanoseconds)
        bar = RawBar(open_ns, *(float(message[name]) for name in "ohlcv"))
        self._queue.put_nowait(Row(index, bar, True))

    async def reconnect(self, symbol: int, why: str) -> None:
        """See `BarSource`. There is one line for all symbols."""
        self._queue.put_nowait(Notice("FEED_RECONNECTS", why))
        if self._stream is not None:
            with contextlib.suppress(Exception):
                await self._stream.close()

    async def close(self) -> None:
        """See `BarSource`."""
        client, self._client = self._client, None
        if self._stream is not None:
            with contextlib.suppress(Exception):
                await self._stream.close()
        if client is not None:
            client._session.close()

    def _error(self, error: Exception) -> SourceError:
        if isinstance(error, SourceError):
            return error
        text = redacted(" ".join(str(error).split()) or type(error).__name__, self._terms.secrets)
        status = getattr(error, "status_code", None)
        if status in (401, 403) or (status is None and any(word in text for word in REFUSALS)):
            return SourceError(f"it refuses the keys: {text[:200]}", Remedy.NEVER)
        if status == 429:
            response = getattr(error, "response", None)
            after_s = 0.0
            with contextlib.suppress(AttributeError, TypeError, ValueError):
                after_s = float(response.headers.get("Retry-After"))  # type: ignore[union-attr]
            return SourceError("it asks for fewer requests (429)", Remedy.WAIT, after_s or QUIET_S)
        if status == 422:
            return SourceError(text[:200], Remedy.NEVER)
        return SourceError(text[:200] if status is None else f"HTTP {status}: {text[:200]}")
