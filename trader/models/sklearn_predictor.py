"""`model.type: sklearn`: an estimator out of a skops file, or of joblib or pickle where allowed.

Law: a model is asked with what it was fitted on: a DataFrame with its names where it has names,
else an array. One job, one thread of linear algebra, one layout.
"""

import copy
import io
import warnings
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


PLAIN_ROOMS = (
    "decomposition",
    "discriminant_analysis",
    "ensemble",
    "feature_selection",
    "linear_model",
    "naive_bayes",
    "neighbors",
    "neural_network",
    "preprocessing",
    "svm",
    "tree",
)
HAND_ON = ("FunctionTransformer", "StackingClassifier", "StackingRegressor", "VotingClassifier")


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
        self._rules, self._labels, self._path = rules, labels, path
        self._of_arrays: Any = None
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
        if self._names is None:
            answer = self._limited(self._ask, asked)
        elif self._of_arrays is not None:
            answer = self._limited(self._of_arrays, asked)
        else:
            answer = self._limited(self._ask, self._frame(asked))
        if self.signature.answer == "number" and answer.ndim == 2 and answer.shape[1] == 1:
            answer = answer[:, 0]
        return answer

    def prove(self, features: np.ndarray) -> None:
        """Ask for the same rows as a DataFrame and as an array, where names are all that a
        DataFrame would add: arrays from now on if the bits of the answers are equal."""
        if self._names is None or not takes_arrays(self._model):
            return
        asked = np.asfortranarray(features)
        ask = _question(without_names(self._model), self._rules, self._labels, self._path)[0]
        try:
            with_names = self._limited(self._ask, self._frame(asked))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                plain = self._limited(ask, asked)
        except Exception:  # names do matter, or the rows are such that no way answers
            return
        if with_names.dtype == plain.dtype and with_names.tobytes() == plain.tobytes():
            self._of_arrays = ask

    def _frame(self, asked: np.ndarray) -> Any:
        import pandas as pd

        return pd.DataFrame(asked, columns=self._names, copy=False)

    def _limited(self, ask: Any, asked: Any) -> np.ndarray:
        if _settled:
            return np.asarray(ask(asked))
        with self._blas.limit(limits=1):
            return np.asarray(ask(asked))


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
        raise ModelError(f"model.path {path}: predicts several outputs; an action needs one")
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


def _steps(model: Any) -> list[Any]:
    """The parts of a pipeline, pipelines inside it taken apart; of another estimator, itself."""
    if not hasattr(model, "steps"):
        return [model]
    return [part for _, step in model.steps for part in _steps(step)]


def takes_arrays(model: Any) -> bool:
    """Whether all that this does with the names of a DataFrame is to look if they are its own.

    So it is for the estimators of scikit-learn itself, alone or in a row. Those that hold other
    estimators, choose columns by name or call a function hand the DataFrame on.
    """
    for step in _steps(model):
        kind = type(step)
        package, _, room = kind.__module__.partition(".")
        if package != "sklearn" or room.partition(".")[0] not in PLAIN_ROOMS:
            return False
        if kind.__name__ in HAND_ON or hasattr(step, "_sklearn_output_config"):
            return False
        parameters = step.get_params(deep=False).values()
        if any(hasattr(value, "get_params") or callable(value) for value in parameters):
            return False
    return True


def without_names(model: Any) -> Any:
    """The same fitted estimator, as if it had been fitted on an array. Nothing is copied but it."""
    alone = copy.copy(model)
    if hasattr(model, "steps"):
        alone.steps = [(name, without_names(step)) for name, step in model.steps]
    else:
        vars(alone).pop("feature_names_in_", None)
    return alone


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
