"""What ccxt is asked of an exchange's markets and bars, and what it says, in our records.

Law: a quantity is in units of the base currency. Where an exchange counts contracts, their size is
multiplied in; a contract that is worth no fixed quantity is refused.
"""

import contextlib
import difflib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trader.errors import ConfigError
from trader.feeds.source import InstrumentFacts, RawBar
from trader.moments import NS_PER_MS

OKX = ("okx", "okxus", "myokx")
BYBIT = ("bybit", "bybiteu", "bybitid")
COUNT_CONTRACTS = ("gate", "gateeu", "kucoin", "kucoinfutures", "mexc")  # in a bar's volume
LONG_OF_UTC = {"6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc"}
LONGEST_S = 86_400  # longer bars begin at no multiple of their length
SIGNIFICANT_DIGITS, TICK_SIZE = 3, 4  # ccxt's precision modes


def volume_unit(exchange: Any, symbol: str) -> float:
    """What the volume of a bar is counted in, in units of the base currency."""
    market = exchange.markets.get(symbol) or {}
    if exchange.id not in COUNT_CONTRACTS or not market.get("contract"):
        return 1.0
    return float(market.get("contractSize") or 1.0)


def raw_bar(row: Sequence[Any], unit: float = 1.0) -> RawBar:
    """A row of ccxt: milliseconds and five numbers. `ValueError` for one that lacks any but the
    volume: an answer that is no JSON, or cut off, gives such rows. `unit`: of the volume."""
    stamp, opened, high, low, close, volume = row[:6]
    try:
        prices = float(opened), float(high), float(low), float(close)
        traded = float(volume or 0.0)
        traded = traded if unit == 1.0 else round(traded * unit, 12)
        return RawBar(int(stamp) * NS_PER_MS, *prices, traded)
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


def options_for(name: str, symbols: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The user's options of ccxt, beside what spares requests: markets of the kinds that the
    symbols are of, and none of the requests that keys would sign. Long bars that OKX or Bitget
    streams begin when those of its REST do only by their UTC names."""
    are_spot = not any(":" in symbol for symbol in symbols)
    are_contracts = all(":" in symbol for symbol in symbols)
    wanted: dict[str, Any] = {}
    own: dict[str, Any] = {}
    if name.startswith("binance"):
        own = {"fetchCurrencies": False, "fetchMargins": False}
        if name == "binance" and are_spot:
            own["fetchMarkets"] = {"types": ["spot"]}
    elif name in (*BYBIT, *OKX):
        wanted["has"] = {"fetchCurrencies": False}
        contracts = ["swap", "future"] if name in OKX else ["linear", "inverse"]
        kinds = ([] if are_contracts else ["spot"]) + ([] if are_spot else contracts)
        own["fetchMarkets"] = {"types": kinds}
    if name in OKX:
        wanted["timeframes"] = LONG_OF_UTC
        own["fetchOHLCV"] = {"timezone": "as named"}
    elif name == "bitget":
        own["timeframes"] = LONG_OF_UTC
    options: dict[str, Any] = dict(given)
    for key, value in [*wanted.items(), ("options", own)]:
        if value:
            options[key] = value | dict(options.get(key) or {})
    return options


def groups_of(exchange: Any, symbols: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """The symbols in lots of one subscription: of one kind of market, which has its own line."""
    kinds: dict[Any, list[str]] = {}
    for symbol in symbols:
        market = exchange.markets.get(symbol) or {}
        kinds.setdefault((market.get("type"), market.get("linear")), []).append(symbol)
    for alike in kinds.values():
        yield from (tuple(alike[at : at + size]) for at in range(0, len(alike), size))


def require_tradable(exchange: Any, symbol: str, key: str) -> None:
    """`ConfigError` for a symbol that is not there, not traded, or no quantity of its base."""
    market = exchange.markets.get(symbol)
    if market is None:
        near = difflib.get_close_matches(symbol.upper(), list(exchange.markets), 3, 0.5)
        hint = "it is written BASE/QUOTE, as BTC/USDT; stocks: feed.type alpaca"
        hint = f"did you mean {' or '.join(near)}?" if near else hint
        raise ConfigError(f"{exchange.id} has no market {symbol}; {hint}", key)
    if market.get("active") is False:
        raise ConfigError(f"{exchange.id} does not trade {symbol} at present", key)
    if not market.get("contract"):
        return
    is_linear = market.get("linear")
    if is_linear is None:
        is_linear = market.get("settle") == market.get("quote")
    if market.get("option") or not is_linear:
        raise ConfigError(
            f"{symbol} of {exchange.id} does not gain in proportion to its price (it is an option, "
            f"or settled in {market.get('settle')}): take spot, or a contract that is settled in "
            f"its quote currency, as {market.get('base')}/USDT:USDT",
            key,
        )
    if not (market.get("contractSize") or 0.0) > 0.0:
        raise ConfigError(f"{exchange.id} does not say how much a contract of {symbol} is", key)


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
    size = _tick_size(market.get("contractSize")) or Decimal(1)
    return InstrumentFacts(
        symbol,
        step(precision.get("price")),
        _times(step(precision.get("amount")), size),
        _times(_tick_size(least.get("min")), size),
        _tick_size(cost.get("min")),
        str(market.get("quote") or ""),
        market.get("active") is not False,
    )


def _tick_size(value: Any) -> Decimal | None:
    return None if value is None or not float(value) > 0.0 else Decimal(str(value))


def _times(value: Decimal | None, size: Decimal) -> Decimal | None:
    """A number of contracts as a quantity."""
    return value if value is None or size == 1 else (value * size).normalize()


def _decimal_places(value: Any) -> Decimal | None:
    return None if value is None else Decimal(1).scaleb(-int(value))


def _no_step(value: Any) -> Decimal | None:
    return None
