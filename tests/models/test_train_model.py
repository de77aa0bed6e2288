"""Labels, rows, fit, card and files of `trader train`, on arrays."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model_kit import MINUTE, START, make_bars, make_config, make_features
from tests.tiers import cases
from trader.core.schema import TradingAction
from trader.errors import ConfigError, ModelError, UsageError
from trader.models.labels import UNLABELLED, bars_inside, forward_labels
from trader.models.model import load_model, predict_actions
from trader.models.model_card import Origin, card_path, output_path, write_model
from trader.models.training import MIN_TRAIN_ROWS, train_model

HOLD, BUY, SELL = TradingAction.HOLD, TradingAction.BUY, TradingAction.SELL
NAMES = ("a", "b")
ORIGIN = Origin("c" * 64, [{"path": "bars.csv", "sha256": "d" * 64}])
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def config_for(train=None, **sections):
    train = {"estimator": LOGISTIC} | (train or {})
    section = {"type": "sklearn", "path": "model.skops"}
    return make_config(section, train=train, **sections)


def prices_that_follow(features, horizon=1):
    """Closes whose return over the next bar has the sign that feature a tells."""
    step = np.sign(features[:, 0]) * 0.001
    return 100.0 * np.exp(np.concatenate([[0.0], step[:-1].cumsum()]))


def train(rows=400, config=None, features=None, bars=None):
    features = make_features(rows) if features is None else features
    if bars is None:
        bars = make_bars(rows, close=prices_that_follow(np.nan_to_num(features)))
    return train_model(config or config_for(), bars, features, NAMES)


# --- labels ---------------------------------------------------------------------------------


def naive_labels(bars, inside, horizon, threshold_bps):
    labels = []
    for row, bar in enumerate(bars):
        later = [
            other
            for k, other in enumerate(bars[row + 1 :], row + 1)
            if other["symbol"] == bar["symbol"] and inside[k]
        ]
        if not inside[row] or len(later) < horizon:
            labels.append(UNLABELLED)
            continue
        bps = (later[horizon - 1]["close"] - bar["close"]) / bar["close"] * 1e4
        labels.append(BUY if bps > threshold_bps else SELL if bps < -threshold_bps else HOLD)
    return labels


@settings(max_examples=cases(80), deadline=None)
@given(
    st.integers(0, 25).flatmap(
        lambda rows: st.tuples(
            st.lists(st.integers(0, 2), min_size=rows, max_size=rows),
            st.lists(st.sampled_from([99.0, 100.0, 100.5, 101.0]), min_size=rows, max_size=rows),
            st.lists(st.booleans(), min_size=rows, max_size=rows),
        )
    ),
    st.integers(1, 4),
    st.sampled_from([0.0, 50.0, 100.0]),
)
def test_labels_equal_a_naive_loop_that_never_mixes_symbols(table, horizon, threshold_bps):
    symbols, closes, inside = table
    bars = make_bars(len(symbols), close=np.array(closes, np.float64))
    bars["symbol"] = symbols
    inside = np.array(inside, bool)
    labels = forward_labels(bars, inside, horizon, threshold_bps)
    assert labels.dtype == np.int8
    assert labels.tolist() == naive_labels(bars, inside, horizon, threshold_bps)


def test_return_of_exactly_the_threshold_is_hold():
    bars = make_bars(3, close=np.array([64.0, 96.0, 48.0]))  # +50 %, -50 %
    inside = np.ones(3, bool)
    assert forward_labels(bars, inside, 1, 5000.0).tolist() == [HOLD, HOLD, UNLABELLED]
    assert forward_labels(bars, inside, 1, 4999.9).tolist() == [BUY, SELL, UNLABELLED]


def test_span_takes_bars_that_lie_wholly_inside():
    bars = make_bars(5)  # open at 00:00 … 00:04
    span = (START + MINUTE, START + 4 * MINUTE)
    assert bars_inside(bars, MINUTE, span).tolist() == [False, True, True, True, False]
    span = (START + MINUTE + 1, START + 4 * MINUTE - 1)
    assert bars_inside(bars, MINUTE, span).tolist() == [False, False, True, False, False]
    assert bars_inside(bars, MINUTE, (None, None)).all()


def test_prices_after_the_end_of_the_span_change_nothing():
    features = make_features(400)
    end = pd.to_datetime(START + 300 * MINUTE, utc=True).isoformat()
    config = config_for({"end": end, "label": {"horizon_bars": 5}})
    bars = make_bars(400, close=prices_that_follow(features))
    before = train(config=config, features=features, bars=bars)
    changed, other = bars.copy(), features.copy()
    for field in ("open", "high", "low", "close"):
        changed[field][300:] *= 3.0
    other[300:] = 7.0
    after = train(config=config, features=other, bars=changed)
    assert before.data == after.data
    assert before.facts == after.facts
    assert before.facts["rows"] == {
        "in_span": 300,
        "not_warm": 0,
        "beyond_horizon": 5,
        "used": 295,
    }
    assert before.facts["span"]["last_bar_closes"] == "2018-03-10T05:00:00Z"


# --- fit ------------------------------------------------------------------------------------


def test_model_learns_what_is_there_to_learn():
    trained = train()
    assert trained.facts["in_sample"]["accuracy"] > 0.95
    assert trained.facts["classes"]["BUY"] + trained.facts["classes"]["SELL"] == 399
    assert 0.4 < trained.facts["in_sample"]["majority_class_share"] < 0.6


@pytest.mark.process
@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (LOGISTIC, {"C": 0.5}),
        ("LogisticRegression", {}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 8, "n_jobs": 2}),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 5}),
        ("sklearn.neural_network.MLPClassifier", {"max_iter": 5, "hidden_layer_sizes": [3]}),
        ("sklearn.neighbors.KNeighborsClassifier", {}),
    ],
)
def test_same_inputs_give_the_same_bytes_and_load_without_trusting_more(
    tmp_path, monkeypatch, estimator, params
):
    monkeypatch.chdir(tmp_path)
    config = config_for({"estimator": estimator, "params": params}, seed=3)
    first, second = train(config=config), train(config=config)
    assert first.data == second.data
    path = output_path(config, None, force=False)
    card = write_model(first, path, config, NAMES, ORIGIN)
    section = {"type": "sklearn", "path": str(path), "sha256": card["sha256"]}
    model = load_model(make_config(section), NAMES, ("ACME",))
    features = make_features(100, seed=4)
    actions, _, _ = predict_actions(model, make_bars(100), features)
    expected = first.estimator.predict(pd.DataFrame(features, columns=list(NAMES)))
    assert np.array_equal(actions, expected)


@pytest.mark.long
def test_seed_of_the_config_is_the_random_state_unless_one_is_given():
    forest = {"estimator": "RandomForestClassifier", "params": {"n_estimators": 4}}
    assert train(config=config_for(forest, seed=5)).data != train(config=config_for(forest)).data
    own = {**forest, "params": {"n_estimators": 4, "random_state": 9}}
    trained = train(config=config_for(own, seed=5))
    assert trained.estimator.get_params()["randomforestclassifier__random_state"] == 9


def test_scaling_is_part_of_the_model_and_can_be_left_out():
    scaled = train(config=config_for({"scale": True}))
    assert list(scaled.estimator.named_steps) == ["standardscaler", "logisticregression"]
    bare = train(config=config_for({"scale": False}))
    assert type(bare.estimator).__name__ == "LogisticRegression"


def test_rows_that_are_not_warm_are_left_out():
    features = make_features(400)
    features[:30, 1] = np.nan
    features[100] = np.nan
    trained = train(features=features)
    assert trained.facts["rows"]["not_warm"] == 31
    assert trained.facts["rows"]["used"] == 368


def test_warnings_of_the_fit_are_kept():
    trained = train(config=config_for({"params": {"max_iter": 1}, "scale": False}))
    assert any("ConvergenceWarning" in note for note in trained.facts["warnings"])


def test_labels_by_stop_and_target_say_that_they_see_no_finer_bars():
    finer = {"feed": {"type": "csv", "path": "bars.csv", "period_seconds": 30}}
    finer["broker"] = {"cash": 1000, "intrabar": "detail"}
    label = {"type": "triple_barrier", "horizon_bars": 3, "take_profit": {"value": 0.001}}
    for chosen, told in ((label, True), ({"type": "horizon", "horizon_bars": 1}, False)):
        train_section = {"estimator": "LogisticRegression", "label": chosen}
        config = make_config({"type": "sklearn", "path": "m.skops"}, train=train_section, **finer)
        trained = train(config=config)
        assert any("whole bars" in note for note in trained.facts["warnings"]) == told


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        ("sklearn.linear_model.LogisticRegresion", "did you mean sklearn.linear_model.Logistic"),
        ("NoSuchThing", "no such classifier"),
        ("sklearn.nowhere.LogisticRegression", "no such classifier"),
        ("sklearn.cluster.KMeans", "is not a classifier"),
        ("sklearn.preprocessing.StandardScaler", "is not a classifier"),
        ("sklearn.utils.all_estimators", "is not a classifier"),
        ("sklearn.base.ClassifierMixin", "is not a classifier"),
        ("os.system", "is not part of scikit-learn"),
        ("catboost.CatBoostClassifier", "is not part of scikit-learn"),
        ("xgboost.XGBClassifer", "XGBoost has no such classifier"),
        ("sklearnx.linear_model.LogisticRegression", "is not part of scikit-learn"),
    ],
)
def test_estimator_that_is_no_classifier_is_config_error(estimator, message):
    with pytest.raises(ConfigError) as caught:
        train(config=config_for({"estimator": estimator}))
    assert message in str(caught.value)
    assert caught.value.key == "train.estimator"


@pytest.mark.parametrize(
    ("train_section", "key", "message"),
    [
        ({"params": {"max_itr": 5}}, "train.params.max_itr", "did you mean 'max_iter'"),
        ({"params": {"C": -1}}, "train.params", "'C' parameter"),
        ({"estimator": "StackingClassifier"}, "train.params", "estimators"),
        ({"start": "2030-01-01"}, "train.start", "feed has bars from 2018-03-10T00:00:00Z"),
        ({"end": "2001-01-01"}, "train.end", "feed has bars from 2018-03-10T00:00:00Z"),
        ({"label": {"threshold_bps": 900}}, "train.label", "every one of the 399 rows is .*HOLD"),
        ({"label": {"horizon_bars": 399}}, "train", "only 1 rows to learn from"),
        ({"end": "2018-03-10T00:30:00Z"}, "train", "only 29 rows"),
    ],
)
def test_training_that_cannot_be_done_is_config_error_of_its_key(train_section, key, message):
    with pytest.raises(ConfigError, match=message) as caught:
        train(config=config_for(train_section))
    assert caught.value.key == key
    assert caught.value.exit_code == 3


def test_without_train_section_features_or_warm_rows_there_is_nothing_to_train():
    config = make_config({"type": "sklearn", "path": "m.skops", "sha256": "0" * 64})
    with pytest.raises(ConfigError) as caught:
        train(config=config)
    assert caught.value.key == "train"
    with pytest.raises(ConfigError, match="no features"):
        train_model(config_for(), make_bars(100), np.empty((100, 0)), ())
    with pytest.raises(ConfigError, match="no feature is ever warm") as caught:
        train(features=np.full((400, 2), np.nan))
    assert caught.value.key == "features"


def test_fewest_rows_that_can_be_learned_from():
    assert train(rows=MIN_TRAIN_ROWS + 1).facts["rows"]["used"] == MIN_TRAIN_ROWS
    with pytest.raises(ConfigError, match="only 49 rows"):
        train(rows=MIN_TRAIN_ROWS)


def test_infinite_feature_names_row_and_feature():
    features = make_features(400)
    features[17, 1] = np.inf
    with pytest.raises(ModelError, match=r"row 17 \(from 0; ACME.*feature b is infinite"):
        train(features=features, bars=make_bars(400))


def test_fit_that_fails_is_model_error_with_its_message():
    with pytest.raises(ModelError, match=r"cannot be fitted: ValueError.*Negative values"):
        train(config=config_for({"estimator": "MultinomialNB", "scale": False}))


# --- files ----------------------------------------------------------------------------------


def test_card_says_what_the_model_is(tmp_path):
    config = config_for(
        {"label": {"horizon_bars": 3, "threshold_bps": 2}},
        features={"a": {"type": "sma", "period": 10}, "b": {"type": "rsi", "period": 14}},
        seed=11,
    )
    trained = train(config=config)
    path = tmp_path / "new" / "m.skops"
    card = write_model(trained, path, config, NAMES, ORIGIN)
    assert json.loads((tmp_path / "new" / "m.skops.card.json").read_text()) == card
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["features"] == ["a", "b"]
    assert card["feature_definitions"]["a"] == {"type": "sma", "period": 10}
    assert (card["label"]["horizon_bars"], card["label"]["threshold_bps"]) == (3, 2.0)
    assert card["span"] == {
        "first_bar_opens": "2018-03-10T00:00:00Z",
        "last_bar_closes": "2018-03-10T06:40:00Z",
    }
    assert sum(card["classes"].values()) == card["rows"]["used"] == 397
    assert set(card["in_sample"]) == {"accuracy", "balanced_accuracy", "majority_class_share"}
    assert card["data"] == [{"path": "bars.csv", "sha256": "d" * 64}]
    assert (card["config_sha256"], card["seed"]) == ("c" * 64, 11)
    assert {"python", "numpy", "scikit-learn", "skops"} <= set(card["versions"])
    assert card["params"]["C"] == 1.0
    assert sorted(p.name for p in path.parent.iterdir()) == ["m.skops", "m.skops.card.json"]


def test_training_again_changes_neither_file(tmp_path):
    path = tmp_path / "m.skops"
    write_model(train(), path, config_for(), NAMES, ORIGIN)
    before = path.read_bytes(), card_path(path).read_bytes()
    write_model(train(), path, config_for(), NAMES, ORIGIN)
    assert (path.read_bytes(), card_path(path).read_bytes()) == before


def test_what_exists_is_overwritten_only_by_force(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_for()
    assert output_path(config, None, force=False).name == "model.skops"
    (tmp_path / "model.skops.card.json").write_text("{}")
    with pytest.raises(UsageError, match="exists already; use --force") as caught:
        output_path(config, None, force=False)
    assert caught.value.exit_code == 2
    assert output_path(config, None, force=True).name == "model.skops"
    assert output_path(config, "other.skops", force=False).name == "other.skops"
    (tmp_path / "folder.skops").mkdir()
    with pytest.raises(UsageError, match="name a file"):
        output_path(config, "folder.skops", force=True)


def test_config_of_another_model_type_needs_a_place_to_write_to():
    rule = {"type": "rule", "buy": "true", "sell": "false"}
    config = make_config(rule, train={"estimator": LOGISTIC})
    with pytest.raises(ConfigError, match="is of type rule") as caught:
        output_path(config, None, force=False)
    assert caught.value.key == "model.type"
    assert output_path(config, "m.skops", force=False).name == "m.skops"


def test_place_that_cannot_be_written_is_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_model(train(), tmp_path / "file" / "m.skops", config_for(), NAMES, ORIGIN)
