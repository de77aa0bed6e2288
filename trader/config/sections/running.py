"""How a run is run and watched: execution, kill, watchdog, hooks, audit."""

from typing import Annotated, Literal

from pydantic import Field

from trader.config.scalars import (
    CountFromOne,
    OrName,
    OrNone,
    OrText,
    Seconds,
    SecondsOrZero,
    Target,
    Text,
    Workers,
)
from trader.config.sections.section import Section

QUEUE_PERIODS = 5  # execution.queue_max_age_seconds where it is not set


class Execution(Section):
    """How the loop runs features and the model."""

    feature_max_workers: Workers = Field(default=4, description="Threads of features and models.")
    model_timeout_seconds: Seconds = Field(default=1.0, description="For one answer; then HOLD.")
    model_isolation: Literal["process", "thread"] = Field(
        default="process",
        description="A process can be killed when it hangs.",
    )
    slice_grace_seconds: SecondsOrZero = Field(
        default=1.0, description="Wait for symbols that are late."
    )
    hook_timeout_seconds: Seconds = Field(default=1.0, description="For one call.")
    queue_max_age_seconds: OrNone[Seconds] = Field(
        default=None, description="Older bars stop new orders; else 5 bar periods."
    )
    snapshot_every: CountFromOne = Field(
        default=1000, description="Journal records between snapshots."
    )


class Kill(Section):
    """Deadlines of the kill switch."""

    barrier_ms: Seconds = Field(default=250.0, description="Wait for a runner; then SIGKILL.")
    cancel_timeout_seconds: SecondsOrZero = Field(
        default=5.0, description="Wait for open orders to be cancelled."
    )
    connectivity_after_seconds: Seconds = Field(
        default=60.0, description="Silence after feed.disconnect_after_seconds that kills."
    )


class Watchdog(Section):
    """How long the loop may be silent."""

    soft_s: Seconds = Field(default=2.0, description="Without a heartbeat: kill.")
    hard_s: Seconds = Field(default=10.0, description="Without a heartbeat: end the process.")


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

    event: OrNone[HookEvent] = Field(
        default=None, description="An event of docs/paper.md, else every one."
    )
    target: Target = Field(description="As module:function.")


HookOrTarget = Annotated[Hook, OrName("target")]


class AnchorCommand(Section):
    """A program that is given each head as it is made."""

    command: tuple[Text, ...] = Field(
        min_length=1,
        description="Program and arguments, no shell.",
    )


SYSLOG = "syslog"
Anchor = Annotated[str | AnchorCommand, OrText(AnchorCommand)]


class Audit(Section):
    """Where the heads of the journal's hash chain are copied to."""

    anchor: OrNone[Anchor] = Field(
        default=None,
        description="A file, syslog, or a command.",
    )
