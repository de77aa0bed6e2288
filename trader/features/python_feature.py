"""A user's own features: `{type: python, target: module:Class, …}`, and those of packages.

Law: one instance a symbol, fed one bar after the other, in a backtest as in paper, so it can see
no later bar. It gets the bar as a value that it cannot change. What it raises, and what it returns
that is no number, is a `FeatureError` that names feature, symbol and bar.
"""

import contextlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trader.errors import ConfigError, ModelError
from trader.features.bar_history import BarHistory
from trader.features.feature import Params, did_you_mean
from trader.features.registry import FeatureEntry, read_section
from trader.moments import iso_utc
from trader.user_code.targets import load_target, what_failed

CHUNK_ROWS = 16_384  # bars turned into Python values at a time


class FeatureError(ModelError):
    """A user's feature failed, or returned what is no number."""


class FutureUseError(FeatureError):
    """A column has another value once later bars are there."""

    def __init__(self, text: str, seen: "TwoValues") -> None:
        super().__init__(text)
        self.seen = seen


class TwoValues(NamedTuple):
    """A value of a bar, over a history and as the newest there was."""

    column: str
    symbol: str
    time: str  # the bar's close
    over_history: float
    as_newest: float


class FeatureBar(NamedTuple):
    """A closed bar as a user's feature gets it: `bar.close` or `bar["close"]`."""

    ts_ns: int  # CLOSE of the bar, UTC nanoseconds since 1970
    open: float
    high: float
    low: float
    close: float
    volume: float
    bid: float  # NaN where the source has none
    ask: float
    symbol: str

    def __getitem__(self, name: Any) -> Any:
        """The field of that name."""
        if isinstance(name, str):
            if name in self._fields:
                return getattr(self, name)
            raise KeyError(f"a bar has no {name!r}{did_you_mean(name, self._fields)}")
        return tuple.__getitem__(self, name)

    def keys(self) -> tuple[str, ...]:
        """Names of the fields, so that `dict(bar)` works."""
        return self._fields


class PythonFeature:
    """What makes instances that see a bar after the other, and the column they fill."""

    def __init__(self, name: str, column: int, shown: str, make: Callable[[], Any]) -> None:
        self.name, self.column = name, column
        self.shown = shown  # what messages call it
        self._make = make
        of_partial = getattr(make, "func", make)
        self._file = getattr(inspect.getmodule(of_partial), "__file__", None)

    def instance(self) -> Any:
        """A fresh instance; `FeatureError` if making one fails. What it prints goes to stderr."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                return self._make()
        except (ConfigError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise FeatureError(
                f"feature {self.name}: {self.shown} cannot be made: "
                f"{what_failed(error, self._file)}"
            ) from error

    def value(self, instance: Any, bar: FeatureBar) -> float:
        """The instance's value at the close of `bar`; None and infinities are NaN."""
        try:
            answer = instance.update(bar)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reason = what_failed(error, self._file)
            raise FeatureError(f"{self._place(bar)}: {self.shown} raised {reason}") from error
        if answer is None:
            return math.nan
        if not isinstance(answer, Real | np.bool_):
            shown = type(answer).__name__
            raise FeatureError(
                f"{self._place(bar)}: {self.shown}.update returned a value of type {shown}; it "
                "must return a number, or None while there is none"
            )
        try:
            number = float(answer)
        except OverflowError:
            return math.nan
        return number if math.isfinite(number) else math.nan

    def _place(self, bar: FeatureBar) -> str:
        return f"feature {self.name} of {bar.symbol}, bar closing {iso_utc(bar.ts_ns)}"


def own_feature(params: Params, column: int, search_paths: Sequence[Path]) -> PythonFeature:
    """The feature of a class of the user's, `{type: python, target: module:Class}`."""
    target, key = params.take("target"), params.key("target")
    if not isinstance(target, str) or not all(target.partition(":")):
        raise ConfigError(f"must be module:Class; got {target!r}", key=key)
    made_of: Any = load_target(target, key, search_paths)
    arguments = params.rest()
    if not callable(made_of):
        kind = type(made_of).__name__
        raise ConfigError(f"{target} is a {kind}; it must be a class", key=key)
    _check_arguments(made_of, arguments, params, target)
    return _with_update(
        PythonFeature(params.name, column, target, partial(made_of, **arguments)), key
    )


def packaged_feature(params: Params, column: int, entry: FeatureEntry) -> PythonFeature:
    """The feature of a type that an installed package adds."""
    section = read_section(params, entry)
    made = PythonFeature(params.name, column, params.kind, partial(entry.factory, section))
    try:
        made.instance()
    except ConfigError as error:
        error.key = error.key or params.key("type")
        raise
    return made


def _with_update(feature: PythonFeature, key: str) -> PythonFeature:
    if not callable(getattr(feature.instance(), "update", None)):
        raise ConfigError(f"{feature.shown} has no method update(bar)", key=key)
    return feature


def _check_arguments(
    made_of: Any, arguments: Mapping[str, Any], params: Params, target: str
) -> None:
    """`ConfigError` if the class cannot be called with the parameters of the config."""
    try:
        signature = inspect.signature(made_of)
    except (TypeError, ValueError):  # built in, says nothing of its arguments
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        known = list(signature.parameters)
        unknown = next((name for name in arguments if name not in known), None)
        key = f"features.{params.name}" if unknown is None else params.key(unknown)
        hint = "" if unknown is None else did_you_mean(unknown, known)
        raise ConfigError(
            f"{target}{signature} does not take these parameters: {error}{hint}", key=key
        ) from error


class PythonFeatures:
    """All python features of a config. Satisfies `trader.features.feature.FeatureGroup`."""

    def __init__(self, features: Sequence[PythonFeature], symbols: Sequence[str]) -> None:
        self._features = tuple(features)
        self._symbols = tuple(symbols)

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """The stream over the whole history, bar after bar. What is printed goes to stderr."""
        stream = self.stream()
        with contextlib.redirect_stdout(sys.stderr):
            for index, fields in enumerate(_plain_bars(history.bars)):
                stream.take(fields, matrix[index])

    def stream(self) -> "PythonStream":
        """Fresh instances for every symbol."""
        return PythonStream(self._features, self._symbols)


class PythonStream:
    """Instances of the user's classes, one of each a symbol."""

    def __init__(self, features: Sequence[PythonFeature], symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self._lanes = [[(one, one.instance()) for one in features] for _ in symbols]
        self._width = 1 + max(feature.column for feature in features)

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill the features' places of `row` at the close of the bar with these `fields`."""
        self.take(fields, row)

    def take(self, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """The same from the fields alone."""
        symbol = fields[8]
        bar = FeatureBar._make((*fields[:8], self._symbols[symbol]))
        for feature, instance in self._lanes[symbol]:
            row[feature.column] = feature.value(instance, bar)

    def warm_up(self, history: BarHistory) -> None:
        """Take the history in. What is printed goes to stderr."""
        row = np.empty(self._width)
        with contextlib.redirect_stdout(sys.stderr):
            for fields in _plain_bars(history.bars):
                self.take(fields, row)


def _plain_bars(bars: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """BAR records as tuples of plain numbers."""
    for start in range(0, len(bars), CHUNK_ROWS):
        yield from bars[start : start + CHUNK_ROWS].tolist()
