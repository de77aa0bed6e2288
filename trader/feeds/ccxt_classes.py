"""ccxt's own exchange classes, with what its unified calls leave out.

Law: nothing of a protocol is written here but one field of three exchanges: the flag that says a
bar is closed, which `watch_ohlcv` drops. Each class tells its owner of every frame, of every line
that ends and, for those three exchanges, of every bar with its flag.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

from trader.errors import ConfigError, needs_extra
from trader.feeds.ccxt_markets import BYBIT, OKX

IS_TIMED: ContextVar[bool] = ContextVar("is_timed", default=False)  # of what asks for the time


class FlaggedBar(NamedTuple):
    """A bar of a frame, and whether the exchange says that it is closed."""

    symbol: str
    timeframe: str | None
    row: list[Any]
    is_closed: bool | None


@dataclass
class Ears:
    """Who is told."""

    on_frame: Callable[[str, Any], None]
    on_lost: Callable[[str, bool], None]  # why, whether bars may have come by that line
    on_bar: Callable[[FlaggedBar], None]


def _of_binance(exchange: Any, client: Any, message: Mapping[str, Any]) -> Iterator[FlaggedBar]:
    bar = message.get("k") or {}
    market_type = "spot" if exchange.is_spot_url(client) else "contract"
    symbol = exchange.safe_symbol(bar.get("s"), None, None, market_type)
    row = [bar.get("t"), *(exchange.safe_float(bar, name) for name in "ohlcv")]
    yield FlaggedBar(symbol, exchange.find_timeframe(bar.get("i")), row, bar.get("x"))


def _of_bybit(exchange: Any, client: Any, message: Mapping[str, Any]) -> Iterator[FlaggedBar]:
    _, interval, market_id = str(message.get("topic")).split(".")
    market_type = "spot" if "spot" in client.url else "contract"
    market = exchange.safe_market(market_id, None, None, market_type)
    for bar in message.get("data") or []:
        row = exchange.parse_ws_ohlcv(bar, market)
        timeframe = exchange.find_timeframe(interval)
        yield FlaggedBar(market["symbol"], timeframe, row, bar.get("confirm"))


def _of_okx(exchange: Any, client: Any, message: Mapping[str, Any]) -> Iterator[FlaggedBar]:
    market = exchange.safe_market(message["arg"]["instId"])
    timeframe = exchange.find_timeframe(message["arg"]["channel"].removeprefix("candle"))
    for bar in message.get("data") or []:
        is_closed = bar[8] == "1" if len(bar) > 8 else None
        yield FlaggedBar(market["symbol"], timeframe, exchange.parse_ohlcv(bar, market), is_closed)


FLAGS = {  # what reads the frames of each exchange that says which bar is closed
    **dict.fromkeys(("binance", "binanceus", "binanceusdm", "binancecoinm"), _of_binance),
    **dict.fromkeys(BYBIT, _of_bybit),
    **dict.fromkeys(OKX, _of_okx),
}


def tells_of_an_end(message: Any) -> bool:
    """Whether a frame is the word of Binance or OKX that the line is about to end."""
    while isinstance(message, Mapping):
        is_notice = message.get("event") == "notice" and message.get("code") == "64008"
        if is_notice or message.get("e") == "serverShutdown":
            return True
        message = message.get("data") or message.get("event")
    return False


def library_of(name: str) -> type:
    """ccxt's class of an exchange, with WebSocket where ccxt has that."""
    try:
        import ccxt.pro as ccxt
    except ImportError:
        raise ConfigError(f"it {needs_extra('crypto')}", "feed.type") from None
    library: type | None = getattr(ccxt, name, None) if name in ccxt.exchanges else None
    if library is None:
        import ccxt.async_support as rest

        library = getattr(rest, name, None) if name in rest.exchanges else None
    if library is None:
        near = difflib.get_close_matches(name, ccxt.exchanges, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"ccxt has no exchange {name}{hint}", "feed.exchange")
    if name == "mexc":
        try:
            import_module("google.protobuf")
        except ImportError:
            text = "mexc sends bars that are read by protobuf: pip install protobuf"
            raise ConfigError(text, "feed.exchange") from None
    return library


def exchange_class(name: str, library: type, ears: Ears) -> type:
    """`library`, one of ccxt.pro's exchanges, with ears."""

    class Heard(library):
        bar_lines: ClassVar[set[str]] = set()  # URLs by which bars came

        def client(self, url: Any) -> Any:
            """A frame that cannot be read ends ccxt's receive loop without a word: end the line
            instead, so that it is made anew."""
            made = super().client(url)
            if "handle_message" not in vars(made):
                read = made.handle_message

                def read_or_end(message: Any) -> None:
                    try:
                        read(message)
                    except Exception as error:
                        made.on_error(ConnectionError(f"a frame that cannot be read: {error}"))

                made.handle_message = read_or_end
            return made

        async def throttle(self, cost: Any = None) -> Any:
            """A question for the time waits in no queue: its wait would count as its way."""
            return None if IS_TIMED.get() else await super().throttle(cost)

        def handle_message(self, client: Any, message: Any) -> Any:
            ears.on_frame(client.url, message)
            if tells_of_an_end(message):  # ccxt takes OKX's word for a refusal of everything
                return None
            return super().handle_message(client, message)

        def handle_ohlcv(self, client: Any, message: Any, *rest: Any) -> Any:
            done = super().handle_ohlcv(client, message, *rest)
            self.bar_lines.add(client.url)
            for bar in FLAGS[name](self, client, message) if name in FLAGS else ():
                if bar.is_closed is not None and None not in bar.row:
                    ears.on_bar(bar)
            return done

        def on_error(self, client: Any, error: Any) -> Any:
            ears.on_lost(str(error) or type(error).__name__, self.may_have_bars(client))
            return super().on_error(client, error)

        def on_close(self, client: Any, error: Any) -> Any:
            ears.on_lost(f"closed by the exchange ({error})", self.may_have_bars(client))
            return super().on_close(client, error)

        def may_have_bars(self, client: Any) -> bool:
            """False of a line that only quotes come by."""
            return not self.bar_lines or client.url in self.bar_lines

    Heard.__name__ = Heard.__qualname__ = library.__name__
    return Heard
