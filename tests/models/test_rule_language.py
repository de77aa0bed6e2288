"""The rule language: what it accepts, what it refuses and where, and what it means."""

import math
import operator
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.model_kit import make_bars, make_features, make_model
from tests.tiers import cases
from trader.core.schema import TradingAction
from trader.errors import ConfigError
from trader.models.model import predict_actions
from trader.models.rule_model import BLOCK_ROWS
from trader.models.rule_parse import BAR_FIELDS, COMPARISONS, FUNCTIONS
from trader.models.rule_tokens import KEYWORDS

NAN = math.nan
HOLD, BUY, SELL = TradingAction.HOLD, TradingAction.BUY, TradingAction.SELL


def rule(buy, sell="false", names=("a", "b")):
    return make_model({"type": "rule", "buy": buy, "sell": sell}, names)


def buys(text, **columns):
    """Whether the rule says BUY on one bar with these features (NaN is put to the model too)."""
    model = rule(text, names=tuple(columns))
    features = np.array([list(columns.values())], np.float64).reshape(1, len(columns))
    return bool(model.predict(make_bars(1), features)[0] == BUY)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a < b", True),
        ("a > b", False),
        ("a + 2 * a == 3", True),
        ("(a + 2) * a == 3", True),
        ("10 - 4 - 3 == 3", True),
        ("16 / 4 / 2 == 2", True),
        ("10 - 4 * 2 == 2 and 10 + 4 * 2 == 18", True),
        ("10 - 4 / 2 == 8 and 2 * 5 - 4 == 6", True),
        ("-a * -b == 2", True),
        ("--a == a and +a == a", True),
        ("a<b<3", True),
        ("3 > b >= 2 > a", True),
        ("a < b > 5", False),
        ("not a > b and b > a", True),
        ("not (a > b or b > a)", False),
        ("a > b and b > a or a == 1", True),
        ("a == 1 or a > b and b > 5", True),
        ("(a == 1 or a > b) and b > 5", False),
        ("not not a == 1", True),
        ("NOT a > b AND TRUE", True),
        ("abs(-3) == 3 and min(a, b, -1) == -1 and max(a, b) == 2", True),
        ("a != b and not a != a", True),
        (".5 < a and 1e-1 < 2. and 1.5E+0 > a", True),
        ("true and not false", True),
        ("  a  <b ", True),
    ],
)
def test_rule_means_what_arithmetic_and_logic_say(text, means):
    assert buys(text, a=1.0, b=2.0) is means


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", None, "empty"),
        ("a >", 4, "missing before the end"),
        ("a b", 3, "an operator is missing before 'b'"),
        ("a > 1 adn b > 1", 7, "did you mean 'and'"),
        ("sma_fsat > 1", 1, "did you mean 'sma_fast'"),
        ("a > zzz", 5, "known are a, b, sma_fast, open"),
        ("a = 1", 3, "write == to compare"),
        ("a > 1 && b > 1", 7, "write 'and'"),
        ("a > 1 | b > 1", 7, "write 'or'"),
        ("!a", 1, "write 'not'"),
        ("a ** 2 > 1", 4, "missing before '*'"),
        ("a % 2 == 0", 3, "no remainder"),
        ("a[1] > 2", 2, "lagged feature"),
        ("a.b > 2", 2, "no dots"),
        ("a > '1'", 5, "no text"),
        ("sma(a) > 1", 1, "no function 'sma'"),
        ("abs(a, b) > 1", 1, "abs takes one operand, not 2"),
        ("max(a) > 1", 1, "max takes two or more"),
        ("(a > 1", 1, "never closed"),
        ("a > 1)", 6, "closes nothing"),
        ("a > 1, b", 6, "belongs inside"),
        ("a", 1, "a condition is needed here"),
        ("a and b > 1", 1, "a condition is needed here"),
        ("b > 1 and a", 11, "a condition is needed here"),
        ("not a", 5, "a condition is needed here"),
        ("(a > b) + 1 > 0", 1, "a number is needed here"),
        ("(a > b) > 0", 1, "a number is needed here"),
        ("-(a > b) > 0", 2, "a number is needed here"),
        ("min(a, true) > 0", 8, "a number is needed here"),
        ("a > 1 not b > 1", 7, "missing before 'not'"),
        ("1e999 > a", 1, "too large"),
        ("5bps < a", 2, "a number ends before 'b'"),
        ("a ≥ 1", 3, "not part of the rule language"),
        ("__import__('os') > 1", 12, "no text"),
        ("lambda: 1", 7, "not part of the rule language"),
        ("(" * 60 + "a > b" + ")" * 60, 41, "nested more than 40"),
        ("not " * 60 + "a > b", 161, "nested more than 40"),
        ("- " * 60 + "a > b", 81, "nested more than 40"),
        (" + ".join(["a"] * 500) + " > b", 1201, "more than 600 words"),
        ("a > b " + " " * 5000, 4001, "longer than 4000"),
    ],
)
def test_bad_rule_is_config_error_with_key_column_and_remedy(text, column, message):
    from trader.models.rule_parse import parse_rule
    from trader.models.rule_tokens import RuleText

    with pytest.raises(ConfigError) as caught:
        parse_rule(RuleText("model.buy", text), ("a", "b", "sma_fast"))
    assert caught.value.key == "model.buy"
    assert message in str(caught.value)
    if column is not None:
        assert f"column {column}:" in str(caught.value)
        shown, caret = str(caught.value).splitlines()[1:3]
        assert caret.strip() == "^"
        if column <= len(text) and text[column - 1].isprintable():
            assert shown[caret.index("^")] == text[column - 1]


def test_error_in_sell_rule_blames_the_sell_key():
    with pytest.raises(ConfigError) as caught:
        rule("a > b", "a < c")
    assert caught.value.key == "model.sell"


def test_longest_sum_that_parses_is_also_evaluated():
    text = " + ".join(["a"] * 299) + " == 299"
    assert buys(text, a=1.0)


def test_buy_wins_where_both_rules_hold_and_hold_where_neither_does():
    model = rule("a > 0", "b > 0")
    features = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float64)
    assert model.predict(make_bars(4), features).tolist() == [BUY, BUY, SELL, HOLD]


def test_constant_rules_apply_to_every_bar():
    features = make_features(3)
    assert rule("true").predict(make_bars(3), features).tolist() == [BUY] * 3
    assert rule("1 > 2", "2 > 1").predict(make_bars(3), features).tolist() == [SELL] * 3


def test_bar_fields_are_names_too():
    bars = make_bars(3, close=np.array([1.0, 2.0, 3.0]))
    bars["bid"], bars["ask"] = [0.9, 1.9, NAN], [1.1, 2.5, NAN]
    model = rule("close > 1.5", "(ask - bid) / close < 0.5", names=())
    assert model.predict(bars, np.empty((3, 0))).tolist() == [SELL, BUY, BUY]


def test_missing_quote_is_neither_true_nor_false():
    bars = make_bars(2)
    bars["bid"][0] = bars["ask"][0] = 5.0
    features = np.empty((2, 0))
    for text in ("ask > 0", "not ask <= 0", "not (ask < 0 or ask > 9)", "ask == bid", "ask != 1"):
        model = rule(text, names=())
        assert model.predict(bars, features).tolist() == [BUY, HOLD], text


@pytest.mark.parametrize("text", ["a / b > 0", "not a / b <= 0", "-a / b < 0", "a / b != 1"])
def test_division_by_zero_holds(text):
    assert not buys(text, a=1.0, b=0.0)
    assert not buys(text, a=1.0, b=-0.0)
    assert buys(text, a=1.0, b=2.0)


def test_function_names_may_be_feature_names():
    assert buys("max > min and abs(min) == 1", max=2.0, min=-1.0)


# --- against a naive interpreter of one row, in three-valued logic --------------------------

COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
NAMES = ("a", "b", "volume")


def naive_number(node, row):
    kind, *parts = node
    if kind == "lit":
        return float(parts[0])
    if kind == "name":
        return row[parts[0]]
    values = [naive_number(part, row) for part in parts]
    if any(math.isnan(value) for value in values):
        return NAN
    if kind == "/":
        return values[0] / values[1] if values[1] != 0 else NAN
    return {
        "+": lambda x, y: x + y,
        "-": lambda x, y: x - y,
        "*": lambda x, y: x * y,
        "neg": lambda x: -x,
        "abs": abs,
        "min": min,
        "max": max,
    }[kind](*values)


def naive_truth(node, row):
    """True, False or None for undefined (Kleene)."""
    kind, *parts = node
    if kind == "truth":
        return parts[0]
    if kind == "chain":
        first, pairs = parts
        found, last = [], naive_number(first, row)
        for op, operand in pairs:
            value = naive_number(operand, row)
            undefined = math.isnan(last) or math.isnan(value)
            found.append(None if undefined else COMPARE[op](last, value))
            last = value
        return False if False in found else (None if None in found else True)
    found = [naive_truth(part, row) for part in parts]
    if kind == "not":
        return None if found[0] is None else not found[0]
    decisive = kind == "or"
    return decisive if decisive in found else (None if None in found else not decisive)


STRENGTH = {"or": 1, "and": 2, "not": 3, "chain": 4, "+": 5, "-": 5, "*": 6, "/": 6, "neg": 7}


def text_of(node, floor=0):
    """The node as text with only the brackets it needs where an operator above binds `floor`."""
    kind, *parts = node
    own = STRENGTH.get(kind, 9)
    if kind == "lit":
        text = repr(parts[0])
    elif kind == "name":
        text = parts[0]
    elif kind == "truth":
        text = "true" if parts[0] else "false"
    elif kind in ("min", "max", "abs"):
        text = f"{kind}({', '.join(map(text_of, parts))})"
    elif kind == "neg":
        text = f"-{text_of(parts[0], 7)}"
    elif kind == "not":
        text = f"not {text_of(parts[0], 3)}"
    elif kind == "chain":
        first, pairs = parts
        text = text_of(first, 5) + "".join(f" {op} {text_of(item, 5)}" for op, item in pairs)
    else:  # left to right, so the right operand must bind tighter
        text = f"{text_of(parts[0], own)} {kind} {text_of(parts[1], own + 1)}"
    return f"({text})" if own < floor else text


literals = st.sampled_from([0.0, 1.0, 2.0, 0.5, 3.0, 100.0]).map(lambda value: ("lit", value))
numbers = st.recursive(
    literals | st.sampled_from(NAMES).map(lambda name: ("name", name)),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "min", "max"]), inner, inner),
        st.tuples(st.sampled_from(["neg", "abs"]), inner),
    ),
    max_leaves=5,
)
chains = st.tuples(
    st.just("chain"),
    numbers,
    st.lists(st.tuples(st.sampled_from(sorted(COMPARE)), numbers), min_size=1, max_size=3),
)
conditions = st.recursive(
    chains | st.booleans().map(lambda value: ("truth", value)),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=6,
)
values = st.sampled_from([1.0, 2.0, 3.0, -1.0, 0.5]) | st.sampled_from(
    [0.0, -0.0, 1e308, -1e308, NAN, math.inf]
)
rows = st.lists(st.tuples(values, values, values), min_size=1, max_size=8)


@settings(max_examples=cases(400), deadline=None)
@given(conditions, conditions, rows)
def test_rule_equals_naive_interpreter_of_each_row(buy, sell, table):
    model = rule(text_of(buy), text_of(sell))
    bars = make_bars(len(table))
    bars["volume"] = [volume for _, _, volume in table]
    features = np.array([row[:2] for row in table])
    expected = []
    for row in table:
        named = dict(zip(NAMES, row, strict=True))
        if naive_truth(buy, named) is True:
            expected.append(BUY)
        else:
            expected.append(SELL if naive_truth(sell, named) is True else HOLD)
    actions = model.predict(bars, features)
    assert actions.dtype == np.int8
    assert actions.tolist() == expected
    for i in range(len(table)):
        alone = model.predict(bars[i : i + 1], features[i : i + 1])
        assert alone[0] == actions[i]


def test_row_alone_equals_row_in_many_blocks():
    count = 2 * BLOCK_ROWS + 17
    bars, features = make_bars(count), make_features(count)
    model = rule("a / b > 0.3 * close / 100", "a * b - abs(a) < -0.7")
    whole, _, _ = predict_actions(model, bars, features)
    assert set(whole.tolist()) == {HOLD, BUY, SELL}
    for i in [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, count - 1, *range(3, count, 997)]:
        assert model.predict(bars[i : i + 1], features[i : i + 1])[0] == whole[i]


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_layout_of_features_does_not_matter(order):
    features = np.array(make_features(1000), order=order)
    whole = rule("a > b", "a < b - 1").predict(make_bars(1000), features)
    a, b = features.T
    assert np.array_equal(whole, np.where(a > b, BUY, np.where(a < b - 1, SELL, HOLD)))


def test_rules_in_the_documentation_parse():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    buy, sell = (re.search(rf"^  {key}: (.+)$", text, re.MULTILINE)[1] for key in ("buy", "sell"))
    model = rule(buy, sell, names=("rsi", "sma_slow"))
    bars = make_bars(2, close=np.array([10.0, 10.0]))
    assert model.predict(bars, np.array([[20.0, 9.0], [50.0, 11.0]])).tolist() == [BUY, SELL]
    for word in (*BAR_FIELDS, *FUNCTIONS, *KEYWORDS, *COMPARISONS):
        assert word in text, word
