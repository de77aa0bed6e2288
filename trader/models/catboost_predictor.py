"""`model.type: catboost`: a model saved as cbm by `save_model`.

Law: the file is read by CatBoost itself, in the model's own process only: its parser is C++.
"""

from typing import Any

import numpy as np

from trader.errors import ModelError
from trader.models.predictor import Signature, library


class CatboostPredictor:
    """A CatBoost model on one thread."""

    def __init__(self, data: bytes, path: str) -> None:
        catboost = library("catboost", "catboost")
        model: Any = catboost.CatBoost()
        model.load_model(blob=data, format="cbm")
        if not model.is_fitted():
            raise ModelError(f"model.path {path}: holds a CatBoost model that was never fitted")
        for kind in ("cat", "text", "embedding"):
            if getattr(model, f"_get_{kind}_feature_indices")():
                raise ModelError(
                    f"model.path {path}: takes {kind} features, and features are numbers"
                )
        self._model = model
        labels = tuple(np.asarray(model.classes_).tolist())
        names = tuple(model.feature_names_)
        self._kind = "Probability" if labels else "RawFormulaVal"
        self.signature = Signature(
            "a CatBoost classifier" if labels else "a CatBoost model of one number",
            "probabilities" if labels else "number",
            len(names),
            None if all(name == str(index) for index, name in enumerate(names)) else names,
            labels or None,
            "float32",
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        asked = np.ascontiguousarray(features, np.float32)
        answer = self._model.predict(asked, prediction_type=self._kind, thread_count=1)
        return np.asarray(answer, np.float64)
