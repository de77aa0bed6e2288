"""`model.type: sklearn`: an estimator out of a skops file, or of joblib or pickle where allowed.

Law: a model is asked with what it was fitted on: a DataFrame with its names where it has names,
else an array. One job, one thread of linear algebra, one layout.
"""

import io
from typing import Any

import numpy as np

from trader.config.sections.model import OutputRules, SklearnModel
from trader.errors import ModelError
from trader.models.file_kinds import PICKLE, UNKNOWN, kind_of, wrong_kind
from trader.models.predictor import Answer, Signature
from trader.models.skops_file import load_skops

# their `predict` is not the likeliest class of their `predict_proba`
OWN_PREDICT = ("SVC", "NuSVC", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
OWN_LIBRARIES = ("sklearn", "lightgbm", "xgboost", "catboost")


class SklearnPredictor:
    """A fitted estimator of scikit-learn's kind."""

    def __init__(self, model: Any, rules: OutputRules, path: str) -> None:
        if not callable(getattr(model, "predict", None)):
            raise ModelError(
                f"model.path {path}: holds a {type(model).__name__}, which is not a fitted "
                "classifier or regressor"
            )
        if _is_unfitted(model):
            raise ModelError(
                f"model.path {path}: holds a {type(model).__name__} that was never fitted"
            )
        settle_jobs(model)
        self._model = model
        self._blas = _blas()
        names = getattr(model, "feature_names_in_", None)
        self._names = None if names is None else [str(name) for name in names]
        count = getattr(model, "n_features_in_", None)
        labels = _labels(model, path)
        self._ask, answer = _question(model, rules, labels, path)
        self.signature = Signature(
            f"a {_described(model)}",
            answer,
            None if count is None else int(count),
            None if self._names is None else tuple(self._names),
            labels if answer != "number" else None,
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        asked: Any = np.asfortranarray(features)  # one layout, one path through BLAS
        if self._names is not None:
            import pandas as pd

            asked = pd.DataFrame(asked, columns=self._names, copy=False)
        if _settled:
            answer = np.asarray(self._ask(asked))
        else:
            with self._blas.limit(limits=1):
                answer = np.asarray(self._ask(asked))
        if self.signature.answer == "number" and answer.ndim == 2 and answer.shape[1] == 1:
            answer = answer[:, 0]
        return answer


_settled: list[Any] = []  # the limit of a process that has one thread for good


def settle_threads() -> None:
    """One thread for BLAS and OpenMP from now on: for a process that only answers for a model."""
    _settled.append(_blas().limit(limits=1))


def load_estimator(section: SklearnModel, data: bytes) -> Any:
    """The estimator in a file. Raises `ModelError`."""
    path = section.path
    kind = kind_of(data)
    if kind == PICKLE and section.allow_pickle:
        return _unpickled(data, path)
    said = wrong_kind(path, data, "sklearn")
    if kind == PICKLE:
        raise ModelError(f"model.path {path}: is {kind.name}; {kind.advice}")
    is_damaged = kind == UNKNOWN and (not data or data.startswith(b"PK"))  # a skops file, perhaps
    if said is not None and not is_damaged:
        raise ModelError(said)
    return load_skops(data, path, section.trusted)


def _unpickled(data: bytes, path: str) -> Any:
    """What joblib or pickle makes of the bytes. Runs code from them: the config allowed it."""
    import joblib

    try:
        return joblib.load(io.BytesIO(data))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"model.path {path}: cannot be loaded by joblib: {type(error).__name__}: {first}"
        ) from error


def _labels(model: Any, path: str) -> tuple[Any, ...] | None:
    classes = getattr(model, "classes_", None)
    if classes is None:
        return None
    if isinstance(classes, list) and classes and not np.isscalar(classes[0]):
        raise ModelError(f"model.path {path}: predicts several things at once; an action is one")
    return tuple(np.asarray(classes).tolist())


def _is_unfitted(model: Any) -> bool:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not hasattr(model, "get_params"):
        return False
    try:
        check_is_fitted(model)
    except NotFittedError:
        return True
    except Exception:  # an estimator of another library, with rules of its own
        return False
    return False


def _question(
    model: Any, rules: OutputRules, labels: tuple[Any, ...] | None, path: str
) -> tuple[Any, Answer]:
    """Which method to ask, and what it answers."""
    decides = rules.decide is not None
    wants_more = rules.threshold is not None or rules.margin is not None
    proba = getattr(model, "predict_proba", None)
    if labels is None:
        if rules.classes is not None:
            return model.predict, "labels"
        return model.predict, "number"
    if decides:
        if len(labels) != 2:
            raise ModelError(
                f"model.path {path}: has {len(labels)} classes, and model.decide is for a model "
                "that answers one number; use model.classes and model.threshold"
            )
        if callable(proba):
            return lambda asked: np.asarray(proba(asked))[:, 1], "number"
        return model.decision_function, "number"
    if callable(proba) and (wants_more or not _has_own_predict(model)):
        return proba, "probabilities"
    if wants_more:
        raise ModelError(
            f"model.path {path}: {type(model).__name__} gives no probabilities (predict_proba), "
            "which model.threshold and model.margin need; calibrate it (CalibratedClassifierCV) or "
            "leave them out"
        )
    return model.predict, "labels"


def _has_own_predict(model: Any) -> bool:
    """Whether the class that an estimator predicts may not be its likeliest."""
    final = _final(model)
    library = type(final).__module__.partition(".")[0]
    return library not in OWN_LIBRARIES or type(final).__name__ in OWN_PREDICT


def _final(model: Any) -> Any:
    """The estimator that answers, inside pipelines and searches."""
    while True:
        if hasattr(model, "steps") and model.steps:
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        else:
            return model


def _described(model: Any) -> str:
    final = _final(model)
    name = type(final).__name__
    return name if final is model else f"{name} in a {type(model).__name__}"


def settle_jobs(model: Any) -> None:
    """`n_jobs` of the model and all its fitted parts becomes 1: forests add votes in the order
    threads end."""
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
            todo.extend(vars(item).values())


def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
