"""From a model's answer to an action: classes, thresholds, margins, numbers, ties, NaN."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model_kit import make_config
from trader.config.sections.model import FileModel
from trader.core.schema import Reason
from trader.errors import ConfigError, ModelError
from trader.models.actions import Classes, by_number, class_actions

HOLD, BUY, SELL = 0, 1, 2
OK, LOW, BAD = int(Reason.NONE), int(Reason.BELOW_THRESHOLD), int(Reason.MODEL_INVALID)
NAN = float("nan")


def rules(**keys: Any) -> FileModel:
    """The model section of a config with these keys, as the schema reads it."""
    section = {"type": "lightgbm", "path": "m.txt", "sha256": "0" * 64, **keys}
    found = make_config(section).model
    assert isinstance(found, FileModel)
    return found


def decided(rows: list[list[float]], labels: Any = (0, 1, 2), **keys: Any) -> list[tuple[int, int]]:
    """(action, reason) of each row of probabilities."""
    found = Classes("m.txt", rules(**keys), labels).of_probabilities(np.array(rows, np.float64))
    return list(zip(found.actions.tolist(), found.reasons.tolist(), strict=True))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.2, 0.5, 0.3], (BUY, OK)),
        ([0.5, 0.3, 0.2], (HOLD, OK)),
        ([0.2, 0.4, 0.4], (HOLD, LOW)),  # a tie
        ([0.4, 0.4, 0.2], (HOLD, LOW)),
        ([NAN, 0.4, 0.2], (HOLD, BAD)),
        ([0.1, np.inf, 0.2], (HOLD, BAD)),
    ],
)
def test_likeliest_class_without_threshold(row, expected):
    assert decided([row]) == [expected]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.40, 0.55, 0.05], (BUY, OK)),
        ([0.40, 0.5499999, 0.0500001], (HOLD, LOW)),
        ([0.60, 0.30, 0.10], (HOLD, OK)),  # the model's own HOLD
        ([0.05, 0.30, 0.65], (SELL, OK)),
        ([0.05, 0.40, 0.55], (HOLD, LOW)),
        ([NAN, 0.9, 0.1], (HOLD, BAD)),
    ],
)
def test_threshold_of_each_action(row, expected):
    assert decided([row], threshold={"buy": 0.55, "sell": 0.60}) == [expected]


def test_action_is_taken_at_its_threshold_whatever_hold_has():
    assert decided([[0.6, 0.3, 0.1]], threshold={"buy": 0.3}) == [(BUY, OK)]


def test_both_reached_takes_the_larger_and_a_tie_holds():
    rows = [[0.2, 0.41, 0.39], [0.2, 0.39, 0.41], [0.2, 0.4, 0.4]]
    both = {"buy": 0.3, "sell": 0.3}
    assert decided(rows, threshold=both) == [(BUY, OK), (SELL, OK), (HOLD, LOW)]


def test_action_without_threshold_is_taken_where_it_is_the_likeliest():
    rows = [[0.1, 0.2, 0.7], [0.5, 0.1, 0.4], [0.3, 0.4, 0.3]]
    got = decided(rows, threshold={"buy": 0.5})
    assert got == [(SELL, OK), (HOLD, OK), (HOLD, LOW)]


def test_close_is_a_class_like_another():
    labels = ("flat", "long", "short", "out")
    classes = {"flat": "HOLD", "long": "BUY", "short": "SELL", "out": "CLOSE"}
    rows = [[0.1, 0.2, 0.2, 0.5], [0.1, 0.4, 0.4, 0.1], [0.3, 0.3, 0.0, 0.4]]
    assert decided(rows, labels, classes=classes) == [(3, OK), (HOLD, LOW), (3, OK)]
    with_threshold = {"classes": classes, "threshold": {"close": 0.5, "buy": 0.3}}
    assert decided(rows, labels, **with_threshold) == [(3, OK), (BUY, OK), (BUY, OK)]


def test_margin_to_the_next_class():
    rows = [[0.4, 0.5, 0.1], [0.25, 0.625, 0.125], [0.5, 0.4, 0.1]]
    assert decided(rows, margin=0.25) == [(HOLD, LOW), (BUY, OK), (HOLD, OK)]
    rows = [[0.25, 0.625, 0.125], [0.5, 0.375, 0.125]]
    with_threshold = {"threshold": {"buy": 0.375}, "margin": 0.25}
    assert decided(rows, **with_threshold) == [(BUY, OK), (HOLD, LOW)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ((-1, 0, 1), {1: "BUY", -1: "SELL", 0: "HOLD"}),
        ((-1.0, 0.0, 1.0), {1: "BUY", -1: "sell", 0: "Hold"}),
        (("down", "flat", "up"), {"up": "BUY", "down": "SELL", "flat": "HOLD"}),
        (("-1", "0", "1"), {"1": "BUY", "-1": "SELL", "0": "HOLD"}),
    ],
)
def test_classes_map_labels_of_any_kind(labels, classes):
    rows = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    assert decided(rows, labels, classes=classes) == [(SELL, OK), (HOLD, OK), (BUY, OK)]


@pytest.mark.parametrize("classes", [{True: "BUY", False: "HOLD"}, {1: "BUY", 0: "HOLD"}])
def test_classes_that_are_true_and_false(classes):
    assert decided([[0.1, 0.9]], np.array([False, True]).tolist(), classes=classes) == [(BUY, OK)]


def test_classes_of_one_action_add_up():
    classes = {0: "SELL", 1: "SELL", 2: "HOLD", 3: "BUY", 4: "BUY"}
    rows = [[0.2, 0.2, 0.3, 0.15, 0.15], [0.1, 0.1, 0.3, 0.25, 0.25]]
    got = Classes("m", rules(classes=classes), range(5)).of_probabilities(np.array(rows))
    assert got.actions.tolist() == [SELL, BUY]
    assert got.scores.tolist() == [0.4, 0.5]


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ({1: "BUY", 0: "HOLD"}, "not in model.classes: -1"),
        ({1: "BUY", 0: "HOLD", -1: "SELL", 5: "SELL"}, "not the model's: 5"),
        ({"up": "BUY", 0: "HOLD", -1: "SELL"}, "not in model.classes: 1; not the model's: up"),
    ],
)
def test_classes_of_config_and_model_are_the_same_or_both_are_told(classes, told):
    with pytest.raises(ModelError) as caught:
        class_actions("m.txt", rules(classes=classes), (-1, 0, 1))
    assert told in str(caught.value)
    assert "its 3 classes are -1, 0, 1, and model.classes has" in str(caught.value)


def test_labels_that_are_no_actions_ask_for_classes():
    with pytest.raises(ModelError, match=r"model\.classes: \{-1: …, 0: …, 1: …\}"):
        class_actions("m.txt", rules(), (-1, 0, 1))


def test_threshold_of_an_action_that_no_class_means():
    with pytest.raises(ConfigError, match="no class of the model means SELL") as caught:
        Classes("m", rules(threshold={"sell": 0.5}), (0, 1))
    assert caught.value.key == "model.threshold.sell"


@pytest.mark.parametrize(
    ("decide", "expected"),
    [
        ({"buy_above": 0.1, "sell_below": -0.1}, [(SELL, OK), (HOLD, LOW), (HOLD, LOW), (BUY, OK)]),
        ({"buy_above": 0.1}, [(HOLD, LOW), (HOLD, LOW), (HOLD, LOW), (BUY, OK)]),
        ({"sell_below": 0}, [(SELL, OK), (SELL, OK), (HOLD, LOW), (HOLD, LOW)]),
    ],
)
def test_number_buys_above_and_sells_below(decide, expected):
    found = by_number(rules(decide=decide), np.array([-0.2, -0.1, 0.1, 0.2]))
    assert list(zip(found.actions.tolist(), found.reasons.tolist(), strict=True)) == expected
    bad = by_number(rules(decide=decide), np.array([NAN, np.inf]))
    assert bad.actions.tolist() == [HOLD, HOLD]
    assert bad.reasons.tolist() == [BAD, BAD]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"decide": {"buy_above": 1}, "threshold": {"buy": 0.5}}, "no meaning beside"),
        ({"decide": {"buy_above": 0, "sell_below": 1}}, "must not be above buy_above"),
        ({"decide": {}}, "needs buy_above"),
        ({"threshold": {}}, "needs buy, sell"),
        ({"classes": {0: "HOLD"}}, "BUY or SELL"),
        ({"classes": {0: "HOLD", 1: "BUY"}, "threshold": {"sell": 0.5}}, "means SELL"),
        ({"threshold": {"buy": 1.5}}, "less than or equal to 1"),
        ({"classes": {0: "WAIT"}}, "classes"),
    ],
)
def test_contradictions_of_the_section(keys, told):
    with pytest.raises(ValueError, match="model") as caught:
        rules(**keys)
    assert told in str(caught.value)


PROBABILITY = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.55, 0.6, 1.0, NAN])
LEAST = st.sampled_from([None, 0.3, 0.55, 0.6])


@given(
    st.lists(st.tuples(PROBABILITY, PROBABILITY, PROBABILITY), min_size=1, max_size=20),
    LEAST, LEAST, st.sampled_from([None, 0.0, 0.05, 0.3]),
)  # fmt: skip
def test_each_row_is_what_the_words_say(rows, buy, sell, margin):
    keys: dict[str, Any] = {} if margin is None else {"margin": margin}
    if buy is not None or sell is not None:
        keys["threshold"] = {"buy": buy, "sell": sell}
    assert decided([list(row) for row in rows], **keys) == [
        in_words(row, {BUY: buy, SELL: sell}, margin) for row in rows
    ]


def in_words(row, least, margin):
    """One row, one thought a line; shares nothing with the code."""
    if any(p != p for p in row):
        return HOLD, BAD
    likeliest = [action for action in (HOLD, BUY, SELL) if row[action] == max(row)]
    if least[BUY] is None and least[SELL] is None:
        chosen = likeliest if len(likeliest) == 1 else []
    else:
        reached = [
            action
            for action in (BUY, SELL)
            if (row[action] >= least[action] if least[action] else likeliest == [action])
        ]
        best = max((row[action] for action in reached), default=None)
        chosen = [action for action in reached if row[action] == best]
        if not reached and likeliest == [HOLD]:
            return HOLD, OK
    if len(chosen) != 1:
        return HOLD, LOW
    (action,) = chosen
    lead = row[action] - max(row[other] for other in (HOLD, BUY, SELL) if other != action)
    if action != HOLD and margin is not None and not lead >= margin:
        return HOLD, LOW
    return action, OK
