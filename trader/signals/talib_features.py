"""Every TA-Lib function, by its own name or a friendly one.

Law: the batch is TA-Lib's array function; the stream is TA-Lib's own handle, which carries the
same recursion forward one bar at a time. What TA-Lib cannot compute for a bar (too few bars, a
logarithm of a negative number) is NaN in both. Functions that need an input bars do not have are
not offered.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import talib
from talib import abstract, stream

from trader.errors import ConfigError
from trader.signals.feature import FIELDS, Params

FRIENDLY: dict[str, tuple[str, Mapping[str, str]]] = {
    # our name: TA-Lib's function, and our parameter names for its own
    "sma": ("SMA", {"period": "timeperiod"}),
    "ema": ("EMA", {"period": "timeperiod"}),
    "wma": ("WMA", {"period": "timeperiod"}),
    "rsi": ("RSI", {"period": "timeperiod"}),
    "atr": ("ATR", {"period": "timeperiod"}),
    "natr": ("NATR", {"period": "timeperiod"}),
    "adx": ("ADX", {"period": "timeperiod"}),
    "cci": ("CCI", {"period": "timeperiod"}),
    "mfi": ("MFI", {"period": "timeperiod"}),
    "roc": ("ROC", {"period": "timeperiod"}),
    "momentum": ("MOM", {"period": "timeperiod"}),
    "std": ("STDDEV", {"period": "timeperiod", "deviations": "nbdev"}),
    "highest": ("MAX", {"period": "timeperiod"}),
    "lowest": ("MIN", {"period": "timeperiod"}),
    "obv": ("OBV", {}),
    "macd": (
        "MACD",
        {"fast": "fastperiod", "slow": "slowperiod", "signal": "signalperiod"},
    ),
    "bollinger": (
        "BBANDS",
        {"period": "timeperiod", "up": "nbdevup", "down": "nbdevdn"},
    ),
    "stochastic": (
        "STOCH",
        {"fast_k": "fastk_period", "slow_k": "slowk_period", "slow_d": "slowd_period"},
    ),
}
OUTPUTS = {
    "bollinger": {"upper": "upperband", "middle": "middleband", "lower": "lowerband"},
    "macd": {"macd": "macd", "signal": "macdsignal", "histogram": "macdhist"},
    "stochastic": {"k": "slowk", "d": "slowd"},
}


@dataclass(frozen=True)
class FunctionInfo:
    """What TA-Lib says of one function."""

    name: str
    inputs: tuple[str, ...]  # bar fields, in the order of the arguments
    params: Mapping[str, int | float]  # with defaults
    outputs: tuple[str, ...]


@lru_cache(maxsize=256)
def function_info(name: str) -> FunctionInfo:
    """Inputs, parameters and outputs of TA-Lib's `name`."""
    info = abstract.Function(name).info
    inputs: list[str] = []
    for value in info["input_names"].values():
        inputs += value if isinstance(value, list | tuple) else [value]
    return FunctionInfo(name, tuple(inputs), dict(info["parameters"]), tuple(info["output_names"]))


@lru_cache(maxsize=1)
def offered_functions() -> tuple[str, ...]:
    """Names of every TA-Lib function whose inputs bars have, and that has a stream."""
    return tuple(
        sorted(
            name
            for name in talib.get_functions()
            if set(function_info(name).inputs) <= set(FIELDS) and hasattr(stream, name)
        )
    )


class TalibFeature:
    """One TA-Lib function as configured."""

    def __init__(self, params: Params) -> None:
        friendly = FRIENDLY.get(params.kind)
        self._function = friendly[0] if friendly else params.kind
        info = function_info(self._function)
        self._inputs = _inputs(params, info)
        self._output = _output(params, info)
        self._arguments = _arguments(params, info, friendly[1] if friendly else {})
        self._batch = getattr(talib, self._function)
        self._handle = getattr(stream, self._function)
        self._try_out(params)

    def _try_out(self, params: Params) -> None:
        """TA-Lib judges values by running: do it once, on a few bars, before the run."""
        sample = [np.linspace(1.0, 2.0, 8) for _ in self._inputs]
        try:
            self._batch(*sample, **self._arguments)
        except Exception as error:  # TA-Lib raises bare Exception
            raise ConfigError(
                f"{self._function} refuses {self._arguments}: {error}",
                key=f"features.{params.name}",
            ) from error

    def values(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64 (n,) from contiguous float64 columns."""
        result = self._batch(*(columns[name] for name in self._inputs), **self._arguments)
        chosen = result[self._output] if isinstance(result, tuple | list) else result
        return _finite(np.asarray(chosen, np.float64))

    def batch(self, bars: np.ndarray) -> np.ndarray:
        """float64 (n,) for BAR records (n,) of one symbol."""
        return self.values({name: np.ascontiguousarray(bars[name]) for name in self._inputs})

    def stream(self) -> "TalibStream":
        """A fresh stream."""
        return TalibStream(self)

    def open_handle(self, history: list[np.ndarray]) -> Any:
        """TA-Lib's handle at the last bar of `history`, None while that is too short."""
        try:
            return self._handle(*history, **self._arguments)
        except talib.InsufficientHistory:
            return None

    def chosen(self, value: Any) -> float:
        """The configured output of a handle's answer, NaN where it is not finite."""
        number = float(value[self._output] if isinstance(value, tuple) else value)
        return number if -np.inf < number < np.inf else np.nan

    @property
    def inputs(self) -> tuple[str, ...]:
        """Bar fields in the order of the function's arguments."""
        return self._inputs


class TalibStream:
    """History until TA-Lib's handle opens, the handle from then on."""

    def __init__(self, feature: TalibFeature) -> None:
        self._feature = feature
        self._history: list[list[float]] = [[] for _ in feature.inputs]
        self._handle: Any = None

    def update(self, bar: np.void) -> float:
        """Value at the close of `bar`."""
        inputs = [float(bar[name]) for name in self._feature.inputs]
        if self._handle is not None:
            return self._feature.chosen(self._handle.update(*inputs))
        for column, value in zip(self._history, inputs, strict=True):
            column.append(value)
        arrays = [np.array(column) for column in self._history]
        self._handle = self._feature.open_handle(arrays)
        if self._handle is not None:
            self._history = []
            return self._feature.chosen(self._handle.value)
        columns = dict(zip(self._feature.inputs, arrays, strict=True))
        return float(self._feature.values(columns)[-1])


def _finite(values: np.ndarray) -> np.ndarray:
    """The values with infinities as NaN; the same array where there are none."""
    if np.isinf(values.sum()):
        return np.where(np.isinf(values), np.nan, values)
    return values


def _inputs(params: Params, info: FunctionInfo) -> tuple[str, ...]:
    """Bar fields the function reads: its own, or those under `input` / `inputs`."""
    single, several = params.take("input"), params.take("inputs")
    if single is None and several is None:
        return info.inputs
    key = params.key("input" if several is None else "inputs")
    text = single if several is None else several
    chosen = tuple(str(text).replace(",", " ").split())
    for name in chosen:
        if name not in FIELDS:
            raise ConfigError(f"{name!r} is no bar field; use {', '.join(FIELDS)}", key=key)
    if len(chosen) != len(info.inputs):
        raise ConfigError(
            f"{info.name} reads {len(info.inputs)} inputs ({', '.join(info.inputs)}); "
            f"{len(chosen)} are named",
            key=key,
        )
    return chosen


def _output(params: Params, info: FunctionInfo) -> int:
    """Index of the output; the first where none is named."""
    name = params.take("output")
    if name is None:
        return 0
    ours = OUTPUTS.get(params.kind, {})
    wanted = ours.get(str(name), str(name))
    if wanted not in info.outputs:
        names = [*ours, *(output for output in info.outputs if output not in ours.values())]
        raise ConfigError(
            f"{name!r} is no output of {params.kind}; it has {', '.join(names)}",
            key=params.key("output"),
        )
    return info.outputs.index(wanted)


def _arguments(
    params: Params, info: FunctionInfo, friendly: Mapping[str, str]
) -> dict[str, int | float]:
    """TA-Lib's parameters with the config's values over its defaults."""
    arguments: dict[str, int | float] = dict(info.params)
    for ours, theirs in [*friendly.items(), *((name, name) for name in info.params)]:
        value = params.take(ours)
        if value is None:
            continue
        default = info.params[theirs]
        wants_whole = isinstance(default, int)
        if isinstance(value, bool) or not isinstance(value, int if wants_whole else int | float):
            kind = "a whole number" if wants_whole else "a number"
            raise ConfigError(f"{value!r} is not {kind}", key=params.key(ours))
        arguments[theirs] = value if wants_whole else float(value)
    known = [*friendly, *(name for name in info.params if name not in friendly.values())]
    params.all_taken([*known, "input", "output"])
    return arguments


def nearest_function(name: str) -> list[str]:
    """Offered names that look like `name`."""
    return difflib.get_close_matches(name.upper(), offered_functions(), 3)
