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
        description="horizon: the return after horizon_bars; triple_barrier: which exit comes "
        "first; meta: whether the rule of `model` was right.",
    )
    horizon_bars: OrNone[CountFromOne] = Field(
        default=None,
        description="Look at most this many bars ahead; none: 1, or exits.max_holding_bars "
        "where there are barriers.",
    )
    threshold_bps: Amount = Field(
        default=0.0, description="Returns within ± this many basis points are HOLD."
    )
    stop_loss: OrNone[ExitLevel] = Field(
        default=None, description="Barrier at a loss; none: exits.stop_loss."
    )
    take_profit: OrNone[ExitLevel] = Field(
        default=None, description="Barrier at a gain; none: exits.take_profit."
    )


class Step(Section):
    """A transformer in front of the estimator."""

    estimator: Text = Field(description="Class, such as sklearn.decomposition.PCA.")
    params: dict[str, Param] = Field(default={}, description="Keyword arguments of the class.")


StepOrName = Annotated[Step, OrName("estimator")]


class Split(Section):
    """Walk-forward folds: each is tested on bars after those it learned from."""

    folds: CountFromOne = Field(default=5, description="Number of folds.")
    embargo_bars: Count = Field(default=0, description="Bars left out between learning and test.")
    window_bars: OrNone[CountFromOne] = Field(
        default=None, description="Learn from the last bars only; none: from all before."
    )


class Retrain(Section):
    """A walk-forward in `backtest` and `sweep`: models trained on what came before alone."""

    every: Duration = Field(description="A new model after this long: 30d, 12h, 4w.")
    window: OrNone[Duration] = Field(
        default=None,
        description="Each learns from this long before it; none: from all before it.",
    )


class Train(Section):
    """How `trader train` fits the model."""

    estimator: Text = Field(
        description="Class of scikit-learn, LightGBM or XGBoost: "
        "sklearn.linear_model.LogisticRegression."
    )
    params: dict[str, Param] = Field(default={}, description="Keyword arguments of the estimator.")
    scale: OrNone[Switch] = Field(
        default=None,
        description="Standardise features first; none: for scikit-learn's estimators.",
    )
    steps: tuple[StepOrName, ...] = Field(
        default=(), description="Transformers of scikit-learn between scaler and estimator."
    )
    start: OrNone[Moment] = Field(default=None, description="Train on bars from here.")
    end: OrNone[Moment] = Field(default=None, description="Train on bars up to here.")
    label: Label = Field(default=Label(), description="What is predicted.")
    split: OrNone[Split] = Field(default=None, description="Walk-forward folds; none: no folds.")
    sample_weight: OrNone[Literal["uniqueness"]] = Field(
        default=None,
        description="uniqueness: a row counts by how few labels share its bars; none: all alike.",
    )
    calibration: OrNone[Literal["sigmoid", "isotonic"]] = Field(
        default=None,
        description="Calibrate probabilities on the last fifth of the rows, which the fit "
        "leaves out.",
    )
    retrain: OrNone[Retrain] = Field(
        default=None, description="Make `backtest` and `sweep` a walk-forward; none: one model."
    )
