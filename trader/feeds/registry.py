"""Feeds by the name of their type: files, the pipe, markets, and what packages add.

A package adds a market with one entry point of the group `trader.feeds`, which names a pair
(section of `feed.options`, factory that makes a `BarSource`).

Law: a market is one file, and so is a format of files. Nothing here imports a library of a market.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from trader.config.options import checked_options
from trader.config.registry import Registry
from trader.config.schema import Config
from trader.config.sections.feed import ENTRY_POINTS
from trader.feeds.alpaca_options import AlpacaOptions
from trader.feeds.quotes import reads_quotes
from trader.feeds.source import BarSource, SourceTerms

if TYPE_CHECKING:
    from trader.feeds.raw import RawRows


class NoOptions(BaseModel):
    """A feed without `feed.options`."""


class AnyOptions(BaseModel):
    """Options of a library, whatever they are."""

    model_config = {"extra": "allow"}


class FeedType(NamedTuple):
    """One kind of feed: the section of its `feed.options`, and how its bars are had."""

    options: type[BaseModel]
    source: Callable[[SourceTerms], BarSource] | None = None  # of a market
    read: Callable[[Path, Config], "RawRows"] | None = None  # of one file


def _csv(path: Path, config: Config) -> "RawRows":
    from trader.feeds.csv_source import read_csv

    return read_csv(path, config)


def _parquet(path: Path, config: Config) -> "RawRows":
    from trader.feeds.parquet_source import read_parquet

    return read_parquet(path, config)


def _ccxt(terms: SourceTerms) -> BarSource:
    from trader.feeds.ccxt_source import CcxtSource

    return CcxtSource(terms)


def _alpaca(terms: SourceTerms) -> BarSource:
    from trader.feeds.alpaca_source import AlpacaSource

    return AlpacaSource(terms)


BUILT_IN = {
    "csv": FeedType(NoOptions, read=_csv),
    "parquet": FeedType(NoOptions, read=_parquet),
    "stdin": FeedType(NoOptions),
    "frame": FeedType(NoOptions),  # a DataFrame given from Python
    "ccxt": FeedType(AnyOptions, _ccxt),
    "alpaca": FeedType(AlpacaOptions, _alpaca),
}
SOURCE_NAMES = ("can", "open", "facts", "venue_ns", "history", "close")  # every `BarSource` has
FEEDS = Registry(ENTRY_POINTS, FeedType, BUILT_IN, "feed.type", SOURCE_NAMES)


def open_source(config: Config, environ: Mapping[str, str] = os.environ) -> BarSource:
    """The source that `config.feed` names; it connects to nothing yet.

    `ConfigError` for options that do not fit and for a secret the environment has not.
    """
    market = FEEDS.entry(config.feed.type)
    assert market.source is not None, "asked of a market only"
    given = config.feed.options
    options, _, secrets = checked_options(given, "feed.options", market.options, environ)
    return market.source(source_terms(config, options, secrets))


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
        reads_quotes(config),
    )
