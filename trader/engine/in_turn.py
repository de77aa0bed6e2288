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
from trader.models.model_rows import with_positions
from trader.models.prediction import Prediction, no_requests


def answers_in_turn(
    rules: Rules, model: Model, bars: np.ndarray, features: np.ndarray, recorded: Prediction
) -> Prediction:
    """What the model says of BAR (n,). Rows of `recorded` whose reason is not 0 are as they are."""
    engine = SliceEngine(rules, RowKeeper(len(bars)))
    actions, reasons = np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16)
    requests = no_requests(len(bars))
    edges = [0, *(np.flatnonzero(np.diff(bars["ts_ns"])) + 1).tolist(), len(bars)]
    for first, last in itertools.pairwise(edges):
        rows = slice(first, last)
        asked = with_positions(features[rows], engine.held_at(bars[rows]))
        said = predict_rows(model, bars[rows], asked, first)
        outside = recorded.reasons[rows] != 0
        actions[rows] = np.where(outside, recorded.actions[rows], said.actions)
        reasons[rows] = np.where(outside, recorded.reasons[rows], said.reasons)
        if len(said.requests):
            requests[rows] = said.requests
        requests[rows][outside] = recorded.requests[rows][outside]
        engine.take(Inputs(bars[rows], actions[rows], reasons[rows], requests[rows]))
        engine.pass_gate()
    return Prediction(actions, reasons, requests)
