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
        description="Basis points, a multiple of half the spread, or the coefficient of "
        "volume_share."
    )


class Margin(Section):
    """What equity must come to, as a part of the notional of all positions, long and short."""

    initial: Share = Field(description="To open: 0.5 lets positions be worth twice the equity.")
    maintenance: Share = Field(
        description="To hold: below it positions are closed, the largest first."
    )


class Broker(Section):
    """The simulated broker."""

    type: BrokerType = Field(
        default="simulated",
        description="Who fills the orders of a paper run: simulated, or a broker of an "
        "installed package.",
    )
    options: dict[str, Param] = Field(
        default={},
        description="Handed to the package's broker; a secret is written ${NAME}.",
    )
    cash: Positive = Field(description="Starting cash, in account currency.")
    currency: OrNone[Text] = Field(
        default=None,
        description="Currency of the account; none: that of the instruments.",
    )
    commission: Commission = Field(default=Commission(value=0.0), description="What a fill costs.")
    slippage: Slippage = Field(default=Slippage(value=0.0), description="How fills slip.")
    fill: Literal["next_open", "same_close"] = Field(
        default="next_open",
        description="When an order fills; same_close is flagged in every report.",
    )
    max_fill_participation: OrNone[Share] = Field(
        default=None,
        description="Largest part of a bar's volume that all fills may take, a fraction.",
    )
    time_in_force: Literal["gtc", "day", "ioc", "fok"] = Field(
        default="gtc",
        description="How long an unfilled rest works; fok: all at once or nothing.",
    )
    intrabar: Literal["worst", "ohlc", "detail"] = Field(
        default="worst",
        description="Order of prices inside a bar: worst: the stop first; ohlc: open, nearer "
        "extreme, other, close; detail: by the bars of feed.period_seconds.",
    )
    limit_fill: Literal["through", "touch"] = Field(
        default="through",
        description="What fills a limit: a price through it, or one that touches it.",
    )
    margin: OrNone[Margin] = Field(
        default=None,
        description="Margin of the account; more than equity is lent only with risk.allow_margin.",
    )
    borrow_rate: Amount = Field(
        default=0.0,
        le=MOST_RATE,
        description="Fee a year on the notional held short, a fraction.",
    )
    interest_rate: Amount = Field(
        default=0.0, le=MOST_RATE, description="Interest a year on borrowed cash, a fraction."
    )
    dividend_tax: ShareOrZero = Field(
        default=0.0, description="Part of a dividend received that is withheld, a fraction."
    )
    funding: OrNone[Text] = Field(
        default=None,
        description="CSV of funding rates (timestamp, symbol, rate): longs pay rate × "
        "notional, shorts receive it.",
    )
