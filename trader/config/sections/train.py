"""How `trader train` fits the model."""

from typing import Annotated, Literal

from pydantic import Field

from trader.config.durations import Duration
from trader.config.scalars import (
    Amount,
    Count,
    CountFromOne,
    Moment,
    OrName,
    OrNone,
    Param,
    Switch,
    Text,
)
from trader.config.sections.exits import ExitLevel
from trader.config.sections.section import Section


class Label(Section):
    """What is learned: what came of the bars after a bar."""

    type: Literal["horizon", "triple_barrier", "meta"] = Field(
        default="horizon",
        description="The return, the first exit, whether model's rule was right.",
    )
    horizon_bars: OrNone[CountFromOne] = Field(
        default=None,
        description="Bars ahead; else 1, or exits.max_holding_bars with barriers.",
    )
    threshold_bps: Amount = Field(default=0.0, description="Returns within ± this are HOLD.")
    stop_loss: OrNone[ExitLevel] = Field(default=None, description="Barrier; else exits.stop_loss.")
    take_profit: OrNone[ExitLevel] = Field(
        default=None, description="Barrier; else exits.take_profit."
    )


class Step(Section):
    """A transformer in front of the estimator."""

    estimator: Text = Field(description="Such as sklearn.decomposition.PCA.")
    params: dict[str, Param] = Field(default={}, description="Its keyword arguments.")


StepOrName = Annotated[Step, OrName("estimator")]


class Split(Section):
    """Walk-forward folds: each is tested on bars after those it learned from."""

    folds: CountFromOne = Field(default=5, description="Walk-forward folds.")
    embargo_bars: Count = Field(default=0, description="Left out between learning and test.")
    window_bars: OrNone[CountFromOne] = Field(
        default=None, description="Learn from so many, else from all before."
    )


class Retrain(Section):
    """A walk-forward in `backtest` and `sweep`: models trained on what came before alone."""

    every: Duration = Field(description="A new model after 30d, 12h, 4w.")
    window: OrNone[Duration] = Field(
        default=None,
        description="Learn from so long, else from all before.",
    )


class Train(Section):
    """How `trader train` fits the model."""

    estimator: Text = Field(description="Such as sklearn.linear_model.LogisticRegression.")
    params: dict[str, Param] = Field(default={}, description="Its keyword arguments.")
    scale: OrNone[Switch] = Field(
        default=None,
        description="Standardise first; else for scikit-learn only.",
    )
    steps: tuple[StepOrName, ...] = Field(
        default=(), description="Transformers before the estimator."
    )
    start: OrNone[Moment] = Field(default=None, description="Train on bars from here.")
    end: OrNone[Moment] = Field(default=None, description="Train on bars up to here.")
    label: Label = Field(default=Label(), description="What is predicted.")
    split: OrNone[Split] = Field(default=None, description="Folds that test on later bars.")
    sample_weight: OrNone[Literal["uniqueness"]] = Field(
        default=None,
        description="Rows count by how few labels share their bars.",
    )
    calibration: OrNone[Literal["sigmoid", "isotonic"]] = Field(
        default=None,
        description="Calibrates probabilities on the last fifth of the rows.",
    )
    retrain: OrNone[Retrain] = Field(
        default=None, description="Make backtest and sweep a walk-forward."
    )
