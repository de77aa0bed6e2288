"""`model.type: sklearn`: pinned files, hostile files, features, labels, and equal answers."""

import hashlib
import io
import json
import os
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

from tests.model_kit import make_bars, make_config, make_features, make_model, pinned, save_skops
from trader.core.schema import Reason
from trader.errors import ConfigError, ModelError
from trader.models import pinned as pinned_file
from trader.models import sklearn_predictor, skops_file
from trader.models.model import predict_actions
from trader.models.sklearn_predictor import SklearnPredictor
from trader.models.skops_file import dump_skops, load_skops

NAMES = ("a", "b", "c")
ROWS = 600
TRAIN = {"train": {"estimator": "LogisticRegression"}}
SECTION = {"type": "sklearn", "path": "m.skops", "sha256": "0" * 64}


def training_data(labels=(0, 1, 2)):
    features = make_features(ROWS, 3, seed=5)
    direction = features[:, 0] - features[:, 1]
    choice = np.select([direction > 0.5, direction < -0.5], [1, 2], 0)
    return pd.DataFrame(features, columns=list(NAMES)), np.asarray(labels)[choice]


def fitted(estimator=None, labels=(0, 1, 2)):
    if estimator is None:
        estimator = make_pipeline(StandardScaler(), LogisticRegression())
    return estimator.fit(*training_data(labels))


def load(section, names=NAMES, **sections):
    return make_model(section, names, **sections)


ESTIMATORS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(12, n_jobs=2, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "network": lambda: MLPClassifier((20,), max_iter=200, tol=1e-2, random_state=0),
    "voting": lambda: VotingClassifier(
        [
            ("forest", RandomForestClassifier(5, n_jobs=2, random_state=0)),
            ("logistic", LogisticRegression()),
        ],
        voting="soft",
    ),
}


@pytest.mark.process
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_fitted_classifier_answers_as_scikit_learn_does(tmp_path, kind):
    estimator = fitted(ESTIMATORS[kind]())
    model = load(save_skops(tmp_path / "m.skops", estimator) | {"chunk_rows": 128})
    features = make_features(ROWS, 3, seed=9)
    features[:20] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actions, reasons, _ = predict_actions(model, make_bars(ROWS), features)
    expected = estimator.predict(pd.DataFrame(features[20:], columns=list(NAMES)))
    assert np.array_equal(actions[20:], expected)
    assert set(expected.tolist()) == {0, 1, 2}
    assert (reasons[:20] == Reason.WARMUP).all()


@pytest.mark.process
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_row_alone_in_a_slice_and_in_a_history_get_one_answer(tmp_path, kind):
    model = load(save_skops(tmp_path / "m.skops", fitted(ESTIMATORS[kind]())))
    bars, features = make_bars(60), make_features(60, 3, seed=9)
    whole = model.predict(bars, np.asfortranarray(features))
    for size in (1, 2, 3, 24):
        parts = [
            model.predict(bars[i : i + size], features[i : i + size]) for i in range(0, 60, size)
        ]
        for column, expected in zip(zip(*parts, strict=True), whole, strict=True):
            assert np.concatenate(column).tobytes() == expected.tobytes()


def test_scores_are_the_probabilities_of_scikit_learn_itself(tmp_path):
    estimator = fitted()
    model = load(save_skops(tmp_path / "m.skops", estimator))
    features = make_features(400, 3, seed=9)
    scores = model.predict(make_bars(400), features).scores
    probabilities = estimator.predict_proba(pd.DataFrame(features, columns=list(NAMES)))
    assert np.allclose(scores, probabilities.max(axis=1), rtol=1e-12)


def test_forests_are_put_on_one_job_even_inside_other_estimators(tmp_path):
    model = load(save_skops(tmp_path / "m.skops", fitted(ESTIMATORS["voting"]())))
    assert model._predictor._model.estimators_[0].n_jobs == 1


def test_string_classes_and_two_classes_are_actions(tmp_path):
    model = load(save_skops(tmp_path / "m.skops", fitted(labels=("HOLD", "BUY", "SELL"))))
    number = load(save_skops(tmp_path / "n.skops", fitted()))
    features = make_features(50, 3)
    assert np.array_equal(
        model.predict(make_bars(50), features).actions,
        number.predict(make_bars(50), features).actions,
    )
    two = load(save_skops(tmp_path / "two.skops", fitted(labels=(2, 1, 2))))
    assert set(two.predict(make_bars(50), features).actions.tolist()) == {1, 2}


def test_float_classes_are_whole_numbers(tmp_path):
    model = load(save_skops(tmp_path / "m.skops", fitted(labels=(0.0, 1.0, 2.0))))
    assert set(model.predict(make_bars(50), make_features(50, 3)).actions.tolist()) == {0, 1, 2}


# --- the file is the one the config names ---------------------------------------------------


def test_changed_file_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    path = tmp_path / "m.skops"
    section = save_skops(path, fitted())
    path.write_bytes(path.read_bytes() + b"x")
    monkeypatch.setattr(skops.io, "get_untrusted_types", lambda **_: pytest.fail("parsed"))
    with pytest.raises(ModelError) as caught:
        load(section)
    assert caught.value.exit_code == 5
    assert section["sha256"] in str(caught.value)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(caught.value)


def test_swapping_the_file_behind_a_link_while_it_is_loaded_changes_nothing(tmp_path, monkeypatch):
    good, other, link = tmp_path / "good.skops", tmp_path / "other.skops", tmp_path / "m.skops"
    section = save_skops(good, fitted())
    save_skops(other, fitted(labels=(0, 2, 1)))
    link.symlink_to(good)
    features = make_features(50, 3)
    expected = load(section).predict(make_bars(50), features).actions
    checked = pinned_file.read_pinned

    def swap(path, sha256):
        data = checked(path, sha256)
        link.unlink()
        link.symlink_to(other)
        return data

    monkeypatch.setattr("trader.models.file_model.read_pinned", swap)
    model = load(section | {"path": str(link)})
    assert os.path.realpath(link) == str(other)
    assert np.array_equal(model.predict(make_bars(50), features).actions, expected)


def test_missing_hash_is_config_error_that_shows_the_line_to_write(tmp_path):
    section = save_skops(tmp_path / "m.skops", fitted())
    sha256 = section.pop("sha256")
    with pytest.raises(ConfigError, match=f"sha256: {sha256}") as caught:
        load(section, **TRAIN)
    assert caught.value.key == "model.sha256"


def test_missing_file_says_how_to_make_one(tmp_path):
    section = {"type": "sklearn", "path": str(tmp_path / "no.skops"), "sha256": "0" * 64}
    with pytest.raises(ModelError, match=r"cannot be read: No such file.*trader train"):
        load(section)
    with pytest.raises(ModelError, match="is a folder"):
        load(section | {"path": str(tmp_path)})


def test_file_above_the_size_limit_is_not_read(tmp_path, monkeypatch):
    section = save_skops(tmp_path / "m.skops", fitted())
    monkeypatch.setattr(pinned_file, "MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="larger than 1000 bytes"):
        load(section)


# --- hostile and damaged files --------------------------------------------------------------


def write_skops(path, schema, parts=None, **zip_options):
    """A skops file by hand; the section that pins it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **zip_options) as file:
        for name, data in (parts or {}).items():
            file.writestr(name, data)
        file.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
    return pinned(path)


def parts_of(path):
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    return json.loads(parts.pop("schema.json")), parts


def test_function_that_runs_a_command_is_refused_and_not_run(tmp_path):
    """The attack that works on a pickle, as a skops file: a transformer that calls os.system."""
    scaled = make_pipeline(FunctionTransformer(os.system), LogisticRegression())
    scaled.steps[1][1].fit(*training_data())
    path = tmp_path / "evil.skops"
    path.write_bytes(skops.io.dumps(scaled))
    with pytest.raises(ModelError) as caught:
        load(pinned(path))
    assert "posix.system" in str(caught.value) or "nt.system" in str(caught.value)
    assert "model.trusted" in str(caught.value)
    assert caught.value.exit_code == 5


def test_type_smuggled_into_the_schema_is_refused_and_not_made(tmp_path):
    save_skops(tmp_path / "m.skops", fitted())
    schema, parts = parts_of(tmp_path / "m.skops")
    marker = tmp_path / "was_here"
    schema["content"]["content"]["extra"] = {
        "__class__": "Popen",
        "__module__": "subprocess",
        "__loader__": "ConstructorFromReduceNode",
        "content": {
            "__class__": "tuple",
            "__module__": "builtins",
            "__loader__": "TupleNode",
            "content": [
                {
                    "__class__": "str",
                    "__module__": "builtins",
                    "__loader__": "JsonNode",
                    "content": json.dumps(["touch", str(marker)]),
                }
            ],
        },
    }
    section = write_skops(tmp_path / "evil.skops", schema, parts)
    with pytest.raises(ModelError, match=r"subprocess\.Popen"):
        load(section)
    assert not marker.exists()


class Contrarian(ClassifierMixin, BaseEstimator):
    """A classifier that skops does not know."""

    def fit(self, features, labels):
        self.classes_ = np.unique(labels)
        self.n_features_in_ = np.shape(features)[1]
        return self

    def predict(self, features):
        return np.where(np.asarray(features)[:, 0] > 0, 2, 1)


def test_type_of_the_users_own_is_loaded_once_trusted(tmp_path):
    section = save_skops(tmp_path / "m.skops", fitted(Contrarian()))
    name = f"{Contrarian.__module__}.Contrarian"
    with pytest.raises(ModelError, match=name):
        load(section)
    model = load(section | {"trusted": [name]})
    asked = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    assert model.predict(make_bars(2), asked).actions.tolist() == [2, 1]
    assert "does not say which features" in model.notices[0]


def test_zip_bomb_is_refused_by_what_it_declares(tmp_path, monkeypatch):
    save_skops(tmp_path / "m.skops", fitted())
    schema, parts = parts_of(tmp_path / "m.skops")
    parts["bomb.npy"] = bytes(50_000_000)
    section = write_skops(tmp_path / "bomb.skops", schema, parts)
    assert (tmp_path / "bomb.skops").stat().st_size < 200_000
    monkeypatch.setattr(skops_file, "MAX_BYTES", 10_000_000)
    with pytest.raises(ModelError, match="unpacks to 500"):
        load(section)


def test_part_named_a_thousand_times_counts_a_thousand_times(tmp_path, monkeypatch):
    save_skops(tmp_path / "m.skops", fitted())
    schema, parts = parts_of(tmp_path / "m.skops")
    parts["part.npy"] = bytes(100_000)
    node = {
        "__class__": "ndarray",
        "__module__": "numpy",
        "__loader__": "NdArrayNode",
        "type": "numpy",
        "file": "part.npy",
    }
    schema["extra"] = [node] * 1000
    section = write_skops(tmp_path / "bomb.skops", schema, parts)
    monkeypatch.setattr(skops_file, "MAX_BYTES", 10_000_000)
    with pytest.raises(ModelError, match="would load 100"):
        load(section)


def test_two_parts_of_one_name_are_refused(tmp_path):
    save_skops(tmp_path / "m.skops", fitted())
    schema, parts = parts_of(tmp_path / "m.skops")
    path = tmp_path / "twice.skops"
    write_skops(path, schema, parts)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("schema.json", "{}")
    with pytest.raises(ModelError, match="two parts of one name"):
        load(pinned(path))


@pytest.mark.parametrize(
    "schema",
    [
        "not json",
        "[]",
        "{}",
        '{"protocol": 99, "__loader__": "JsonNode"}',
        '{"protocol": 2, "__loader__": "NoSuchNode", "__class__": "x", "__module__": "y"}',
        '{"protocol": 2, "__class__": "list", "__module__": "builtins", "__loader__": '
        '"ListNode", "content": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=["text", "list", "empty", "protocol", "loader", "deep"],
)
def test_damaged_schema_is_model_error(tmp_path, schema):
    with pytest.raises(ModelError, match="cannot be loaded as a skops file"):
        load(write_skops(tmp_path / "m.skops", schema))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not really"])
def test_what_is_no_skops_file_is_model_error(tmp_path, data):
    path = tmp_path / "m.skops"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="cannot be loaded as a skops file"):
        load(pinned(path))


def test_what_is_no_model_at_all_is_named_so(tmp_path):
    path = tmp_path / "m.json"
    path.write_bytes(b'{"a": 1}')
    with pytest.raises(ModelError, match="is no model file that is known"):
        load(pinned(path))


def test_file_cut_short_is_model_error(tmp_path):
    path = tmp_path / "m.skops"
    save_skops(path, fitted())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded as a skops file"):
        load(pinned(path))


# --- the model fits the config --------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("b", "a", "c"), "the same features in another order"),
        (("a", "b"), "missing: c"),
        (("a", "b", "c", "d"), "not the model's: d"),
        (("a", "b", "x"), "missing: c; not the model's: x"),
    ],
)
def test_other_features_or_order_are_refused(tmp_path, names, message):
    section = save_skops(tmp_path / "m.skops", fitted())
    with pytest.raises(ModelError) as caught:
        load(section, names)
    assert message in str(caught.value)
    assert "a, b, c" in str(caught.value)


def test_card_names_the_features_of_a_model_fitted_on_an_array(tmp_path):
    frame, labels = training_data()
    estimator = LogisticRegression().fit(frame.to_numpy(), labels)
    section = save_skops(tmp_path / "m.skops", estimator)
    assert "does not say which features" in load(section).notices[0]
    with pytest.raises(ModelError, match="fitted on 3 features, and the config has 2: a, b"):
        load(section, ("a", "b"))
    card = {"sha256": section["sha256"], "features": ["b", "a", "c"]}
    (tmp_path / "m.skops.card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="another order"):
        load(section)
    # the card of another file says nothing of this one
    (tmp_path / "m.skops.card.json").write_text(json.dumps(card | {"sha256": "0" * 64}))
    load(section)


def test_feature_with_other_parameters_than_learned_from_is_told(tmp_path):
    section = save_skops(tmp_path / "m.skops", fitted())
    learned = {"a": {"type": "sma", "period": 10}, "b": {"type": "sma", "period": 30}}
    card = {"sha256": section["sha256"], "features": NAMES, "feature_definitions": learned}
    (tmp_path / "m.skops.card.json").write_text(json.dumps(card))
    now = {"a": {"type": "sma", "period": 20}, "b": {"type": "sma", "period": 30}}
    (notice,) = load(section, features=now).notices
    told = f"{tmp_path / 'm.skops.card.json'}: the model learned from a = {{'type': 'sma', 'per"
    assert notice.startswith(told)


@pytest.mark.parametrize("labels", [(-1, 0, 1), (0, 1, 4), ("long", "flat", "short")])
def test_classes_that_are_no_actions_are_refused(tmp_path, labels):
    section = save_skops(tmp_path / "m.skops", fitted(labels=labels))
    with pytest.raises(ModelError, match=r"its classes are.*model\.classes: \{"):
        load(section)


def test_boolean_classes_and_two_names_of_one_action_are_refused(tmp_path):
    section = save_skops(tmp_path / "m.skops", fitted(labels=(False, True, False)))
    with pytest.raises(ModelError, match="its classes are False, True"):
        load(section)
    section = save_skops(tmp_path / "n.skops", fitted(labels=("BUY", "buy", "SELL")))
    with pytest.raises(ModelError, match="mean the same action twice"):
        load(section)


def test_what_is_no_fitted_estimator_is_refused(tmp_path):
    for i, (other, told) in enumerate(
        [(LogisticRegression(), "was never fitted"), ({"a": 1}, "is not a fitted classifier")]
    ):
        section = save_skops(tmp_path / f"{i}.skops", other)
        with pytest.raises(ModelError, match=told):
            load(section)


def test_regressor_is_refused_without_what_its_number_means(tmp_path):
    section = save_skops(tmp_path / "m.skops", LinearRegression().fit(*training_data()))
    with pytest.raises(ModelError, match=r"gives one number a row.*model\.decide"):
        load(section)
    model = load(section | {"decide": {"buy_above": 1.0, "sell_below": 0.9}})
    decided = model.predict(make_bars(200), make_features(200, 3))
    assert np.array_equal(decided.actions == 1, decided.scores > 1.0)
    assert np.array_equal(decided.actions == 2, decided.scores < 0.9)
    assert np.array_equal(decided.reasons == Reason.BELOW_THRESHOLD, decided.actions == 0)


BY_NAME = {
    "columns": lambda: ColumnTransformer(
        [("scale", StandardScaler(), ["a", "c"]), ("log", FunctionTransformer(np.log), ["b"])]
    ),
    "reciprocal": lambda: FunctionTransformer(np.reciprocal),
    "box-cox": lambda: PowerTransformer(method="box-cox"),
}


@pytest.mark.parametrize("kind", BY_NAME)
def test_pipeline_is_asked_with_names_and_with_no_made_up_row(tmp_path, kind):
    """None of them takes a row of zeros, and the first of them chooses columns by name."""
    frame, labels = training_data()
    frame = frame.abs() + 0.5
    pipeline = make_pipeline(BY_NAME[kind](), LogisticRegression()).fit(frame, labels)
    section = save_skops(tmp_path / "m.skops", pipeline)
    model = load(section | {"trusted": ["numpy.log", "numpy.reciprocal"]})
    whole = model.predict(make_bars(ROWS), frame.to_numpy())
    assert np.array_equal(whole.actions, pipeline.predict(frame))
    alone = model.predict(make_bars(1), frame.to_numpy()[:1])
    assert alone.scores[0] == whole.scores[0]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_feature_names_row_and_feature(tmp_path, value):
    section = save_skops(tmp_path / "m.skops", fitted()) | {"chunk_rows": 16}
    features = make_features(100, 3)
    features[:5] = np.nan
    features[71, 1] = features[80, 0] = value
    with pytest.raises(ModelError) as caught:
        predict_actions(load(section), make_bars(100), features, chunk_rows=50)
    assert "row 71 (from 0; ACME, bar closing 2018-03-10T01:12:00Z)" in str(caught.value)
    assert f"the feature b is {value}" in str(caught.value)


# --- files that are equal for equal models --------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_equal_models_give_equal_bytes_that_load_back(kind):
    first, second = fitted(ESTIMATORS[kind]()), fitted(ESTIMATORS[kind]())
    data = dump_skops(first)
    assert data == dump_skops(second)
    loaded = load_skops(data, "m.skops", ())
    frame, _ = training_data()
    assert np.array_equal(loaded.predict(frame), first.predict(frame))
    assert dump_skops(loaded) == data


def test_renumbered_file_is_what_skops_itself_loads():
    data = dump_skops(fitted())
    assert skops.io.get_untrusted_types(data=data) == []
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert all(info.date_time == (1980, 1, 1, 0, 0, 0) for info in file.infolist())


def test_config_of_the_kit_pins_what_it_saves(tmp_path):
    section = save_skops(tmp_path / "m.skops", fitted())
    assert make_config(section).model.sha256 == section["sha256"]


@pytest.mark.parametrize(
    ("estimator", "is_array"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), True),
        (RandomForestClassifier(4, random_state=0), True),
        (
            make_pipeline(
                ColumnTransformer([("scaled", StandardScaler(), ["b", "a"])]), LogisticRegression()
            ),
            False,
        ),
        (make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()), False),
        (
            make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()),
            False,
        ),
        (VotingClassifier([("one", LogisticRegression())]), False),
    ],
)
def test_model_with_names_is_asked_with_an_array_only_where_names_change_nothing(
    estimator, is_array
):
    frame, labels = training_data()
    model = estimator.fit(frame, labels)
    predictor = SklearnPredictor(model, make_config(SECTION).model, "m.skops")
    rows = frame.to_numpy()
    asked_as_frame = predictor.predict(rows)
    predictor.prove(rows[:16])
    assert (predictor._of_arrays is not None) is is_array
    assert predictor.predict(rows).tobytes() == asked_as_frame.tobytes()
    assert model.feature_names_in_.tolist() == list(NAMES)  # the model itself is left as it was


def test_answers_that_differ_without_names_are_asked_with_names(monkeypatch):
    frame, labels = training_data()
    model = LogisticRegression().fit(frame, labels)
    predictor = SklearnPredictor(model, make_config(SECTION).model, "m.skops")
    other = LogisticRegression(C=0.01).fit(frame.to_numpy(), labels)
    monkeypatch.setattr(sklearn_predictor, "without_names", lambda _: other)
    predictor.prove(frame.to_numpy()[:16])
    assert predictor._of_arrays is None
