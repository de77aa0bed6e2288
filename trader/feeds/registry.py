"""Feeds by the name of their type: those that are built in, and those of installed packages.

A package adds a market with one entry point of the group `trader.feeds`:

    [project.entry-points."trader.feeds"]
    myvenue = "my_package.feed:MARKET"          # a MarketType, or such a pair

Law: a market is one file: its options as a section, and a factory that makes a `BarSource`.
Nothing here imports a library of a market.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from trader.config.extensions import extension
from trader.config.schema import Config
from trader.config.sections.feed import ENTRY_POINTS
from trader.errors import ConfigError
from trader.feeds.alpaca_source import AlpacaOptions
from trader.feeds.source import BarSource, SourceTerms

SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SHORTEST_SECRET = 4  # a shorter value cannot be taken out of a message without spoiling it


class AnyOptions(BaseModel):
    """Options of a library, whatever they are."""

    model_config = {"extra": "allow"}


class MarketType(NamedTuple):
    """One kind of market: the section of its `feed.options`, and what makes its source."""

    options: type[BaseModel]
    source: Callable[[SourceTerms], BarSource]


def _ccxt(terms: SourceTerms) -> BarSource:
    from trader.feeds.ccxt_source import CcxtSource

    return CcxtSource(terms)


def _alpaca(terms: SourceTerms) -> BarSource:
    from trader.feeds.alpaca_source import AlpacaSource

    return AlpacaSource(terms)


MARKETS: dict[str, MarketType] = {
    "ccxt": MarketType(AnyOptions, _ccxt),
    "alpaca": MarketType(AlpacaOptions, _alpaca),
}


def market_type(name: str) -> MarketType:
    """The market of that name. `ConfigError` where its package cannot be loaded."""
    if name in MARKETS:
        return MARKETS[name]
    if (found := extension(ENTRY_POINTS, name)) is None:
        raise ConfigError(f"no installed package has a feed of type {name}", "feed.type")
    return MarketType(*found)


def open_source(config: Config, environ: Mapping[str, str] = os.environ) -> BarSource:
    """The source that `config.feed` names; it connects to nothing yet.

    `ConfigError` for options that do not fit and for a secret the environment has not.
    """
    market = market_type(config.feed.type)
    secrets: list[str] = []
    options = _filled(config.feed.options, "feed.options", (environ, secrets))
    try:
        market.options.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(map(str, ("feed.options", *first["loc"])))
        raise ConfigError(first["msg"], key) from None
    return market.source(source_terms(config, options, tuple(secrets)))


def source_terms(
    config: Config, options: Mapping[str, Any], secrets: tuple[str, ...]
) -> SourceTerms:
    """What a source is made of."""
    names = config.feed.symbols
    if isinstance(names, tuple):
        symbols = names
    else:
        symbols = tuple(names.get(symbol, symbol) for symbol in config.symbols)
    return SourceTerms(
        symbols,
        config.period_ns,
        config.feed.exchange or "",
        options,
        secrets,
        config.risk.market_hours,
    )


def _filled(value: Any, key: str, around: tuple[Mapping[str, str], list[str]]) -> Any:
    """`value` with each ${NAME} in its texts taken from the environment."""
    if isinstance(value, dict):
        return {name: _filled(item, f"{key}.{name}", around) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, key, around) for item in value]
    if not isinstance(value, str):
        return value
    environ, secrets = around

    def found(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environ.get(name):
            raise ConfigError(f"the environment has no {name}: export {name}=…", key)
        secret = environ[name].strip()
        if len(secret) >= SHORTEST_SECRET:
            secrets.append(secret)
        return secret

    return SECRET.sub(found, value)
