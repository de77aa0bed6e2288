"""What a model file becomes once it is loaded: one small class for each format.

Law: a predictor answers rows in order, on one thread, and gives a row the same answer alone and
among a million where it is asked for at least four at a time.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from trader.errors import ConfigError, needs_extra

TRIED_ROWS = 16
Answer = Literal["probabilities", "labels", "number"]


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, as far as its file says."""

    format: str  # for messages: "an XGBoost booster (multi:softprob)"
    answer: Answer
    feature_count: int | None = None
    feature_names: tuple[str, ...] | None = None
    labels: tuple[Any, ...] | None = None  # of the classes, in the order of the columns
    dtype: str = "float64"  # features are cast to it
    are_probabilities: bool = True  # False: numbers a class, which may be anything
    are_places: bool = False  # the file has no labels: they are places among the sorted ones


class Predictor(Protocol):
    """A loaded model."""

    signature: Signature

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The answers to float64 features (n, k), n ≥ 4: (n, classes), labels (n,) or numbers (n,).

        Raises whatever the library raises.
        """
        ...


@runtime_checkable
class TrialPredictor(Predictor, Protocol):
    """A predictor that may choose the faster of two ways, once it has seen real rows."""

    def prove(self, features: np.ndarray) -> None:
        """Look at float64 features (n, k), n ≥ 4, before anything is asked."""
        ...


def sample(features: np.ndarray) -> np.ndarray:
    """A few rows from all over: what a model is tried with first."""
    return features[:: max(1, len(features) // TRIED_ROWS)][:TRIED_ROWS]


def library(name: str, extra: str) -> Any:
    """An optional library; `ConfigError` that names the extra where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        there = importlib.util.find_spec(name) is not None
        why = f"{name} cannot be imported: {error}" if there else f"{name} is not installed"
        raise ConfigError(f"{extra} {needs_extra(extra, why)}", key="model.type") from error


def two_columns(of_second: np.ndarray) -> np.ndarray:
    """Probabilities of two classes from that of the second."""
    return np.stack([1.0 - of_second, of_second], axis=1)
