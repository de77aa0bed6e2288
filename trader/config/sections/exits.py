"""Exits: what closes a position without the model."""

from typing import Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    Count,
    CountFromOne,
    OrNone,
    Positive,
)
from trader.config.sections.section import Section


class ExitLevel(Section):
    """How far from the entry an exit lies."""

    type: Literal["percent", "atr", "price"] = Field(
        default="percent",
        description="Unit of value.",
    )
    value: Positive = Field(description="Distance from the average entry price.")
    period: CountFromOne = Field(default=14, description="Bars of the average true range.")


class TrailingStop(ExitLevel):
    """A stop that follows the best price since the entry, and never goes back."""

    value: Positive = Field(description="Distance from the best price since entry.")
    activate_at: Amount = Field(default=0.0, description="Gain from which it works.")


class Exits(Section):
    """What closes a position without the model; none is the default for each."""

    stop_loss: OrNone[ExitLevel] = Field(default=None, description="Closes at a loss.")
    take_profit: OrNone[ExitLevel] = Field(default=None, description="Closes at a gain.")
    trailing_stop: OrNone[TrailingStop] = Field(
        default=None, description="Closes when the price falls back from its best."
    )
    max_holding_bars: OrNone[CountFromOne] = Field(
        default=None, description="Closes at the open after so many bars."
    )
    cooldown_bars: Count = Field(
        default=0,
        description="After an exit that symbol opens nothing.",
    )
