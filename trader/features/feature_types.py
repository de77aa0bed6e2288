"""Every feature type that a config can name, with its parameters, inputs and outputs.

Law: generated from the tables the features are made from, so it cannot fall behind them.
docs/feature-types.md is this list, and a test compares them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trader.features import kernel_features
from trader.features.friendly_names import FRIENDLY
from trader.features.talib_call import function_info, talib_functions

PYTHON, FRAME = "python", "frame"
OWN, FRIENDLY_NAME, TALIB, USER = "own", "friendly", "talib", "user"


@dataclass(frozen=True)
class FeatureType:
    """One type. `params` are names with defaults; of `outputs`, the first is the default."""

    name: str
    group: str  # OWN, FRIENDLY_NAME, TALIB or USER
    meaning: str
    params: Mapping[str, int | float | str]
    inputs: tuple[str, ...]  # bar fields read unless `input` or `inputs` names others
    outputs: tuple[str, ...]


def feature_types() -> list[FeatureType]:
    """All types: our own, friendly names, the user's own, TA-Lib's."""
    user = FeatureType(PYTHON, USER, "a class of your own: target: module:Class", {}, (), ())
    frame = FeatureType(
        FRAME, USER, "a pandas function of your own: target: module:function", {}, (), ()
    )
    return [*_own(), *_friendly(), user, frame, *_talib()]


def _own() -> Iterator[FeatureType]:
    for name, kind in kernel_features.TYPES.items():
        params = {} if kind.window is None else {kind.window: kind.default}
        inputs = () if kind.field is None else (kind.field,)
        yield FeatureType(name, OWN, kind.meaning, params, inputs, ())


def _friendly() -> Iterator[FeatureType]:
    for name, friendly in FRIENDLY.items():
        info = function_info(friendly.function)
        params = {ours: info.params[theirs[0]] for ours, theirs in friendly.params.items()}
        outputs = tuple(friendly.outputs)
        yield FeatureType(name, FRIENDLY_NAME, info.name, params, info.inputs, outputs)


def _talib() -> Iterator[FeatureType]:
    for name in talib_functions():
        info = function_info(name)
        outputs = info.outputs if len(info.outputs) > 1 else ()
        yield FeatureType(name, TALIB, info.title, info.params, info.inputs, outputs)
