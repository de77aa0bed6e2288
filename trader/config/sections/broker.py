"""The simulated broker: cash, costs, fills."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trader.config.registry import asked_for, installed_names
from trader.config.scalars import (
    Amount,
    OrNone,
    Param,
    Positive,
    Share,
    ShareOrZero,
    Text,
)
from trader.config.sections.section import Section

ENTRY_POINTS = "trader.brokers"  # of installed packages: see trader.brokers.registry
SIMULATED = "simulated"
MOST_RATE = 2.0  # a year: more is a percentage written as one


def known_broker(text: str) -> str:
    """`text`, if it names a broker that is built in or installed."""
    if text != SIMULATED and asked_for(ENTRY_POINTS, text) is None:
        names = [SIMULATED, *installed_names(ENTRY_POINTS)]
        raise ValueError(f"must be {' or '.join(names)}: no installed package has another")
    return text


BrokerType = Annotated[Text, AfterValidator(known_broker)]


class Commission(Section):
    """What a fill costs."""

    type: Literal["bps", "per_share", "per_order"] = Field(
        default="bps", description="How it is charged."
    )
    value: Amount = Field(description="Basis points, or account currency.")
    minimum: Amount = Field(default=0.0, description="Least an order, in account currency.")


class Slippage(Section):
    """How far a fill price moves against the order."""

    type: Literal["bps", "half_spread", "volume_share"] = Field(
        default="bps", description="By what a fill is worse."
    )
    value: Amount = Field(description="Basis points, half spreads, or a coefficient.")


class Margin(Section):
    """What equity must come to, as a part of the notional of all positions, long and short."""

    initial: Share = Field(description="To open: 0.5 carries twice the equity.")
    maintenance: Share = Field(description="To hold: below it positions are closed.")


class Broker(Section):
    """The simulated broker."""

    type: BrokerType = Field(
        default="simulated",
        description="Simulated, or of a package.",
    )
    options: dict[str, Param] = Field(
        default={},
        description="For the package's broker; secrets as ${NAME}.",
    )
    cash: Positive = Field(description="At the start, in account currency.")
    currency: OrNone[Text] = Field(
        default=None,
        description="Of the account, else the instruments'.",
    )
    commission: Commission = Field(default=Commission(value=0.0), description="What a fill costs.")
    slippage: Slippage = Field(default=Slippage(value=0.0), description="How much worse a fill is.")
    fill: Literal["next_open", "same_close"] = Field(
        default="next_open",
        description="When an order fills; same_close flatters.",
    )
    max_fill_participation: OrNone[Share] = Field(
        default=None,
        description="Part of a bar's volume that fills may take.",
    )
    time_in_force: Literal["gtc", "day", "ioc", "fok"] = Field(
        default="gtc",
        description="How long an unfilled rest works.",
    )
    intrabar: Literal["worst", "ohlc", "detail"] = Field(
        default="worst",
        description="Order of prices inside a bar.",
    )
    limit_fill: Literal["through", "touch"] = Field(
        default="through",
        description="The price that fills a limit.",
    )
    margin: OrNone[Margin] = Field(
        default=None,
        description="With risk.allow_margin, as fractions.",
    )
    borrow_rate: Amount = Field(
        default=0.0,
        le=MOST_RATE,
        description="A year, on the notional held short, a fraction.",
    )
    interest_rate: Amount = Field(
        default=0.0, le=MOST_RATE, description="A year, on borrowed cash, a fraction."
    )
    dividend_tax: ShareOrZero = Field(
        default=0.0, description="Withheld of a dividend received, a fraction."
    )
    funding: OrNone[Text] = Field(
        default=None,
        description="CSV of timestamp, symbol, rate.",
    )
