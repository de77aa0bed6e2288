"""How a whole history is put to a model: warm-up, chunks, errors, progress."""

import numpy as np
import pytest

from tests.model_kit import make_bars, make_features, make_model
from trader.core.schema import Reason, TradingAction
from trader.errors import ModelError
from trader.models.actions import ModelActions
from trader.models.model import predict_actions, predict_rows

NAN = np.nan


class RecordingModel:
    """Answers BUY for everything and keeps what it was asked."""

    feature_names = ("a", "b")
    symbols = ("ACME", "BETA")

    def __init__(self, answer=None):
        self.asked = []
        self.histories = []
        self.answer = answer

    def check_history(self, bars):
        self.histories.append(len(bars))

    def predict(self, bars, features):
        self.asked.append((bars.copy(), features.copy()))
        return np.ones(len(bars), np.int8) if self.answer is None else self.answer(bars, features)


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    "cold",
    [
        [],
        [0, 1, 2],
        [9],
        [0, 4, 5, 9],
        list(range(10)),
        list(range(0, 10, 2)),
    ],
)
def test_rows_with_undefined_features_are_warmup_and_never_shown(cold, chunk_rows):
    bars, features = make_bars(10), make_features(10)
    features[cold, np.arange(len(cold)) % 2] = NAN
    model = RecordingModel()
    actions, reasons, _ = predict_actions(model, bars, features, chunk_rows)
    warm = [row for row in range(10) if row not in cold]
    assert (actions.dtype, reasons.dtype) == (np.int8, np.int16)
    assert np.flatnonzero(actions == TradingAction.BUY).tolist() == warm
    assert np.flatnonzero(reasons == Reason.WARMUP).tolist() == cold
    assert (reasons[warm] == Reason.NONE).all()
    seen = [ts_ns for asked, _ in model.asked for ts_ns in asked["ts_ns"].tolist()]
    assert seen == bars["ts_ns"][warm].tolist()
    assert np.array_equal(
        np.concatenate([f for _, f in model.asked] or [features[:0]]), features[warm]
    )
    assert all(len(asked) <= chunk_rows for asked, _ in model.asked)
    assert model.histories == [10]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 100])
def test_rows_without_a_score_ask_for_nothing_beside_their_action(chunk_rows):
    bars, features = make_bars(10), make_features(10)
    features[[0, 7], 0] = NAN  # cold before there is a score, and after
    scores = np.where(features[:, 0] > 0, features[:, 0], NAN)

    def scored(asked, rows):
        at = np.searchsorted(bars["ts_ns"], asked["ts_ns"])
        return ModelActions(np.ones(len(at), np.int8), np.zeros(len(at), np.int16), scores[at])

    said = predict_actions(RecordingModel(scored), bars, features, chunk_rows)
    assert np.isfinite(scores).sum() > 2
    assert np.array_equal(said.requests["score"], scores, equal_nan=True)
    for name in said.requests.dtype.names:
        assert name == "score" or np.isnan(said.requests[name]).all()


def test_infinite_features_are_defined_and_shown():
    features = make_features(3)
    features[1] = [np.inf, -np.inf]
    actions, reasons, _ = predict_actions(RecordingModel(), make_bars(3), features)
    assert actions.tolist() == [1, 1, 1]
    assert reasons.tolist() == [0, 0, 0]


def test_no_features_means_every_bar_is_warm():
    model = make_model({"type": "rule", "buy": "close > 0", "sell": "false"}, ())
    actions, reasons, _ = predict_actions(model, make_bars(3), np.empty((3, 0)))
    assert actions.tolist() == [1, 1, 1]
    assert reasons.tolist() == [0, 0, 0]


def test_no_bars_give_no_actions():
    actions, reasons, _ = predict_actions(RecordingModel(), make_bars(0), make_features(0))
    assert actions.shape == reasons.shape == (0,)


def test_one_cold_feature_that_no_rule_uses_still_holds():
    model = make_model({"type": "rule", "buy": "a == a", "sell": "false"})
    features = np.array([[1.0, NAN], [1.0, 2.0]])
    actions, reasons, _ = predict_actions(model, make_bars(2), features)
    assert actions.tolist() == [0, 1]
    assert reasons.tolist() == [Reason.WARMUP, Reason.NONE]


@pytest.mark.parametrize("chunk_rows", [2, 4, 100])
@pytest.mark.parametrize("cold", [[], [0, 1], [1, 5]])
def test_bad_answer_names_row_of_history_symbol_and_time(cold, chunk_rows):
    bars, features = make_bars(12, symbols=2), make_features(12)
    features[cold] = NAN
    features[9, 0] = 99.0  # the row that is answered with 7; row 11 would be bad as well
    features[11, 0] = 99.0
    model = RecordingModel(lambda _, asked: np.where(asked[:, 0] == 99.0, 7, 0))
    with pytest.raises(ModelError) as caught:
        predict_actions(model, bars, features, chunk_rows)
    text = str(caught.value)
    assert "row 9 (from 0; BETA, bar closing 2018-03-10T00:05:00Z)" in text
    assert "answered 7" in text
    assert caught.value.exit_code == 5


def test_answer_of_wrong_length_is_refused():
    model = RecordingModel(lambda bars, _: np.zeros(len(bars) + 1, int))
    with pytest.raises(ModelError, match=r"shape \(6,\) for 5 rows"):
        predict_actions(model, make_bars(5), make_features(5))


def test_model_that_answers_int8_out_of_range_is_caught_again():
    """Whatever a `Model` says of itself, its answer is checked before it is acted on."""
    model = RecordingModel(lambda bars, _: np.full(len(bars), 4, np.int8))
    with pytest.raises(ModelError, match="row 0"):
        predict_rows(model, make_bars(2), make_features(2))


@pytest.mark.parametrize("shape", [(4, 2), (5, 3), (5,)])
def test_features_of_wrong_shape_are_refused(shape):
    with pytest.raises(ModelError, match="2 features of 5 bars"):
        predict_rows(RecordingModel(), make_bars(5), np.zeros(shape))


def test_progress_counts_rows_to_the_end():
    done = []
    predict_actions(RecordingModel(), make_bars(10), make_features(10), 4, done.append)
    assert done == [4, 8, 10]


def test_what_a_model_prints_goes_to_stderr(capsys):
    def chatty(bars, _):
        print("thinking")
        return np.zeros(len(bars), int)

    predict_actions(RecordingModel(chatty), make_bars(2), make_features(2))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "thinking\n")
