"""`model.type: xgboost`: a booster saved as JSON or UBJSON by `save_model`.

Law: the file is read by XGBoost itself, in the model's own process only: its parser is C++. Where
training stopped early, the trees up to the best one answer, as XGBoost's own classes do.
"""

import json
from typing import Any

import numpy as np

from trader.errors import ModelError
from trader.models.predictor import Signature, library, two_columns

BINARY = ("binary:logistic", "reg:logistic")
ONE_CLASS_EACH = ("multi:softprob", "multi:softmax")
LABELS = "binary:hinge"


class XgboostPredictor:
    """A booster on one thread."""

    def __init__(self, data: bytes, path: str) -> None:
        xgboost = library("xgboost", "xgboost")
        booster: Any = xgboost.Booster({"nthread": 1, "verbosity": 0})
        booster.load_model(bytearray(data))
        booster.set_param({"nthread": 1, "device": "cpu"})
        learner = json.loads(booster.save_config())["learner"]
        objective = str(learner["objective"]["name"])
        shape = learner["learner_model_param"]
        targets = int(shape.get("num_target", 1) or 1)
        if targets > 1:
            raise ModelError(f"model.path {path}: has {targets} targets; an action needs one")
        if objective == "multi:softmax":
            booster.set_param({"objective": "multi:softprob"})  # the same trees, all classes told
        self._booster = booster
        self._trees = _trees(booster)
        self._is_binary = objective in BINARY
        self._is_hinge = objective == LABELS
        classes = 2 if self._is_binary or self._is_hinge else int(shape.get("num_class", 0) or 0)
        has_classes = self._is_binary or self._is_hinge or objective in ONE_CLASS_EACH
        names = booster.feature_names
        types = booster.feature_types or []
        if "c" in types:
            raise ModelError(f"model.path {path}: takes categories, and features are numbers")
        self._width = int(booster.num_features())
        answer = "labels" if self._is_hinge else "probabilities" if has_classes else "number"
        self.signature = Signature(
            f"an XGBoost booster ({objective})",
            answer,  # type: ignore[arg-type]
            self._width,
            tuple(names) if names else None,
            tuple(range(classes)) if has_classes else None,
            "float32",
            are_places=has_classes,
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        asked = np.ascontiguousarray(features, np.float32)
        answer = self._booster.inplace_predict(
            asked, iteration_range=self._trees, validate_features=False
        )
        answer = np.asarray(answer)
        if self._is_hinge:
            return answer.astype(np.int64)
        answer = answer.astype(np.float64)
        if self._is_binary:
            return two_columns(answer.reshape(len(features)))
        return answer.reshape(len(features)) if self.signature.answer == "number" else answer


def _trees(booster: Any) -> tuple[int, int]:
    """The range of trees that answer; (0, 0) is all of them."""
    best = booster.attr("best_iteration")
    return (0, int(best) + 1) if best is not None and best.isdigit() else (0, 0)
