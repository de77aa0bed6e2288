"""The whole configuration as one frozen, typed value: `Config`.

Law: attributes are the YAML keys. A `Config` that exists is complete and consistent in itself;
what depends on files (columns, calendars, feature parameters, model files) is checked by the code
that opens them. Unknown keys are errors.
"""

from pydantic import (
    Field,
    SerializeAsAny,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from trader.config.rules import contradictions
from trader.config.scalars import PERIODS, Name, OrNone, Period, Seed, Text, time_ns
from trader.config.sections.broker import Broker
from trader.config.sections.exits import Exits
from trader.config.sections.features import Feature
from trader.config.sections.feed import Feed, InstrumentOrName
from trader.config.sections.model import Model, of_a_package
from trader.config.sections.orders import Orders, PositionSizing
from trader.config.sections.risk import Risk, Throttle
from trader.config.sections.running import Audit, Execution, HookOrTarget, Kill, Watchdog
from trader.config.sections.section import Section
from trader.config.sections.sweep import Sweep
from trader.config.sections.train import Train


class Config(Section):
    """Everything a run needs to know. See docs/config.md for every key."""

    name: Name = Field(description="Names the run and its folder.")
    seed: Seed = Field(default=0, description="Seed of everything random.")
    instruments: tuple[InstrumentOrName, ...] = Field(
        min_length=1, description="Symbols, as names or as mappings."
    )
    feed: Feed = Field(description="Where bars come from.")
    bar_period_seconds: Period = Field(description="Length of a bar.")
    features: dict[str, Feature] = Field(default={}, description="What the model sees, by name.")
    model: SerializeAsAny[Model] = Field(description="What turns features into BUY, SELL or HOLD.")
    train: OrNone[Train] = Field(default=None, description="What trader train does.")
    position_sizing: PositionSizing = Field(description="How an action becomes a quantity.")
    orders: Orders = Field(default=Orders(), description="What is sent.")
    exits: Exits = Field(default=Exits(), description="What closes a position without the model.")
    risk: Risk = Field(description="What denies orders, and stops.")
    throttle: Throttle = Field(description="What makes orders smaller.")
    broker: Broker = Field(description="The account, and how orders fill.")
    execution: Execution = Field(default=Execution(), description="How paper runs.")
    kill: Kill = Field(default=Kill(), description="Deadlines of the kill switch.")
    watchdog: Watchdog = Field(default=Watchdog(), description="How long paper may be silent.")
    hooks: tuple[HookOrTarget, ...] = Field(
        default=(), description="Functions told of events: module:function, or mappings."
    )
    audit: Audit = Field(default=Audit(), description="Where hash heads are copied to.")

    benchmark: OrNone[Text] = Field(default=None, description="A file of bars, or a symbol.")
    report: bool = Field(default=True, description="Write report.html.")
    sweep: OrNone[Sweep] = Field(default=None, description="What trader sweep tries.")

    @field_validator("model", mode="wrap")
    @classmethod
    def _model(cls, value: object, validate: ValidatorFunctionWrapHandler) -> object:
        return of_a_package(value, validate)

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        found = contradictions(self)
        if found:
            text = "; ".join(f"{key}: {message}" for key, message in found)
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "found": found})
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in config order: `symbols[i]` is the record's `symbol == i`."""
        return tuple(instrument.symbol for instrument in self.instruments)

    @property
    def period_ns(self) -> int:
        """Length of a bar in nanoseconds."""
        return round(self.bar_period_seconds * 1_000_000_000)

    @property
    def is_resampled(self) -> bool:
        """Whether the feed's bars are shorter ones, which are made into ours."""
        return self.feed.period_seconds not in (None, self.bar_period_seconds)

    @property
    def has_detail(self) -> bool:
        """Whether resting orders meet the shorter bars that ours are made of."""
        return self.broker.intrabar == "detail"

    @property
    def at_source(self) -> "Config":
        """The config of the bars as the feed has them."""
        if not self.is_resampled:
            return self
        return self.model_copy(update={"bar_period_seconds": self.feed.period_seconds})

    @property
    def bar_unit(self) -> str | None:
        """`day`, `week` or `month` where a bar is one, None where it is seconds."""
        return next((u for u, s in PERIODS.items() if s == self.bar_period_seconds), None)

    @property
    def train_span_ns(self) -> tuple[int | None, int | None]:
        """`train.start` and `train.end` in UTC nanoseconds; naive times are in `feed.timezone`."""
        if self.train is None:
            return None, None
        ends = (self.train.start, self.train.end)
        start, end = (None if at is None else time_ns(at, self.feed.timezone) for at in ends)
        return start, end
