"""Models that see more than one row: a window of bars, what is held, all symbols of an instant."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trader
from tests.harness import warm
from tests.model_files import section_of
from tests.model_kit import make_bars, make_features, make_model
from trader.errors import ConfigError, ModelError
from trader.models.model import predict_actions
from trader.models.model_rows import POSITION_COLUMNS, HistoryRows, RowMemory, RowShape

CODE = '''
import numpy as np

def trend(rows):
    """A window: buys where the last close is above the mean of the window."""
    assert rows.ndim == 3 and rows.shape[1:] == (7, 2), rows.shape
    close = rows[:, :, 0]
    return np.where(close[:, -1] > close.mean(axis=1), 1, 2)

class Patient:
    """A policy: enters where it is flat, leaves after three bars or at a gain."""
    def predict(self, rows):
        move, side, qty, gain, bars = rows[:, 1], *rows[:, -4:].T
        assert ((side == 0) == (qty == 0)).all() and (gain[side == 0] == 0).all()
        leaves = (side != 0) & ((bars >= 3) | (gain > 0.002))
        enters = (side == 0) & (move > 0)
        return np.where(leaves, 3, np.where(enters, 1, 0))

def best(frame):
    """A ranking: long the strongest symbol of the instant, short the weakest."""
    assert list(frame.columns) == ["level", "move"] and frame.attrs["time"].tz is not None
    rank = frame["move"].rank(method="first")
    score = (rank - 1) / max(len(frame) - 1, 1)
    return score.sample(frac=1, random_state=1)       # by name, in whatever order

class Remembers:
    """A window and what is held: enters on a rise over the window, leaves after three bars."""
    def predict(self, rows):
        assert rows.shape[1:] == (7, 6), rows.shape
        assert (rows[:, :, 2:] == rows[:, -1:, 2:]).all(), "what is held now, at each bar"
        close, side, bars = rows[:, :, 0], rows[:, -1, 2], rows[:, -1, 5]
        rises = close[:, -1] > close.mean(axis=1)
        return np.where(side == 0, np.where(rises, 1, 2), np.where(bars >= 3, 3, 0))

def steadiest(frame):
    """A ranking by the window: long the symbol that moved least in seven bars."""
    assert frame.index.names == ["symbol", "bar"] and frame.index[6][1] == 0
    moved = frame["move"].abs().groupby(level="symbol").mean()
    assert len(frame) == 7 * len(moved)
    return (moved.rank(method="first", ascending=False) - 1) / max(len(moved) - 1, 1)

def on_rises(rows):
    """A filter: wants what rose."""
    assert rows.shape[1] == 2, rows.shape
    return (rows[:, 1] > 0).astype(float)
'''
CONFIG = """
name: rows
instruments: [AAA, BBB, CCC]
feed: {type: csv, path: bars.csv}
bar_period_seconds: 60
features:
  level: {type: sma, period: 1}
  move: {type: returns, period: 2}
model: MODEL
position_sizing: {mode: target, base_size: 10, allow_short: true}
risk: {max_position_size: 100, max_order_size: 100, min_order_size: 1, max_daily_loss: none,
  max_position_concentration: none, market_hours: 24x7}
throttle: {max_volume_participation: none, volume_window: 5, max_spread_bps: none,
  max_volatility: none, volatility_window: 5, max_order_size: none}
broker: {cash: 100000, commission: {type: bps, value: 1.0}, slippage: {type: bps, value: 1.0}}
execution: {model_isolation: thread, model_timeout_seconds: 60}
report: false
"""
MODELS = {
    "window": "{type: python, target: 'rows_code:trend', window: 7}",
    "position": "{type: python, target: 'rows_code:Patient', needs_position: true}",
    "slice": "{type: python, target: 'rows_code:best', scope: slice, "
    "decide: {buy_above: 0.9, sell_below: 0.1}}",
    "window of positions": "{type: python, target: 'rows_code:Remembers', window: 7, "
    "needs_position: true}",
    "slice of windows": "{type: python, target: 'rows_code:steadiest', scope: slice, window: 7, "
    "decide: {buy_above: 0.9, sell_below: 0.1}}",
    "filtered slice": "{type: python, target: 'rows_code:best', scope: slice, "
    "decide: {buy_above: 0.9, sell_below: 0.1}, "
    "filter: {type: python, target: 'rows_code:on_rises', keep_above: 0.5}}",
    "filtered window": "{type: python, target: 'rows_code:Remembers', window: 7, "
    "needs_position: true, filter: {type: python, target: 'rows_code:on_rises', keep_above: 0.5}}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bars of three symbols, with holes, and the code of the models."""
    place = tmp_path_factory.mktemp("rows")
    chance = np.random.default_rng(4)
    parts = []
    for name in ("AAA", "BBB", "CCC"):
        close = 100 * np.exp(chance.normal(0, 0.002, 300).cumsum())
        stamps = pd.date_range("2024-03-04", periods=300, freq="min", tz="UTC")
        frame = pd.DataFrame({"timestamp": stamps, "symbol": name, "open": close, "close": close})
        frame["high"], frame["low"], frame["volume"] = close * 1.001, close * 0.999, 1000.0
        parts.append(frame[chance.random(300) > 0.05])
    pd.concat(parts).to_csv(place / "bars.csv", index=False)
    (place / "rows_code.py").write_text(CODE)
    for name, model in MODELS.items():
        (place / f"{name}.yaml").write_text(CONFIG.replace("MODEL", model))
    return place


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.long
def test_batch_and_loop_give_one_digest(folder, monkeypatch, kind):
    monkeypatch.chdir(folder)
    batch = trader.backtest(f"{kind}.yaml")
    loop = trader.backtest(f"{kind}.yaml", engine="loop")
    assert batch.digest == loop.digest
    assert len(batch.fills) > 30


def test_what_is_held_counts_the_fills_of_the_bar(folder, monkeypatch):
    """Patient leaves after three bars at the latest: bars held are counted at each close."""
    monkeypatch.chdir(folder)
    run = trader.backtest("position.yaml")
    held = run.trades.get("bars_held", None)
    decisions = run.decisions
    for _, own in decisions.groupby("symbol"):
        acts = own["action"].to_numpy()
        entered = np.flatnonzero(acts == "BUY")
        left = np.flatnonzero(acts == "CLOSE")
        assert len(left) > 5
        for at in left:
            before = entered[entered < at].max()
            assert 1 <= at - before <= 4, "an entry fills at the next open, then three bars"
        assert not any(b == a + 1 for a, b in itertools.pairwise(entered)), (
            "the fill of the bar's open is known at its close"
        )
    assert held is None or held.max() <= 5


@pytest.mark.process
@pytest.mark.parametrize(
    "kind",
    [
        "window of positions",
        *(pytest.param(kind, marks=pytest.mark.trials) for kind in [*MODELS][:3] + [*MODELS][4:]),
    ],
)
def test_paper_gives_the_digest_of_the_backtest_and_parity_passes(folder, monkeypatch, kind):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRADER_HOME", str(folder / "home"))
    done = warm.run(["paper", "-c", f"{kind}.yaml", "--pace", "max", "--out", f"{kind} runs"])
    assert done.returncode == 0, done.stderr
    run = next(Path(f"{kind} runs").glob("*-paper-*"))
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["digest"] == trader.backtest(f"{kind}.yaml").digest
    done = warm.run(["parity", str(run)])
    assert done.returncode == 0, done.stdout + done.stderr


def test_windows_of_a_history_are_those_of_a_stream():
    bars, features = make_bars(200, symbols=3), make_features(200)
    bars = bars[np.random.default_rng(2).random(200) > 0.2]
    features = features[: len(bars)]
    windows = HistoryRows(RowShape(window=5), bars, features)
    memory = RowMemory(RowShape(window=5), 3, 2)
    streamed = np.array(
        [memory.take(bars[i : i + 1], features[i : i + 1])[0] for i in range(len(bars))]
    )
    whole = windows.rows(slice(0, len(bars)))
    np.testing.assert_array_equal(whole, streamed)
    some = np.array([3, 50, 120])
    chosen = HistoryRows(RowShape(window=5), bars, features, some)
    np.testing.assert_array_equal(chosen.rows(slice(1, 3)), whole[some[1:]])
    again = RowMemory(RowShape(window=5), 3, 2)
    first = again.needed_from(bars[:100])
    again.take(bars[first:100], features[first:100])
    np.testing.assert_array_equal(again.take(bars[100:], features[100:]), streamed[100:])


def test_a_row_is_warm_once_its_whole_window_is(tmp_path):
    (tmp_path / "seven.py").write_text("def f(rows):\n    return [1] * len(rows)\n")
    model = make_model({"type": "python", "target": "seven:f", "window": 7}, paths=(tmp_path,))
    bars, features = make_bars(40), make_features(40)
    features[20, 1] = np.nan
    said = predict_actions(model, bars, features)
    held = np.flatnonzero(said.reasons == 1)
    assert held.tolist() == [*range(6), *range(20, 27)]
    assert (np.delete(said.actions, held) == 1).all()


def test_a_slice_is_never_cut_where_a_question_ends(tmp_path):
    (tmp_path / "whole.py").write_text(
        "def f(frame):\n    assert len(frame) == 3, len(frame)\n    return frame['a'] * 0\n"
    )
    section = {"type": "python", "target": "whole:f", "scope": "slice"}
    model = make_model(section, paths=(tmp_path,), instruments=["A", "B", "C"])
    said = predict_actions(model, make_bars(30, 3), make_features(30), chunk_rows=4)
    assert not said.actions.any()


def test_an_answer_that_lacks_symbols_is_refused(tmp_path):
    (tmp_path / "few.py").write_text("def f(frame):\n    return frame['a'].head(2) * 0\n")
    section = {"type": "python", "target": "few:f", "scope": "slice"}
    model = make_model(section, paths=(tmp_path,), instruments=["A", "B", "C"])
    with pytest.raises(ModelError, match="lacks symbols of the frame: C"):
        predict_actions(model, make_bars(6, 3), make_features(6))


def test_who_cannot_know_the_position_says_so(tmp_path):
    (tmp_path / "held.py").write_text("def f(rows):\n    return [0] * len(rows)\n")
    section = {"type": "python", "target": "held:f", "needs_position": True}
    model = make_model(section, paths=(tmp_path,))
    assert model.feature_names == ("a", "b", *POSITION_COLUMNS)
    with pytest.raises(ConfigError, match="asked bar by bar"):
        predict_actions(model, make_bars(5), make_features(5))


@pytest.mark.parametrize("kind", ["position", "window of positions"])
@pytest.mark.long
def test_a_sweep_trades_what_a_backtest_of_the_same_keys_does(folder, monkeypatch, kind):
    monkeypatch.chdir(folder)
    table = trader.sweep(f"{kind}.yaml", {"position_sizing.base_size": [10, 30]}, jobs=1)
    for size, digest in zip(table["position_sizing.base_size"], table["digest"], strict=True):
        alone = trader.backtest(f"{kind}.yaml", set={"position_sizing.base_size": int(size)})
        assert digest == alone.digest


def windowed_graph(path, length):
    """A network over (rows, bars, 2): a convolution along time, its mean as one number."""
    from onnx import TensorProto, helper, numpy_helper

    kernel = numpy_helper.from_array(np.array([[[0.5, -0.2], [1.0, 0.3]]], np.float32), "w")
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("ReduceMean", ["c"], ["y"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", length, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [kernel],
    )
    opset = [helper.make_opsetid("", 13)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )
    return section_of(path, "onnx", decide={"buy_above": 0.0, "sell_below": 0.0})


@pytest.mark.parametrize("length", [7, "bars"])
def test_a_sequence_network_gets_rows_bars_features(tmp_path, length):
    section = windowed_graph(tmp_path / "net.onnx", length)
    model = make_model({**section, "window": 7})
    bars, features = make_bars(60, symbols=2), make_features(60)
    said = predict_actions(model, bars, features)
    x = HistoryRows(RowShape(window=7), bars, features).rows(slice(12, 60)).reshape(48, 7, 2)
    taps = x[:, :-1] @ [0.5, 1.0] + x[:, 1:] @ [-0.2, 0.3]
    np.testing.assert_allclose(said.requests["score"][12:], taps.mean(axis=1), rtol=1e-4, atol=1e-6)
    assert (said.reasons[:12] == 1).all()
    with pytest.raises((ConfigError, ModelError), match=r"bars, features"):
        make_model(section)
    if length == 7:
        with pytest.raises(ConfigError, match="the window is 7; got 8"):
            make_model({**section, "window": 8})
