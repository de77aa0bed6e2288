"""`model.type: lightgbm`: a booster saved as text by `Booster.save_model`.

Law: the text is read by LightGBM itself, in the model's own process only: its parser is C++.
"""

import re
from typing import Any

import numpy as np

from trader.errors import ModelError
from trader.models.predictor import Signature, library, two_columns

SIZES = re.compile(r"\ntree_sizes=[^\n]*\n")
ONE_CLASS_EACH = ("multiclass", "multiclassova")
BINARY = ("binary", "cross_entropy")


class LightgbmPredictor:
    """A booster on one thread."""

    def __init__(self, data: bytes, path: str) -> None:
        lightgbm = library("lightgbm", "lightgbm")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ModelError(f"model.path {path}: is not text, as a LightGBM model is") from error
        header = _header(text)
        # without the sizes trees are read one after the other: in its threads a damaged one would
        # end the process, not the reading
        self._booster: Any = lightgbm.Booster(model_str=SIZES.sub("\n", text, count=1))
        objective = header.get("objective", "").split(" ")[0]
        names = tuple(self._booster.feature_name())
        if getattr(self._booster, "pandas_categorical", None):
            raise ModelError(
                f"model.path {path}: was trained on pandas categories, and features are numbers; "
                "train it on numbers"
            )
        classes = int(self._booster.num_model_per_iteration())
        self._is_binary = objective in BINARY
        has_classes = self._is_binary or objective in ONE_CLASS_EACH
        count = 2 if self._is_binary else classes
        if classes > 1 and not has_classes:
            raise ModelError(
                f"model.path {path}: gives {classes} numbers a row (objective "
                f"{objective or 'of its own'}); an action needs one, or classes"
            )
        self.signature = Signature(
            f"a LightGBM booster ({objective or 'objective of its own'})",
            "probabilities" if has_classes else "number",
            len(names),
            None if _are_made_up(names) else names,
            tuple(range(count)) if has_classes else None,
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        answer = self._booster.predict(np.ascontiguousarray(features), num_threads=1)
        return two_columns(answer) if self._is_binary else answer


def _header(text: str) -> dict[str, str]:
    """The `key=value` lines above the trees."""
    head = text.partition("\nTree=")[0]
    lines = (line.partition("=") for line in head.splitlines() if "=" in line)
    return {key: value for key, _, value in lines}


def _are_made_up(names: tuple[str, ...]) -> bool:
    """Whether these are the names that LightGBM gives to columns without one."""
    return all(name == f"Column_{index}" for index, name in enumerate(names))
