"""A model that is told its position, asked about recorded bars slice by slice, on an own book.

Law: each slice is answered with what is held at its close, then taken; what a run recorded as
overruled from outside is taken as recorded.
"""

import itertools

import numpy as np

from trader.core.book import Inputs, Rules
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine
from trader.models.model import Model, predict_rows
from trader.models.model_rows import HistoryRows
from trader.models.prediction import Prediction, no_requests


def answers_in_turn(
    rules: Rules,
    model: Model,
    bars: np.ndarray,
    rows: HistoryRows,
    recorded: Prediction | None = None,
) -> Prediction:
    """What the model says of BAR (n,), whose rows those are. What is `recorded` with a reason
    other than 0 is taken as it is."""
    engine = SliceEngine(rules, RowKeeper(len(bars)))
    actions, reasons = np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16)
    requests = no_requests(len(bars))
    edges = [0, *(np.flatnonzero(np.diff(bars["ts_ns"])) + 1).tolist(), len(bars)]
    for first, last in itertools.pairwise(edges):
        part = slice(first, last)
        asked = rows.rows(part, engine.held_at(bars[part]))
        said = predict_rows(model, bars[part], asked, first)
        actions[part], reasons[part] = said.actions, said.reasons
        if len(said.requests):
            requests[part] = said.requests
        if recorded is not None:
            outside = first + np.flatnonzero(recorded.reasons[part])
            actions[outside], reasons[outside] = (
                recorded.actions[outside],
                recorded.reasons[outside],
            )
            requests[outside] = recorded.requests[outside]
        engine.take(Inputs(bars[part], actions[part], reasons[part], requests[part]))
        engine.pass_gate()
    return Prediction(actions, reasons, requests)
