"""What ccxt says of an exchange's markets and bars, in our records."""

import contextlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from trader.errors import ConfigError
from trader.feeds.source import InstrumentFacts, RawBar
from trader.moments import NS_PER_MS

LONGEST_S = 86_400  # longer bars begin at no multiple of their length
SIGNIFICANT_DIGITS, TICK_SIZE = 3, 4  # ccxt's precision modes


def raw_bar(row: Sequence[Any]) -> RawBar:
    """A row of ccxt: milliseconds and five numbers. `ValueError` for one that lacks any but the
    volume: an answer that is no JSON, or cut off, gives such rows."""
    stamp, opened, high, low, close, volume = row[:6]
    try:
        prices = float(opened), float(high), float(low), float(close)
        return RawBar(int(stamp) * NS_PER_MS, *prices, float(volume or 0.0))
    except TypeError:
        raise ValueError(f"it sent what is no bar: {list(row)}") from None


def timeframe_of(exchange: Any, period_ns: int) -> str:
    """The exchange's word for a bar of that length. `ConfigError` that lists those it has."""
    if not (exchange.has.get("watchOHLCV") or exchange.has.get("fetchOHLCV")):
        raise ConfigError(f"ccxt has no bars of {exchange.id}: choose another", "feed.exchange")
    seconds = period_ns / 1e9
    known = {}
    for name in exchange.timeframes or {}:
        with contextlib.suppress(Exception):
            known[exchange.parse_timeframe(name)] = name
    if seconds not in known or seconds > LONGEST_S:
        lengths = ", ".join(str(length) for length in sorted(known) if length <= LONGEST_S)
        raise ConfigError(
            f"{exchange.id} has no bars of {seconds:g} s; it has {lengths}", "bar_period_seconds"
        )
    return str(known[int(seconds)])


def facts_of(exchange: Any, symbol: str) -> InstrumentFacts:
    """Steps and least sizes of one market, as ccxt gives them."""
    market = exchange.markets.get(symbol)
    if market is None:  # delisted while we watched
        return InstrumentFacts(symbol, is_trading=False)
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    step = _tick_size if exchange.precisionMode == TICK_SIZE else _decimal_places
    if exchange.precisionMode == SIGNIFICANT_DIGITS:  # significant digits: no step at all
        step = _no_step
    least = limits.get("amount") or {}
    cost = limits.get("cost") or {}
    return InstrumentFacts(
        symbol,
        step(precision.get("price")),
        step(precision.get("amount")),
        _tick_size(least.get("min")),
        _tick_size(cost.get("min")),
        str(market.get("quote") or ""),
        market.get("active") is not False,
    )


def _tick_size(value: Any) -> Decimal | None:
    return None if value is None or not float(value) > 0.0 else Decimal(str(value))


def _decimal_places(value: Any) -> Decimal | None:
    return None if value is None else Decimal(1).scaleb(-int(value))


def _no_step(value: Any) -> Decimal | None:
    return None
