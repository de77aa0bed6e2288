"""Where bars come from: instruments, columns, quality, feed."""

from typing import Annotated, Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    CountFromOne,
    Moment,
    OrName,
    OrNone,
    Positive,
    Seconds,
    Text,
    Zone,
    time_ns,
)
from trader.config.sections.section import Section

Policy = Literal["error", "warn", "drop"]


class Instrument(Section):
    """One tradable symbol."""

    symbol: Text = Field(max_length=64, description="The vendor's name, kept as written.")
    tick_size: Amount = Field(default=0.0, description="Price step; 0 rounds nothing.")
    lot_size: Positive = Field(
        default=1.0, description="Quantities are multiples of this, in units."
    )


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

    type: Literal["csv", "parquet", "stdin"] = Field(description="Kind of source.")
    path: OrNone[Text] = Field(
        default=None,
        description="File, relative to the working directory; may contain {symbol}. "
        "Required for csv and parquet.",
    )
    timestamp: Literal["open", "close"] = Field(
        default="open", description="Whether the source stamps the open or the close of a bar."
    )
    timezone: OrNone[Zone] = Field(
        default=None, description="IANA zone of naive stamps; without it naive stamps are an error."
    )
    columns: Columns = Field(default=Columns(), description="Our column names to the source's.")
    start: OrNone[Moment] = Field(
        default=None,
        description="Use bars that open at or after this ISO time; naive: in timezone.",
    )
    end: OrNone[Moment] = Field(
        default=None,
        description="Use bars that close at or before this ISO time; naive: in timezone.",
    )
    max_age_bars: Positive = Field(
        default=2.0,
        description="Paper: age of the newest bar, in bar periods, above which none trades.",
    )
    disconnect_after_seconds: OrNone[Seconds] = Field(
        default=None,
        description="Paper: silence, in seconds, taken for a lost feed; none: max_age_bars.",
    )
    quality: Quality = Field(default=Quality(), description="Policy for each class of bad data.")

    @property
    def start_ns(self) -> int | None:
        """`start` in UTC nanoseconds."""
        return None if self.start is None else time_ns(self.start, self.timezone)

    @property
    def end_ns(self) -> int | None:
        """`end` in UTC nanoseconds."""
        return None if self.end is None else time_ns(self.end, self.timezone)
