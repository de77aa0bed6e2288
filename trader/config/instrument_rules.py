"""Rules of instruments: their names, their limits, their currencies and the rates of those.

Law: as in `rules`: each yields (dotted key, message); none raises.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trader.config.schema import Config

Found = tuple[str, str]
CODE = re.compile(r"[A-Z][A-Z0-9]{1,9}")
MAJORS = "USD EUR JPY GBP CHF CAD AUD NZD"
QUOTED = frozenset(  # currencies that a pair of six letters is made of
    f"{MAJORS} SEK NOK DKK PLN CZK HUF TRY ZAR MXN SGD HKD CNH CNY INR KRW BRL THB ILS".split()
)


def instruments(config: "Config") -> Iterator[Found]:
    """Every symbol once."""
    seen: dict[str, int] = {}
    for i, instrument in enumerate(config.instruments):
        first = seen.setdefault(instrument.symbol, i)
        if first != i:
            yield f"instruments.{i}.symbol", f"{instrument.symbol} is listed twice"


def own_limits(config: "Config") -> Iterator[Found]:
    """An instrument's own limits must leave room for an order."""
    for i, instrument in enumerate(config.instruments):
        own = instrument.own_limits
        least = own.get("min_order_size", config.risk.min_order_size) or 0.0
        most = own.get("max_order_size", config.risk.max_order_size)
        if most is not None and least > most:
            key = next((name for name in ("min_order_size", "max_order_size") if name in own), "")
            if key:
                yield (
                    f"instruments.{i}.{key}",
                    f"leaves {instrument.symbol} orders of at least {least:g} and at most "
                    f"{most:g}: every one would be denied",
                )


def futures(config: "Config") -> Iterator[Found]:
    """A contract of many units costs interest on all of them, unless it is a future: say which."""
    rates = ("interest_rate", "borrow_rate")
    charged = [f"broker.{name}" for name in rates if getattr(config.broker, name) > 0.0]
    for i, instrument in enumerate(config.instruments):
        if charged and instrument.multiplier > 1.0 and instrument.future is None:
            yield (
                f"instruments.{i}.future",
                f"is not given, and {instrument.symbol} has a multiplier of "
                f"{instrument.multiplier:g}, with {' and '.join(charged)}: write true for a "
                "future, which costs neither, or false for what is paid in full, as an option is",
            )


def currency_of(config: "Config", symbol: int) -> str | None:
    """Currency of a symbol's prices; None where the config names none at all."""
    own = config.instruments[symbol].currency
    return (own or account_currency(config) or "").upper() or None


def account_currency(config: "Config") -> str | None:
    """Currency of the account: as written, or the one of all instruments."""
    if config.broker.currency is not None:
        return config.broker.currency.upper()
    named = [(instrument.currency or "").upper() for instrument in config.instruments]
    return named[0] or None if len(set(named)) == 1 else None


def pair_of(name: str) -> str:
    """`USDJPY` of USD/JPY, usd_jpy, USD-JPY and USDJPY=X."""
    return re.sub(r"[^A-Z0-9]", "", name.upper().removesuffix("=X"))


def rate_of(config: "Config", symbol: int) -> int | None:
    """0: no rate is needed; n: × the price of symbol n − 1, −n: ÷ by it; None: there is none."""
    home, foreign = account_currency(config), currency_of(config, symbol)
    if home == foreign:
        return 0
    pairs = [pair_of(name) for name in config.symbols]
    for name, sign in ((f"{foreign}{home}", 1), (f"{home}{foreign}", -1)):
        if name in pairs:
            return sign * (pairs.index(name) + 1)
    return None


def currencies(config: "Config") -> Iterator[Found]:
    """Money of two currencies is never added up: each needs a rate."""
    for i, text in enumerate([config.broker.currency, *(x.currency for x in config.instruments)]):
        key = f"instruments.{i - 1}.currency" if i else "broker.currency"
        if text is not None and not CODE.fullmatch(text.upper()):
            yield key, f"must be the code of a currency, such as USD, not {text}"
            return
    home = account_currency(config)
    named = [instrument.currency for instrument in config.instruments]
    if home is None:
        if any(named):
            yield (
                "broker.currency",
                "is required where instruments name different currencies or none",
            )
        return
    for i, instrument in enumerate(config.instruments):
        foreign = currency_of(config, i)
        if rate_of(config, i) is None:
            yield (
                f"instruments.{i}.currency",
                f"is {foreign}, the account's is {home}: add the instrument {foreign}{home} or "
                f"{home}{foreign}, whose closes are the rate",
            )
        pair = pair_of(instrument.symbol)
        quote = pair[3:]
        is_pair = len(pair) == 6 and {pair[:3], quote} <= QUOTED
        if is_pair and quote != home and instrument.currency is None:
            yield (
                f"instruments.{i}.currency",
                f"is not given, and {instrument.symbol} looks quoted in {quote}: write "
                f"{quote} (or {home}, if its prices are in that)",
            )
