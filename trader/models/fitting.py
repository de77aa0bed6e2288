"""One fit: an estimator, the rows it learns from, and the bytes of the file it becomes.

    scikit-learn ─► skops          LightGBM ─► its text          XGBoost ─► UBJSON

Law: the same rows give the same bytes, on any number of threads. Where probabilities are to be
calibrated, that is done on later rows than those of the fit, and none of those looks into them.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.train import Train
from trader.errors import ConfigError, ModelError
from trader.models.estimators import format_of, is_regressor, learner_of, make_estimator
from trader.models.scores import class_scores, number_scores
from trader.models.skops_file import dump_skops
from trader.user_code.targets import what_failed

FIT_SHARE = 0.8  # of the rows, where the rest is to calibrate on
CALIBRATION_FOLDS = 2


@dataclass(frozen=True)
class Lesson:
    """Rows to learn from, in order of time."""

    feature_names: tuple[str, ...]
    features: np.ndarray  # f8 (m, k)
    classes: np.ndarray  # i1 (m,): index into `class_names`
    returns: np.ndarray  # f8 (m,)
    class_names: tuple[str, ...]
    weights: np.ndarray | None
    asked_ns: np.ndarray  # i8 (m,): when the features are known
    known_ns: np.ndarray  # i8 (m,): when the label is known at the latest

    def part(self, rows: np.ndarray) -> "Lesson":
        """Some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Lesson(
            self.feature_names,
            self.features[rows],
            self.classes[rows],
            self.returns[rows],
            self.class_names,
            weights,
            self.asked_ns[rows],
            self.known_ns[rows],
        )

    def frame(self) -> Any:
        """The features with their names, as every estimator is fitted."""
        import pandas as pd

        return pd.DataFrame(self.features, columns=list(self.feature_names))


@dataclass(frozen=True)
class FittedModel:
    """A fitted estimator and its file."""

    estimator: Any
    kind: str  # model.type that loads it
    data: bytes
    codes: tuple[int, ...] | None  # class of each column of probabilities; None: a number
    score: Mapping[str, float]  # on the rows learned from
    notes: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def fit(config: Config, lesson: Lesson) -> FittedModel:
    """Fit `config.train` on a lesson. Raises `ConfigError` and `ModelError`."""
    from threadpoolctl import threadpool_limits

    from trader.models.sklearn_predictor import settle_jobs

    train = config.train
    assert train is not None
    kind, is_number = format_of(train), is_regressor(train)
    estimator = make_estimator(config, train)
    _check_calibration(train, kind, is_number)
    codes = None if is_number else tuple(int(code) for code in np.unique(lesson.classes))
    columns = codes if kind != "sklearn" else None  # their files know columns alone
    if codes is not None and columns is not None:
        _renumber_weights(learner_of(estimator), codes)
    first, later = _parts(train, lesson)
    frame = lesson.frame()
    try:
        # one thread of linear algebra and of OpenMP: sums come out the same on any machine
        with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
            warnings.simplefilter("always")
            estimator.fit(
                first.frame(), _target(first, is_number, columns), **_weighted(estimator, first)
            )
            if later is not None:
                estimator = _calibrated(train, estimator, later)
            if kind == "sklearn":  # on how many processors it was fitted is no part of the model
                settle_jobs(estimator)
            answers = np.asarray(estimator.predict(frame))
    except (KeyboardInterrupt, ConfigError):
        raise
    except Exception as error:
        if type(error).__name__ == "InvalidParameterError":
            raise ConfigError(str(error), key="train.params") from error
        raise ModelError(f"{train.estimator} cannot be fitted: {what_failed(error)}") from error
    notes = [f"{w.category.__name__}: {str(w.message).splitlines()[0]}" for w in caught]
    if columns is not None and not is_number:
        answers = np.array(columns)[answers.astype(np.int64)]
    return FittedModel(
        estimator,
        kind,
        _dumped(estimator, train, kind),
        codes,
        _score(answers, lesson, is_number),
        tuple(dict.fromkeys(notes)),
        None if later is None else _calibration_facts(train, first, later),
        learner_of(_inside(estimator)).get_params(deep=False),
    )


def _check_calibration(train: Train, kind: str, is_number: bool) -> None:
    if train.calibration is None:
        return
    if is_number:
        raise ConfigError(
            "calibrates probabilities, and a regressor has none: leave it out",
            key="train.calibration",
        )
    if kind != "sklearn":
        raise ConfigError(
            f"is saved with an estimator of scikit-learn only; the file of {train.estimator} holds "
            "trees alone: leave it out, or take sklearn.ensemble.HistGradientBoostingClassifier",
            key="train.calibration",
        )


def _parts(train: Train, lesson: Lesson) -> tuple[Lesson, Lesson | None]:
    """What to fit on, and what to calibrate on."""
    if train.calibration is None:
        return lesson, None
    begin = lesson.asked_ns[int(len(lesson.classes) * FIT_SHARE)]
    first = np.flatnonzero(lesson.known_ns < begin)
    later = np.flatnonzero(lesson.asked_ns >= begin)
    present = np.unique(lesson.classes[first])
    counts = [int(np.count_nonzero(lesson.classes[later] == code)) for code in present]
    if len(present) < 2 or min(counts) < CALIBRATION_FOLDS:
        raise ConfigError(
            f"needs {CALIBRATION_FOLDS} rows of every class among the last fifth of the rows "
            f"({len(later)}), and of one there are fewer: train on more bars, or leave it out",
            key="train.calibration",
        )
    return lesson.part(first), lesson.part(later)


def _calibrated(train: Train, estimator: Any, later: Lesson) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    made = CalibratedClassifierCV(
        FrozenEstimator(estimator), method=train.calibration, cv=CALIBRATION_FOLDS
    )
    with warnings.catch_warnings():  # weights are for the calibration, what is frozen has its own
        warnings.filterwarnings("ignore", "Since FrozenEstimator does not", UserWarning)
        return made.fit(later.frame(), later.classes.astype(np.int64), sample_weight=later.weights)


def _calibration_facts(train: Train, first: Lesson, later: Lesson) -> dict[str, Any]:
    return {
        "method": train.calibration,
        "fitted_on": len(first.classes),
        "calibrated_on": len(later.classes),
    }


def _target(lesson: Lesson, is_number: bool, columns: tuple[int, ...] | None) -> np.ndarray:
    if is_number:
        return lesson.returns
    if columns is not None:
        return np.searchsorted(columns, lesson.classes).astype(np.int64)
    return lesson.classes.astype(np.int64)


def _weighted(estimator: Any, lesson: Lesson) -> dict[str, Any]:
    """`sample_weight` for the last step; `ConfigError` where that takes none."""
    if lesson.weights is None:
        return {}
    from sklearn.utils.validation import has_fit_parameter

    final = learner_of(estimator)
    if not has_fit_parameter(final, "sample_weight"):
        raise ConfigError(
            f"{type(final).__name__} takes no weights of rows; leave it out, or choose an "
            "estimator whose fit has sample_weight",
            key="train.sample_weight",
        )
    name = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return {f"{name}sample_weight": lesson.weights}


def _renumber_weights(learner: Any, codes: tuple[int, ...]) -> None:
    """Weights of classes by column, where a file knows columns alone."""
    weights = learner.get_params().get("class_weight")
    if isinstance(weights, dict):
        learner.set_params(
            class_weight={
                column: weights[code] for column, code in enumerate(codes) if code in weights
            }
        )


def _score(answers: np.ndarray, lesson: Lesson, is_number: bool) -> dict[str, float]:
    """How well it tells the rows learned from. Optimistic by construction: not a forecast."""
    if is_number:
        found = number_scores(lesson.returns, answers)
    else:
        found = class_scores(lesson.classes, answers, len(lesson.class_names))
    return {name: value for name, value in found.items() if value is not None}


def _inside(estimator: Any) -> Any:
    """What was fitted, inside a calibration."""
    inner: Any = getattr(estimator, "estimator", None)
    is_frozen = type(inner).__name__ == "FrozenEstimator"
    return inner.estimator if is_frozen else estimator


def _dumped(estimator: Any, train: Train, kind: str) -> bytes:
    if kind == "lightgbm":
        return str(estimator.booster_.model_to_string()).encode()
    if kind == "xgboost":
        return bytes(estimator.get_booster().save_raw("ubj"))
    from skops.io.exceptions import UnsupportedTypeException

    try:
        return dump_skops(estimator)
    except (UnsupportedTypeException, TypeError) as error:
        raise ConfigError(
            f"{train.estimator} cannot be saved by skops ({error}); choose another estimator",
            key="train.estimator",
        ) from error
