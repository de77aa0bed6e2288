"""How a config's words become one call of a TA-Lib function: inputs, parameters, output.

Law: names, defaults and kinds come from TA-Lib's own description of the function; whether a value
is in range TA-Lib is asked, once, before any bar. Everything it refuses is a `ConfigError`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
import talib
from talib import MA_Type, abstract

from trader.errors import ConfigError
from trader.features.feature import INPUT_FIELDS, Params
from trader.features.friendly_names import FRIENDLY, FriendlyName

AVERAGES = {name: int(code) for name, code in vars(type(MA_Type)).items() if name.isupper()}
GREATEST = 3e37  # TA-Lib's own; beyond it lie its words for "not given"
PROBES = (-GREATEST, -1e6, -100.0, -1.0, 0.0, 0.01, 0.1, 0.99, 1.0, 100.0, 1e6, GREATEST)


@dataclass(frozen=True)
class FunctionInfo:
    """What TA-Lib says of one function."""

    name: str
    title: str
    inputs: tuple[str, ...]  # bar fields by default, in the order of the arguments
    params: Mapping[str, int | float]  # with defaults; the type of the default is the parameter's
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class TalibCall:
    """One call: function, the bar fields it reads, its parameters in TA-Lib's names."""

    function: str
    inputs: tuple[str, ...]
    arguments: tuple[tuple[str, int | float], ...]

    @property
    def lookback(self) -> int:
        """Bars before the first that has a value."""
        return int(abstract.Function(self.function, **dict(self.arguments)).lookback)


@lru_cache(maxsize=1024)
def function_info(name: str) -> FunctionInfo:
    """What TA-Lib says of `name`, one of its functions."""
    info = abstract.Function(name).info
    inputs: list[str] = []
    for fields in info["input_names"].values():
        inputs += [fields] if isinstance(fields, str) else fields
    return FunctionInfo(
        name,
        info["display_name"],
        tuple(inputs),
        dict(info["parameters"]),
        tuple(info["output_names"]),
    )


def talib_functions() -> tuple[str, ...]:
    """Names of every TA-Lib function."""
    return tuple(talib.get_functions())


def read_call(params: Params) -> tuple[TalibCall, int]:
    """The call of one config entry and which of its outputs is wanted, counted from 0."""
    given = FRIENDLY.get(params.kind)
    info = function_info(params.kind if given is None else given.function)
    names = given or FriendlyName(info.name, {name: (name,) for name in info.params})
    arguments = dict(info.params)
    chosen: dict[str, str] = {}  # TA-Lib's parameter → ours, of those that were set
    for ours, theirs in names.params.items():
        value = params.take(ours)
        if value is not None:
            arguments |= dict.fromkeys(theirs, _number(params, ours, value, info.params[theirs[0]]))
            chosen |= dict.fromkeys(theirs, ours)
    call = TalibCall(info.name, _inputs(params, info), tuple(arguments.items()))
    output = _output(params, info, names.outputs)
    params.end()
    _try_out(params, info, arguments, chosen)
    return call, output


def _inputs(params: Params, info: FunctionInfo) -> tuple[str, ...]:
    """Bar fields the function reads: its own, or those under `input` or `inputs`."""
    if len(info.inputs) == 1:
        if "inputs" in params:
            raise ConfigError(
                f"{params.kind} reads one column; write input: {info.inputs[0]}",
                key=params.key("inputs"),
            )
        return (params.one_of("input", INPUT_FIELDS, info.inputs[0]),)
    roles = ", ".join(info.inputs)
    several = params.take("inputs")
    if several is None:
        if not set(info.inputs) <= set(INPUT_FIELDS):
            raise ConfigError(
                f"{params.kind} reads {roles}, which bars do not all have; name "
                f"{len(info.inputs)} columns: inputs: [close, volume]",
                key=params.key("inputs"),
            )
        return info.inputs
    if not isinstance(several, list | tuple) or len(several) != len(info.inputs):
        raise ConfigError(
            f"{params.kind} reads {len(info.inputs)} columns ({roles}); name as many in a list",
            key=params.key("inputs"),
        )
    return tuple(params.checked("inputs", column, INPUT_FIELDS) for column in several)


def _output(params: Params, info: FunctionInfo, ours: Mapping[str, str]) -> int:
    """Index of the output named, the first where none is."""
    names = dict(ours) or {name: name for name in info.outputs}
    first = next(iter(names))
    return info.outputs.index(names[params.one_of("output", tuple(names), first)])


def _number(params: Params, param: str, value: Any, default: int | float) -> int | float:
    """`value` as the kind of number its default is; moving averages may be named."""
    key = params.key(param)
    if param.endswith("matype") and isinstance(value, str):
        return AVERAGES[params.checked(param, value.upper(), tuple(AVERAGES))]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"must be a number; got {value!r}", key=key)
    if isinstance(default, int):
        if not isinstance(value, int):
            raise ConfigError(f"must be a whole number; got {value!r}", key=key)
        if abs(value) >= 2**31:
            raise ConfigError(f"must be a whole number below 2**31; got {value!r}", key=key)
        return value
    if not abs(value) <= GREATEST:
        raise ConfigError(f"must be a number within ±{GREATEST:g}; got {value!r}", key=key)
    return float(value)


def _accepts(info: FunctionInfo, arguments: Mapping[str, int | float]) -> bool:
    """Whether TA-Lib runs with these arguments. It judges them before it looks at the data."""
    try:
        getattr(talib, info.name)(*(np.ones(1) for _ in info.inputs), **arguments)
    except Exception as error:  # TA-Lib raises nothing more special
        if "TA_BAD_PARAM" in str(error):
            return False
        raise
    return True


def _try_out(
    params: Params,
    info: FunctionInfo,
    arguments: Mapping[str, int | float],
    chosen: Mapping[str, str],
) -> None:
    """`ConfigError` for the first value TA-Lib refuses, with the range it accepts."""
    if _accepts(info, arguments):
        return
    for theirs, ours in chosen.items():
        if not _accepts(info, {theirs: arguments[theirs]}):
            _refuse(params, info, (theirs, ours), arguments[theirs])
    told = ", ".join(f"{ours} {arguments[theirs]}" for theirs, ours in chosen.items())
    raise ConfigError(
        f"TA-Lib's {info.name} does not take these together: {told}", key=f"features.{params.name}"
    )


def _refuse(
    params: Params, info: FunctionInfo, names: tuple[str, str], value: int | float
) -> NoReturn:
    """`ConfigError` for the parameter with these names, TA-Lib's and ours."""
    theirs, ours = names
    if isinstance(info.params[theirs], int):
        # the least is small; the greatest is TA-Lib's for all periods, or near (kinds of average)
        tried: Iterable[int | float] = (*range(101), 100_000)
    else:
        tried = PROBES
    good = [value for value in tried if _accepts(info, {theirs: value})]
    raise ConfigError(
        f"must be from {min(good):g} to {max(good):g} for TA-Lib's {info.name}; got {value!r}",
        key=params.key(ours),
    )
