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
        description="Units per symbol: position plus working orders plus this order."
    )
    max_order_size: OrNone[Amount] = Field(description="Units per order; larger ones are denied.")
    min_order_size: Amount = Field(
        default=0.0, description="Units per order; smaller ones are denied."
    )
    max_daily_loss: OrNone[Amount] = Field(
        description="Realised and unrealised loss of the session, in account currency."
    )
    max_position_concentration: OrNone[Amount] = Field(
        description="|position| × price as a fraction of equity, per symbol."
    )
    market_hours: Hours = Field(
        description="24x7, FX, or a code of exchange_calendars such as XNYS."
    )
    max_position_notional: OrNone[Amount] = Field(
        default=None, description="|position| × price per symbol, in account currency."
    )
    max_order_notional: OrNone[Amount] = Field(
        default=None,
        description="Order size × price (the last; of a buy a higher ask), in account currency.",
    )
    on_daily_loss: OnBreach = Field(
        default="reduce_only",
        description="What crossing max_daily_loss does for the rest of the session.",
    )
    max_drawdown_frac: OrNone[Share] = Field(
        default=None, description="Fall of equity from its peak, a fraction."
    )
    on_drawdown: OnBreach = Field(
        default="reduce_only", description="What crossing max_drawdown_frac does."
    )
    max_gross_exposure: OrNone[Amount] = Field(
        default=None, description="Σ |position| × price over all symbols, a multiple of equity."
    )
    price_collar: OrNone[Positive] = Field(
        default=None, description="Largest distance from the symbol's last close, a fraction."
    )
    max_orders_per_second: OrNone[Count] = Field(
        default=None, description="Orders in one second of event time, all symbols."
    )
    max_orders_per_bar: OrNone[Count] = Field(
        default=None, description="Orders per bar and symbol."
    )
    max_orders_per_day: OrNone[Count] = Field(
        default=None, description="Orders per session, all symbols."
    )
    max_executions_without_review: OrNone[CountFromOne] = Field(
        default=None,
        description="Executions let through; the last one kills.",
    )
    kill_volatility: OrNone[Positive] = Field(
        default=None,
        description="Volatility per bar that kills when exceeded for two bars, a fraction.",
    )
    pilot_scale: Share = Field(default=1.0, description="Multiplies every size and money limit.")
    restricted: tuple[Text, ...] = Field(default=(), description="Symbols that may not be traded.")
    open_guard_seconds: Guard = Field(
        default=0.0, description="No orders in the first seconds of a session."
    )
    close_guard_seconds: Guard = Field(
        default=0.0, description="No orders in the last seconds of a session."
    )
    allow_margin: Switch = Field(
        default=False,
        description="Positions and orders together may be worth more than equity; without it "
        "no order takes cash below zero.",
    )


class Throttle(Section):
    """The four throttles that make orders smaller. `none` switches one off."""

    max_volume_participation: OrNone[ShareOrZero] = Field(
        description="Order size as a fraction of the mean volume of the last volume_window bars."
    )
    volume_window: Window = Field(default=20, description="Closed bars behind the mean volume.")
    max_spread_bps: OrNone[Amount] = Field(
        description="Spread above which size × max / spread is ordered."
    )
    max_volatility: OrNone[Amount] = Field(
        description="Standard deviation of a bar's returns, a fraction, above which size × "
        "max / volatility is ordered."
    )
    volatility_window: Window = Field(
        default=20, description="Bars of returns behind the volatility."
    )
    max_order_size: OrNone[Amount] = Field(
        description="Units per order; larger ones are cut (risk.max_order_size denies them)."
    )
