"""What a model is, and how a whole history is put to it.

Law: a model is asked only about rows whose features are all defined; the others are HOLD with
reason WARMUP. It is asked in chunks of bounded size, in order, and its answer is checked before
anyone acts on it. One file per format implements `Model`; the registry knows them all.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError, ModelError
from trader.models.actions import ModelActions
from trader.models.model_rows import (
    MOST_VALUES,
    PLAIN,
    HistoryRows,
    RowShape,
    shape_of,
    shape_of_model,
)
from trader.models.prediction import Answers, Prediction, Rich
from trader.models.registry import MODELS
from trader.user_code.seeds import seed_generators

if TYPE_CHECKING:
    from trader.models.child_model import StartedProcess

CHUNK_ROWS = 65_536


class Model(Protocol):
    """Something that answers HOLD, BUY, SELL or CLOSE for each bar."""

    feature_names: tuple[str, ...]  # the columns of `features`, in order
    symbols: tuple[str, ...]  # names behind the bars' `symbol`

    def predict(self, bars: np.ndarray, features: np.ndarray) -> "np.ndarray | Rich | ModelActions":
        """int8 actions (n,) for BAR records (n,) and their float64 features (n, k).

        `Rich` where scores, prices or sizes come beside them, `Decided` where scores and reasons.

        Raises `ModelError` if the model fails or answers nonsense (`AnswerError` with the row).
        """
        ...

    def check_history(self, bars: np.ndarray) -> None:
        """Look at a backtest's whole history before it is asked about: `ModelError` if unfit."""
        ...


def load_model(
    config: Config,
    feature_names: Sequence[str],
    symbols: Sequence[str],
    search_paths: Sequence[Path] = (),
) -> Model:
    """The model that `config.model` names, in this process.

    `search_paths` are put on the import path for `type: python`: the config's folder and the
    working directory. Raises `ConfigError` for a wrong config, `ModelError` for a bad file.
    """
    seed_generators(config.seed)
    found, shape = MODELS.entry(config.model.type), shape_of(config)
    names = (*feature_names, *shape.extra)
    model: Model = found.factory(config, names, symbols, search_paths)
    return finished(model, config, feature_names, search_paths, in_child=False)


def finished(
    model: Model,
    config: Config,
    feature_names: Sequence[str],
    search_paths: Sequence[Path],
    in_child: bool = True,
) -> Model:
    """The model with its filter, which says of itself what its rows are made of.

    `in_child`: a filter in a file gets a process of its own.
    """
    model = with_shape(model, shape_of(config))
    if getattr(config.model, "filter", None) is not None:
        from trader.models.filtering import with_filter

        model = with_filter(model, config, feature_names, search_paths, in_child)
    return with_shape(model, shape_of(config))


def with_shape(model: Model, shape: RowShape) -> Model:
    """The model, which says of itself what its rows are made of."""
    if shape != PLAIN:
        model.row_shape = shape  # type: ignore[attr-defined]
    return model


def start_early(config: Config) -> "StartedProcess | None":
    """The process of a model in a file, importing what it needs while the run reads its data.

    None for a model that runs in this process. Hand it to `open_model`.
    """
    found = MODELS.entry(config.model.type)
    if not found.is_file:
        return None
    from trader.models.child_model import StartedProcess

    return StartedProcess(found.needs)


def open_model(
    config: Config,
    feature_names: Sequence[str],
    symbols: Sequence[str],
    search_paths: Sequence[Path] = (),
    started: "StartedProcess | None" = None,
) -> Model:
    """`load_model` for a history: a model in a file is loaded and asked in a process of its own.

    Raises what `load_model` raises.
    """
    started = started or start_early(config)
    filters = getattr(config.model, "filter", None) is not None
    alone = config
    if filters:  # the filter is beside the model, not in its process
        alone = config.model_copy(
            update={"model": config.model.model_copy(update={"filter": None})}
        )
    if started is None:
        model = load_model(alone, feature_names, symbols, search_paths)
    else:
        from trader.models.child_model import ChildModel

        model = ChildModel(alone, feature_names, symbols, search_paths, started)
    return finished(model, config, feature_names, search_paths)


def predict_actions(
    model: Model,
    bars: np.ndarray,
    features: np.ndarray | HistoryRows,
    chunk_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Prediction:
    """What the model says of a whole history, of which `features` are those of each bar, or the
    rows to ask it.

    `progress` is called with the number of rows done after each chunk. What the model prints
    goes to stderr: stdout carries results. `ModelError` names the first row at fault, counted
    from 0 in `bars`.
    """
    rows, shape = len(bars), shape_of_model(model)
    if shape.needs_position:
        raise ConfigError(
            "such a model is asked bar by bar, as `trader backtest` and `trader paper` do; here "
            "nobody knows what is held",
            key="model.needs_position",
        )
    if chunk_rows is None:  # a model in a file has its own, from the config
        chunk_rows = int(getattr(model, "chunk_rows", CHUNK_ROWS))
    asked = HistoryRows(shape, bars, features) if isinstance(features, np.ndarray) else features
    if shape.window > 1:
        chunk_rows = max(min(chunk_rows, MOST_VALUES // asked.width), 1)
    answers = Answers(model, bars)
    with contextlib.redirect_stdout(sys.stderr):
        model.check_history(bars)
        stop = 0
        while stop < rows:
            start, stop = stop, chunk_end(bars, stop + chunk_rows, shape)
            chunk = slice(start, stop)
            answers.ask(chunk, asked.rows(chunk))
            if progress is not None:
                progress(chunk.stop)
        answers.finish()
    return answers.prediction


def chunk_end(bars: np.ndarray, stop: int, shape: RowShape) -> int:
    """`stop`, or the end of the slice that it lies in where a slice is asked about as a whole."""
    if stop >= len(bars) or not shape.by_slice:
        return min(stop, len(bars))
    return int(np.searchsorted(bars["ts_ns"], bars["ts_ns"][stop - 1], side="right"))


def predict_rows(
    model: Model, bars: np.ndarray, features: np.ndarray, first_row: int = 0
) -> Prediction:
    """What the model says of a few rows at once: a chunk of a history, or one slice.

    `first_row` is the number of `bars[0]` in the history, for messages.
    """
    rows, width = len(bars), len(model.feature_names) * shape_of_model(model).window
    if features.shape != (rows, width):
        raise ModelError(
            f"the model takes {width} features of {rows} bars; it was given {features.shape}"
        )
    answers = Answers(model, bars, first_row)
    answers.ask(slice(0, rows), features)
    answers.finish()
    return answers.prediction
