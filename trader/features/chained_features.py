"""A feature of another feature: `{type: sma, period: 5, input: hourly_rsi}`.

    bars ─► feature ─► in the place of a bar's close ─► feature

Law: it sees only the values that its input has: a bar for which the input is undefined is left
out, and undefined here too. Which feature comes first is found from the names; a circle is an
error.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.errors import ConfigError
from trader.features.bar_history import BarHistory
from trader.features.feature import INPUT_FIELDS, Params, did_you_mean

if TYPE_CHECKING:
    from trader.features.feature_set import FeatureSet, FeatureStream

SEEN_AS = "close"


def named_input(params: Params) -> str | None:
    """The feature that `input` names; None where a feature reads bars."""
    name = params.look("input")
    return name if isinstance(name, str) and name not in INPUT_FIELDS else None


def in_order(inputs: Mapping[str, str], columns: Iterable[str]) -> list[str]:
    """Features that read another one, each after its input.

    `inputs` are the names of what they read, `columns` all features. `ConfigError` for a name
    that nothing has and for features that read each other.
    """
    known = list(columns)
    order: list[str] = []
    for name, source in inputs.items():
        if source not in known:
            raise ConfigError(
                f"{source!r} is no field of a bar ({', '.join(INPUT_FIELDS)}) and no feature"
                f"{did_you_mean(source, [*INPUT_FIELDS, *known])}",
                key=f"features.{name}.input",
            )
    for name in inputs:
        chain = [name]
        while chain[-1] in inputs and chain[-1] not in order:
            chain.append(inputs[chain[-1]])
            if chain[-1] in chain[:-1]:
                circle = " → ".join(chain[chain.index(chain[-1]) :])
                raise ConfigError(
                    f"features read each other in a circle: {circle}", key=f"features.{name}.input"
                )
        order += [one for one in reversed(chain) if one in inputs and one not in order]
    return order


class ChainedFeature:
    """One feature of another. Satisfies `features.feature.FeatureGroup`."""

    def __init__(self, inner: "FeatureSet", source: int, column: int) -> None:
        """`inner` has the one feature; `source` and `column` are places in the matrix."""
        self.inner, self.source, self.column = inner, source, column

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """Fill the column of `matrix` (n, features), whose input is there already."""
        values = matrix[:, self.source]
        rows = np.flatnonzero(~np.isnan(values))
        bars = history.bars[rows]
        bars[SEEN_AS] = values[rows]
        matrix[:, self.column] = np.nan
        matrix[rows, self.column] = self.inner.batch(bars)[:, 0]

    def stream(self) -> "ChainedStream":
        """Fresh streams for every symbol."""
        return ChainedStream(self)


class ChainedStream:
    """The state of one feature of another, for every symbol."""

    def __init__(self, feature: ChainedFeature) -> None:
        self._source, self._column = feature.source, feature.column
        self._stream: FeatureStream = feature.inner.stream()

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill the feature's place of `row`, whose input is there already."""
        value = row[self._source]
        if np.isnan(value):
            row[self._column] = np.nan
            return
        seen = bar.copy()
        seen[SEEN_AS] = value
        row[self._column] = self._stream.update(seen)[0]

    def warm_up(self, history: BarHistory) -> None:
        """Not without the values of its input: `FeatureStream.warm_up` goes bar by bar."""
        raise AssertionError("a feature of another is warmed bar by bar")
