"""What a feature is, and how a config's words for one are read.

Law: a stream sees one bar at a time and nothing later; `batch` over a history and a stream fed the
same bars give the same values to the last bit. Symbols never mix. NaN means not ready: too few
bars so far, or undefined for this bar; no value is ever infinite. A parameter that a type does
not have, or a value it cannot take, is a `ConfigError` with its key.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from trader.errors import ConfigError
from trader.features.bar_history import BarHistory

INPUT_FIELDS = ("open", "high", "low", "close", "volume", "bid", "ask")


class FeatureGroup(Protocol):
    """Some columns of the matrix that are computed the same way. Holds no state of its own."""

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """Fill this group's columns of float64 `matrix` (n, features) from the history's start."""
        ...

    def stream(self) -> "GroupStream":
        """Fresh streams for every symbol."""
        ...


class GroupStream(Protocol):
    """A group's state for every symbol, carried on bar by bar."""

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill this group's places of float64 `row` (features,) at the close of a BAR record.

        `fields` are the same record's values as plain numbers, in the order of `BAR.names`.
        """
        ...

    def warm_up(self, history: BarHistory) -> None:
        """Take a history in without giving values: faster than `update`, to the same state."""
        ...


class Params:
    """A feature's parameters, taken one by one; what is left over at the end is an error."""

    def __init__(self, name: str, spec: Any) -> None:
        values = dict(spec) if isinstance(spec, Mapping) else {"type": spec.type, **spec.params}
        self.name = name
        self.kind = values.pop("type", None)
        self._values = values
        self._known: list[str] = []
        if not isinstance(self.kind, str):
            raise ConfigError("needs a type, such as sma", key=f"features.{name}")

    def key(self, param: str) -> str:
        """Dotted config key of a parameter."""
        return f"features.{self.name}.{param}"

    def __contains__(self, param: str) -> bool:
        return param in self._values

    def look(self, param: str) -> Any:
        """The value of `param`, which stays to be taken."""
        return self._values.get(param)

    def take(self, param: str) -> Any:
        """The value of `param`, None where it is not set."""
        self._known.append(param)
        return self._values.pop(param, None)

    def rest(self) -> dict[str, Any]:
        """Every parameter not taken yet."""
        rest, self._values = self._values, {}
        return rest

    def whole_number(self, param: str, default: int, bounds: tuple[int, int]) -> int:
        """An int within `bounds`, both included."""
        value = self.take(param)
        if value is None:
            return default
        lowest, highest = bounds
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ConfigError(
                f"must be a whole number from {lowest} to {highest}; got {value!r}",
                key=self.key(param),
            )
        return value

    def one_of(self, param: str, allowed: Sequence[str], default: str) -> str:
        """One of the words `allowed`."""
        value = self.take(param)
        return default if value is None else self.checked(param, value, allowed)

    def checked(self, param: str, value: Any, allowed: Sequence[str]) -> str:
        """`value`, which must be one of the words `allowed`."""
        if isinstance(value, str) and value in allowed:
            return value
        raise ConfigError(
            f"must be {_listed(allowed)}; got {value!r}{did_you_mean(value, allowed)}",
            key=self.key(param),
        )

    def end(self) -> None:
        """`ConfigError` for the first parameter that nobody took."""
        for param in self._values:
            takes = _listed(self._known, "and") if self._known else "no parameters"
            raise ConfigError(
                f"unknown parameter of {self.kind}{did_you_mean(param, self._known)} "
                f"({self.kind} takes {takes})",
                key=self.key(param),
            )


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """`; did you mean timeperiod?`, or nothing where no known word is near."""
    text, words = str(value), list(known)
    near = difflib.get_close_matches(text, words, n=1, cutoff=0.6)
    if not near:
        lower = {word.lower(): word for word in words}
        near = [lower[word] for word in difflib.get_close_matches(text.lower(), lower, 1, 0.5)]
    return f"; did you mean {near[0]}?" if near else ""


def _listed(words: Sequence[str], last: str = "or") -> str:
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail
