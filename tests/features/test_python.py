"""`type: python`: a user's own feature, what it sees, and what is said when it fails."""

import sys
import textwrap

import numpy as np
import pytest

from tests.features_kit import differences, feature_set, same, streamed, walk_bars
from trader.errors import ConfigError, ModelError
from trader.features.python_feature import FeatureError
from trader.moments import iso_utc

PAIR = walk_bars(200, symbols=2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A config's folder; modules and the import path are put back afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def make(folder, text, target="own:Mine", bars=PAIR, symbols=("ACME", "BTC/USD"), **params):
    (folder / "own.py").write_text(textwrap.dedent(text))
    spec = {"type": "python", "target": target, **params}
    return feature_set({"mine": spec}, bars, search_paths=(folder,), symbols=symbols)


def returning(folder, expression, **more):
    text = f"""
    import math, numpy as np, decimal, fractions
    class Mine:
        def update(self, bar):
            return {expression}
    """
    return make(folder, text, **more)


def refused(folder, text, target="own:Mine", **params):
    with pytest.raises((ConfigError, FeatureError)) as caught:
        make(folder, text, target, **params)
    return caught.value


COUNTING = """
class Mine:
    def __init__(self, start=0, step=1.0):
        self.count, self.step = start, step
    def update(self, bar):
        self.count += self.step
        return self.count
"""


def test_each_symbol_has_an_instance_of_its_own_with_the_params(folder):
    features = make(folder, COUNTING, start=10, step=2)
    matrix = features.batch(PAIR)
    for symbol in (0, 1):
        found = matrix[PAIR["symbol"] == symbol, 0]
        assert found.tolist() == [12.0 + 2.0 * index for index in range(len(found))]


def test_every_batch_and_every_stream_starts_anew_and_they_are_equal(folder):
    features = make(folder, COUNTING)
    first = features.batch(PAIR)
    assert same(first, features.batch(PAIR)).all()
    assert differences(first, streamed(features, PAIR), features.names) == []
    stream = features.stream()
    stream.warm_up(PAIR[:150])
    rows = np.array([stream.update(bar) for bar in PAIR[150:]])
    assert same(first[150:], rows).all()


def test_own_features_stand_among_others_in_config_order(folder):
    (folder / "own.py").write_text(textwrap.dedent(COUNTING))
    specs = {
        "a": {"type": "sma", "period": 2},
        "mine": {"type": "python", "target": "own:Mine"},
        "z": {"type": "returns"},
        "other": {"type": "python", "target": "own:Mine", "step": 5},
    }
    features = feature_set(specs, PAIR, search_paths=(folder,))
    matrix = features.batch(PAIR)
    assert matrix[0, [1, 3]].tolist() == [1.0, 5.0]
    assert differences(matrix, streamed(features, PAIR), features.names) == []


def test_the_bar_has_its_fields_as_attributes_and_as_keys(folder):
    features = make(
        folder,
        """
        class Mine:
            def update(self, bar):
                assert bar["close"] == bar.close and type(bar.close) is float
                assert type(bar.ts_ns) is int and type(bar.symbol) is str
                whole = dict(bar)
                assert list(whole) == list(bar.keys()) == [
                    "ts_ns", "open", "high", "low", "close", "volume", "bid", "ask", "symbol"]
                assert tuple(whole.values()) == tuple(bar)
                return whole["high"] - bar["low"] + (bar.symbol == "BTC/USD")
        """,
    )
    expected = PAIR["high"] - PAIR["low"] + PAIR["symbol"]
    assert features.batch(PAIR)[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "attempt",
    ["bar.close = 1.0", "bar['close'] = 1.0", "del bar.close", "bar.mine = 1", "bar['clsoe']"],
)
def test_the_bar_cannot_be_changed_and_has_no_other_fields(folder, attempt):
    features = make(folder, f"class Mine:\n    def update(self, bar):\n        {attempt}\n")
    with pytest.raises(FeatureError, match=r"raised (AttributeError|TypeError|KeyError)"):
        features.batch(PAIR)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1", 1.0),
        ("True", 1.0),
        ("np.float32(0.5)", 0.5),
        ("np.int64(3)", 3.0),
        ("np.bool_(True)", 1.0),
        ("fractions.Fraction(1, 4)", 0.25),
        ("None", np.nan),
        ("math.inf", np.nan),
        ("-np.inf", np.nan),
        ("math.nan", np.nan),
        ("10 ** 400", np.nan),
    ],
)
def test_numbers_are_taken_and_what_is_not_finite_means_not_ready(folder, expression, expected):
    found = returning(folder, expression).batch(PAIR)[:, 0]
    assert same(found, np.full(len(PAIR), expected)).all()


@pytest.mark.parametrize(
    ("expression", "kind"),
    [("'1.5'", "str"), ("[1.0]", "list"), ("1j", "complex"), ("np.ones(1)", "ndarray")],
)
def test_anything_else_is_an_error_that_names_feature_symbol_and_bar(folder, expression, kind):
    with pytest.raises(FeatureError) as caught:
        returning(folder, expression).batch(PAIR)
    assert caught.value.exit_code == 5
    for part in (f"type {kind}", "feature mine of ACME, bar closing 2018-03-10T0", "own:Mine"):
        assert part in str(caught.value)


@pytest.mark.parametrize("way", ["batch", "stream", "warm_up"])
def test_a_feature_that_raises_names_feature_symbol_bar_and_line(folder, way):
    features = make(
        folder,
        """
        class Mine:
            def update(self, bar):
                if bar.symbol == "BTC/USD" and bar.ts_ns > 1520650800000000000:
                    raise ZeroDivisionError("no range in the bar")
                return 1.0
        """,
    )
    ways = {
        "batch": lambda: features.batch(PAIR),
        "stream": lambda: streamed(features, PAIR),
        "warm_up": lambda: features.stream().warm_up(PAIR),
    }
    with pytest.raises(ModelError) as caught:
        ways[way]()
    later = PAIR["ts_ns"][(PAIR["symbol"] == 1) & (PAIR["ts_ns"] > 1520650800000000000)]
    message = str(caught.value)
    assert f"feature mine of BTC/USD, bar closing {iso_utc(int(later[0]))}: own:Mine" in message
    assert "ZeroDivisionError: no range in the bar (" in message
    assert "own.py:5)" in message


@pytest.mark.parametrize(
    ("raised", "seen"), [("SystemExit", FeatureError), ("KeyboardInterrupt", KeyboardInterrupt)]
)
def test_sys_exit_in_a_feature_is_an_error_and_ctrl_c_is_not(folder, raised, seen):
    features = returning(folder, f"(_ for _ in ()).throw({raised}())")
    with pytest.raises(seen):
        features.batch(PAIR)


def test_what_a_feature_prints_is_no_part_of_the_result(folder, capsys):
    features = make(
        folder,
        """
        class Mine:
            def __init__(self):
                print("made")
            def update(self, bar):
                print("bar")
                return 1.0
        """,
    )
    features.batch(PAIR[:3])
    features.stream().warm_up(PAIR[:3])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("bar\n") == 6


def test_without_names_a_symbol_is_told_by_its_number(folder):
    features = returning(folder, "1 / 0", symbols=())
    with pytest.raises(FeatureError, match="of symbol 0, bar"):
        features.batch(PAIR)


def test_a_function_that_makes_the_object_will_do(folder):
    features = make(
        folder, COUNTING + "\ndef build(step):\n    return Mine(step=step)\n", "own:build", step=3
    )
    assert features.batch(PAIR[:1])[0, 0] == 3.0


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("own:Mime", ["no 'Mime'", "did you mean 'Mine'?"]),
        ("owm:Mine", ["no module 'owm'", "did you mean 'own'?"]),
        ("own:LIMIT", ["is a int; it must be a class"]),
        ("own:Silent", ["has no method update(bar)"]),
        ("own", ["must be module:Class; got 'own'"]),
        (None, ["must be module:Class; got None"]),
    ],
)
def test_a_wrong_target_is_a_config_error_at_its_key(folder, target, parts):
    text = COUNTING + "\nLIMIT = 5\nclass Silent: ...\n"
    error = refused(folder, text, target)
    assert isinstance(error, ConfigError)
    assert error.key == "features.mine.target"
    for part in parts:
        assert part in str(error)


def test_an_unknown_parameter_is_a_config_error_at_its_key(folder):
    error = refused(folder, COUNTING, stp=2.0)
    assert isinstance(error, ConfigError)
    assert error.key == "features.mine.stp"
    assert "did you mean step?" in str(error)


def test_a_missing_parameter_is_a_config_error_of_the_feature(folder):
    error = refused(folder, "class Mine:\n    def __init__(self, window): ...\n")
    assert isinstance(error, ConfigError)
    assert error.key == "features.mine"
    assert "'window'" in str(error)


def test_a_class_that_refuses_its_parameters_says_why_before_the_run(folder):
    text = """
    class Mine:
        def __init__(self, window=0):
            if window < 1:
                raise ValueError("window must be at least 1")
        def update(self, bar): ...
    """
    error = refused(folder, text, window=0)
    assert isinstance(error, FeatureError)
    assert "feature mine: own:Mine cannot be made: ValueError: window must be at least 1" in str(
        error
    )
    assert "own.py:5" in str(error)


def test_a_module_that_fails_while_imported_is_told_with_its_line(folder):
    (folder / "own.py").write_text("x = 1\nraise RuntimeError('no licence')\n")
    with pytest.raises(ModelError, match="RuntimeError: no licence"):
        feature_set(
            {"mine": {"type": "python", "target": "own:Mine"}}, PAIR, search_paths=(folder,)
        )
