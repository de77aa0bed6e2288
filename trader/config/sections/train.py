"""How `trader train` fits the model."""

from pydantic import Field

from trader.config.scalars import (
    Amount,
    CountFromOne,
    Moment,
    OrNone,
    Param,
    Switch,
    Text,
)
from trader.config.sections.section import Section


class Label(Section):
    """What a classifier is trained to predict: the sign of a later return."""

    horizon_bars: CountFromOne = Field(default=1, description="Look this many bars ahead.")
    threshold_bps: Amount = Field(
        default=0.0, description="Returns within ± this many basis points are HOLD."
    )


class Train(Section):
    """How `trader train` fits the model."""

    estimator: Text = Field(description="Class, such as sklearn.linear_model.LogisticRegression.")
    params: dict[str, Param] = Field(default={}, description="Keyword arguments of the estimator.")
    scale: Switch = Field(default=True, description="Standardise features first.")
    start: OrNone[Moment] = Field(default=None, description="Train on bars from this ISO time.")
    end: OrNone[Moment] = Field(default=None, description="Train on bars up to this ISO time.")
    label: Label = Field(default=Label(), description="What is predicted.")
