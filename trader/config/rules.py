"""Rules that look at more than one key. Each yields (dotted key, message); none raises.

Law: a rule only judges what the config says about itself; it opens no file. Keys are relative to
the whole config, so that a message can point at the line to change.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from trader.config.instrument_rules import currencies, futures, instruments, own_limits
from trader.config.model_rules import model_contradictions
from trader.config.scalars import ALWAYS_OPEN, FEATURE_NAME
from trader.config.sections.broker import SIMULATED
from trader.config.sections.exits import Exits
from trader.config.sections.orders import Entry

if TYPE_CHECKING:
    from trader.config.schema import Config

Found = tuple[str, str]
BAR_FIELDS = ("open", "high", "low", "close", "volume", "bid", "ask")
RULE_WORDS = ("and", "or", "not", "true", "false")
SECONDS_PER_DAY = 86_400
BPS_OF_ALL = 10_000.0
SECRET = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
SECRET_KEYS = ("apikey", "secret", "secretkey", "password", "privatekey", "token", "walletaddress")
SIZE_KEY = {
    "target": "base_size",
    "increment": "base_size",
    "percent_equity": "percent",
    "score": "base_size",
    "volatility_target": "target_volatility",
}


def contradictions(config: "Config", sections: Collection[str] | None = None) -> list[Found]:
    """Every rule the config breaks, as (dotted key, message).

    With `sections`, only the rules that read nothing but those: the others wait until the rest
    of the config can be read.
    """
    return [
        found
        for needs, rule in RULES
        if sections is None or set(needs) <= set(sections)
        for found in rule(config)
    ]


def _feed(config: "Config") -> Iterator[Found]:
    feed = config.feed
    if feed.is_file and feed.path is None:
        yield "feed.path", f"is required for type {feed.type}"
    if not feed.is_file and feed.path is not None:
        yield (
            "feed.path",
            f"has no meaning for type {feed.type}; leave it out (or --set feed.path=none)",
        )
    yield from _market_feed(config)
    start_ns, end_ns = feed.start_ns, feed.end_ns
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        yield "feed.end", "must be later than feed.start"


def _market_feed(config: "Config") -> Iterator[Found]:
    feed = config.feed
    if feed.type == "ccxt" and feed.exchange is None:
        yield "feed.exchange", "is required for type ccxt, such as binance or kraken"
    yield from _secrets("feed.options", feed.options)
    names = feed.symbols
    if isinstance(names, tuple) and len(names) != len(config.instruments):
        yield (
            "feed.symbols",
            f"names {len(names)}, and there are {len(config.instruments)} instruments",
        )
    for name in names if isinstance(names, dict) else ():
        if name not in config.symbols:
            yield f"feed.symbols.{name}", "is not one of the instruments"


def is_secret_key(key: str) -> bool:
    """Whether what a user writes under that name is a secret."""
    return key.lower().replace("_", "") in SECRET_KEYS


def _secrets(place: str, options: Mapping[str, object]) -> Iterator[Found]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(f"{place}.{key}", value)
        is_written_out = isinstance(value, str) and not SECRET.fullmatch(value)
        if is_secret_key(key) and value and is_written_out:
            yield (
                f"{place}.{key}",
                "is a secret: write ${NAME}, with the value in the environment, never in a file",
            )


def _resampling(config: "Config") -> Iterator[Found]:
    source_s, period_s = config.feed.period_seconds, config.bar_period_seconds
    if source_s is None or source_s == period_s:
        return
    if source_s > period_s:
        yield (
            "feed.period_seconds",
            f"is {source_s:g}, longer than bar_period_seconds ({period_s:g}): bars can be made "
            "longer, not shorter",
        )
    elif config.bar_unit is None and round(period_s * 1e9) % round(source_s * 1e9):
        yield (
            "feed.period_seconds",
            f"is {source_s:g}, and bar_period_seconds ({period_s:g}) is not a multiple of it",
        )


def _market_bars(config: "Config") -> Iterator[Found]:
    source_s = config.feed.period_seconds or config.bar_period_seconds
    if not config.feed.is_market or source_s < SECONDS_PER_DAY:
        return
    shorter = (
        "set feed.period_seconds to a length that it has, 3600 say, and they are made of those"
    )
    if source_s > SECONDS_PER_DAY:
        yield "bar_period_seconds", f"is longer than a day, which no market streams: {shorter}"
    elif config.risk.market_hours != ALWAYS_OPEN:
        hours = config.risk.market_hours
        yield (
            "bar_period_seconds",
            f"is a day, which a market ends at midnight UTC and {hours} does not: {shorter}",
        )


def _hours(config: "Config") -> Iterator[Found]:
    hours, period_s = config.risk.market_hours, config.bar_period_seconds
    if period_s < SECONDS_PER_DAY:
        return
    if hours != ALWAYS_OPEN and config.bar_unit is None:
        yield (
            "bar_period_seconds",
            f"is {period_s:g}: with the sessions of {hours}, bars above a day are a week or a "
            "month; write day, week or month",
        )
    for name in ("open_guard_seconds", "close_guard_seconds"):
        if getattr(config.risk, name) > 0:
            yield (
                f"risk.{name}",
                "has no meaning with bars of a day or more: every order fills at an open",
            )


def _features(config: "Config") -> Iterator[Found]:
    for name in config.features:
        key = f"features.{name}"
        if not FEATURE_NAME.fullmatch(name):
            yield (
                key,
                "a feature's name must be letters, digits and '_', not beginning with a digit",
            )
        elif name in BAR_FIELDS:
            yield key, f"{name} is a field of the bar; give the feature another name"
        elif name in RULE_WORDS:
            yield key, f"{name} is a word of the rule language; give the feature another name"


def _train(config: "Config") -> Iterator[Found]:
    if config.train is None:
        return
    start_ns, end_ns = config.train_span_ns
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        yield "train.end", "must be later than train.start"


def _sizing(config: "Config") -> Iterator[Found]:
    sizing = config.position_sizing
    key = SIZE_KEY[sizing.mode]
    if getattr(sizing, key) is None:
        yield f"position_sizing.{key}", f"is required for mode {sizing.mode}"
    if sizing.percent is not None and sizing.percent > 1 and not config.risk.allow_margin:
        yield (
            "position_sizing.percent",
            "is a fraction of equity (0.5 is half); above 1 needs risk.allow_margin: true",
        )


def _risk(config: "Config") -> Iterator[Found]:
    risk = config.risk
    known = set(config.symbols)
    for i, symbol in enumerate(risk.restricted):
        if symbol not in known:
            yield f"risk.restricted.{i}", f"{symbol} is not one of the instruments"
    if risk.max_order_size is not None and risk.min_order_size > risk.max_order_size:
        yield (
            "risk.min_order_size",
            "is above risk.max_order_size: every order would be denied",
        )


def _broker(config: "Config") -> Iterator[Found]:
    yield from _secrets("broker.options", config.broker.options)
    if config.broker.options and config.broker.type == SIMULATED:
        yield "broker.options", f"has no meaning for type {SIMULATED}; leave it out"
    slippage = config.broker.slippage
    if slippage.type == "bps" and slippage.value >= BPS_OF_ALL:
        yield (
            "broker.slippage.value",
            "in basis points must be less than 10000: at that a sale would fetch nothing; "
            "1 % is 100",
        )
    margin = config.broker.margin
    if margin is not None and margin.maintenance > margin.initial:
        yield (
            "broker.margin.maintenance",
            "is above broker.margin.initial: what may be opened would be closed at once",
        )
    share = config.broker.max_fill_participation or 1.0
    if slippage.type == "volume_share" and slippage.value * share * share >= 1.0:
        yield (
            "broker.slippage.value",
            "is too large: value × share² of the volume must stay below 1, or a sale would fetch "
            "nothing; lower it, or set broker.max_fill_participation",
        )


def _intrabar(config: "Config") -> Iterator[Found]:
    if config.has_detail and not config.is_resampled:
        yield (
            "broker.intrabar",
            "detail needs a feed of bars shorter than bar_period_seconds "
            f"({config.bar_period_seconds:g}): write their period as feed.period_seconds "
            "(60, say), or write worst or ohlc here",
        )


def _orders(config: "Config") -> Iterator[Found]:
    entry = config.orders.entry
    if entry.offset_bps and entry.type not in ("limit", "stop", "stop_limit"):
        yield "orders.entry.offset_bps", f"has no meaning for type {entry.type}"
    if entry.limit_offset_bps and entry.type != "stop_limit":
        yield "orders.entry.limit_offset_bps", f"has no meaning for type {entry.type}"
    if entry.type == "limit" and entry.offset_bps >= BPS_OF_ALL:
        yield "orders.entry.offset_bps", "must be less than 10000: a limit is a price above 0"
    if entry.expire_after_bars is not None and entry.time_in_force is not None:
        yield "orders.entry.expire_after_bars", "and time_in_force are two answers; leave one out"
    if entry.type in ("moo", "moc"):
        for name in ("time_in_force", "expire_after_bars"):
            if getattr(entry, name) is not None:
                yield f"orders.entry.{name}", f"has no meaning for type {entry.type}"


def _exits(config: "Config") -> Iterator[Found]:
    resting = config.exits != Exits() or config.orders.entry != Entry()
    for i, instrument in enumerate(config.instruments):
        if instrument.allow_negative_prices and resting:
            yield (
                f"instruments.{i}.allow_negative_prices",
                "does not go with exits or orders.entry: their prices are above 0; leave them out",
            )
    for name in ("stop_loss", "trailing_stop"):
        level = getattr(config.exits, name)
        if level is not None and level.type == "percent" and level.value >= 100.0:
            yield f"exits.{name}.value", "in percent must be less than 100: a price is above 0"


def _watchdog(config: "Config") -> Iterator[Found]:
    if config.watchdog.soft_s >= config.watchdog.hard_s:
        yield "watchdog.hard_s", "must be longer than watchdog.soft_s"


RULES: tuple[tuple[tuple[str, ...], Callable[["Config"], Iterator[Found]]], ...] = (
    (("instruments",), instruments),
    (("instruments", "risk"), own_limits),
    (("instruments", "broker"), currencies),
    (("instruments", "broker"), futures),
    (("feed", "instruments"), _feed),
    (("bar_period_seconds", "risk"), _hours),
    (("bar_period_seconds", "feed"), _resampling),
    (("bar_period_seconds", "feed", "risk"), _market_bars),
    (("features",), _features),
    (("model", "train"), model_contradictions),
    (("train", "feed"), _train),
    (("position_sizing", "risk"), _sizing),
    (("risk", "instruments"), _risk),
    (("broker",), _broker),
    (("broker", "feed", "bar_period_seconds"), _intrabar),
    (("orders",), _orders),
    (("exits", "orders", "instruments"), _exits),
    (("watchdog",), _watchdog),
)
