"""What a feature is: a whole history at once, or one bar after the other, with equal bits.

Law: a stream sees one bar at a time and nothing later; `batch` of a history and a stream fed the
same bars give the same values to the last bit. Both speak of one symbol only. NaN means not
ready: too few bars so far, or undefined for this bar; such bars are held with reason WARMUP.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from trader.errors import ConfigError

FIELDS = ("open", "high", "low", "close", "volume")


class Stream(Protocol):
    """One feature of one symbol, bar by bar."""

    def update(self, bar: np.void) -> float:
        """Value at the close of `bar`, a BAR record."""
        ...


class SymbolFeature(Protocol):
    """One feature as configured; holds no state of its own."""

    def batch(self, bars: np.ndarray) -> np.ndarray:
        """float64 (n,) for BAR records (n,) of one symbol, in order of time."""
        ...

    def stream(self) -> Stream:
        """A fresh stream."""
        ...


class Params:
    """A feature's parameters, taken one by one; what is left over is an error."""

    def __init__(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        self.name, self.kind = name, kind
        self._left = dict(values)

    def key(self, param: str) -> str:
        """Dotted config key of a parameter."""
        return f"features.{self.name}.{param}"

    def take(self, param: str, default: Any = None) -> Any:
        """The value of `param`, or `default`."""
        return self._left.pop(param, default)

    def whole_number(self, param: str, default: int | None, lowest: int) -> int:
        """An int of at least `lowest`; `ConfigError` otherwise, or if missing without default."""
        value = self.take(param, default)
        if value is None:
            raise ConfigError(f"{self.kind} needs {param}", key=f"features.{self.name}")
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ConfigError(
                f"{value!r} is not a whole number of at least {lowest}", key=self.key(param)
            )
        return value

    def rest(self) -> dict[str, Any]:
        """Every parameter not taken yet."""
        rest, self._left = self._left, {}
        return rest

    def all_taken(self, known: list[str]) -> None:
        """`ConfigError` for the first parameter that `kind` does not have."""
        for param in self._left:
            raise ConfigError(
                f"{self.kind} has no parameter {param!r}; it has "
                f"{', '.join(known) if known else 'none'}",
                key=self.key(param),
            )
