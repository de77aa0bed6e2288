"""Config sections about orders: sizing, risk limits, throttles, broker, execution, supervision.

Law: a limit of the six checks or the four throttles has no default; it is a number or `none`
written out (None here). A limit of 0 is a limit: it lets nothing through.
"""

from typing import Annotated, Literal

from pydantic import Field

from trader.config.scalars import (
    Amount,
    Count,
    CountFromOne,
    Guard,
    Hours,
    OrName,
    OrNone,
    OrText,
    Positive,
    Seconds,
    SecondsOrZero,
    Share,
    ShareOrZero,
    Switch,
    Target,
    Text,
    Window,
    Workers,
)
from trader.config.sections import Section

OnBreach = Literal["reduce_only", "flatten", "kill"]


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
        description="Account currency, realised and unrealised, since the session opened."
    )
    max_position_concentration: OrNone[Amount] = Field(
        description="|position| × price as a fraction of equity, per symbol."
    )
    market_hours: Hours = Field(description="24x7, or a code of exchange_calendars such as XNYS.")
    max_position_notional: OrNone[Amount] = Field(
        default=None, description="|position| × price per symbol, in account currency."
    )
    max_order_notional: OrNone[Amount] = Field(
        default=None, description="Order size × price, in account currency."
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
        description="Executions after which the run is killed until a person re-arms it.",
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
        default=False, description="Whether orders may take cash below zero."
    )


class Throttle(Section):
    """The four throttles that make orders smaller. `none` switches one off."""

    max_volume_participation: OrNone[ShareOrZero] = Field(
        description="Order size as a fraction of the mean volume of the last volume_window bars."
    )
    volume_window: Window = Field(default=20, description="Closed bars behind the mean volume.")
    max_spread_bps: OrNone[Amount] = Field(
        description="Spread in basis points above which size × max / spread is ordered."
    )
    max_volatility: OrNone[Amount] = Field(
        description="Standard deviation of one bar's returns, a fraction, above which "
        "size × max / volatility is ordered."
    )
    volatility_window: Window = Field(
        default=20, description="Bars of returns behind the volatility."
    )
    max_order_size: OrNone[Amount] = Field(
        description="Units per order; larger ones are cut (risk.max_order_size denies them)."
    )


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
    time_in_force: Literal["gtc", "day", "ioc"] = Field(
        default="gtc", description="How long the unfilled rest of an order works."
    )


class Execution(Section):
    """How the loop runs features and the model."""

    feature_max_workers: Workers = Field(
        default=4, description="Threads shared by features and models."
    )
    model_timeout_seconds: Seconds = Field(
        default=1.0, description="Time for one prediction; then HOLD, MODEL_TIMEOUT."
    )
    model_isolation: Literal["process", "thread"] = Field(
        default="process",
        description="Where the model runs; a process can be killed when it hangs.",
    )
    slice_grace_seconds: SecondsOrZero = Field(
        default=1.0, description="How long a slice waits for symbols that are late."
    )
    hook_timeout_seconds: Seconds = Field(default=1.0, description="Time for one hook call.")
    queue_max_age_seconds: OrNone[Seconds] = Field(
        default=None, description="Age of a queued bar that stops new orders; none: 5 bar periods."
    )
    snapshot_every: CountFromOne = Field(
        default=1000, description="Journal records between snapshots."
    )


class Kill(Section):
    """Deadlines of the kill switch."""

    barrier_ms: Seconds = Field(
        default=250.0, description="Wait for a runner to leave the gate, in ms; then SIGKILL."
    )
    cancel_timeout_seconds: SecondsOrZero = Field(
        default=5.0, description="Wait for runners to cancel their open orders."
    )
    connectivity_after_seconds: Seconds = Field(
        default=60.0, description="Further silence, after disconnect_after_seconds, that kills."
    )


class Watchdog(Section):
    """How long the loop may be silent."""

    soft_s: Seconds = Field(
        default=2.0, description="Seconds without a heartbeat that trip the kill."
    )
    hard_s: Seconds = Field(
        default=10.0, description="Seconds without a heartbeat that end the process."
    )


# The one list of events there are: `trader.engine.hooks.EVENTS` is made of it.
HookEvent = Literal[
    "trading_started",
    "bar",
    "action_generated",
    "order_denied",
    "order_throttled",
    "order_sent",
    "order_filled",
    "trading_state_changed",
    "limit_breach",
    "emergency_stop",
    "error",
    "trading_stopped",
]


class Hook(Section):
    """A callable told of events."""

    event: OrNone[HookEvent] = Field(default=None, description="The event; none: every event.")
    target: Target = Field(description="module:function, sync or async.")


HookOrTarget = Annotated[Hook, OrName("target")]


class AnchorCommand(Section):
    """A program that is given each head as it is made."""

    command: tuple[Text, ...] = Field(
        min_length=1,
        description="Program and arguments, no shell. The checkpoint comes on its standard input; "
        "after 5 seconds it is killed.",
    )


SYSLOG = "syslog"
Anchor = Annotated[str | AnchorCommand, OrText(AnchorCommand)]


class Audit(Section):
    """Where the heads of the journal's hash chain are copied to."""

    anchor: OrNone[Anchor] = Field(
        default=None,
        description="File that head hashes are appended to, the word syslog, or a command; "
        "none: nowhere.",
    )
