"""A model that is told its position, asked about recorded bars slice by slice, on an own book.

Law: each slice is answered with what is held at its close, then taken; what a run recorded as
overruled from outside is taken as recorded.
"""

import itertools

import numpy as np

from trader.core.book import Inputs, Rules
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine
from trader.finer_bars import Detail
from trader.models.model import Model, Prediction, no_requests, predict_rows
from trader.models.model_rows import with_positions


def answers_in_turn(rules: Rules, model: Model, inputs: Inputs, features: np.ndarray) -> Prediction:
    """What the model says of the bars. Of `inputs`, what is recorded of them, rows whose reason
    is not 0 are as they are."""
    bars, recorded = inputs.bars, Prediction(inputs.actions, inputs.reasons, inputs.requests)
    detail = Detail(inputs.finer, inputs.edges)
    engine = SliceEngine(rules, RowKeeper(len(bars)))
    actions, reasons = np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16)
    requests = no_requests(len(bars))
    edges = [0, *(np.flatnonzero(np.diff(bars["ts_ns"])) + 1).tolist(), len(bars)]
    for first, last in itertools.pairwise(edges):
        rows, finer = slice(first, last), detail.rows(first, last)
        asked = with_positions(features[rows], engine.held_at(bars[rows], finer))
        said = predict_rows(model, bars[rows], asked, first)
        outside = recorded.reasons[rows] != 0
        actions[rows] = np.where(outside, recorded.actions[rows], said.actions)
        reasons[rows] = np.where(outside, recorded.reasons[rows], said.reasons)
        if len(said.requests):
            requests[rows] = said.requests
        requests[rows][outside] = recorded.requests[rows][outside]
        engine.take(Inputs(bars[rows], actions[rows], reasons[rows], requests[rows], *finer))
        engine.pass_gate()
    return Prediction(actions, reasons, requests)
