"""Fits the estimator that a config names on its own features. `trader train` in one function.

Law: a row is learned from only if all its features are defined and its label lies wholly inside
`[train.start, train.end)`; the same inputs give the same model, byte for byte. The score is on the
rows learned from and is named so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.train import Train
from trader.errors import ConfigError, ModelError
from trader.hours.bar_sessions import bar_opens
from trader.models.answers import bar_label
from trader.models.estimators import is_regressor
from trader.models.fitting import FittedModel, Lesson, fit
from trader.models.label_kinds import Labels, labels_of, look_ahead
from trader.models.labels import UNLABELLED, bars_inside
from trader.models.sample_weights import uniqueness
from trader.moments import iso_utc

MIN_TRAIN_ROWS = 50


@dataclass(frozen=True)
class TrainedModel:
    """A fitted estimator, the bytes of its file, and what there is to say about it."""

    fitted: FittedModel
    class_names: tuple[str, ...]  # by code
    facts: Mapping[str, Any]  # rows, classes, span, in-sample score, warnings: plain JSON values

    @property
    def estimator(self) -> Any:
        """The fitted object."""
        return self.fitted.estimator

    @property
    def data(self) -> bytes:
        """What its file holds."""
        return self.fitted.data


@dataclass(frozen=True)
class TrainingRows:
    """What can be learned from some bars: the rows, and what is known of them."""

    bars: np.ndarray  # BAR (n,), prices as features see them
    matrix: np.ndarray  # f8 (n, k)
    names: tuple[str, ...]  # of the features
    labels: Labels
    inside: np.ndarray  # bool (n,): bars of the training span
    rows: np.ndarray  # i8 (m,): numbers of bars to learn from

    @property
    def asked_ns(self) -> np.ndarray:
        """When the bar of each row closes, and its features are known."""
        return np.asarray(self.bars["ts_ns"][self.rows])

    @property
    def known_ns(self) -> np.ndarray:
        """When the label of each row is known at the latest."""
        return np.asarray(self.bars["ts_ns"][self.labels.latest[self.rows]])

    def lesson(self, picked: np.ndarray | slice, config: Config) -> Lesson:
        """Some of the rows, ready to be fitted on."""
        rows = self.rows[picked]
        weights = None
        train = config.train
        assert train is not None
        if train.sample_weight == "uniqueness":
            weights = uniqueness(self.bars["symbol"], rows, self.labels.ends[rows])
        return Lesson(
            self.names,
            self.matrix[rows],
            self.labels.classes[rows],
            self.labels.returns[rows],
            self.labels.names,
            weights,
            self.bars["ts_ns"][rows],
            self.bars["ts_ns"][self.labels.latest[rows]],
        )


def train_model(
    config: Config, bars: np.ndarray, features: np.ndarray, feature_names: Sequence[str]
) -> TrainedModel:
    """Fit `config.train` on BAR records (n,) and their float64 features (n, k).

    Raises `ConfigError` for a wrong `train` section or one that asks for what the data does not
    hold, `ModelError` if the fit itself fails.
    """
    rows = training_rows(config, bars, features, feature_names)
    return train_on(config, rows)


def train_on(config: Config, known: TrainingRows) -> TrainedModel:
    """Fit on all of the rows; raises as `train_model` does."""
    lesson = known.lesson(slice(None), config)
    fitted = fit(config, lesson)
    counts = row_counts(known)
    first = int(bar_opens(known.bars[known.rows[:1]], config.period_ns)[0])
    last = int(known.bars["ts_ns"][known.inside][-1])
    facts = {
        "span": {
            "first_bar_opens": iso_utc(first),
            "last_bar_closes": iso_utc(last),
        },
        "rows": counts,
        "classes": class_counts(lesson),
        "in_sample": fitted.score,
        "warnings": [*fitted.notes, *_of_whole_bars(config)],
    }
    return TrainedModel(fitted, lesson.class_names, facts)


def _of_whole_bars(config: Config) -> list[str]:
    """What labels by stop and target do not see of finer bars."""
    train = config.train
    if not config.has_detail or train is None or train.label.type == "horizon":
        return []
    return [
        f"labels ({train.label.type}) look at whole bars, not at those of feed.period_seconds: "
        "where one holds stop and target, the stop counts"
    ]


def training_rows(
    config: Config, bars: np.ndarray, features: np.ndarray, feature_names: Sequence[str]
) -> TrainingRows:
    """The rows of the training span, checked; raises as `train_model` does."""
    train = config.train
    if train is None:
        raise ConfigError("there is no `train` section to say what to fit", key="train")
    if not feature_names:
        raise ConfigError("there are no features to learn from", key="features")
    is_number = is_regressor(train)  # a wrong class is told before the data is
    inside = _bars_to_use(config, train, bars)
    known = labelled_rows(config, bars, features, feature_names, inside)
    counts = row_counts(known)
    _check_counts(counts)
    lesson_classes = known.labels.classes[known.rows]
    if not is_number:
        check_classes(config, lesson_classes, known.labels.names)
    _check_finite(features, known.rows, feature_names, bar_names=(bars, config.symbols))
    return known


def labelled_rows(
    config: Config,
    bars: np.ndarray,
    features: np.ndarray,
    feature_names: Sequence[str],
    inside: np.ndarray,
) -> TrainingRows:
    """All rows that are warm and have a label, unchecked."""
    labels = labels_of(config, bars, inside, features, feature_names)
    warm = ~np.isnan(features).any(axis=1)
    rows = np.flatnonzero(warm & (labels.classes != UNLABELLED))
    return TrainingRows(bars, features, tuple(feature_names), labels, inside, rows)


def row_counts(known: TrainingRows) -> dict[str, int]:
    """How many bars there are, and why some of them are not learned from."""
    inside = known.inside
    warm = ~np.isnan(known.matrix).any(axis=1)
    return {
        "in_span": int(np.count_nonzero(inside)),
        "not_warm": int(np.count_nonzero(inside & ~warm)),
        "beyond_horizon": int(
            np.count_nonzero(inside & warm & (known.labels.classes == UNLABELLED))
        ),
        "used": len(known.rows),
    }


def class_counts(lesson: Lesson) -> dict[str, int]:
    """Rows of each class, by its name."""
    return {
        name: int(np.count_nonzero(lesson.classes == code))
        for code, name in enumerate(lesson.class_names)
    }


def check_classes(config: Config, classes: np.ndarray, names: Sequence[str]) -> None:
    """`ConfigError` unless there are two classes to tell apart."""
    assert config.train is not None
    present = np.unique(classes)
    if len(present) < 2:
        label = config.train.label
        raise ConfigError(
            f"every one of the {len(classes)} rows is labelled {names[int(present[0])]}; lower "
            f"train.label.threshold_bps ({label.threshold_bps:g}) or look further ahead "
            f"than train.label.horizon_bars ({look_ahead(config)})"
            + ("" if label.type == "horizon" else ", or move the barriers"),
            key="train.label",
        )


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


def _check_counts(counts: Mapping[str, int]) -> None:
    """`ConfigError` if there are too few rows to learn from."""
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
            f"and {counts['beyond_horizon']} have no label, or one beyond the end of the span",
            key="train",
        )


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
            f"{feature_names[column]} is infinite; no estimator can learn from it"
        )
