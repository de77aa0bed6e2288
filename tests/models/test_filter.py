"""`model.filter`: a second model may turn an action into HOLD or shrink it, and nothing else."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import trader
from tests.harness import warm
from tests.model_files import section_of
from tests.model_kit import make_bars, make_features, make_model
from trader.core.schema import Reason
from trader.errors import ConfigError, ModelError
from trader.models.model import predict_actions
from trader.models.skops_file import dump_skops

HOLD, BUY, SELL, CLOSE = range(4)
CODE = """
import numpy as np
def first(rows): return np.asarray([1, 2, 3, 0] * len(rows))[:len(rows)]
def rich(rows): return {"action": first(rows), "size": np.where(rows[:, 0] > 0, 8.0, np.nan)}
def sure(rows): return 0.5 + 0.4 * np.tanh(rows[:, 1])
def none(rows): return np.where(rows[:, 1] > 0, np.nan, 1.0)
"""
SHORTS = {"position_sizing": {"mode": "target", "base_size": 10, "allow_short": True}}


@pytest.fixture(autouse=True)
def code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "two_models.py").write_text(CODE)


def section(second="sure", target="first", **more):
    return {
        "type": "python",
        "target": f"two_models:{target}",
        "filter": {"type": "python", "target": f"two_models:{second}", **more},
    }


def test_what_it_is_not_sure_of_holds_with_its_reason(tmp_path):
    features = make_features(400)
    model = make_model(section(keep_above=0.6), paths=(tmp_path,), **SHORTS)
    said = predict_actions(model, make_bars(400), features)
    first = np.array([1, 2, 3, 0] * 100)
    keeps = 0.5 + 0.4 * np.tanh(features[:, 1]) > 0.6
    is_asked = (first == BUY) | (first == SELL)
    np.testing.assert_array_equal(said.actions, np.where(is_asked & ~keeps, HOLD, first))
    dropped = is_asked & ~keeps
    assert (said.reasons[dropped] == Reason.FILTERED).all()
    assert not said.reasons[~dropped].any()
    assert not np.isfinite(said.requests["size"]).any()


def test_what_only_leaves_a_position_is_not_asked_about(tmp_path):
    model = make_model(section(keep_above=1.0), paths=(tmp_path,))  # shorts are off
    said = predict_actions(model, make_bars(8), make_features(8))
    assert said.actions.tolist() == [HOLD, SELL, CLOSE, HOLD] * 2


def test_it_shrinks_the_size_by_its_number(tmp_path):
    features = make_features(40)
    model = make_model(section("sure", "rich", shrink=True), paths=(tmp_path,), **SHORTS)
    said = predict_actions(model, make_bars(40), features)
    number = 0.5 + 0.4 * np.tanh(features[:, 1])
    kept = np.isin(said.actions, (BUY, SELL))
    own = np.where(features[:, 0] > 0, 8.0, 10.0)
    np.testing.assert_allclose(said.requests["size"][kept], (own * number)[kept])
    assert kept.sum() > 5


def test_no_number_is_no_action(tmp_path):
    features = make_features(40)
    model = make_model(section("none"), paths=(tmp_path,), **SHORTS)
    said = predict_actions(model, make_bars(40), features)
    lost = (features[:, 1] > 0) & (np.arange(40) % 4 < 2)
    assert (said.reasons[lost] == Reason.MODEL_INVALID).all()
    assert not said.actions[lost].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.booleans())
def test_it_never_adds_turns_or_enlarges(tmp_path_factory, seed, least, shrink):
    chosen = section("sure", "rich", keep_above=least, shrink=shrink)
    features, bars = make_features(32, seed=seed), make_bars(32)
    model = make_model(chosen, **SHORTS)
    said = predict_actions(model, bars, features)
    plain = predict_actions(make_model({**chosen, "filter": None}, **SHORTS), bars, features)
    changed = said.actions != plain.actions
    assert not said.actions[changed].any()
    sizes = np.nan_to_num(said.requests["size"], nan=10.0)
    assert (sizes <= np.nan_to_num(plain.requests["size"], nan=10.0)).all()


def meta_file(path, names=("level", "move")):
    """A fitted two-class estimator of "was it right", as skops."""
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(3)
    features = pd.DataFrame(chance.normal((100.0, 0.0), size=(300, 2)), columns=list(names))
    path.write_bytes(dump_skops(LogisticRegression().fit(features, features.iloc[:, 1] > 0)))
    return section_of(path, "sklearn")


CONFIG = """
name: meta
instruments: [AAA]
feed: {type: csv, path: bars.csv}
bar_period_seconds: 60
features: {level: {type: sma, period: 2}, move: {type: returns, period: 3}}
model: {type: rule, buy: close > level, sell: close < level, filter: FILTER}
position_sizing: {mode: target, base_size: 10, allow_short: true}
risk: {max_position_size: 100, max_order_size: 100, min_order_size: 1, max_daily_loss: none,
  max_position_concentration: none, market_hours: 24x7}
throttle: {max_volume_participation: none, volume_window: 5, max_spread_bps: none,
  max_volatility: none, volatility_window: 5, max_order_size: none}
broker: {cash: 100000, commission: {type: bps, value: 1.0}, slippage: {type: bps, value: 1.0}}
execution: {model_timeout_seconds: 60}
report: false
"""
TRAIN = """
feed: {end: "2024-03-04T04:00"}
train: {estimator: LogisticRegression, label: {type: meta, horizon_bars: 5}}
"""


@pytest.mark.process
def test_a_rule_behind_a_trained_file_trades_alike_in_backtest_and_paper(tmp_path, monkeypatch):
    """The filter is loaded in processes of its own: beside the rule, and with it in paper's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADER_HOME", str(tmp_path / "home"))
    close = 100 * np.exp(np.random.default_rng(4).normal(0, 0.002, 150).cumsum())
    stamps = pd.date_range("2024-03-04", periods=150, freq="min", tz="UTC")
    frame = pd.DataFrame({"timestamp": stamps, "open": close, "close": close, "volume": 1000.0})
    frame["high"], frame["low"] = close * 1.001, close * 0.999
    frame.to_csv("bars.csv", index=False)
    (tmp_path / "rule.yaml").write_text(CONFIG.replace("FILTER", "none"))
    (tmp_path / "train.yaml").write_text(TRAIN)
    done = warm.run(["train", "-c", "rule.yaml", "-c", "train.yaml", "--out", "meta.skops"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.partition("`model.filter:` in the config:")[2]
    second = yaml.safe_load(lines) | {"keep_above": 0.5, "shrink": True}
    (tmp_path / "run.yaml").write_text(CONFIG.replace("FILTER", json.dumps(second)))
    batch = trader.backtest("run.yaml")
    assert batch.digest != trader.backtest("run.yaml", set={"model.filter": None}).digest
    assert (batch.decisions["reason"] == "FILTERED").sum() > 8
    done = warm.run(["paper", "-c", "run.yaml", "--pace", "max"])
    assert done.returncode == 0, done.stderr
    run = next((tmp_path / "runs").glob("*-paper-*"))
    assert json.loads((run / "manifest.json").read_text())["digest"] == batch.digest
    done = warm.run(["parity", run.name])
    assert done.returncode == 0, done.stdout


def test_a_filter_of_other_features_or_a_changed_file_is_refused(tmp_path):
    wrong = meta_file(tmp_path / "meta.skops", ("move", "level"))
    tree = {"type": "rule", "buy": "level > 0", "sell": "level < 0"}
    with pytest.raises(ModelError, match="another order"):
        make_model({**tree, "filter": wrong}, ("level", "move"))
    with pytest.raises(ModelError, match="is not the file"):
        make_model({**tree, "filter": {**wrong, "sha256": "0" * 64}}, ("level", "move"))


@pytest.mark.parametrize(
    ("second", "sizing", "said"),
    [
        ({"type": "onnx", "path": "x.onnx"}, {}, "sha256: is required"),
        ({"type": "python"}, {}, "target: is required"),
        ({"type": "python", "target": "a:b", "path": "c"}, {}, "path: has no meaning"),
        (
            {"type": "python", "target": "a:b", "shrink": True},
            {"position_sizing": {"mode": "percent_equity", "percent": 0.5}},
            "percent_equity has none",
        ),
        (
            {"type": "python", "target": "a:b"},
            {"train": {"estimator": "LogisticRegression", "retrain": {"every": "1d"}}},
            "beside train.retrain",
        ),
    ],
)
def test_what_a_filter_needs_is_said(second, sizing, said):
    rule = {"type": "rule", "buy": "a > 0", "sell": "a < 0", "filter": second}
    with pytest.raises((ConfigError, ValueError), match=said):
        make_model(rule, **sizing)
