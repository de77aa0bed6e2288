"""`model.type: lightgbm`: a booster saved as text by `Booster.save_model`.

Law: the text is read by LightGBM itself, in the model's own process only: its parser is C++. It
takes trees whose nodes lie in a circle or outside, and then answers never or out of nowhere; so
they are looked at before.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from trader.errors import ModelError
from trader.models.predictor import Signature, library, two_columns

SIZES = re.compile(r"\ntree_sizes=[^\n]*\n")
SHOWN = 200
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
        _check_trees(text, path)
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
            are_places=has_classes,
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        answer = self._booster.predict(np.ascontiguousarray(features), num_threads=1)
        return two_columns(answer) if self._is_binary else answer


def _check_trees(text: str, path: str) -> None:
    """`ModelError` for a tree in which a way down ends nowhere."""
    width = int(_header(text).get("max_feature_idx", "-1")) + 1
    for number, tree in enumerate(text.partition("\nend of trees")[0].split("\nTree=")[1:]):
        try:
            fault = _fault_of_tree(dict(_pairs(tree)), width)
        except (KeyError, ValueError, OverflowError) as error:
            fault = f"{type(error).__name__}: {error}"[:SHOWN]
        if fault is not None:
            raise ModelError(f"model.path {path}: is damaged: tree {number}: {fault}")


def _fault_of_tree(fields: dict[str, str], width: int) -> str | None:
    """What is wrong with a tree; None for a sound one."""
    leaves = int(fields["num_leaves"])
    if leaves < 2:
        return None
    children = np.concatenate([_integers(fields[name]) for name in ("left_child", "right_child")])
    inner, ends = children[children >= 0], ~children[children < 0]
    if len(children) != 2 * (leaves - 1):
        return f"{len(children)} children for {leaves} leaves"
    if not np.array_equal(np.sort(inner), np.arange(1, leaves - 1)):
        return "its nodes do not form a tree"
    if not np.array_equal(np.sort(ends), np.arange(leaves)):
        return "its leaves are not each met once"
    features = _integers(fields["split_feature"])
    if len(features) != leaves - 1 or not ((features >= 0) & (features < width)).all():
        return f"it asks for features that are none of the {width}"
    if int(fields["num_cat"]) == 0 and (_integers(fields["decision_type"]) & 1).any():
        return "it asks for categories and has none"
    return None


def _integers(text: str) -> np.ndarray:
    return np.array(text.split(), np.int64)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, is_pair, value = line.partition("=")
        if is_pair:
            yield key, value


def _header(text: str) -> dict[str, str]:
    """The `key=value` lines above the trees."""
    return dict(_pairs(text.partition("\nTree=")[0]))


def _are_made_up(names: tuple[str, ...]) -> bool:
    """Whether these are the names that LightGBM gives to columns without one."""
    return all(name == f"Column_{index}" for index, name in enumerate(names))
