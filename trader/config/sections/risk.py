"""Risk limits and throttles.

Law: a limit of the six checks or the four throttles has no default; it is a number or `none`
written out (None here). A limit of 0 is a limit: it lets nothing through.
"""

from typing import Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    Count,
    CountFromOne,
    Guard,
    Hours,
    OrNone,
    Positive,
    Share,
    ShareOrZero,
    Switch,
    Text,
    Window,
)
from trader.config.sections.section import Section

OnBreach = Literal["reduce_only", "flatten", "kill"]


class Risk(Section):
    """The six pre-trade checks and the limits beside them. `none` switches a limit off."""

    max_position_size: OrNone[Amount] = Field(
        description="Units a symbol, working orders included."
    )
    max_order_size: OrNone[Amount] = Field(description="Units; larger ones are denied.")
    min_order_size: Amount = Field(default=0.0, description="Units; smaller ones are denied.")
    max_daily_loss: OrNone[Amount] = Field(
        description="Loss of a session, unrealised too, in account currency."
    )
    max_position_concentration: OrNone[Amount] = Field(
        description="|position| × price of a symbol, a fraction of equity."
    )
    market_hours: Hours = Field(description="24x7, FX, or a code of exchange_calendars (XNYS).")
    max_position_notional: OrNone[Amount] = Field(
        default=None, description="|position| × price of a symbol, in account currency."
    )
    max_order_notional: OrNone[Amount] = Field(
        default=None,
        description="Size × price (of a buy a higher ask), in account currency.",
    )
    on_daily_loss: OnBreach = Field(
        default="reduce_only",
        description="What max_daily_loss does, until the session ends.",
    )
    max_drawdown_frac: OrNone[Share] = Field(
        default=None, description="Fall of equity from its peak, a fraction."
    )
    on_drawdown: OnBreach = Field(
        default="reduce_only", description="What max_drawdown_frac does, for good."
    )
    max_gross_exposure: OrNone[Amount] = Field(
        default=None, description="Σ |position| × price, times equity."
    )
    price_collar: OrNone[Positive] = Field(
        default=None, description="Largest distance from the last close, a fraction."
    )
    max_orders_per_second: OrNone[Count] = Field(
        default=None, description="Of market time, all symbols."
    )
    max_orders_per_bar: OrNone[Count] = Field(default=None, description="Of one symbol.")
    max_orders_per_day: OrNone[Count] = Field(default=None, description="A session, all symbols.")
    max_executions_without_review: OrNone[CountFromOne] = Field(
        default=None,
        description="The last one kills.",
    )
    kill_volatility: OrNone[Positive] = Field(
        default=None,
        description="Volatility of two bars in a row that kills, a fraction.",
    )
    pilot_scale: Share = Field(default=1.0, description="Times every size and money limit.")
    restricted: tuple[Text, ...] = Field(default=(), description="Symbols that may not be traded.")
    open_guard_seconds: Guard = Field(default=0.0, description="No orders after a session's open.")
    close_guard_seconds: Guard = Field(default=0.0, description="No orders before its close.")
    allow_margin: Switch = Field(
        default=False,
        description="Positions and orders may be worth more than equity.",
    )


class Throttle(Section):
    """The four throttles that make orders smaller. `none` switches one off."""

    max_volume_participation: OrNone[ShareOrZero] = Field(
        description="Order size, a fraction of the mean volume."
    )
    volume_window: Window = Field(default=20, description="Bars behind the mean volume.")
    max_spread_bps: OrNone[Amount] = Field(description="Above it size × max / spread is ordered.")
    max_volatility: OrNone[Amount] = Field(
        description="Deviation of returns, a fraction; above it size × max / volatility."
    )
    volatility_window: Window = Field(default=20, description="Bars behind the volatility.")
    max_order_size: OrNone[Amount] = Field(description="Units; larger ones are cut.")
