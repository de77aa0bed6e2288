"""A fitted object given from Python in place of a model file: `trader.backtest(config, model=clf)`.

Law: the object is copied, never changed. A classifier of scikit-learn's kind is asked exactly as
one out of a skops file is, and is pinned by the hash that its skops file would have; anything else
that can be called, or has a `predict`, is asked as `type: python` is. What has no serialisation of
its own has no hash, and the run is told as not reproducible.
"""

import copy
import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trader.config.schema import Config
from trader.config.sections.model import ObjectModel
from trader.errors import ModelError
from trader.models.answer_rules import answer_rules
from trader.models.file_model import PredictorModel
from trader.models.python_model import PythonModel
from trader.models.sklearn_predictor import SklearnPredictor
from trader.models.skops_file import dump_skops
from trader.user_code.targets import what_failed

CHUNK_ROWS = 65_536
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectFacts:
    """What the config and the manifest say of an object."""

    made_of: str
    sha256: str | None


def object_facts(given: object) -> ObjectFacts:
    """The class and the hash of an object; tells where it has none."""
    kind = given if isinstance(given, type) or hasattr(given, "__qualname__") else type(given)
    named = f"{kind.__module__}.{getattr(kind, '__qualname__', type(kind).__name__)}"
    data = _serialised(given)
    if data is None:
        _log.warning(
            "the model is a %s, which has no serialisation of its own: its hash is not known and "
            "the run cannot be reproduced from its record",
            named,
        )
        return ObjectFacts(named, None)
    return ObjectFacts(named, hashlib.sha256(data).hexdigest())


def _serialised(given: Any) -> bytes | None:
    """The bytes that the object's own library writes for it; None where it has no such way."""
    own: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("booster_", lambda model: model.booster_.model_to_string()),  # LightGBM's classifiers
        ("model_to_string", lambda model: model.model_to_string()),
        ("get_booster", lambda model: model.get_booster().save_raw("ubj")),  # XGBoost's
        ("save_raw", lambda model: model.save_raw("ubj")),
        ("SerializeToString", lambda model: model.SerializeToString()),  # ONNX
    )
    if isinstance(given, type):
        return None
    for name, dumped in own:
        with suppress(Exception):  # not fitted, or a name that means something else there
            if hasattr(given, name):
                data = dumped(given)
                return data.encode() if isinstance(data, str) else bytes(data)
    if type(given).__module__.partition(".")[0] == "sklearn":
        with suppress(Exception):  # a part that skops does not know
            return dump_skops(given)
    return None


def load_object(
    given: Any, config: Config, feature_names: Sequence[str], symbols: Sequence[str]
) -> PredictorModel | PythonModel:
    """The object as a model; `ModelError` if it cannot be asked."""
    if not isinstance(given, type) and hasattr(given, "classes_") and hasattr(given, "predict"):
        return FittedClassifier(given, config, feature_names, symbols)
    return GivenCallable(given, feature_names, symbols, config.model)


class FittedClassifier(PredictorModel):
    """A fitted classifier out of memory."""

    def __init__(
        self, given: Any, config: Config, feature_names: Sequence[str], symbols: Sequence[str]
    ) -> None:
        assert isinstance(config.model, ObjectModel), "the config says what was given"
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        self.path = type(given).__name__
        self.chunk_rows = CHUNK_ROWS
        self.notices = []
        try:
            own = copy.deepcopy(given)
        except Exception as error:
            raise ModelError(f"model: cannot be copied: {what_failed(error)}") from error
        predictor = SklearnPredictor(own, config.model, self.path)
        self._take(predictor, config.model, {}, config)
        for notice in self.notices:
            _log.warning("%s", notice)


class GivenCallable(PythonModel):
    """A callable, or an object with `predict`, out of memory."""

    def __init__(
        self, given: Any, feature_names: Sequence[str], symbols: Sequence[str], section: object
    ) -> None:
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        self.target = f"model {getattr(given, '__qualname__', type(given).__name__)}"
        answer = given if callable(given) else getattr(given, "predict", None)
        if isinstance(given, type) or not callable(answer):
            what = "a class; give an object of it" if isinstance(given, type) else "no model"
            raise ModelError(
                f"{self.target} is {what}: it must be callable, or have predict(features)"
            )
        self._home = getattr(getattr(answer, "__code__", None), "co_filename", None)
        self._answer = answer
        self._rules = answer_rules(self.target, section)
