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

    symbol: Text = Field(max_length=64, description="The vendor's name.")
    tick_size: Amount = Field(default=0.0, description="Price step; 0 rounds nothing.")
    lot_size: Positive = Field(default=1.0, description="Step of quantities.")
    min_notional: Amount = Field(
        default=0.0,
        description="Orders worth less are denied.",
    )
    allow_negative_prices: Switch = Field(
        default=False,
        description="Spreads, power, a future near delivery.",
    )
    multiplier: Positive = Field(
        default=1.0,
        description="Worth of a price of 1; 50 of an index future.",
    )
    future: OrNone[Switch] = Field(
        default=None,
        description="Opening it moves no cash.",
    )
    currency: OrNone[Text] = Field(
        default=None,
        description="Of its prices, else the account's; JPY needs JPYUSD or USDJPY here.",
    )
    max_position_size: OwnLimit = Field(default=OF_RISK, description="Its own limit.")
    max_position_notional: OwnLimit = Field(default=OF_RISK, description="Its own limit.")
    max_order_size: OwnLimit = Field(default=OF_RISK, description="Its own limit.")
    max_order_notional: OwnLimit = Field(default=OF_RISK, description="Its own limit.")
    min_order_size: OwnLimit = Field(default=OF_RISK, description="Its own limit.")

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
    bid: Text = Field(default="bid", description="At the close; may be absent.")
    ask: Text = Field(default="ask", description="At the close; may be absent.")


class Quality(Section):
    """What to do with each class of bad data: stop (error), keep and report (warn), or drop."""

    gap: Policy = Field(default="warn", description="Bars missing inside trading hours.")
    duplicate: Policy = Field(default="error", description="The same bar twice.")
    revised: Policy = Field(default="error", description="A stamp again with other values.")
    disorder: Policy = Field(default="error", description="A stamp earlier than the last.")
    ohlc: Policy = Field(default="error", description="Open or close outside low and high.")
    price: Policy = Field(default="error", description="Not above 0, or not finite.")
    volume: Policy = Field(default="error", description="Below 0, or not finite.")
    no_session: Policy = Field(default="error", description="A daily bar without a session.")
    jump: Policy = Field(default="warn", description="A close over max_jump from the last.")
    max_jump: Positive = Field(default=0.20, description="A fraction of the last close.")
    max_bad_bars: CountFromOne = Field(default=5, description="Paper: more in a row kill.")


class Feed(Section):
    """Where bars come from."""

    type: FeedType = Field(description="A package may add more; frame: a DataFrame from Python.")
    path: OrNone[Text] = Field(
        default=None,
        description="File; may contain {symbol}.",
    )
    exchange: OrNone[Text] = Field(default=None, description="As ccxt names it: binance, kraken, …")
    symbols: tuple[Text, ...] | dict[str, Text] = Field(
        default={},
        description="The source's names: a list in order, or ours to its.",
    )
    options: dict[str, Param] = Field(
        default={},
        description="For the source's library; secrets as ${NAME}.",
    )
    warmup_bars: Count = Field(
        default=300, description="Live: closed bars of history at the start."
    )
    close_grace_seconds: Seconds = Field(
        default=1.0,
        description="Live: wait before history is asked for a bar.",
    )
    period_seconds: OrNone[Period] = Field(
        default=None,
        description="Of the source, where shorter than bar_period_seconds.",
    )
    timestamp: Literal["open", "close"] = Field(
        default="open", description="What of a bar is stamped."
    )
    timezone: OrNone[Zone] = Field(
        default=None,
        description="IANA zone of stamps without one.",
    )
    columns: Columns = Field(default=Columns(), description="The source's names of columns.")
    format: Literal["auto", "plain", "yahoo", "binance", "mt5", "mt4", "histdata"] = Field(
        default="auto",
        description="Layout; plain: as in columns.",
    )
    separator: Literal["auto", ",", ";", "|", "tab"] = Field(
        default="auto", description="Of the cells of a CSV."
    )
    decimal: Literal["auto", ".", ","] = Field(default="auto", description="Decimal mark.")
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = Field(
        default="auto", description="Unit of numeric stamps."
    )
    date_order: Literal["auto", "day_first", "month_first"] = Field(
        default="auto", description="Of 03/04/2024."
    )
    start: OrNone[Moment] = Field(
        default=None,
        description="Bars that open from here on.",
    )
    end: OrNone[Moment] = Field(
        default=None,
        description="Bars that close up to here.",
    )
    trade_history: OrNone[Switch] = Field(
        default=None,
        description="Paper: decide on bars from before the run; else only on a recording's.",
    )
    clock_tolerance_seconds: SecondsOrZero = Field(
        default=2.0,
        description="Paper: closes further ahead are still forming.",
    )
    max_age_bars: Positive = Field(
        default=2.0,
        description="Paper: older than so many periods, nothing trades.",
    )
    disconnect_after_seconds: OrNone[Seconds] = Field(
        default=None,
        description="Paper: silence of a lost feed; else max_age_bars.",
    )
    adjustments: OrNone[Text] = Field(
        default=None,
        description="CSV of timestamp, symbol, kind (split, dividend, delist, rename), value.",
    )
    quality: Quality = Field(default=Quality(), description="What is done with bad data.")

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
