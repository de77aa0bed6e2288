"""Fits the classifier that a config names on its own features. `trader train` in one function.

Law: a row is learned from only if all its features are defined and its label lies wholly inside
`[train.start, train.end)`; the same inputs give the same model, byte for byte. The score is on the
rows learned from and is named so.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.train import Train
from trader.core.schema import TradingAction
from trader.core.sessions import bar_opens
from trader.errors import ConfigError, ModelError
from trader.models.actions import bar_label
from trader.models.estimators import make_estimator
from trader.models.labels import UNLABELLED, bars_inside, forward_labels
from trader.models.skops_file import dump_skops
from trader.moments import iso_utc
from trader.user_code.targets import what_failed

MIN_TRAIN_ROWS = 50


@dataclass(frozen=True)
class TrainedModel:
    """A fitted classifier, the bytes of its skops file, and what there is to say about it."""

    estimator: Any
    data: bytes
    facts: Mapping[str, Any]  # rows, classes, span, in-sample score, warnings: plain JSON values


def train_model(
    config: Config, bars: np.ndarray, features: np.ndarray, feature_names: Sequence[str]
) -> TrainedModel:
    """Fit `config.train` on BAR records (n,) and their float64 features (n, k).

    Raises `ConfigError` for a wrong `train` section or one that asks for what the data does not
    hold, `ModelError` if the fit itself fails.
    """
    train = config.train
    if train is None:
        raise ConfigError("there is no `train` section to say what to fit", key="train")
    if not feature_names:
        raise ConfigError("there are no features to learn from", key="features")
    estimator = make_estimator(config, train)
    inside = _bars_to_use(config, train, bars)
    labels = forward_labels(bars, inside, train.label.horizon_bars, train.label.threshold_bps)
    warm = ~np.isnan(features).any(axis=1)
    rows = np.flatnonzero(warm & (labels != UNLABELLED))
    counts = {
        "in_span": int(np.count_nonzero(inside)),
        "not_warm": int(np.count_nonzero(inside & ~warm)),
        "beyond_horizon": int(np.count_nonzero(inside & warm & (labels == UNLABELLED))),
        "used": len(rows),
    }
    classes = _check_rows(train, labels[rows], counts)
    _check_finite(features, rows, feature_names, bar_names=(bars, config.symbols))
    answers, notes = _fit(estimator, train, features[rows], labels[rows], feature_names)
    first = int(bar_opens(bars[rows[:1]], config.period_ns)[0])
    last = int(bars["ts_ns"][inside][-1])
    facts = {
        "span": {
            "first_bar_opens": iso_utc(first),
            "last_bar_closes": iso_utc(last),
        },
        "rows": counts,
        "classes": classes,
        "in_sample": _score(answers, labels[rows]),
        "warnings": notes,
    }
    return TrainedModel(estimator, _dumped(estimator, train), facts)


def _bars_to_use(config: Config, train: Train, bars: np.ndarray) -> np.ndarray:
    span_ns = config.train_span_ns
    inside = bars_inside(bars, config.period_ns, span_ns)
    if not inside.any():
        if len(bars) == 0:
            raise ConfigError("the feed has no bars to train on", key="feed.path")
        first = int(bar_opens(bars[:1], config.period_ns)[0])
        last = int(bars["ts_ns"][-1])
        key = "train.start" if span_ns[0] is not None and span_ns[0] >= last else "train.end"
        raise ConfigError(
            f"no bar lies between train.start ({train.start}) and train.end ({train.end}); the "
            f"feed has bars from {iso_utc(first)} to {iso_utc(last)}",
            key=key,
        )
    return inside


def _check_rows(train: Train, labels: np.ndarray, counts: Mapping[str, int]) -> dict[str, int]:
    """How many rows there are of each class; `ConfigError` if too few to learn from."""
    if counts["not_warm"] == counts["in_span"]:
        raise ConfigError(
            f"no feature is ever warm in the {counts['in_span']} bars to train on; train on more "
            "bars or use shorter periods",
            key="features",
        )
    if counts["used"] < MIN_TRAIN_ROWS:
        raise ConfigError(
            f"only {counts['used']} rows to learn from, and at least {MIN_TRAIN_ROWS} are needed: "
            f"of {counts['in_span']} bars {counts['not_warm']} have features that are not warm, "
            f"and {counts['beyond_horizon']} have a label beyond the end of the span",
            key="train",
        )
    classes = {action.name: int(np.count_nonzero(labels == action)) for action in TradingAction}
    present = [name for name, rows in classes.items() if rows]
    if len(present) < 2:
        raise ConfigError(
            f"every one of the {counts['used']} rows is labelled {present[0]}; lower "
            f"train.label.threshold_bps ({train.label.threshold_bps:g}) or look further ahead "
            f"than train.label.horizon_bars ({train.label.horizon_bars})",
            key="train.label",
        )
    return classes


def _check_finite(
    features: np.ndarray,
    rows: np.ndarray,
    feature_names: Sequence[str],
    bar_names: tuple[np.ndarray, Sequence[str]],
) -> None:
    infinite = np.isinf(features[rows])
    if infinite.any():
        at, column = np.argwhere(infinite)[0].tolist()
        row = int(rows[at])
        bars, symbols = bar_names
        raise ModelError(
            f"row {row} (from 0; {bar_label(bars, row, symbols)}): the feature "
            f"{feature_names[column]} is infinite; a classifier cannot learn from it"
        )


def _fit(
    estimator: Any,
    train: Train,
    features: np.ndarray,
    labels: np.ndarray,
    feature_names: Sequence[str],
) -> tuple[np.ndarray, list[str]]:
    """Fit in place; the answers on the rows learned from, and what scikit-learn warned of."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    frame = pd.DataFrame(features, columns=list(feature_names))
    try:
        # one thread of linear algebra and of OpenMP: sums come out the same on any machine
        with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
            warnings.simplefilter("always")
            estimator.fit(frame, labels.astype(np.int64))
            answers = estimator.predict(frame)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        if type(error).__name__ == "InvalidParameterError":
            raise ConfigError(str(error), key="train.params") from error
        raise ModelError(f"{train.estimator} cannot be fitted: {what_failed(error)}") from error
    notes = [f"{w.category.__name__}: {str(w.message).splitlines()[0]}" for w in caught]
    return np.asarray(answers), list(dict.fromkeys(notes))


def _score(answers: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Fractions of the rows learned from. Optimistic by construction: not a forecast."""
    present = [action for action in TradingAction if (labels == action).any()]
    recalls = [float(np.mean(answers[labels == action] == action)) for action in present]
    return {
        "accuracy": float(np.mean(answers == labels)),
        "balanced_accuracy": float(np.mean(recalls)),
        "majority_class_share": float(max(np.mean(labels == action) for action in present)),
    }


def _dumped(estimator: Any, train: Train) -> bytes:
    from skops.io.exceptions import UnsupportedTypeException

    try:
        return dump_skops(estimator)
    except (UnsupportedTypeException, TypeError) as error:
        raise ConfigError(
            f"{train.estimator} cannot be saved by skops ({error}); choose another classifier",
            key="train.estimator",
        ) from error
