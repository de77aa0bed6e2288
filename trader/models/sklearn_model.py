"""`model.type: sklearn`: a fitted scikit-learn classifier out of a pinned skops file.

Law: the file is the one whose SHA-256 the config names, and it was fitted on these features in
this order. Predictions are computed with one thread of linear algebra and at least four rows at
a time, so that a row gets the same answer alone and among a million (fewer rows take another path
through BLAS and differ in the last bit).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.model import SklearnModel as SklearnConfig
from trader.errors import ModelError
from trader.models.actions import ALLOWED, AnswerError, to_actions
from trader.models.model_card import card_path, feature_definitions, read_card
from trader.models.skops_file import load_skops, read_pinned
from trader.user_code.targets import what_failed

MIN_ROWS = 4
_log = logging.getLogger(__name__)


class SklearnModel:
    """A classifier whose classes are HOLD, BUY and SELL (or 0, 1, 2), or some of them."""

    def __init__(
        self, config: Config, feature_names: Sequence[str], symbols: Sequence[str]
    ) -> None:
        section = config.model
        assert isinstance(section, SklearnConfig), "load_model dispatches by type"
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        self.path = section.path
        self.chunk_rows = section.chunk_rows
        data = read_pinned(section.path, section.sha256)
        model = load_skops(data, section.path, section.trusted)
        self._take(model, read_card(section.path, section.sha256) or {}, config)

    def _take(self, model: Any, card: Mapping[str, Any], config: Config) -> None:
        """Check a classifier of our own and make it ready."""
        self._model = model
        self._check_classes()
        self._check_features(card, config)
        _settle(self._model)
        self._blas = _blas()
        self._try_once()

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing to check: a classifier is asked about any bars."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> np.ndarray:
        """int8 actions (n,) of finite float64 features (n, k), `chunk_rows` at a time."""
        actions = np.empty(len(features), np.int8)
        for start in range(0, len(features), self.chunk_rows):
            chunk = slice(start, start + self.chunk_rows)
            actions[chunk] = self._predict_chunk(features[chunk], start)
        return actions

    def _predict_chunk(self, features: np.ndarray, start: int) -> np.ndarray:
        rows = len(features)
        asked = features
        if rows < MIN_ROWS:
            asked = np.concatenate([features, np.repeat(features[:1], MIN_ROWS - rows, axis=0)])
        asked = np.asfortranarray(asked)  # one layout, one path through BLAS
        try:
            with self._blas.limit(limits=1, user_api="blas"):
                answer = self._model.predict(asked)
            return to_actions(answer, len(asked))[:rows]
        except AnswerError as error:
            row = None if error.row is None else start + error.row
            raise AnswerError(error.complaint, row) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._blame_infinite(features, start)
            raise ModelError(f"{self.path}: the model failed: {what_failed(error)}") from error

    def _blame_infinite(self, features: np.ndarray, start: int) -> None:
        """Name the first infinite feature, which most classifiers refuse without saying where."""
        bad = ~np.isfinite(features)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise AnswerError(
                f"the feature {self.feature_names[column]} is {features[row, column]}, which the "
                "model cannot take",
                start + row,
            ) from None

    def _check_classes(self) -> None:
        classes = getattr(self._model, "classes_", None)
        if classes is None or not callable(getattr(self._model, "predict", None)):
            raise ModelError(
                f"model.path {self.path}: holds a {type(self._model).__name__}, which is not a "
                "fitted classifier"
            )
        labels = np.asarray(classes)
        try:
            codes = to_actions(labels, len(labels) if labels.ndim else 0)
        except AnswerError as error:
            raise ModelError(
                f"model.path {self.path}: its classes are {labels.tolist()}, and each must be an "
                f"action ({ALLOWED}); fit it on such labels"
            ) from error
        if len(set(codes.tolist())) != len(codes):
            raise ModelError(
                f"model.path {self.path}: its classes {labels.tolist()} mean an action twice"
            )

    def _check_features(self, card: Mapping[str, Any], config: Config) -> None:
        """`ModelError` unless the model was fitted on these features in this order.

        The model's own names count, else those of its card. Their parameters only the card
        knows: a difference there is told, for it may be meant.
        """
        count = getattr(self._model, "n_features_in_", None)
        names = getattr(self._model, "feature_names_in_", card.get("features"))
        fitted = None if names is None else tuple(str(name) for name in names)
        if fitted is not None and fitted != self.feature_names:
            raise ModelError(_other_features(self.path, fitted, self.feature_names))
        if count is not None and count != len(self.feature_names):
            raise ModelError(
                f"model.path {self.path}: was fitted on {count} features, and the config has "
                f"{len(self.feature_names)}: {', '.join(self.feature_names)}"
            )
        if fitted is None:
            _log.warning(
                "%s does not say which features it was fitted on; their order cannot be checked. "
                "Fit it on a DataFrame with column names",
                self.path,
            )
        learned = card.get("feature_definitions", {})
        for name, now in feature_definitions(config).items():
            if name in learned and learned[name] != now:
                _log.warning(
                    "%s: the model learned from %s = %s, and the config has %s",
                    card_path(Path(self.path)),
                    name,
                    learned[name],
                    now,
                )

    def _try_once(self) -> None:
        """One prediction at load: a model that cannot answer at all is refused before the run."""
        try:
            self._predict_chunk(np.zeros((1, len(self.feature_names))), 0)
        except AnswerError as error:
            raise ModelError(f"model.path {self.path}: {error.complaint}") from error


def _settle(model: Any) -> None:
    """Make the model and all its fitted parts ready for many small predictions.

    `n_jobs` becomes 1: forests add votes in the order threads end. The names of the features,
    which were compared, are dropped: with them scikit-learn warns of each array it is given.
    """
    seen: set[int] = set()
    todo = [model]
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)
        elif hasattr(item, "get_params") and hasattr(item, "__dict__"):
            if isinstance(vars(item).get("n_jobs"), int):
                item.n_jobs = 1
            vars(item).pop("feature_names_in_", None)
            todo.extend(vars(item).values())


def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _other_features(path: str, fitted: Sequence[str], given: Sequence[str]) -> str:
    missing = [name for name in fitted if name not in given]
    extra = [name for name in given if name not in fitted]
    if missing or extra:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"not the model's: {', '.join(extra)}"] if extra else []
        why = "; ".join(parts)
    else:
        why = "the same features in another order; reorder them in the config"
    return (
        f"model.path {path}: was fitted on other features ({why})\n"
        f"    the model's   {', '.join(fitted)}\n    the config's  {', '.join(given)}"
    )
