"""A pandas function of the user's own, called: bars of one symbol in, columns of numbers out.

Law: the function gets a frame of its own at every call, which it may change as it likes; what it
gives back is put on the rows it was given. What it raises, and what is no column of numbers, is a
`FeatureError` that names feature, symbol and bar.
"""

import contextlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.core.schema import BAR
from trader.errors import ConfigError
from trader.features.feature import INPUT_FIELDS, Params, did_you_mean
from trader.features.python_feature import FeatureError
from trader.hours.bar_sessions import bar_opens
from trader.moments import iso_utc
from trader.user_code.targets import load_target, what_failed

if TYPE_CHECKING:
    import pandas as pd

LONGEST_WINDOW = 100_000  # bars
PROBE_FROM_NS = 1_704_067_200_000_000_000  # 2024-01-01, of bars made up to learn the columns


class FrameFunction:
    """A function of the user's with its arguments, its window and the names of its columns."""

    def __init__(self, params: Params, search_paths: Sequence[Path], period_ns: int) -> None:
        self.name, self._period_ns = params.name, period_ns
        target, key = params.take("target"), params.key("target")
        if not isinstance(target, str) or not all(target.partition(":")):
            raise ConfigError(f"must be module:function; got {target!r}", key=key)
        if "window" not in params:
            raise ConfigError(
                "is required: how many bars the function needs to give its last row",
                key=params.key("window"),
            )
        self.window = params.whole_number("window", 1, (1, LONGEST_WINDOW))
        self._by_open = params.one_of("index", ("open", "close"), "close") == "open"
        stated = params.take("columns")
        self.target = target
        self._function: Any = load_target(target, key, search_paths)
        if not callable(self._function):
            kind = type(self._function).__name__
            raise ConfigError(f"{target} is a {kind}; it must be a function", key=key)
        self._arguments = params.rest()
        self._check_arguments(params)
        self._file = getattr(inspect.getmodule(self._function), "__file__", None)
        self.columns = self._stated(params, stated) if stated is not None else self._found()

    def _check_arguments(self, params: Params) -> None:
        """`ConfigError` if the function cannot be called with the parameters of the config."""
        try:
            signature = inspect.signature(self._function)
        except (TypeError, ValueError):  # built in, says nothing of its arguments
            return
        try:
            signature.bind(None, **self._arguments)
        except TypeError as error:
            known = list(signature.parameters)[1:]
            unknown = next((name for name in self._arguments if name not in known), None)
            key = f"features.{self.name}" if unknown is None else params.key(unknown)
            hint = "" if unknown is None else did_you_mean(unknown, known)
            raise ConfigError(
                f"{self.target}{signature} is called with a DataFrame of bars and these "
                f"parameters: {error}{hint}",
                key=key,
            ) from error

    def _stated(self, params: Params, stated: Any) -> tuple[str, ...]:
        good = isinstance(stated, list | tuple) and stated
        if not good or not all(isinstance(name, str) and name for name in stated):
            raise ConfigError(f"must be a list of names; got {stated!r}", key=params.key("columns"))
        return tuple(stated)

    def _found(self) -> tuple[str, ...]:
        """The columns that the function gives for made-up bars: only their names are used."""
        bars = _made_up(max(self.window, 100), self._period_ns)
        try:
            given = self._given(self.frame(bars), "made-up bars")
        except FeatureError as error:
            raise FeatureError(
                f"{error} (it was called with made-up bars to learn its columns; name them with "
                f"features.{self.name}.columns and it is not)"
            ) from error
        names = tuple(given.columns)
        if not names:
            raise FeatureError(
                f"feature {self.name}: {self.target} gives no column beside those of the bars"
            )
        return names

    def frame(self, bars: np.ndarray) -> "pd.DataFrame":
        """BAR records (n,) of one symbol as the function gets them."""
        import pandas as pd

        stamps = bar_opens(bars, self._period_ns) if self._by_open else bars["ts_ns"]
        index = pd.DatetimeIndex(np.array(stamps, np.int64).view("M8[ns]"), name="timestamp")
        columns = {name: np.ascontiguousarray(bars[name]) for name in INPUT_FIELDS}
        return pd.DataFrame(columns, index=index.tz_localize("UTC"))

    def values(self, bars: np.ndarray, symbol: str) -> np.ndarray:
        """float64 (n, columns) of BAR records (n,) of one symbol; NaN where there is none."""
        place = f"{symbol}, bars closing {iso_utc(int(bars['ts_ns'][0]))} to "
        place += iso_utc(int(bars["ts_ns"][-1]))
        frame = self.frame(bars)
        given = self._given(frame, place)
        found = tuple(given.columns)
        if found != self.columns:
            missing = [name for name in self.columns if name not in found]
            if missing:
                raise self._error(place, f"lacks the column {missing[0]}; it has {_named(found)}")
            more = [name for name in found if name not in self.columns]
            if more:
                raise self._error(place, f"has a column {more[0]} that was not there before")
            given = given[list(self.columns)]
        matrix = np.empty((len(bars), len(self.columns)))
        for number, name in enumerate(self.columns):
            try:
                matrix[:, number] = given[name].to_numpy(dtype=np.float64, na_value=np.nan)
            except (TypeError, ValueError) as error:
                kind = given[name].dtype
                raise self._error(place, f"has no numbers in {name} (of type {kind})") from error
        matrix[~np.isfinite(matrix)] = np.nan
        return matrix

    def _given(self, frame: "pd.DataFrame", place: str) -> "pd.DataFrame":
        """What the function gives for `frame`, on its rows, without the bars' own columns."""
        before = frame.copy()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                given = self._function(frame, **self._arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reason = what_failed(error, self._file)
            raise FeatureError(
                f"feature {self.name} of {place}: {self.target} raised {reason}"
            ) from error
        return self._on_rows(given, before, place)

    def _on_rows(self, given: Any, bars: "pd.DataFrame", place: str) -> "pd.DataFrame":
        import pandas as pd

        if isinstance(given, np.ndarray) and given.shape == (len(bars),):
            given = pd.Series(given, index=bars.index)
        if isinstance(given, pd.Series):
            unnamed = given.name in (None, *INPUT_FIELDS)
            given = given.to_frame(self.name if unnamed else given.name)
        if not isinstance(given, pd.DataFrame):
            kind = type(given).__name__
            raise FeatureError(
                f"feature {self.name}: {self.target} returned a {kind}; it must return a DataFrame "
                "with a row for each bar"
            )
        names = list(given.columns)
        odd = [name for name in names if not isinstance(name, str) or not name]
        if odd or len(set(names)) < len(names):
            said = f"names a column {odd[0]!r}; names are texts" if odd else "names a column twice"
            raise self._error(place, said)
        if not given.index.equals(bars.index):
            if given.index.has_duplicates or not given.index.isin(bars.index).all():
                raise self._error(
                    place, "has rows that are not bars: its index must be that of the bars"
                )
            given = given.reindex(bars.index)
        return given.drop(columns=self._own_columns(given, bars, place))

    def _own_columns(self, given: Any, bars: Any, place: str) -> list[str]:
        """The bars' own columns, handed back as they were: no features."""
        own = [name for name in given.columns if name in INPUT_FIELDS]
        for name in own:
            rows = given[name].notna()
            if not (given[name] == bars[name])[rows].all():
                raise self._error(
                    place, f"changes {name}, a field of the bar; give the column another name"
                )
        return own

    def _error(self, place: str, said: str) -> FeatureError:
        return FeatureError(f"feature {self.name} of {place}: what {self.target} returned {said}")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) or "none"


def _made_up(rows: int, period_ns: int) -> np.ndarray:
    """BAR records of a quiet random walk, the same at every call."""
    chance = np.random.default_rng(7)
    bars = np.zeros(rows, BAR)
    bars["ts_ns"] = PROBE_FROM_NS + period_ns * np.arange(1, rows + 1)
    close = 100.0 * np.exp(np.cumsum(chance.normal(0.0, 0.001, rows)))
    bars["open"] = np.concatenate([[100.0], close[:-1]])
    bars["close"] = close
    bars["high"] = np.maximum(bars["open"], close) * 1.0005
    bars["low"] = np.minimum(bars["open"], close) * 0.9995
    bars["volume"] = chance.integers(1, 1000, rows)
    bars["bid"], bars["ask"] = close * 0.9999, close * 1.0001
    return bars
