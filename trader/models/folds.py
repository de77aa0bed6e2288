"""Walk-forward folds: which rows are learned from and which are tested.

    times    ──────────────learned from──────────────┤ embargo ├──tested──┤
    labels   known by here ──────────────────────────┘

Law: a row is learned from only where its label is known `embargo_bars` before the first bar that is
tested; nothing tested is earlier. The splits are scikit-learn's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError
from trader.models.training import MIN_TRAIN_ROWS, TrainingRows


@dataclass(frozen=True)
class FoldRows:
    """One fold: places among the rows, and the first and last close that is tested."""

    number: int  # from 1
    learned: np.ndarray  # i8: places in `TrainingRows.rows`
    tested: np.ndarray
    first_ns: int
    last_ns: int


def folds_of(config: Config, known: TrainingRows) -> Iterator[FoldRows]:
    """The folds that `train.split` asks for. Raises `ConfigError` where there are too few rows."""
    from sklearn.model_selection import TimeSeriesSplit

    assert config.train is not None
    split = config.train.split
    assert split is not None
    asked, ready = known.asked_ns, known.known_ns
    times = np.unique(asked)
    splitter = (
        TimeSeriesSplit(split.folds, max_train_size=split.window_bars, gap=split.embargo_bars)
        if split.folds > 1
        else None
    )
    try:
        parts = list(splitter.split(times)) if splitter else [_halves(len(times), split)]
    except ValueError as error:
        raise ConfigError(
            f"cannot be made of {len(times)} times of training rows: {error}; use fewer folds, a "
            "shorter embargo, or more bars",
            key="train.split",
        ) from error
    for number, (before, after) in enumerate(parts, 1):
        first_ns, last_ns = int(times[after[0]]), int(times[after[-1]])
        begin_ns, end_ns = times[before[0]], times[before[-1]]
        learned = np.flatnonzero((asked >= begin_ns) & (ready <= end_ns))
        tested = np.flatnonzero((asked >= first_ns) & (asked <= last_ns))
        classes = known.labels.classes[known.rows[learned]]
        if len(learned) < MIN_TRAIN_ROWS or len(np.unique(classes)) < 2:
            raise ConfigError(
                f"fold {number} of {split.folds} learns from {len(learned)} rows of "
                f"{len(np.unique(classes))} classes; at least {MIN_TRAIN_ROWS} rows of two classes "
                "are needed: use fewer folds, a shorter embargo, or more bars",
                key="train.split",
            )
        yield FoldRows(number, learned, tested, first_ns, last_ns)


def _halves(count: int, split: Any) -> tuple[np.ndarray, np.ndarray]:
    """One fold: the first half and the second, which scikit-learn leaves to its caller."""
    begin = count // 2
    first = (
        0 if split.window_bars is None else max(0, begin - split.embargo_bars - split.window_bars)
    )
    before, after = np.arange(first, begin - split.embargo_bars), np.arange(begin, count)
    if len(before) == 0 or len(after) == 0:
        raise ValueError(f"one fold of {count}")
    return before, after
