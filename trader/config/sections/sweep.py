"""The parameters that `trader sweep` tries."""

from typing import Literal

from pydantic import Field

from trader.config.scalars import CountFromOne, OrNone, Param
from trader.config.sections.section import Section

Objective = Literal["sharpe", "sortino", "total_return", "final_equity", "max_drawdown"]
Sampler = Literal["grid", "random", "tpe"]


class Sweep(Section):
    """What `trader sweep` tries; its options on the command line count more."""

    params: dict[str, Param] = Field(
        default={},
        description="Dotted key to 5:50:5 (stop excluded), a list, or text with commas.",
    )
    sampler: Sampler = Field(default="grid", description="Which combinations are tried.")
    trials: OrNone[CountFromOne] = Field(default=None, description="random, tpe: how many.")
    objective: Objective = Field(
        default="sharpe", description="What the best has most of (of max_drawdown least)."
    )
    folds: OrNone[CountFromOne] = Field(
        default=None,
        description="Parts of the history, for a check out of sample.",
    )
