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
        default=None, description="Units per BUY or SELL; target, increment and score need it."
    )
    floor: ShareOrZero = Field(
        default=0.0,
        description="score: part of base_size at a score of 0; all of it at 1 or -1.",
    )
    allow_short: Switch = Field(default=False, description="SELL may go below zero.")
    percent: OrNone[Positive] = Field(
        default=None,
        description="Position as a fraction of equity; percent_equity needs it.",
    )
    target_volatility: OrNone[Positive] = Field(
        default=None,
        description="Yearly volatility of the position, a fraction of equity; "
        "volatility_target needs it.",
    )
    max_leverage: Positive = Field(
        default=1.0, description="volatility_target: largest position, a multiple of equity."
    )
    rebalance_threshold: OrNone[Amount] = Field(
        default=None,
        description="percent_equity, volatility_target: adjust a position that is off by more "
        "than this fraction; none: never.",
    )
    volatility_window: Window = Field(
        default=20, description="Bars of returns behind the volatility."
    )


class Entry(Section):
    """What an order that opens a position is sent as. Orders of the model that close are market."""

    type: Literal["market", "limit", "stop", "stop_limit", "moo", "moc"] = Field(
        default="market",
        description="moo, moc: market on the next session's open, on the session's close.",
    )
    offset_bps: Amount = Field(
        default=0.0,
        description="Distance of the price from the close, in basis points: a limit better, a "
        "stop worse.",
    )
    limit_offset_bps: Amount = Field(
        default=0.0,
        description="stop_limit: distance of the limit beyond the stop, in basis points.",
    )
    time_in_force: OrNone[Literal["gtc", "day", "ioc", "fok"]] = Field(
        default=None, description="How long it works; none: broker.time_in_force."
    )
    expire_after_bars: OrNone[CountFromOne] = Field(
        default=None, description="Ends it after so many bars instead."
    )


class Orders(Section):
    """The orders that are sent."""

    entry: Entry = Field(default=Entry(), description="What opens a position.")
