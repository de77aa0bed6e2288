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
        description="Dotted config key to values: 5:50:5 (stop excluded), a list, or text "
        "with commas.",
    )
    sampler: Sampler = Field(
        default="grid", description="grid: every combination; random, tpe: as many as trials says."
    )
    trials: OrNone[CountFromOne] = Field(
        default=None, description="Trials of the samplers random and tpe."
    )
    objective: Objective = Field(
        default="sharpe", description="What the best trial has most of; of max_drawdown, least."
    )
    folds: OrNone[CountFromOne] = Field(
        default=None,
        description="Parts of the history for the check out of sample; none: no check.",
    )
