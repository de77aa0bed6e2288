"""A model that is told its position, asked slice by slice about recorded bars, with its own book.

Law: each slice is answered with what is held at its close, then taken; what a run recorded as
overruled from outside is taken as recorded.
"""

import itertools

import numpy as np

from trader.core.book import Inputs, Rules
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine
from trader.finer_bars import Detail
from trader.models.model import Model, predict_rows
from trader.models.model_rows import HistoryRows
from trader.models.prediction import Prediction, no_requests


def answers_in_turn(rules: Rules, model: Model, inputs: Inputs, rows: HistoryRows) -> Prediction:
    """What the model says of the bars, whose rows those are. Of `inputs`, what is recorded of
    them, rows whose reason is not 0 are as they are."""
    bars, recorded = inputs.bars, Prediction(inputs.actions, inputs.reasons, inputs.requests)
    detail = Detail(inputs.finer, inputs.edges)
    engine = SliceEngine(rules, RowKeeper(len(bars)))
    actions, reasons = np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16)
    requests = no_requests(len(bars))
    edges = [0, *(np.flatnonzero(np.diff(bars["ts_ns"])) + 1).tolist(), len(bars)]
    for first, last in itertools.pairwise(edges):
        part, finer = slice(first, last), detail.rows(first, last)
        asked = rows.rows(part, engine.held_at(bars[part], finer))
        said = predict_rows(model, bars[part], asked, first)
        actions[part], reasons[part] = said.actions, said.reasons
        if len(said.requests):
            requests[part] = said.requests
        outside = first + np.flatnonzero(recorded.reasons[part])
        if len(outside):
            actions[outside] = recorded.actions[outside]
            reasons[outside] = recorded.reasons[outside]
            requests[outside] = recorded.requests[outside]
        engine.take(Inputs(bars[part], actions[part], reasons[part], requests[part], *finer))
        engine.pass_gate()
    return Prediction(actions, reasons, requests)
