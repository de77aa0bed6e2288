"""The simulated broker: cash, costs, fills."""

from typing import Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    OrNone,
    Positive,
    Share,
)
from trader.config.sections.section import Section


class Commission(Section):
    """What a fill costs."""

    type: Literal["bps", "per_share", "per_order"] = Field(
        default="bps", description="Charged on what."
    )
    value: Amount = Field(
        description="Basis points of the notional, or account currency per unit or per order."
    )
    minimum: Amount = Field(default=0.0, description="Least per order, in account currency.")


class Slippage(Section):
    """How far a fill price moves against the order."""

    type: Literal["bps", "half_spread", "volume_share"] = Field(
        default="bps", description="By what."
    )
    value: Amount = Field(
        description="Basis points, a multiple of half the spread, or the price impact "
        "coefficient of the share of volume."
    )


class Broker(Section):
    """The simulated broker."""

    cash: Positive = Field(description="Starting cash, in account currency.")
    commission: Commission = Field(default=Commission(value=0.0), description="What a fill costs.")
    slippage: Slippage = Field(default=Slippage(value=0.0), description="How fills slip.")
    fill: Literal["next_open", "same_close"] = Field(
        default="next_open",
        description="When an order fills; same_close is flagged in every report.",
    )
    max_fill_participation: OrNone[Share] = Field(
        default=None, description="Largest part of a bar's volume all fills may take, a fraction."
    )
    time_in_force: Literal["gtc", "day", "ioc", "fok"] = Field(
        default="gtc",
        description="How long the unfilled rest of an order works; fok: all at once or nothing.",
    )
    intrabar: Literal["worst", "ohlc", "detail"] = Field(
        default="worst",
        description="In which order the prices inside a bar came: the stop before the target, or "
        "open, nearer extreme, other extreme, close.",
    )
    limit_fill: Literal["through", "touch"] = Field(
        default="through",
        description="Whether the price must go through a limit to fill it, or only touch it.",
    )
