"""From an action to orders: sizing."""

from typing import Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    OrNone,
    Positive,
    Switch,
    Window,
)
from trader.config.sections.section import Section


class PositionSizing(Section):
    """How an action becomes a target quantity."""

    mode: Literal["target", "increment", "percent_equity", "volatility_target"] = Field(
        default="target", description="What BUY and SELL ask for."
    )
    base_size: OrNone[Positive] = Field(
        default=None, description="Units per BUY or SELL. Required for target and increment."
    )
    allow_short: Switch = Field(default=False, description="Whether SELL may go below zero.")
    percent: OrNone[Positive] = Field(
        default=None,
        description="Position as a fraction of equity, 0.5 is half. Required for percent_equity.",
    )
    target_volatility: OrNone[Positive] = Field(
        default=None,
        description="Yearly volatility of the position, a fraction of equity. "
        "Required for volatility_target.",
    )
    max_leverage: Positive = Field(
        default=1.0, description="Largest position in volatility_target, a multiple of equity."
    )
    rebalance_threshold: OrNone[Amount] = Field(
        default=None,
        description="percent_equity and volatility_target adjust a position of the right sign "
        "once it is off by more than this fraction; none: never.",
    )
    volatility_window: Window = Field(
        default=20, description="Bars of returns behind the volatility."
    )
