"""`classes`, `threshold`, `margin`, `decide` for a callable of the user's: as for a model file."""

import numpy as np
import pytest

from tests.model_kit import make_bars, make_model
from trader.core.schema import Reason
from trader.errors import ModelError
from trader.models.model import predict_actions

CODE = "def f(rows):\n    return rows\n\ndef number(rows):\n    return rows[:, 0]\n"
HOLD, BUY, SELL, CLOSE = range(4)
FOUR = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0.2, 0.1, 0.1, 0.6], [0.3, 0.3, 0.3, 0.1]]


def asked(tmp_path, rows, target="f", **rules):
    (tmp_path / "answers.py").write_text(CODE)
    section = {"type": "python", "target": f"answers:{target}", **rules}
    rows = np.array(rows, np.float64)
    names = tuple("abcdef"[: rows.shape[1]])
    model = make_model(section, names, (tmp_path,))
    return predict_actions(model, make_bars(len(rows)), rows)


def test_classes_name_the_columns_in_their_order_and_may_close(tmp_path):
    classes = {"stay": "HOLD", "up": "BUY", "down": "SELL", "out": "CLOSE"}
    said = asked(tmp_path, FOUR, classes=classes)
    assert said.actions.tolist() == [HOLD, BUY, CLOSE, HOLD]
    assert said.requests["score"].tolist() == [0.7, 0.6, 0.6, 0.3]
    assert said.reasons.tolist() == [0, 0, 0, Reason.BELOW_THRESHOLD]  # a tie
    sure = asked(tmp_path, FOUR, classes=classes, threshold={"buy": 0.65, "close": 0.5})
    assert sure.actions.tolist() == [HOLD, HOLD, CLOSE, HOLD]
    lead = asked(tmp_path, FOUR, classes=classes, margin=0.45)
    assert lead.actions.tolist() == [HOLD, HOLD, HOLD, HOLD]
    assert asked(tmp_path, FOUR, classes=classes, margin=0.35).actions.tolist()[1] == BUY


def test_without_classes_the_columns_are_hold_buy_sell(tmp_path):
    said = asked(tmp_path, [[0.2, 0.7, 0.1], [0.2, 0.3, 0.5]], threshold={"buy": 0.6, "sell": 0.6})
    assert said.actions.tolist() == [BUY, HOLD]
    assert said.reasons.tolist() == [0, Reason.BELOW_THRESHOLD]


def test_a_number_is_decided(tmp_path):
    rows = [[0.2], [-0.3], [0.0], [np.inf]]
    said = asked(tmp_path, rows, "number", decide={"buy_above": 0.1, "sell_below": -0.1})
    assert said.actions.tolist() == [BUY, SELL, HOLD, HOLD]
    assert said.reasons.tolist()[2:] == [Reason.BELOW_THRESHOLD, Reason.MODEL_INVALID]


def test_labels_are_actions_by_their_classes(tmp_path):
    said = asked(
        tmp_path, [[1.0], [-1.0], [0.0]], "number", classes={1: "BUY", -1: "CLOSE", 0: "HOLD"}
    )
    assert said.actions.tolist() == [BUY, CLOSE, HOLD]


@pytest.mark.parametrize(
    ("rows", "rules", "said"),
    [
        ([[0.5, 0.5]], {"classes": {1: "BUY", 0: "HOLD", 2: "SELL"}}, "it has 3 classes"),
        ([[0.9, 0.9, 0.9]], {"threshold": {"buy": 0.5}}, "not probabilities"),
        ([[0.9, 0.1]], {"decide": {"buy_above": 0.5}}, "one number a row"),
    ],
)
def test_answers_that_the_rules_cannot_read_are_named(tmp_path, rows, rules, said):
    with pytest.raises(ModelError, match=said):
        asked(tmp_path, rows, **rules)
