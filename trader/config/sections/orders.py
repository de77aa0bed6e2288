"""From an action to orders: sizing, and what an entry is sent as."""

from typing import Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    CountFromOne,
    OrNone,
    Positive,
    ShareOrZero,
    Switch,
    Window,
)
from trader.config.sections.section import Section


class PositionSizing(Section):
    """How an action becomes a target quantity."""

    mode: Literal["target", "increment", "percent_equity", "volatility_target", "score"] = Field(
        default="target", description="What BUY and SELL ask for."
    )
    base_size: OrNone[Positive] = Field(
        default=None, description="Units; target, increment, score need it."
    )
    floor: ShareOrZero = Field(
        default=0.0,
        description="score: part of base_size at a score of 0.",
    )
    allow_short: Switch = Field(default=False, description="SELL may go below zero.")
    percent: OrNone[Positive] = Field(
        default=None,
        description="percent_equity: a fraction of equity.",
    )
    target_volatility: OrNone[Positive] = Field(
        default=None,
        description="volatility_target: a year, a fraction of equity.",
    )
    max_leverage: Positive = Field(default=1.0, description="volatility_target: times equity.")
    rebalance_threshold: OrNone[Amount] = Field(
        default=None,
        description="Adjust beyond this fraction; none: never.",
    )
    volatility_window: Window = Field(default=20, description="Bars behind the volatility.")


class Entry(Section):
    """What an order that opens a position is sent as. Orders of the model that close are market."""

    type: Literal["market", "limit", "stop", "stop_limit", "moo", "moc"] = Field(
        default="market",
        description="What is sent.",
    )
    offset_bps: Amount = Field(
        default=0.0,
        description="From the close: a limit better, a stop worse.",
    )
    limit_offset_bps: Amount = Field(
        default=0.0,
        description="stop_limit: the limit beyond the stop.",
    )
    time_in_force: OrNone[Literal["gtc", "day", "ioc", "fok"]] = Field(
        default=None, description="Else broker.time_in_force."
    )
    expire_after_bars: OrNone[CountFromOne] = Field(
        default=None, description="Or it ends after so many bars."
    )


class Orders(Section):
    """The orders that are sent."""

    entry: Entry = Field(default=Entry(), description="What opens a position.")
