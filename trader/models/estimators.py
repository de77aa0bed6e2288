"""Makes the unfitted scikit-learn classifier that `train.estimator` names.

Law: only classifiers of scikit-learn itself can be named, by full path or by class name; every
parameter must be one of theirs. Chance comes from the config's seed.
"""

import difflib
import importlib
import inspect
from typing import Any

from trader.config.schema import Config
from trader.config.sections.train import Train
from trader.core.schema import TradingAction
from trader.errors import ConfigError


def make_estimator(config: Config, train: Train) -> Any:
    """The classifier with its parameters, behind a StandardScaler if `train.scale`.

    Raises `ConfigError` with the key at fault: unknown class, not a classifier, wrong parameter.
    """
    made = _classifier_class(train.estimator)
    known = [name for name in inspect.signature(made).parameters if name != "self"]
    for name in train.params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise ConfigError(
                f"{made.__name__} has no parameter {name!r}; {hint}", key=f"train.params.{name}"
            )
    params = dict(train.params)
    if isinstance(params.get("class_weight"), dict):
        params["class_weight"] = _by_class(params["class_weight"])
    if "random_state" in known:
        params.setdefault("random_state", config.seed)
    try:
        estimator = made(**params)
    except TypeError as error:
        raise ConfigError(
            f"{made.__name__} cannot be made from a config: {error}", key="train.params"
        ) from error
    if not train.scale:
        return estimator
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator)


def _by_class(weights: dict[Any, Any]) -> dict[Any, Any]:
    """Weights by class, where the classes may be named: HOLD, BUY, SELL for 0, 1, 2."""
    names = {action.name: int(action) for action in TradingAction}
    return {
        names.get(key.upper(), key) if isinstance(key, str) else key: weight
        for key, weight in weights.items()
    }


def _classifier_class(name: str) -> Any:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import all_estimators

    known = dict(all_estimators(type_filter="classifier"))
    key = "train.estimator"
    module_name, _, class_name = name.rpartition(".")
    if not module_name:
        found = known.get(class_name)
    elif module_name.partition(".")[0] != "sklearn":
        raise ConfigError(
            f"{name} is not part of scikit-learn; name a class such as "
            "sklearn.linear_model.LogisticRegression, or fit the model yourself and save it with "
            "skops",
            key=key,
        )
    else:
        found = _attribute(module_name, class_name)
    if found is None:
        near = difflib.get_close_matches(class_name, known, n=1)
        hint = f"; did you mean {_public_path(known[near[0]])}?" if near else ""
        raise ConfigError(f"{name}: scikit-learn has no such classifier{hint}", key=key)
    if not (
        inspect.isclass(found)
        and issubclass(found, BaseEstimator)
        and issubclass(found, ClassifierMixin)
    ):
        raise ConfigError(
            f"{name} is not a classifier; a model must answer BUY, SELL or HOLD", key=key
        )
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
