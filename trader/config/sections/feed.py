"""Where bars come from: instruments, columns, quality, feed."""

import difflib
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from trader.config.own_limit import OF_RISK, OwnLimit
from trader.config.registry import asked_for, installed_names
from trader.config.scalars import (
    Amount,
    Count,
    CountFromOne,
    Moment,
    OrName,
    OrNone,
    Param,
    Period,
    Positive,
    Seconds,
    SecondsOrZero,
    Switch,
    Text,
    Zone,
    time_ns,
)
from trader.config.sections.section import Section

Policy = Literal["error", "warn", "drop"]
FILES = ("csv", "parquet")
MARKETS = ("ccxt", "alpaca")
FRAME = "frame"  # a DataFrame given from Python
BUILT_IN = (*FILES, "stdin", *MARKETS, FRAME)
ENTRY_POINTS = "trader.feeds"  # of installed packages: see trader.feeds.registry


OWN_LIMITS = (
    "max_position_size",
    "max_position_notional",
    "max_order_size",
    "max_order_notional",
    "min_order_size",
)


class AnyFeed:
    """Accepts the name of a feed that is built in or installed."""

    def check(self, text: str) -> str:
        if text not in BUILT_IN and asked_for(ENTRY_POINTS, text) is None:
            known = self.known()
            near = difflib.get_close_matches(text, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"must be {', '.join(known[:-1])} or {known[-1]}{hint}")
        return text

    def known(self) -> list[str]:
        return [*BUILT_IN, *installed_names(ENTRY_POINTS)]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": self.known()}


FeedType = Annotated[Text, AnyFeed()]


class Instrument(Section):
    """One tradable symbol."""

    symbol: Text = Field(max_length=64, description="The vendor's name, kept as written.")
    tick_size: Amount = Field(default=0.0, description="Price step; 0 rounds nothing.")
    lot_size: Positive = Field(
        default=1.0, description="Quantities are multiples of this, in units."
    )
    min_notional: Amount = Field(
        default=0.0,
        description="Orders worth less, in its currency, are denied; a live market brings its own.",
    )
    allow_negative_prices: Switch = Field(
        default=False,
        description="Prices may be zero or less (spreads, power, a future near delivery).",
    )
    multiplier: Positive = Field(
        default=1.0,
        description="What a price of 1 is worth in its currency: 50 of an index future, 0.01 "
        "of a share in pence.",
    )
    future: OrNone[Switch] = Field(
        default=None,
        description="A future: opening it moves no cash, its P&L does; no borrow fee.",
    )
    currency: OrNone[Text] = Field(
        default=None,
        description="Currency of its prices; none: the account's. Another needs a rate among "
        "the instruments (JPYUSD or USDJPY).",
    )
    max_position_size: OwnLimit = Field(
        default=OF_RISK, description="Replaces risk.max_position_size."
    )
    max_position_notional: OwnLimit = Field(
        default=OF_RISK, description="Replaces risk.max_position_notional."
    )
    max_order_size: OwnLimit = Field(default=OF_RISK, description="Replaces risk.max_order_size.")
    max_order_notional: OwnLimit = Field(
        default=OF_RISK, description="Replaces risk.max_order_notional."
    )
    min_order_size: OwnLimit = Field(default=OF_RISK, description="Replaces risk.min_order_size.")

    @property
    def own_limits(self) -> dict[str, float | None]:
        """The limits that are not those of `risk`, None for one that is off."""
        values = {name: getattr(self, name) for name in OWN_LIMITS}
        return {name: value for name, value in values.items() if value != OF_RISK}


InstrumentOrName = Annotated[Instrument, OrName("symbol")]


class Columns(Section):
    """The source's name of each of our columns, where it differs."""

    timestamp: Text = Field(default="timestamp", description="The bar's stamp.")
    symbol: Text = Field(default="symbol", description="May be absent.")
    open: Text = Field(default="open", description="Opening price.")
    high: Text = Field(default="high", description="Highest price.")
    low: Text = Field(default="low", description="Lowest price.")
    close: Text = Field(default="close", description="Closing price.")
    volume: Text = Field(default="volume", description="Units traded.")
    bid: Text = Field(default="bid", description="Bid at the close; may be absent.")
    ask: Text = Field(default="ask", description="Ask at the close; may be absent.")


class Quality(Section):
    """What to do with each class of bad data: stop (error), keep and report (warn), or drop."""

    gap: Policy = Field(default="warn", description="Bars missing inside trading hours.")
    duplicate: Policy = Field(default="error", description="The same bar twice.")
    revised: Policy = Field(default="error", description="The same stamp again with other values.")
    disorder: Policy = Field(default="error", description="A stamp earlier than the one before it.")
    ohlc: Policy = Field(default="error", description="High below low, or open or close outside.")
    price: Policy = Field(default="error", description="A price that is not finite or not above 0.")
    volume: Policy = Field(default="error", description="A volume that is not finite or below 0.")
    no_session: Policy = Field(
        default="error", description="A bar of a day or more on a date without a session."
    )
    jump: Policy = Field(default="warn", description="A close further than max_jump from the last.")
    max_jump: Positive = Field(default=0.20, description="Largest move between closes, a fraction.")
    max_bad_bars: CountFromOne = Field(
        default=5, description="Paper: more bad bars in a row than this kill the run."
    )


class Feed(Section):
    """Where bars come from."""

    type: FeedType = Field(
        description="Kind of source; an installed package may add more. frame: a DataFrame "
        "given from Python."
    )
    path: OrNone[Text] = Field(
        default=None,
        description="File, from the working directory; may contain {symbol}. csv and parquet "
        "need it.",
    )
    exchange: OrNone[Text] = Field(
        default=None, description="The exchange, as ccxt names it: binance, kraken, …"
    )
    symbols: tuple[Text, ...] | dict[str, Text] = Field(
        default={},
        description="The source's names where they differ: a list in order, or a mapping of "
        "ours to its.",
    )
    options: dict[str, Param] = Field(
        default={},
        description="Handed to the source's library as they are; a secret is written ${NAME}.",
    )
    warmup_bars: Count = Field(
        default=300, description="Closed bars of history that a live market begins with."
    )
    close_grace_seconds: Seconds = Field(
        default=1.0,
        description="Seconds after a close until a market's history is believed to hold the bar.",
    )
    period_seconds: OrNone[Period] = Field(
        default=None,
        description="Length of the source's bars, in seconds, where shorter than "
        "bar_period_seconds: the feed makes the long ones.",
    )
    timestamp: Literal["open", "close"] = Field(
        default="open", description="What the source stamps: a bar's open or its close."
    )
    timezone: OrNone[Zone] = Field(
        default=None,
        description="IANA zone of stamps that have none; without it they are an error.",
    )
    columns: Columns = Field(default=Columns(), description="The source's column names.")
    format: Literal["auto", "plain", "yahoo", "binance", "mt5", "mt4", "histdata"] = Field(
        default="auto",
        description="Layout of the files; auto: recognised, and told; plain: as in columns.",
    )
    separator: Literal["auto", ",", ";", "|", "tab"] = Field(
        default="auto", description="Between two cells of a CSV."
    )
    decimal: Literal["auto", ".", ","] = Field(
        default="auto", description="Decimal mark of the numbers."
    )
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = Field(
        default="auto", description="Unit of numeric stamps, from 1970 in UTC."
    )
    date_order: Literal["auto", "day_first", "month_first"] = Field(
        default="auto", description="Which number of 03/04/2024 is the day."
    )
    start: OrNone[Moment] = Field(
        default=None,
        description="Use bars that open at or after this; without a zone: in timezone.",
    )
    end: OrNone[Moment] = Field(
        default=None,
        description="Use bars that close at or before this; without a zone: in timezone.",
    )
    trade_history: OrNone[Switch] = Field(
        default=None,
        description="Paper: decide on bars that closed before the run, or its line, began; "
        "none: only where a pipe is a recording (first bar over 30 days and 400 "
        "bars old).",
    )
    clock_tolerance_seconds: SecondsOrZero = Field(
        default=2.0,
        description="Paper: a live bar that closes more than this ahead of now is still forming.",
    )
    max_age_bars: Positive = Field(
        default=2.0,
        description="Paper: age of the newest bar, in bar periods, above which nothing trades.",
    )
    disconnect_after_seconds: OrNone[Seconds] = Field(
        default=None,
        description="Paper: seconds of silence that mean a lost feed; none: max_age_bars.",
    )
    adjustments: OrNone[Text] = Field(
        default=None,
        description="CSV of splits, dividends, delistings, renames (timestamp, symbol, kind, "
        "value).",
    )
    quality: Quality = Field(default=Quality(), description="Policy for each class of bad data.")

    @property
    def is_file(self) -> bool:
        """Whether bars are read from files."""
        return self.type in FILES

    @property
    def is_market(self) -> bool:
        """Whether bars come from a market over a network."""
        return not self.is_file and self.type not in ("stdin", FRAME)

    @property
    def start_ns(self) -> int | None:
        """`start` in UTC nanoseconds."""
        return None if self.start is None else time_ns(self.start, self.timezone)

    @property
    def end_ns(self) -> int | None:
        """`end` in UTC nanoseconds."""
        return None if self.end is None else time_ns(self.end, self.timezone)
