"""What counts as an answer of a model, and how a wrong one is told."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.core.schema import TradingAction
from trader.errors import ModelError
from trader.models.answers import AnswerError, to_actions
from trader.moments import iso_utc

MIXED = [0, "buy", TradingAction.SELL, np.int64(2), np.str_("Hold"), np.uint8(1)]


@pytest.mark.parametrize(
    "answer",
    [
        [0, 1, 2, 1],
        (0, 1, 2, 1),
        ["HOLD", "buy", "Sell", " BUY "],
        [TradingAction.HOLD, TradingAction.BUY, TradingAction.SELL, TradingAction.BUY],
        np.array([0, 1, 2, 1], np.int8),
        np.array([0, 1, 2, 1], np.uint64),
        np.array([0.0, 1.0, 2.0, 1.0]),
        np.array([-0.0, 1.0, 2.0, 1.0], np.float32),
        np.array(["HOLD", "buy", "Sell", "BUY"]),
        np.array(["HOLD", "BUY", "SELL", "BUY"], object),
        np.array([0, "BUY", np.int8(2), TradingAction.BUY], object),
        np.array(["hold", "BUY", "sell", "buy"], np.dtypes.StringDType()),
        pd.Series([0, 1, 2, 1], index=[5, 6, 7, 8]),
        pd.Series(["HOLD", "BUY", "SELL", "BUY"]),
        pd.Series(["HOLD", "BUY", "SELL", "BUY"], dtype="category"),
        [np.array(0), np.array(1), np.array(2), np.array(1)],
        np.ma.array([0, 1, 2, 1]),
        (np.array([0, 1, 2, 1]), None),
        ([0, 1, 2, 1], {"hidden": "state"}),
    ],
    ids=repr,
)
def test_answer_in_any_accepted_form_becomes_int8(answer):
    actions = to_actions(answer, 4)
    assert actions.dtype == np.int8
    assert actions.tolist() == [0, 1, 2, 1]


def test_pair_of_single_actions_is_two_rows_and_not_actions_with_state():
    assert to_actions((1, 2), 2).tolist() == [1, 2]
    assert to_actions(("BUY", "sell"), 2).tolist() == [1, 2]


def test_no_rows_need_no_answers():
    assert to_actions([], 0).shape == (0,)
    assert to_actions(np.zeros(0), 0).dtype == np.int8


@pytest.mark.parametrize(
    ("answer", "row", "message"),
    [
        (np.array([0, 1, 4, 7]), 2, "4"),
        (np.array([0, 1, -1, 7]), 2, "-1"),
        (np.array([2**63, 1, 1, 1], np.uint64), 0, "9223372036854775808"),
        (np.array([0.0, 1.0, np.nan, 0.5]), 2, "nan"),
        (np.array([0.0, 0.5, np.nan, 1.0]), 1, "0.5"),
        (np.array([0.0, 1.0, np.inf, 0.5]), 2, "inf"),
        (np.array([0.0, 1.0, 1.5, 0.5]), 2, "1.5"),
        (np.array([1e308, 1.0, 1.0, 1.0]), 0, "1e+308"),
        (np.array([True, False, True, False]), 0, "True"),
        (np.array([1 + 0j, 0, 0, 0]), 0, "1"),
        (np.array(["BUY", "SELL", "FLAT", "?"]), 2, "FLAT"),
        (np.array(["BUY", "SELL", "1", "BUY"]), 2, "'1'"),
        (np.array([b"BUY", b"SELL", b"BUY", b"BUY"]), 0, "b'BUY'"),
        (np.array(["2020-01-01"] * 4, "datetime64[D]"), 0, "2020"),
        (np.array(["BUY", None, "BUY", 7], object), 1, "None"),
        (np.array([0, True, 1, 2], object), 1, "True"),
        (np.array([0, 1, 1.0, 2], object), 2, "1.0"),
        ([0, True, 1, 2], 1, "True"),
        ([0, 1, np.True_, 2], 2, "True"),
        ([0, np.array(True), 1, 2], 1, "True"),
        ([0, 1, np.float32(1), 2], 2, "1.0"),
        ([0, 1, 2, 0.5], 3, "0.5"),
        ([0, 1, 2, Decimal(1)], 3, "Decimal"),
        (pd.Series([True, False, True, False]), 0, "True"),
        (pd.Series([1, 0, None, 1], dtype="boolean"), 0, "True"),
        ([0, 1.0, 1, 2], 1, "1.0"),
        (["BUY", "", "BUY", "BUY"], 1, "''"),
        ([0, 1, [1], 2], 2, "[1]"),
        ([0, 1, 2, 10**30], 3, "1000000"),
        (np.ma.array([0, 1, 2, 1], mask=[0, 0, 1, 1]), 2, "masked"),
        (pd.Series([0, 1, None, 1]), 2, "nan"),
        (pd.Series(["BUY", None, "SELL", "BUY"], dtype=object), 1, "None"),
    ],
    ids=repr,
)
def test_value_that_is_no_action_names_the_first_such_row(answer, row, message):
    with pytest.raises(AnswerError) as caught:
        to_actions(answer, 4)
    assert caught.value.row == row
    assert message in caught.value.complaint
    assert caught.value.exit_code == 5


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0, 1], r"shape \(2,\) for 4 rows"),
        (np.zeros((4, 1)), "ravel"),
        (np.full((4, 3), 0.3), "argmax"),
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.array(1), r"shape \(\)"),
        (1, "int"),
        ("BUY", "str"),
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ({1, 2}, "set"),
        ((i for i in range(4)), "generator"),
        (range(4), "range"),
        (Unprintable(), "cannot be printed"),
        ((np.zeros(3, int), "state"), r"shape \(3,\)"),
        ((np.zeros(4, int), "state", 1), r"shape \(3,\)"),
        ([], r"shape \(0,\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_answer_of_wrong_form_is_refused(answer, message):
    with pytest.raises(ModelError, match=message) as caught:
        to_actions(answer, 4)
    assert caught.value.row is None


def test_value_in_list_that_cannot_be_printed_is_refused_without_a_crash():
    with pytest.raises(AnswerError, match="cannot be printed"):
        to_actions([0, Unprintable()], 2)


def test_array_that_cannot_be_read_is_refused():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("on another device")

    with pytest.raises(AnswerError, match="on another device"):
        to_actions(Broken(), 1)


def test_answer_is_a_copy():
    answer = np.array([0, 1, 2], np.int8)
    actions = to_actions(answer, 3)
    answer[:] = 0
    assert actions.tolist() == [0, 1, 2]


def test_more_spellings_than_passes_are_read_all_the_same():
    names = [" " * i + "BUY" for i in range(40)] + ["sell", "HOLD"]
    assert to_actions(np.array(names), 42).tolist() == [1] * 40 + [2, 0]
    names[41] = "HOLDS"
    with pytest.raises(AnswerError) as caught:
        to_actions(np.array(names), 42)
    assert caught.value.row == 41


def test_answer_error_crosses_processes_with_its_row():
    error = pickle.loads(pickle.dumps(AnswerError("seven is no action", 7)))
    assert (error.row, error.complaint) == (7, "seven is no action")
    assert "row 7" in str(error)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["BUY", "sell", "Hold", "no", "", None, True, False]),
            st.integers(-3, 5),
            st.floats(),
            st.sampled_from(MIXED),
        ),
        max_size=12,
    )
)
def test_lists_agree_with_trading_action_parse(values):
    expected, bad = [], None
    for row, value in enumerate(values):
        try:
            expected.append(int(TradingAction.parse(value)))
        except ValueError:
            bad = row
            break
    for answer in (values, _objects(values)):
        if bad is None:
            assert to_actions(answer, len(values)).tolist() == expected
        else:
            with pytest.raises(AnswerError) as caught:
                to_actions(answer, len(values))
            assert caught.value.row == bad


def _objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_times_in_messages_have_no_needless_digits():
    assert iso_utc(1_520_640_000_000_000_000) == "2018-03-10T00:00:00Z"
    assert iso_utc(1_520_640_000_500_000_000) == "2018-03-10T00:00:00.5Z"
