"""Model files of every format: the library's own answers, one row as a million, refusals."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.model_files import (
    FORMATS,
    NAMES,
    lightgbm_booster,
    logistic,
    make_file,
    section_of,
    to_onnx,
    training_data,
    xgboost_booster,
)
from tests.model_kit import make_bars, make_model
from trader.core.schema import Reason
from trader.errors import ConfigError, ModelError
from trader.models.actions import ModelActions

FRAME, _ = training_data()
FEATURES = FRAME.to_numpy()
BARS = make_bars(len(FEATURES))


def answers(section, names=NAMES, **sections) -> ModelActions:
    return make_model(section, names, **sections).predict(BARS, FEATURES)


def own_answers(kind: str, path) -> np.ndarray:
    """Probabilities as the library itself gives them for the file."""
    if kind == "sklearn":
        return logistic().predict_proba(FRAME)
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(["probabilities"], {"input": FEATURES.astype(np.float32)})[0]
    if kind == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=path).predict(FRAME)
    if kind.startswith("xgboost"):
        import xgboost

        booster = xgboost.Booster(model_file=path)
        return booster.predict(xgboost.DMatrix(FRAME))
    from catboost import CatBoostClassifier

    return CatBoostClassifier().load_model(path).predict_proba(FRAME)


@pytest.mark.parametrize("kind", FORMATS)
def test_file_answers_as_its_own_library_does(tmp_path, kind):
    section = make_file(kind, tmp_path)
    decided = answers(section)
    expected = own_answers(kind, section["path"])
    assert np.array_equal(decided.actions, expected.argmax(axis=1))
    assert np.allclose(decided.scores, expected.max(axis=1), rtol=1e-5)
    assert set(decided.actions.tolist()) == {0, 1, 2}
    assert not decided.reasons.any()


@pytest.mark.parametrize("kind", FORMATS)
def test_row_gets_the_same_bits_alone_among_others_and_shuffled(tmp_path, kind):
    model = make_model(make_file(kind, tmp_path), NAMES)
    whole = model.predict(BARS, FEATURES)
    for rows in (1, 2, 7):
        for start in range(0, 35, rows):
            part = model.predict(BARS[:rows], FEATURES[start : start + rows])
            assert part.scores.tobytes() == whole.scores[start : start + rows].tobytes()
    order = np.random.default_rng(3).permutation(len(FEATURES))
    shuffled = model.predict(BARS, np.asfortranarray(FEATURES[order]))
    for column, expected in zip(shuffled, whole, strict=True):
        assert column.tobytes() == expected[order].tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_other_features_than_the_model_wants_are_refused_with_both(tmp_path, kind):
    section = make_file(kind, tmp_path)
    with pytest.raises(ModelError, match=r"3 features, and the config has 2: a, b|missing: c"):
        answers(section, ("a", "b"))
    if kind != "onnx":  # a graph of one matrix knows no names
        with pytest.raises(ModelError, match="the same features in another order"):
            answers(section, ("b", "a", "c"))


@pytest.mark.parametrize("kind", FORMATS)
def test_file_under_another_type_names_the_right_one(tmp_path, kind):
    section = make_file(kind, tmp_path)
    other = "xgboost" if section["type"] == "lightgbm" else "lightgbm"
    with pytest.raises(ModelError, match=f"write type: {section['type']}"):
        answers(section | {"type": other})
    if kind != "sklearn":
        with pytest.raises(ModelError, match=f"write type: {section['type']}"):
            answers(section | {"type": "sklearn"})


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_lightgbm_of_one_number(tmp_path, objective):
    booster = lightgbm_booster(objective)
    booster.save_model(str(tmp_path / "m.txt"))
    section = section_of(tmp_path / "m.txt", "lightgbm")
    check_one_number(section, booster.predict(FRAME), is_binary=objective == "binary")


@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror"])
def test_xgboost_of_one_number(tmp_path, objective):
    import xgboost

    booster = xgboost_booster(objective)
    booster.save_model(str(tmp_path / "m.ubj"))
    section = section_of(tmp_path / "m.ubj", "xgboost")
    expected = booster.predict(xgboost.DMatrix(FRAME)).astype(np.float64)
    check_one_number(section, expected, is_binary=objective == "binary:logistic")


def check_one_number(section, expected, is_binary):
    decide = {"decide": {"buy_above": 0.6, "sell_below": 0.4}}
    decided = answers(section | decide)
    assert np.array_equal(decided.actions == 1, expected > 0.6)
    assert np.array_equal(decided.actions == 2, expected < 0.4)
    assert decided.scores.tobytes() == expected.tobytes()
    if not is_binary:
        with pytest.raises(ModelError, match=r"one number a row.*model\.decide"):
            answers(section)
        return
    two = answers(section | {"classes": {1: "BUY", 0: "SELL"}})
    assert np.array_equal(two.actions == 1, expected > 0.5)
    assert np.array_equal(two.actions == 2, expected < 0.5)


def test_xgboost_softmax_gives_all_classes_and_early_stopping_is_kept(tmp_path):
    import xgboost

    xgboost_booster("multi:softmax").save_model(str(tmp_path / "m.json"))
    soft = answers(section_of(tmp_path / "m.json", "xgboost"))
    assert soft.scores.min() > 1 / 3
    frame, labels = training_data()
    data = xgboost.DMatrix(frame, labels)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, data, 20)
    booster.set_attr(best_iteration="4")
    booster.save_model(str(tmp_path / "early.json"))
    early = answers(section_of(tmp_path / "early.json", "xgboost"))
    expected = booster.predict(data, iteration_range=(0, 5))
    assert np.array_equal(early.scores, expected.max(axis=1).astype(np.float64))


@pytest.mark.parametrize("labels", [(0, 1, 2), ("HOLD", "BUY", "SELL"), (0, 1, -1)])
@pytest.mark.parametrize("zipmap", [False, True])
def test_onnx_labels_are_those_of_the_graph(tmp_path, labels, zipmap):
    path = to_onnx(logistic(labels), tmp_path / "m.onnx", zipmap)
    section = section_of(path, "onnx")
    if -1 in labels:
        with pytest.raises(ModelError, match=r"its classes are -1, 0, 1, which are not actions"):
            answers(section)
        section["classes"] = {1: "BUY", -1: "SELL", 0: "HOLD"}
    decided = answers(section)
    expected = np.array([list(labels).index(label) for label in logistic(labels).predict(FRAME)])
    assert np.mean(decided.actions == expected) > 0.99  # float32 moves a row beside the border


def test_onnx_of_one_input_a_feature_is_fed_by_name(tmp_path):
    path = to_onnx(logistic(), tmp_path / "m.onnx", names=NAMES)
    section = section_of(path, "onnx")
    one = answers(section)
    whole = answers(section_of(to_onnx(logistic(), tmp_path / "n.onnx"), "onnx"))
    assert np.array_equal(one.actions, whole.actions)
    with pytest.raises(ModelError, match="another order"):
        answers(section, ("b", "a", "c"))


def network(path, rows=None, width=3, softmax=True, dtype=1):
    """A linear network of three classes by hand."""
    from onnx import TensorProto, helper, numpy_helper

    kind = np.float32 if dtype == TensorProto.FLOAT else np.float64
    weights = np.array([[0, 2, -2], [0, -2, 2], [0, 0, 0]], kind)[:, :width]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z" if softmax else "y"])]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["z"], ["y"], axis=1))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, [rows, 3])],
        [helper.make_tensor_value_info("y", dtype, [rows, width])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return section_of(path, "onnx")


@pytest.mark.parametrize("dtype", [1, 11])
def test_onnx_network_of_fixed_batch_answers_any_number_of_rows(tmp_path, dtype):
    free = answers(network(tmp_path / "free.onnx", dtype=dtype))
    for rows in (1, 7):
        fixed = answers(network(tmp_path / f"{rows}.onnx", rows, dtype=dtype))
        assert np.array_equal(fixed.actions, free.actions)
        assert np.allclose(fixed.scores, free.scores, rtol=1e-6)


def test_onnx_logits_are_no_probabilities(tmp_path):
    section = network(tmp_path / "m.onnx", softmax=False)
    assert np.array_equal(answers(section).actions, answers(network(tmp_path / "n.onnx")).actions)
    with pytest.raises(ModelError, match=r"not probabilities.*softmax"):
        answers(section | {"threshold": {"buy": 0.5}})


def test_onnx_number_and_column_are_one_number(tmp_path):
    section = network(tmp_path / "m.onnx", width=1, softmax=False)
    decided = answers(section | {"decide": {"buy_above": -1.0}})
    assert set(decided.actions.tolist()) == {1}


def test_onnx_output_that_does_not_exist_is_named(tmp_path):
    section = network(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="no such output; it has y") as caught:
        answers(section | {"output": "probs"})
    assert caught.value.key == "model.output"


def test_nan_answers_hold_as_invalid_and_nothing_but_nan_is_refused(tmp_path):
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Sqrt", ["x"], ["r"]),
            helper.make_node("Softmax", ["r"], ["y"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    section = section_of(tmp_path / "m.onnx", "onnx")
    decided = answers(section)
    bad = (FEATURES < 0).any(axis=1)
    assert np.array_equal(decided.reasons == Reason.MODEL_INVALID, bad)
    assert not decided.actions[bad].any()
    assert np.isnan(decided.scores[bad]).all()
    with pytest.raises(ModelError, match="no number"):
        make_model(section, NAMES).predict(BARS, -np.abs(FEATURES))


@pytest.mark.parametrize("kind", ["joblib", "pickle", "compressed"])
def test_pickles_are_loaded_only_where_allowed(tmp_path, kind):
    import pickle

    import joblib

    path = tmp_path / "m.joblib"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(logistic()))
    else:
        joblib.dump(logistic(), path, compress=3 if kind == "compressed" else 0)
    section = section_of(path, "sklearn")
    with pytest.raises(ModelError, match=r"loading it runs code.*allow_pickle: true"):
        answers(section)
    model = make_model(section | {"allow_pickle": True}, NAMES)
    assert section["sha256"] in model.notices[0]
    assert np.array_equal(model.predict(BARS, FEATURES).actions, logistic().predict(FRAME))
    with pytest.raises(ValueError, match="sha256"):
        answers({**section, "allow_pickle": True, "sha256": None})


def test_missing_extra_is_named(tmp_path, monkeypatch):
    import sys

    section = make_file("lightgbm", tmp_path)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r"pip install '.\[lightgbm\]'") as caught:
        answers(section)
    assert caught.value.key == "model.type"


@pytest.mark.parametrize(
    ("field", "at", "number", "said"),
    [
        ("left_child", 0, "0", "its nodes do not form a tree"),
        ("left_child", -1, "-99", "its leaves are not each met once"),
        ("split_feature", 0, "3", "features that are none of the 3"),
        ("left_child", 0, "--1", "invalid literal"),
    ],
)
def test_a_damaged_tree_of_lightgbm_is_no_endless_question(tmp_path, field, at, number, said):
    """LightGBM itself loads it, and goes round in circles or reads what is not its own."""
    section = make_file("lightgbm", tmp_path)
    path = Path(section["path"])
    head, found, rest = path.read_text().partition(f"\n{field}=")
    line, end, rest = rest.partition("\n")
    values = line.split()
    values[at] = number
    text = f"{head}{found}{' '.join(values)}{end}{rest}"
    path.write_text(text)
    with pytest.raises(ModelError, match=f"is damaged: tree 0: .*{said}"):
        make_model({**section, "sha256": hashlib.sha256(text.encode()).hexdigest()}, NAMES)


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost-json", "catboost", "sklearn"])
def test_what_a_file_without_labels_is_taken_for_is_told(tmp_path, kind):
    section = make_file(kind, tmp_path)
    sections = (section, section | {"classes": {0: "SELL", 1: "HOLD", 2: "BUY"}})
    models = [make_model(one, NAMES) for one in sections]
    told = [[text for text in one.notices if "its classes mean" in text] for one in models]
    has_labels = kind in ("catboost", "sklearn")
    assert [len(texts) for texts in told] == [0 if has_labels else 1, 0]
    assert has_labels or "0 for HOLD, 1 for BUY, 2 for SELL" in told[0][0]
