"""Every kind of estimator that `trader train` takes: fitted, saved, pinned, loaded, asked."""

import numpy as np
import pandas as pd
import pytest

from tests.model_kit import make_bars, make_config, make_features
from trader.core.schema import TradingAction
from trader.errors import ConfigError, ModelError
from trader.models.model import load_model, predict_actions
from trader.models.model_card import Origin, write_model
from trader.models.training import train_model

NAMES = ("a", "b")
ORIGIN = Origin("c" * 64, [])
RULE = {"type": "rule", "buy": "a > 0", "sell": "a <= 0"}
BOOSTERS = {
    "lightgbm": ("lightgbm.LGBMClassifier", {"n_estimators": 5}),
    "xgboost": ("xgboost.XGBClassifier", {"n_estimators": 5}),
}


def following(features, quiet=False):
    """Bars whose next return follows feature a; with `quiet`, small ones do not move at all."""
    step = np.sign(features[:, 0]) * 0.001
    if quiet:
        step[np.abs(features[:, 0]) < 0.4] = 0.0
    close = 100.0 * np.exp(np.concatenate([[0.0], step[:-1].cumsum()]))
    return make_bars(len(features), close=close)


def config_for(estimator, kind="sklearn", model=None, **train):
    section = model or {"type": kind, "path": "model.bin"}
    return make_config(section, train={"estimator": estimator, **train})


def fitted(config, quiet=True, rows=400):
    features = make_features(rows)
    return train_model(config, following(features, quiet), features, NAMES)


def asked(trained, config, path, **more):
    """What a run of the pinned file says of other rows."""
    card = write_model(trained, path, config, NAMES, ORIGIN)
    kind = trained.fitted.kind
    section = {"type": kind, "path": str(path), "sha256": card["sha256"], **more}
    model = load_model(make_config(section), NAMES, ("ACME",))
    features = make_features(80, seed=9)
    return features, predict_actions(model, make_bars(80), features), card


@pytest.mark.parametrize("kind", BOOSTERS)
def test_a_booster_is_saved_in_its_own_format_and_answers_as_it_was_fitted(kind, tmp_path):
    estimator, params = BOOSTERS[kind]
    config = config_for(estimator, kind, params=params)
    trained = fitted(config)
    features, said, card = asked(trained, config, tmp_path / "m")
    expected = trained.estimator.predict(pd.DataFrame(features, columns=list(NAMES)))
    assert said.actions.tolist() == expected.tolist()
    assert set(expected.tolist()) == {0, 1, 2}
    assert card["format"] == {"lightgbm": "text", "xgboost": "ubj"}[kind]
    assert card["outputs"] == ["HOLD", "BUY", "SELL"]
    assert kind in card["versions"] or f"{kind}-cpu" in card["versions"]
    assert card["scale"] is False


@pytest.mark.parametrize("kind", BOOSTERS)
def test_columns_that_are_not_hold_buy_sell_are_never_guessed(kind, tmp_path):
    estimator, params = BOOSTERS[kind]
    weights = {"class_weight": {1: 1, 2: 1}} if kind == "lightgbm" else {}
    config = config_for(estimator, kind, params=params | weights)
    trained = fitted(config, quiet=False)  # every bar moves: no HOLD
    with pytest.raises(ModelError, match=r"model.classes: \{0: BUY, 1: SELL\}"):
        asked(trained, config, tmp_path / "m")
    features, said, card = asked(trained, config, tmp_path / "m", classes={0: "BUY", 1: "SELL"})
    assert card["outputs"] == ["BUY", "SELL"]
    assert np.mean(np.where(features[:, 0] > 0, 1, 2) == said.actions) > 0.9


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [("Ridge", "sklearn"), ("lightgbm.LGBMRegressor", "lightgbm"), ("XGBRegressor", "xgboost")],
)
def test_a_regressor_learns_the_return_and_decides_by_it(estimator, kind, tmp_path):
    config = config_for(estimator, kind)
    trained = fitted(config)
    decide = {"buy_above": 0.0002, "sell_below": -0.0002}
    features, said, card = asked(trained, config, tmp_path / "m", decide=decide)
    assert card["outputs"] is None
    assert card["in_sample"]["r2"] > 0.4
    far = np.abs(features[:, 0]) > 0.8
    assert np.mean(np.where(features[:, 0] > 0, 1, 2)[far] == said.actions[far]) > 0.9


def test_a_meta_model_tells_where_the_rule_is_right():
    features = make_features(600)
    step = np.where(features[:, 1] > 0, 1.0, -1.0) * np.sign(features[:, 0]) * 0.001
    close = 100.0 * np.exp(np.concatenate([[0.0], step[:-1].cumsum()]))
    config = config_for("LogisticRegression", model=RULE, label={"type": "meta"})
    trained = train_model(config, make_bars(600, close=close), features, NAMES)
    assert trained.class_names == ("WRONG", "RIGHT")
    assert trained.facts["in_sample"]["accuracy"] > 0.95  # right where b is above 0


@pytest.mark.long
def test_calibration_is_fitted_on_later_rows_and_saved_with_the_model(tmp_path):
    for method in ("sigmoid", "isotonic"):
        config = config_for("LogisticRegression", calibration=method, sample_weight="uniqueness")
        trained = fitted(config)
        assert fitted(config).data == trained.data
        features, said, card = asked(trained, config, tmp_path / method)
        assert card["calibration"]["method"] == method
        assert card["warnings"] == []  # of weights that the frozen part does not take
        assert card["calibration"]["fitted_on"] + card["calibration"]["calibrated_on"] <= 399
        frame = pd.DataFrame(features, columns=list(NAMES))
        chance = trained.estimator.predict_proba(frame).max(axis=1)
        assert said.requests["score"] == pytest.approx(chance)


@pytest.mark.parametrize(
    ("train", "key"),
    [
        ({"estimator": "Ridge", "calibration": "sigmoid"}, "train.calibration"),
        ({"estimator": "LGBMClassifier", "calibration": "sigmoid"}, "train.calibration"),
        ({"estimator": "LGBMClassifier", "scale": True}, "train.scale"),
        ({"estimator": "XGBClassifier", "steps": ["PCA"]}, "train.steps"),
        ({"estimator": "LGBMClassifier", "params": {"num_leafs": 3}}, "train.params.num_leafs"),
        ({"estimator": "KNeighborsClassifier", "sample_weight": "uniqueness"},
         "train.sample_weight"),
        ({"estimator": "Ridge", "steps": ["Nonsense"]}, "train.steps.0.estimator"),
        ({"estimator": "Ridge", "steps": [{"estimator": "PCA", "params": {"n": 1}}]},
         "train.steps.0.params.n"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit_together_names_its_key(train, key):
    with pytest.raises(ConfigError) as caught:
        fitted(config_for(**train))
    assert caught.value.key == key


def test_steps_stand_between_scaler_and_estimator():
    steps = [
        "QuantileTransformer",
        {"estimator": "sklearn.decomposition.PCA", "params": {"n_components": 1}},
    ]
    steps[0] = {"estimator": steps[0], "params": {"n_quantiles": 20}}
    trained = fitted(config_for("LogisticRegression", steps=steps, sample_weight="uniqueness"))
    assert list(trained.estimator.named_steps) == [
        "standardscaler", "quantiletransformer", "pca", "logisticregression",
    ]  # fmt: skip
    assert trained.estimator[-1].coef_.shape[1] == 1


@pytest.mark.long
def test_training_gives_the_same_bytes_on_any_number_of_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    more = {
        "sklearn": ("RandomForestClassifier", {"n_estimators": 6}),
        "hist": ("HistGradientBoostingClassifier", {"max_iter": 5}),
    }
    for kind, (estimator, params) in {**BOOSTERS, **more}.items():
        trained = set()
        for threads in (1, 4):
            jobs = {} if kind == "hist" else {"n_jobs": threads}
            config = config_for(estimator, params={**params, **jobs})
            with threadpoolctl.threadpool_limits(threads):
                trained.add(fitted(config, rows=1500).data)
        assert len(trained) == 1, kind


@pytest.mark.long
def test_the_matrix_has_the_label_that_is_learned(tmp_path):
    import trader

    features = make_features(400)
    bars = following(features)
    frame = pd.DataFrame({name: bars[name] for name in ("open", "high", "low", "close", "volume")})
    frame.index = pd.to_datetime(bars["ts_ns"], utc=True)
    tree = {
        **make_config(RULE).model_dump(mode="json"),
        "features": {"a": {"type": "returns", "period": 1}},
        "model": {"type": "rule", "buy": "a > 0", "sell": "a < 0"},
        "exits": {"stop_loss": {"value": 0.2}, "take_profit": {"value": 0.2}},
    }

    def column(estimator, **label):
        train = {"estimator": estimator, "label": {"horizon_bars": 5, **label}}
        return trader.features({**tree, "train": train}, bars=frame)["label"]

    assert set(column("Ridge", type="meta").dropna().round(4)) != {0, 1}
    assert set(column("LogisticRegression", type="meta").dropna()) == {0, 1}
    barrier = column("LogisticRegression", type="triple_barrier").dropna()
    assert set(barrier) <= {int(action) for action in TradingAction}
    assert len(barrier) == 400 - 6
    assert column("Ridge").dropna().abs().max() == pytest.approx(0.005, rel=0.01)
