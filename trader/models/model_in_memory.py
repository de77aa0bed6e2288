"""A model fitted a moment ago, asked exactly as its file is: for folds and walk-forwards.

Law: what answers was loaded from the bytes that a file would hold. Where the rows learned from had
no row of an action, that action has probability 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.model import Decide, OutputRules, Threshold
from trader.errors import ConfigError
from trader.models.file_model import PredictorModel, at_least_four
from trader.models.label_kinds import META
from trader.models.predictor import Predictor
from trader.models.skops_file import load_skops

CHUNK_ROWS = 65_536
BPS = 1e-4


class AllClasses:
    """A predictor with one column for each class there could be."""

    def __init__(self, inner: Predictor, codes: Sequence[int], count: int) -> None:
        self._inner, self._codes, self._count = inner, list(codes), count
        self.signature = replace(inner.signature, labels=tuple(range(count)))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        answer = self._inner.predict(features)
        if self.signature.answer == "labels":
            return answer
        whole = np.zeros((len(features), self._count))
        whole[:, self._codes] = answer
        return whole


def predictor_of(kind: str, data: bytes, codes: Sequence[int] | None, rules: OutputRules) -> Any:
    """The predictor out of a trained file's bytes; `codes` are the classes of its columns."""
    name = "the model just trained"
    made: Predictor
    if kind == "lightgbm":
        from trader.models.lightgbm_predictor import LightgbmPredictor

        made = LightgbmPredictor(data, name)
    elif kind == "xgboost":
        from trader.models.xgboost_predictor import XgboostPredictor

        made = XgboostPredictor(data, name)
    else:
        from trader.models.sklearn_predictor import SklearnPredictor

        made = SklearnPredictor(load_skops(data, name, ()), rules, name)
    return made if codes is None else AllClasses(made, codes, 3)


class ModelInMemory(PredictorModel):
    """What was fitted, as a model that can be asked."""

    def __init__(
        self,
        config: Config,
        feature_names: Sequence[str],
        kind: str,
        data: bytes,
        codes: Sequence[int] | None,
    ) -> None:
        self.feature_names = tuple(feature_names)
        self.symbols = config.symbols
        self.path = "the model just trained"
        self.chunk_rows = CHUNK_ROWS
        self.notices = []
        rules = rules_of(config, codes is None)
        self._take(predictor_of(kind, data, codes, rules), rules, {}, config)


def rules_of(config: Config, is_number: bool) -> OutputRules:
    """How answers become actions: as `model` says, its classes being those of the labels.

    Where `model` says nothing of a number, its threshold is that of the labels.
    """
    model, train = config.model, config.train
    assert train is not None
    threshold, margin, decide = (
        getattr(model, name, None) for name in ("threshold", "margin", "decide")
    )
    if is_number:
        least = train.label.threshold_bps * BPS
        decide = decide or Decide(buy_above=least, sell_below=-least)
        return OutputRules(decide=decide)
    if decide is not None:
        raise ConfigError(
            "is for a number out, and train.estimator is a classifier: use model.threshold",
            key="model.decide",
        )
    assert threshold is None or isinstance(threshold, Threshold)
    return OutputRules(threshold=threshold, margin=margin)


def answers_of_meta(kind: str, data: bytes, codes: Sequence[int], features: np.ndarray) -> Any:
    """Probability that the rule is right, f8 (n,), of float64 features (n, k)."""
    made = predictor_of(kind, data, codes, OutputRules(margin=0.0))
    right = META.index("RIGHT")
    return made.predict(at_least_four(features))[: len(features), right]
