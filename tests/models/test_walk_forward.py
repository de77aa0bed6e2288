"""Folds, and `train.retrain`: each span is traded by a model of what came before it alone."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.model_kit import MINUTE, START, make_bars, make_config, make_features
from trader import kept_files
from trader.cli import app
from trader.core.schema import Reason
from trader.errors import ConfigError
from trader.models.folds import folds_of
from trader.models.model import predict_actions
from trader.models.retraining import walk_forward
from trader.models.scores import class_scores, number_scores, reliability
from trader.models.training import training_rows

NAMES = ("a", "b")
TREE = {"estimator": "DecisionTreeClassifier", "params": {"max_depth": 3}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_files, "cache_parents", lambda: [tmp_path / "cache"])


def config_for(**train):
    return make_config({"type": "sklearn", "path": "m.skops"}, train={**TREE, **train})


def rows_for(config, rows=600):
    return training_rows(config, make_bars(rows), make_features(rows), NAMES)


# --- folds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("window", [None, 90])
@pytest.mark.parametrize("folds", [1, 4])
def test_nothing_learned_is_known_later_than_the_embargo_before_the_test(folds, window, symbols):
    split = {"folds": folds, "embargo_bars": 10, "window_bars": window}
    config = make_config(
        {"type": "sklearn", "path": "m.skops"},
        train={**TREE, "split": split, "label": {"horizon_bars": 7}},
        instruments=["ACME", "OTHER"][:symbols],
    )
    known = training_rows(config, make_bars(600, symbols), make_features(600), NAMES)
    made = list(folds_of(config, known))
    assert len(made) == folds
    for fold in made:
        assert (known.known_ns[fold.learned] <= fold.first_ns - 11 * MINUTE).all()
        assert (known.asked_ns[fold.tested] >= fold.first_ns).all()
        assert len(fold.learned) > 50
        if window:
            span = known.known_ns[fold.learned].max() - known.asked_ns[fold.learned].min()
            assert span <= (window - 1) * MINUTE
    tested = np.concatenate([fold.tested for fold in made])
    assert len(np.unique(tested)) == len(tested)
    assert made[-1].last_ns == known.asked_ns[-1]


@pytest.mark.parametrize(
    "split", [{"folds": 700}, {"folds": 2, "embargo_bars": 500}, {"folds": 20}]
)
def test_too_little_for_the_folds_is_an_error_of_the_split(split):
    config = config_for(split=split)
    with pytest.raises(ConfigError) as caught:
        list(folds_of(config, rows_for(config)))
    assert caught.value.key == "train.split"


def test_scores_of_a_fold_are_those_of_the_definitions():
    classes = np.array([0, 1, 2, 1])
    said = np.array([[0.6, 0.2, 0.2], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    scores = class_scores(classes, said, 3)
    hit = said[np.arange(4), classes]
    assert scores["accuracy"] == 0.5
    assert scores["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scores["log_loss"] == pytest.approx(-np.log(hit).mean())
    assert scores["brier"] == pytest.approx(((said - np.eye(3)[classes]) ** 2).sum(axis=1).mean())
    assert scores["majority_class_share"] == 0.5
    labels = class_scores(classes, said.argmax(axis=1), 3)
    assert (labels["accuracy"], labels["log_loss"]) == (0.5, None)
    numbers = number_scores(np.array([0.1, -0.2]), np.array([0.2, 0.1]))
    assert numbers["mean_absolute_error"] == pytest.approx(0.2)
    assert numbers["same_sign_share"] == 0.5
    (low, high) = reliability(
        np.array([1, 0, 1]), np.array([[0.95, 0.05], [0.94, 0.06], [0, 1]]), 1
    )
    assert (low["came"], low["rows"], high["came"], high["rows"]) == (0.5, 2, 1.0, 1)


# --- retraining -----------------------------------------------------------------------------


def history(rows=600):
    return make_bars(rows), make_features(rows)


@pytest.mark.parametrize("window", ["200min", None])
@pytest.mark.parametrize("seen", [600, 477])
@pytest.mark.long
def test_what_a_walk_forward_says_of_a_bar_needs_no_later_bar(seen, window):
    config = config_for(label={"horizon_bars": 4}, retrain={"every": "100min", "window": window})
    bars, matrix = history()
    whole = predict_actions(walk_forward(config, bars, matrix, NAMES), bars, matrix)
    other, changed = bars.copy(), matrix.copy()
    for name in ("open", "high", "low", "close"):
        other[name][seen:] *= 3
    changed[seen:] = -7.0
    again = predict_actions(walk_forward(config, other, changed, NAMES), other, changed)
    assert np.array_equal(whole.actions[:seen], again.actions[:seen])
    first = 200 if window else 100
    assert (whole.reasons[:first] == Reason.WARMUP).all()
    assert (whole.reasons[first:] != Reason.WARMUP).all()


def test_a_model_is_that_of_trader_train_on_its_window_alone():
    from trader.models.training import train_model

    config = config_for(label={"horizon_bars": 4}, retrain={"every": "150min", "window": "300min"})
    bars, matrix = history()
    model = walk_forward(config, bars, matrix, NAMES)
    assert [one.made_ns - START for one in model.stretches] == [at * MINUTE for at in (300, 450)]
    for stretch in model.stretches:
        rows = slice(
            *np.searchsorted(bars["ts_ns"], [stretch.learned_from_ns + 1, stretch.made_ns])
        )
        rows = slice(rows.start, rows.stop + 1)
        alone = train_model(config, bars[rows], matrix[rows], NAMES)
        assert hashlib.sha256(alone.data).hexdigest() == stretch.sha256
        assert stretch.rows == alone.facts["rows"]["used"] == 296


@pytest.mark.long
def test_models_come_out_of_the_cache_by_their_content_and_a_damaged_file_is_none(
    tmp_path, monkeypatch
):
    config = config_for(retrain={"every": "200min"})
    bars, matrix = history()
    first = walk_forward(config, bars, matrix, NAMES).document()
    files = sorted((tmp_path / "cache" / "models").iterdir())
    assert len(files) == len(first) == 2
    fitted = []
    real = walk_forward.__globals__["fit"]
    monkeypatch.setitem(walk_forward.__globals__, "fit", lambda *a: fitted.append(1) or real(*a))
    assert walk_forward(config, bars, matrix, NAMES).document() == first
    assert fitted == []
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"?")
    assert walk_forward(config, bars, matrix, NAMES).document() == first
    assert len(fitted) == 1
    other = config.model_copy(update={"seed": 4})
    walk_forward(other, bars, matrix, NAMES)
    assert len(fitted) == 3


@pytest.mark.long
def test_a_window_with_too_little_keeps_the_model_before_and_says_so(caplog):
    config = config_for(retrain={"every": "100min", "window": "100min"})
    bars, matrix = history()
    matrix[310:390] = np.nan
    model = walk_forward(config, bars, matrix, NAMES)
    assert [(one.made_ns - START) // MINUTE for one in model.stretches] == [100, 200, 300, 500]
    predict_actions(model, bars, matrix)
    assert "the model before goes on" in caplog.text


def test_a_history_too_short_for_one_model_is_an_error():
    config = config_for(retrain={"every": "1d", "window": "30d"})
    bars, matrix = history()
    with pytest.raises(ConfigError) as caught:
        predict_actions(walk_forward(config, bars, matrix, NAMES), bars, matrix)
    assert caught.value.key == "train.retrain"
    rule = make_config(
        {"type": "rule", "buy": "a > 0", "sell": "a < 0"},
        train={**TREE, "retrain": {"every": "1d"}},
    )
    with pytest.raises(ConfigError) as caught:
        walk_forward(rule, bars, matrix, NAMES)
    assert caught.value.key == "model.type"


# --- as a user runs it ----------------------------------------------------------------------

LAYER = """\
train:
  end: none
  retrain: {every: 2d, window: 4d}
feed: {end: 2024-03-12}
model: {path: no/such/file.skops, sha256: none}
"""


@pytest.mark.long
def test_backtest_loop_and_lookahead_of_a_walk_forward_agree(tmp_path, monkeypatch, capsys):
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "layer.yaml").write_text(LAYER)
    (tmp_path / "data").symlink_to(root / "data")
    monkeypatch.chdir(tmp_path)
    layers = ["-c", str(root / "configs/demo_sklearn.yaml"), "-c", "layer.yaml", "--json"]

    def document(command, *words):
        assert app.run([command, *layers, *words]) == 0
        return json.loads(capsys.readouterr().out)

    batch = document("backtest", "--strict")
    assert batch["in_sample"]["share"] == 0.0
    assert batch["fills"] > 0
    assert document("backtest", "--engine", "loop")["digest"] == batch["digest"]
    manifest = json.loads((Path(batch["run_dir"]) / "manifest.json").read_text())
    models = manifest["model"]["walk_forward"]
    assert [one["made_at"][:10] for one in models] == ["2024-03-08", "2024-03-10"]
    proof = document("lookahead", "--cuts", "2")
    assert (proof["verdict"], proof["in_sample"]["bars"]) == ("pass", 0)
