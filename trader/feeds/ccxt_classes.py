"""ccxt's own exchange classes, with what its unified calls leave out.

Law: nothing of a protocol is written here but one field of two exchanges: the flag that says a
bar is closed, which `watch_ohlcv` drops. Each class tells its owner of every frame, of every line
that ends and, for those two exchanges, of every bar with its flag.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from trader.errors import ConfigError

INSTALL = "it needs ccxt: pip install 'trader[crypto]'"

Flagged = Callable[[str, str, list[Any], bool], None]  # symbol, timeframe, row, is closed


@dataclass
class Ears:
    """Who is told."""

    on_frame: Callable[[str, Any], None]
    on_lost: Callable[[str, bool], None]  # why, whether bars may have come by that line
    on_bar: Flagged


def flagged_bars(exchange: Any, client: Any, message: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """(symbol, timeframe, row, is closed) of each bar in a frame of Binance or Bybit."""
    if exchange.id.startswith("bybit"):
        topic = str(message.get("topic", "")).split(".")
        market_type = "spot" if "spot" in client.url else "contract"
        symbol = exchange.safe_symbol(topic[-1], None, None, market_type)
        timeframe = exchange.find_timeframe(topic[1]) if len(topic) > 2 else None
        names = ("start", "open", "high", "low", "close", "volume", "confirm")
        rows = message.get("data") or []
    else:
        rows = [message.get("k") or {}]
        market_type = "spot" if exchange.is_spot_url(client) else "contract"
        symbol = exchange.safe_symbol(rows[0].get("s"), None, None, market_type)
        timeframe = exchange.find_timeframe(rows[0].get("i"))
        names = ("t", "o", "h", "l", "c", "v", "x")
    found = []
    for row in rows:
        if any(row.get(name) is None for name in names):
            continue
        stamp, *values, is_closed = (row[name] for name in names)
        numbers = [int(stamp), *(float(value) for value in values)]
        found.append((symbol, timeframe, numbers, bool(is_closed)))
    return found


FLAGS = ("binance", "binanceus", "binanceusdm", "binancecoinm", "bybit", "bybiteu")


def library_of(name: str) -> type:
    """ccxt's class of an exchange, with WebSocket where ccxt has that."""
    try:
        import ccxt.pro as ccxt
    except ImportError:
        raise ConfigError(INSTALL, "feed.type") from None
    library: type | None = getattr(ccxt, name, None) if name in ccxt.exchanges else None
    if library is None:
        import ccxt.async_support as rest

        library = getattr(rest, name, None) if name in rest.exchanges else None
    if library is None:
        near = difflib.get_close_matches(name, ccxt.exchanges, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"ccxt has no exchange {name}{hint}", "feed.exchange")
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

        def handle_message(self, client: Any, message: Any) -> Any:
            ears.on_frame(client.url, message)
            return super().handle_message(client, message)

        def handle_ohlcv(self, client: Any, message: Any, *rest: Any) -> Any:
            done = super().handle_ohlcv(client, message, *rest)
            self.bar_lines.add(client.url)
            if name in FLAGS:
                for symbol, timeframe, row, is_closed in flagged_bars(self, client, message):
                    ears.on_bar(symbol, timeframe, row, is_closed)
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
