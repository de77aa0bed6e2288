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
        description="Orders worth less, in its currency, are denied as the exchange would refuse "
        "them; 0: none. Of a live market: what the exchange says.",
    )
    allow_negative_prices: Switch = Field(
        default=False,
        description="Whether prices may be zero or less (spreads, power, a future near delivery).",
    )
    multiplier: Positive = Field(
        default=1.0,
        description="Units of its currency that a price of 1 is worth: 50 of a future on an index, "
        "0.01 of a share quoted in pence.",
    )
    currency: OrNone[Text] = Field(
        default=None,
        description="Currency of its prices, such as JPY; none: that of the account. Another one "
        "needs a rate among the instruments: JPYUSD or USDJPY.",
    )
    max_position_size: OwnLimit = Field(
        default=OF_RISK, description="Instead of risk.max_position_size; `risk` is as there."
    )
    max_position_notional: OwnLimit = Field(
        default=OF_RISK, description="Instead of risk.max_position_notional."
    )
    max_order_size: OwnLimit = Field(default=OF_RISK, description="Instead of risk.max_order_size.")
    max_order_notional: OwnLimit = Field(
        default=OF_RISK, description="Instead of risk.max_order_notional."
    )
    min_order_size: OwnLimit = Field(default=OF_RISK, description="Instead of risk.min_order_size.")

    @property
    def own_limits(self) -> dict[str, float | None]:
        """The limits that are not those of `risk`, None for one that is off."""
        values = {name: getattr(self, name) for name in OWN_LIMITS}
        return {name: value for name, value in values.items() if value != OF_RISK}


InstrumentOrName = Annotated[Instrument, OrName("symbol")]


class Columns(Section):
    """The source's name of each of our columns, where it differs."""

    timestamp: Text = Field(default="timestamp", description="Column of the bar's stamp.")
    symbol: Text = Field(default="symbol", description="Column of the symbol; may be absent.")
    open: Text = Field(default="open", description="Column of the opening price.")
    high: Text = Field(default="high", description="Column of the highest price.")
    low: Text = Field(default="low", description="Column of the lowest price.")
    close: Text = Field(default="close", description="Column of the closing price.")
    volume: Text = Field(default="volume", description="Column of the traded volume, in units.")
    bid: Text = Field(default="bid", description="Column of the bid at the close; may be absent.")
    ask: Text = Field(default="ask", description="Column of the ask at the close; may be absent.")


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
        default=5, description="Bad bars in a row, in bars, after which a paper run is killed."
    )


class Feed(Section):
    """Where bars come from."""

    type: FeedType = Field(
        description="Kind of source: csv, parquet, stdin, ccxt, alpaca, or one that an installed "
        "package adds; frame is a DataFrame given from Python."
    )
    path: OrNone[Text] = Field(
        default=None,
        description="File, relative to the working directory; may contain {symbol}. "
        "Required for csv and parquet.",
    )
    exchange: OrNone[Text] = Field(
        default=None, description="The exchange, as ccxt names it: binance, kraken, … For ccxt."
    )
    symbols: tuple[Text, ...] | dict[str, Text] = Field(
        default={},
        description="The source's names of the instruments, where they differ: a list in their "
        "order, or a mapping of ours to its.",
    )
    options: dict[str, Param] = Field(
        default={},
        description="Handed to the source's library as they are; a secret is written ${NAME} and "
        "comes from the environment.",
    )
    warmup_bars: Count = Field(
        default=300, description="Closed bars of history that a live market begins with, in bars."
    )
    close_grace_seconds: Seconds = Field(
        default=1.0,
        description="Time after a bar's close, in seconds, from which a market's history is "
        "believed to hold it.",
    )
    period_seconds: OrNone[Period] = Field(
        default=None,
        description="Length of the source's bars, in seconds, where it is shorter than "
        "bar_period_seconds: the feed resamples, closed bars only, none across a session.",
    )
    timestamp: Literal["open", "close"] = Field(
        default="open", description="Whether the source stamps the open or the close of a bar."
    )
    timezone: OrNone[Zone] = Field(
        default=None, description="IANA zone of naive stamps; without it naive stamps are an error."
    )
    columns: Columns = Field(default=Columns(), description="Our column names to the source's.")
    format: Literal["auto", "plain", "yahoo", "binance", "mt5", "mt4", "histdata"] = Field(
        default="auto",
        description="Layout of the files; auto: recognised, and told; plain: names as in columns.",
    )
    separator: Literal["auto", ",", ";", "|", "tab"] = Field(
        default="auto", description="What stands between two cells of a CSV."
    )
    decimal: Literal["auto", ".", ","] = Field(
        default="auto", description="Decimal mark of the numbers of a text."
    )
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = Field(
        default="auto", description="Unit of stamps that are numbers, counted from 1970 in UTC."
    )
    date_order: Literal["auto", "day_first", "month_first"] = Field(
        default="auto", description="Which number of 03/04/2024 is the day."
    )
    start: OrNone[Moment] = Field(
        default=None,
        description="Use bars that open at or after this ISO time; naive: in timezone.",
    )
    end: OrNone[Moment] = Field(
        default=None,
        description="Use bars that close at or before this ISO time; naive: in timezone.",
    )
    trade_history: OrNone[Switch] = Field(
        default=None,
        description="Paper: whether to decide on bars that closed before the run, or its line, "
        "began; else they warm features. none: no, but a pipe whose first bar is over 30 days "
        "(and 400 bars) old is a recording, and traded.",
    )
    clock_tolerance_seconds: SecondsOrZero = Field(
        default=2.0,
        description="Paper: a live bar that closes more than this ahead of now is still forming, "
        "and is not taken.",
    )
    max_age_bars: Positive = Field(
        default=2.0,
        description="Paper: age of the newest bar, in bar periods, above which none trades.",
    )
    disconnect_after_seconds: OrNone[Seconds] = Field(
        default=None,
        description="Paper: silence, in seconds, taken for a lost feed; none: max_age_bars.",
    )
    adjustments: OrNone[Text] = Field(
        default=None,
        description="CSV of splits, dividends, delistings, renames (timestamp, symbol, kind, "
        "value); "
        "prices are as traded.",
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
