"""Which combinations are tried, in which order: the grid, a random part of it, or optuna's TPE.

Law: a sampler says its trials in batches and is told their results in the order of their numbers,
so that the same seed tries the same combinations whatever the workers and however often a sweep
was broken off.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from trader.errors import UsageError, needs_extra
from trader.jobs.sweep.space import MOST_VALUES, Assignment, Space

BATCH = 8  # trials that TPE says before it is told: the same for any number of workers


class Sampler(Protocol):
    """Says what to try."""

    total: int

    def batches(self) -> Iterator[list[tuple[int, Assignment]]]:
        """Numbered combinations, batch after batch; `tell` comes between two of them."""
        ...

    def tell(self, scores: Sequence[float | None]) -> None:
        """Scores of the last batch, higher is better; None where a trial has none."""
        ...


class GridSampler:
    """The grid, or a part of it drawn without putting back."""

    def __init__(self, space: Space, order: np.ndarray | None = None) -> None:
        self._space, self._order = space, order
        self.total = space.size if order is None else len(order)
        if self.total > MOST_VALUES:
            raise UsageError(
                f"the grid has {self.total:,} combinations (at most {MOST_VALUES:,}); use "
                "--sampler random --trials N"
            )

    def batches(self) -> Iterator[list[tuple[int, Assignment]]]:
        yield [
            (number, self._space.assignment(self._space.places(self._drawn(number))))
            for number in range(self.total)
        ]

    def tell(self, scores: Sequence[float | None]) -> None:
        """A list does not change."""

    def _drawn(self, number: int) -> int:
        return number if self._order is None else int(self._order[number])


class TpeSampler:
    """optuna's tree-structured Parzen estimator, asked and told in fixed batches."""

    def __init__(self, space: Space, trials: int, seed: int) -> None:
        try:
            import optuna
        except ImportError as error:
            raise UsageError(f"tpe {needs_extra('optuna')}") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self.total = space, trials
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions: dict[str, Any] = {}
        for parameter in space.parameters:
            last = len(parameter.values) - 1
            if parameter.is_ordered:
                kind: Any = optuna.distributions.IntDistribution(0, last)
            else:
                kind = optuna.distributions.CategoricalDistribution(list(range(last + 1)))
            self._distributions[parameter.key] = kind
        self._failed = optuna.trial.TrialState.FAIL
        self._asked: list[Any] = []

    def batches(self) -> Iterator[list[tuple[int, Assignment]]]:
        for first in range(0, self.total, BATCH):
            count = min(BATCH, self.total - first)
            self._asked = [self._study.ask(self._distributions) for _ in range(count)]
            yield [
                (first + place, self._space.assignment([trial.params[key] for key in self._keys]))
                for place, trial in enumerate(self._asked)
            ]

    def tell(self, scores: Sequence[float | None]) -> None:
        for trial, score in zip(self._asked, scores, strict=True):
            if score is None or not math.isfinite(score):
                self._study.tell(trial, state=self._failed)
            else:
                self._study.tell(trial, score)

    @property
    def _keys(self) -> list[str]:
        return [parameter.key for parameter in self._space.parameters]


def sampler_of(kind: str, space: Space, trials: int | None, seed: int) -> Sampler:
    """The sampler by its name; `UsageError` where the number of trials does not fit it."""
    if kind == "grid":
        if trials is not None and trials != space.size:
            raise UsageError(
                f"the grid has {space.size:,} combinations and all are tried; for {trials:,} of "
                "them use --sampler random"
            )
        return GridSampler(space)
    if trials is None:
        raise UsageError(f"the sampler {kind} needs to know how many: --trials N")
    if kind == "tpe":
        return TpeSampler(space, trials, seed)
    rng = np.random.default_rng(seed)
    count = min(trials, space.size)
    if space.size <= MOST_VALUES:
        return GridSampler(space, rng.permutation(space.size)[:count])
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        places = [int(rng.integers(len(one.values))) for one in space.parameters]
        number = 0
        for place, parameter in zip(places, space.parameters, strict=True):
            number = number * len(parameter.values) + place
        drawn[number] = None
    return GridSampler(space, np.array(list(drawn), object))
