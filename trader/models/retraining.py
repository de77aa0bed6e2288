"""`train.retrain`: a history traded by models that each learned from what came before alone.

    bars   ──────window──────┤ traded by model 1 ┤ traded by model 2 ┤ …
                    ──────window─────────────────┘
    model k is made at the close that its stretch begins with; none of its labels looks past that

Law: a bar is decided by the newest model made at or before its open. Bars before the first model
are HOLD. Where a window holds too little to learn from, the model before goes on, and that is told.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.core.schema import NS_PER_SECOND, Reason
from trader.errors import ConfigError
from trader.hours.bar_sessions import bar_opens
from trader.models.actions import ModelActions
from trader.models.estimators import format_of, is_regressor
from trader.models.fitting import fit
from trader.models.labels import bars_inside
from trader.models.model_cache import cached
from trader.models.model_in_memory import ModelInMemory
from trader.models.training import MIN_TRAIN_ROWS, TrainingRows, labelled_rows
from trader.moments import iso_utc

MOST_MODELS = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretch:
    """One model of a walk-forward: what it learned from, and from when on it decides."""

    learned_from_ns: int
    made_ns: int
    rows: int
    sha256: str
    model: ModelInMemory

    def document(self) -> dict[str, Any]:
        """As the manifest has it."""
        return {
            "learned_from": iso_utc(self.learned_from_ns),
            "made_at": iso_utc(self.made_ns),
            "rows": self.rows,
            "sha256": self.sha256,
        }


class WalkForward:
    """The models of a walk-forward as one model. Satisfies `models.model.Model`."""

    def __init__(
        self,
        config: Config,
        feature_names: Sequence[str],
        stretches: Sequence[Stretch],
        notices: Sequence[str],
    ) -> None:
        self.feature_names = tuple(feature_names)
        self.symbols = config.symbols
        self.stretches = tuple(stretches)
        self.notices = tuple(notices)
        self._made = np.array([one.made_ns for one in stretches], np.int64)
        self._period_ns = config.period_ns

    def check_history(self, bars: np.ndarray) -> None:
        """`ConfigError` where there is no model at all; tells what was left out."""
        for notice in self.notices:
            _log.warning("train.retrain: %s", notice)
        if not self.stretches:
            raise ConfigError(
                f"makes no model in this history of {len(bars)} bars; use a shorter window, or "
                "more bars",
                key="train.retrain",
            )

    def predict(self, bars: np.ndarray, features: np.ndarray) -> ModelActions:
        """What the newest model made by the open of each bar says; HOLD before the first."""
        rows = len(bars)
        said = ModelActions(
            np.zeros(rows, np.int8),
            np.full(rows, Reason.WARMUP, np.int16),
            np.full(rows, np.nan),
        )
        number = np.searchsorted(self._made, bar_opens(bars, self._period_ns), "right") - 1
        for place in np.unique(number[number >= 0]).tolist():
            mine = np.flatnonzero(number == place)
            part = self.stretches[place].model.predict(bars[mine], features[mine])
            said.actions[mine], said.reasons[mine] = part.actions, part.reasons
            said.scores[mine] = part.scores
        return said

    def document(self) -> list[dict[str, Any]]:
        """Every model, as the manifest has them."""
        return [one.document() for one in self.stretches]


def walk_forward(
    config: Config,
    bars: np.ndarray,
    matrix: np.ndarray,
    feature_names: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> WalkForward:
    """Fit every model of a history: BAR records (n,) as features see them, and features (n, k).

    A history too short for one gives none: `check_history` tells. Raises `ConfigError` and
    `ModelError` as `train_model` does.
    """
    _check(config)
    train = config.train
    assert train is not None
    inside = bars_inside(bars, config.period_ns, config.train_span_ns)
    known = labelled_rows(config, bars, matrix, feature_names, inside)
    opens_ns = bar_opens(bars, config.period_ns)
    times = _times(config, opens_ns, bars)
    stretches: list[Stretch] = []
    notices: list[str] = []
    for done, (begin_ns, made_ns) in enumerate(times):
        if progress is not None:
            progress(done, len(times))
        picked = _learnable(known, opens_ns[known.rows], begin_ns, made_ns)
        classes = np.unique(known.labels.classes[known.rows[picked]])
        if len(picked) < MIN_TRAIN_ROWS or (len(classes) < 2 and not is_regressor(train)):
            notices.append(
                f"at {iso_utc(made_ns)} there are {len(picked)} rows of {len(classes)} classes to "
                f"learn from, and at least {MIN_TRAIN_ROWS} of two are needed: "
                + ("the model before goes on" if stretches else "no model is made")
            )
            continue
        lesson = known.lesson(picked, config)
        file = cached(config, lesson, partial(fit, config, lesson))
        model = ModelInMemory(config, feature_names, file.kind, file.data, file.codes)
        stretches.append(Stretch(begin_ns, made_ns, len(picked), file.sha256, model))
    return WalkForward(config, feature_names, stretches, notices)


def _check(config: Config) -> None:
    train = config.train
    assert train is not None
    if train.label.type == "meta":
        raise ConfigError(
            "makes models that decide alone, and a meta label judges a rule: leave one out",
            key="train.retrain",
        )
    if getattr(config.model, "filter", None) is not None:
        raise ConfigError(
            "is one file for the whole history, and train.retrain makes models of what came "
            "before alone: leave one out",
            key="model.filter",
        )
    kind = format_of(train)
    if config.model.type != kind:
        raise ConfigError(
            f"is {config.model.type}, and train.retrain trades {train.estimator}: write {kind}, or "
            "leave train.retrain out",
            key="model.type",
        )


def _times(config: Config, opens_ns: np.ndarray, bars: np.ndarray) -> list[tuple[int, int]]:
    """(learn from, made at) of every model, in order."""
    assert config.train is not None
    retrain = config.train.retrain
    assert retrain is not None
    if len(bars) == 0:
        return []
    every = round(retrain.every * NS_PER_SECOND)
    window = None if retrain.window is None else round(retrain.window * NS_PER_SECOND)
    first, last = int(opens_ns[0]), int(bars["ts_ns"][-1])
    begin = first + (every if window is None else window)
    count = max(0, -(-(last - begin) // every))
    if count > MOST_MODELS:
        raise ConfigError(
            f"asks for {count:,} models in this history; at most {MOST_MODELS:,} are made",
            key="train.retrain.every",
        )
    made = [begin + number * every for number in range(count)]
    return [(first if window is None else at - window, at) for at in made]


def _learnable(
    known: TrainingRows, opens_ns: np.ndarray, begin_ns: int, made_ns: int
) -> np.ndarray:
    """Places of the rows whose bar opens in the window and whose label is known by its end."""
    return np.flatnonzero((opens_ns >= begin_ns) & (known.known_ns <= made_ns))
