"""The table of model types: what `model.type` may be, and what makes a model of it.

    built in      rule, python, signals, and one for each file format
    installed     entry points of the group `trader.models`: each names (section, factory)

Law: the one place that knows every type. A type from a package never replaces one that is built in.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trader.config.registry import Registry
from trader.config.schema import Config
from trader.config.sections import model as sections
from trader.errors import ConfigError

Factory = Callable[[Config, Sequence[str], Sequence[str], Sequence[Path]], Any]


class ModelType(NamedTuple):
    """How one type of model is written in a config, and made.

    `factory(config, feature_names, symbols, search_paths)` returns a `Model`.
    """

    section: type[Any]  # a `Section` whose `type` is the name
    factory: Factory
    is_file: bool = False  # loaded by other people's parsers: only in a process of its own
    needs: tuple[str, ...] = ()  # modules that take long to import


def _rule(config: Config, names: Sequence[str], symbols: Sequence[str], _: Sequence[Path]) -> Any:
    from trader.models.rule_model import RuleModel

    assert isinstance(config.model, sections.RuleModel)
    return RuleModel(config.model, names, symbols)


def _python(
    config: Config, names: Sequence[str], symbols: Sequence[str], paths: Sequence[Path]
) -> Any:
    from trader.models.python_model import PythonModel

    assert isinstance(config.model, sections.PythonModel)
    return PythonModel(config.model, names, symbols, paths)


def _signals(
    config: Config, names: Sequence[str], symbols: Sequence[str], _: Sequence[Path]
) -> Any:
    from trader.models.signals_file import SignalsModel

    return SignalsModel(config, names, symbols)


def _object(config: Config, names: Sequence[str], symbols: Sequence[str], _: Sequence[Path]) -> Any:
    raise ConfigError(
        "object means a fitted model given from Python: trader.backtest(config, model=clf); a "
        "command needs a model file",
        key="model.type",
    )


def _file(config: Config, names: Sequence[str], symbols: Sequence[str], _: Sequence[Path]) -> Any:
    from trader.models.file_model import FileModel

    return FileModel(config, names, symbols)


SKLEARN_NEEDS = ("sklearn.pipeline", "skops.io", "pandas")
BUILT_IN: dict[str, ModelType] = {
    "rule": ModelType(sections.RuleModel, _rule),
    "python": ModelType(sections.PythonModel, _python),
    "signals": ModelType(sections.SignalsModel, _signals),
    "object": ModelType(sections.ObjectModel, _object),
    "sklearn": ModelType(sections.SklearnModel, _file, True, SKLEARN_NEEDS),
    "onnx": ModelType(sections.OnnxModel, _file, True, ("onnxruntime",)),
    "lightgbm": ModelType(sections.LightgbmModel, _file, True, ("lightgbm",)),
    "xgboost": ModelType(sections.XgboostModel, _file, True, ("xgboost",)),
    "catboost": ModelType(sections.CatboostModel, _file, True, ("catboost",)),
}


MODEL_NAMES = ("feature_names", "symbols", "predict", "check_history")  # what a `Model` has
MODELS = Registry(sections.ENTRY_POINTS, ModelType, BUILT_IN, "model.type", MODEL_NAMES)
