"""Makes the unfitted pipeline that `train.estimator` names.

Law: only classifiers and regressors of scikit-learn, LightGBM and XGBoost can be named, by full
path or by class name; every parameter must be one of theirs. Chance comes from the config's seed.
LightGBM and XGBoost run on one thread, so that the same rows give the same file on any machine.
"""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from trader.config.schema import Config
from trader.config.sections.train import Train
from trader.core.schema import TradingAction
from trader.errors import ConfigError
from trader.models.predictor import library

FORMATS = {"sklearn": "sklearn", "lightgbm": "lightgbm", "xgboost": "xgboost"}  # by library
SAVED_AS = {"sklearn": "skops", "lightgbm": "text", "xgboost": "ubj"}
OWN_NAMES = {"LGBM": "lightgbm", "XGB": "xgboost"}  # how class names of a library begin
FORCED: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_jobs": 1, "deterministic": True},
    "xgboost": {"n_jobs": 1},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "lightgbm": {"verbosity": -1, "force_row_wise": True},
    "xgboost": {"verbosity": 0},
}
THREADS = ("n_jobs", "nthread", "num_threads", "num_thread", "nthreads")
OTHER_NAMES = {"xgboost": ("eta", "lambda", "alpha", "seed", "nthread")}
KEY = "train.estimator"


def format_of(train: Train) -> str:
    """The `model.type` that a fitted `train.estimator` is saved as."""
    return FORMATS.get(_full_name(train.estimator).partition(".")[0], "sklearn")


def is_regressor(train: Train) -> bool:
    """Whether the estimator learns a number; `ConfigError` where there is no such class."""
    from sklearn.base import RegressorMixin

    return issubclass(_learner_class(train.estimator), RegressorMixin)


def make_estimator(config: Config, train: Train) -> Any:
    """The estimator with its parameters, alone or at the end of a pipeline.

    Raises `ConfigError` with the key at fault: unknown class, not a classifier, wrong parameter.
    """
    made = _learner_class(train.estimator)
    kind = format_of(train)
    params = _checked(made, train.params, kind, "train.params")
    if isinstance(params.get("class_weight"), dict):
        params["class_weight"] = _by_class(params["class_weight"])
    if kind != "sklearn":
        params = {key: value for key, value in params.items() if key not in THREADS}
        rowwise = {"force_row_wise", "force_col_wise"} & set(params)
        added = {key: value for key, value in DEFAULTS[kind].items() if key not in params}
        if rowwise:
            added.pop("force_row_wise", None)
        params |= added | FORCED[kind]
    final = _made(made, params, config.seed, "train.params")
    steps = [
        _transformer(step.estimator, step.params, config.seed, f"train.steps.{place}")
        for place, step in enumerate(train.steps)
    ]
    if kind != "sklearn":
        if train.scale or steps:
            raise ConfigError(
                f"a {made.__name__} is saved in the format of its library, which holds no "
                "pipeline; trees need no scaling: leave it out, or train an estimator of "
                "scikit-learn",
                key="train.scale" if train.scale else "train.steps",
            )
        return final
    if train.scale is not False:
        from sklearn.preprocessing import StandardScaler

        steps.insert(0, StandardScaler())
    if not steps:
        return final
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps, final)


def learner_of(estimator: Any) -> Any:
    """The classifier or regressor at the end of a pipeline."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _made(made: Any, params: Mapping[str, Any], seed: int, key: str) -> Any:
    params = dict(params)
    if "random_state" in _known(made):
        params.setdefault("random_state", seed)
    try:
        return made(**params)
    except TypeError as error:
        raise ConfigError(
            f"{made.__name__} cannot be made from a config: {error}", key=key
        ) from error


def _known(made: Any) -> list[str]:
    if hasattr(made, "_get_param_names"):
        with_own = list(made._get_param_names())
        if with_own:
            return with_own
    return [name for name in inspect.signature(made).parameters if name != "self"]


def _checked(made: Any, given: Mapping[str, Any], kind: str, key: str) -> dict[str, Any]:
    """The parameters, each one that the class has."""
    known = _known(made)
    others: tuple[str, ...] = OTHER_NAMES.get(kind, ())
    if kind == "lightgbm":
        from lightgbm.basic import _ConfigAliases

        others = tuple(_ConfigAliases._get_all_param_aliases())
        others += tuple(
            alias for names in _ConfigAliases._get_all_param_aliases().values() for alias in names
        )
    if kind == "xgboost":
        known = list(made().get_params())
    for name in given:
        if name not in known and name not in others:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise ConfigError(
                f"{made.__name__} has no parameter {name!r}; {hint}", key=f"{key}.{name}"
            )
    return dict(given)


def _by_class(weights: dict[Any, Any]) -> dict[Any, Any]:
    """Weights by class, where the classes may be named: HOLD, BUY, SELL for 0, 1, 2."""
    names = {action.name: int(action) for action in TradingAction}
    names |= {"WRONG": 0, "RIGHT": 1}
    return {
        names.get(key.upper(), key) if isinstance(key, str) else key: weight
        for key, weight in weights.items()
    }


def _full_name(name: str) -> str:
    """With the library in front where the class name alone says it."""
    if "." not in name:
        for begin, module in OWN_NAMES.items():
            if name.startswith(begin):
                return f"{module}.{name}"
    return name


def _learner_class(given: str) -> Any:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import all_estimators

    name = _full_name(given)
    known = dict([*all_estimators("regressor"), *all_estimators("classifier")])
    found = _named(name, known, "classifier or regressor", KEY)
    learns = (ClassifierMixin, RegressorMixin)
    if not (
        inspect.isclass(found) and issubclass(found, BaseEstimator) and issubclass(found, learns)
    ):
        raise ConfigError(
            f"{given} is not a classifier, nor a regressor; a model must answer BUY, SELL or "
            "HOLD, or a number",
            key=KEY,
        )
    return found


def _transformer(name: str, params: Mapping[str, Any], seed: int, key: str) -> Any:
    from sklearn.utils import all_estimators

    at = f"{key}.estimator"
    found = _named(name, dict(all_estimators("transformer")), "transformer", at)
    if not (inspect.isclass(found) and hasattr(found, "transform")) or not (
        found.__module__.startswith("sklearn.")
    ):
        raise ConfigError(f"{name} is not a transformer of scikit-learn", key=at)
    return _made(found, _checked(found, params, "sklearn", f"{key}.params"), seed, f"{key}.params")


def _named(name: str, known: Mapping[str, Any], what: str, key: str) -> Any:
    """The class of a full path, or of a name among `known`; `ConfigError` if there is none."""
    module_name, _, class_name = name.rpartition(".")
    top = module_name.partition(".")[0]
    if not module_name:
        found = known.get(class_name)
    elif top not in FORMATS:
        raise ConfigError(
            f"{name} is not part of scikit-learn, LightGBM or XGBoost; name a class such as "
            "sklearn.linear_model.LogisticRegression, or fit the model yourself and save it "
            "(docs/models.md lists the formats)",
            key=key,
        )
    else:
        if top != "sklearn":
            library(top, FORMATS[top])
        found = _attribute(module_name, class_name)
    if found is None:
        near = difflib.get_close_matches(class_name, known, n=1)
        hint = f"; did you mean {_public_path(known[near[0]])}?" if near else ""
        owner = {"lightgbm": "LightGBM", "xgboost": "XGBoost"}.get(top, "scikit-learn")
        raise ConfigError(f"{name}: {owner} has no such {what}{hint}", key=key)
    return found


def _attribute(module_name: str, class_name: str) -> Any:
    try:
        return getattr(importlib.import_module(module_name), class_name, None)
    except ImportError:
        return None


def _public_path(made: Any) -> str:
    """`sklearn.linear_model.LogisticRegression` rather than the private module it lives in."""
    public = [part for part in made.__module__.split(".") if not part.startswith("_")]
    return ".".join([*public, made.__name__])
