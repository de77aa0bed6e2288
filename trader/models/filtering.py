"""`model.filter`: a second model, asked which of the first one's actions are worth taking.

    features ─► model ─► BUY, SELL ─► filter ─► as it was, smaller, or HOLD (FILTERED)

Law: a filter adds no action and turns none round. What only leaves a position is not asked about:
CLOSE, and SELL where shorts are off. Where the filter has no number, the action is HOLD.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.core.schema import Reason, TradingAction
from trader.models.actions import ModelActions
from trader.models.answers import AnswerError
from trader.models.model import CHUNK_ROWS, Model, load_model, open_model
from trader.models.model_rows import shape_of
from trader.models.prediction import Rich, no_requests

if TYPE_CHECKING:
    from trader.config.sections.model import Filter

BUY, SELL, HOLD = (np.int8(TradingAction[name]) for name in ("BUY", "SELL", "HOLD"))


def with_filter(
    model: Model,
    config: Config,
    feature_names: Sequence[str],
    search_paths: Sequence[Path],
    in_child: bool,
) -> Model:
    """`model`, behind the filter of the config where it has one.

    `in_child`: a filter in a file gets a process of its own; else this is such a process.
    """
    section: Filter | None = getattr(config.model, "filter", None)
    if section is None:
        return model
    alone = config.model_copy(update={"model": section.as_model()})
    opened = open_model if in_child else load_model
    return FilteredModel(model, opened(alone, feature_names, config.symbols, search_paths), config)


class FilteredModel:
    """A model and its filter as one. Satisfies `Model`."""

    def __init__(self, primary: Model, second: Model, config: Config) -> None:
        section = config.model.filter
        assert section is not None, "with_filter looks first"
        self.primary, self._second = primary, second
        self.feature_names, self.symbols = primary.feature_names, primary.symbols
        models = (primary, second)
        self.chunk_rows = min(int(getattr(one, "chunk_rows", CHUNK_ROWS)) for one in models)
        self.notices = [text for one in models for text in getattr(one, "notices", [])]
        sizing = config.position_sizing
        self._asked_of = [BUY, SELL] if sizing.allow_short else [BUY]
        self._size = sizing.base_size if section.shrink else None
        self._window = shape_of(config).window

    def check_history(self, bars: np.ndarray) -> None:
        """See `Model`."""
        self.primary.check_history(bars)
        self._second.check_history(bars)

    def predict(self, bars: np.ndarray, features: np.ndarray) -> Rich:
        """See `Model`."""
        said = self._first(bars, features)
        assert said.reasons is not None, "`_first` gives them"
        asked = np.flatnonzero(np.isin(said.actions, self._asked_of))
        if len(asked):
            self._judge(said, asked, bars, features)
        return said

    def _first(self, bars: np.ndarray, features: np.ndarray) -> Rich:
        """What the model itself says, in arrays of our own."""
        answer, rows = self.primary.predict(bars, features), len(features)
        requests, reasons = no_requests(rows), np.zeros(rows, np.int16)
        if isinstance(answer, ModelActions):
            requests["score"] = answer.scores
            return Rich(answer.actions.copy(), requests, answer.reasons.copy())
        if isinstance(answer, Rich):
            reasons = reasons if answer.reasons is None else answer.reasons.copy()
            return Rich(answer.actions.copy(), answer.requests.copy(), reasons)
        return Rich(np.array(answer, np.int8), requests, reasons)

    def _judge(self, said: Rich, asked: np.ndarray, bars: np.ndarray, features: np.ndarray) -> None:
        """Make HOLD, or smaller, what the filter does not want, among the rows `asked`."""
        width = len(self._second.feature_names)
        first = (self._window - 1) * len(self.feature_names)  # the newest bar of a window
        own = np.ascontiguousarray(features[asked, first : first + width])
        about = bars[asked] if len(bars) else bars
        try:
            found = self._second.predict(about, own)
        except AnswerError as error:
            row = None if error.row is None else int(asked[error.row])
            raise AnswerError(f"model.filter: {error.complaint}", row) from error
        assert isinstance(found, ModelActions), "`decide` gives numbers"
        dropped = found.actions != BUY
        invalid = found.reasons == Reason.MODEL_INVALID
        reasons = np.where(invalid, np.int16(Reason.MODEL_INVALID), np.int16(Reason.FILTERED))
        said.actions[asked[dropped]] = HOLD
        assert said.reasons is not None, "`_first` gives them"
        said.reasons[asked[dropped]] = reasons[dropped]
        if self._size is not None:
            kept = asked[~dropped]
            wanted = said.requests["size"][kept]
            wanted = np.where(np.isnan(wanted), self._size, wanted)
            said.requests["size"][kept] = wanted * np.clip(found.scores[~dropped], 0.0, 1.0)
