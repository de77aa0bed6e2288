"""`trader model inspect`: what a file says of itself, without asking the model anything."""

import hashlib
import json
import os
import pickle

import pytest
import yaml

from tests.model_files import FORMATS, logistic, make_file, section_of, to_onnx, training_data
from tests.model_kit import make_config
from trader.cli import app
from trader.errors import ModelError
from trader.models.inspection import document_of, inspect_file


@pytest.mark.parametrize("kind", FORMATS)
def test_document_says_what_the_file_holds(tmp_path, kind):
    section = make_file(kind, tmp_path)
    found = document_of(section["path"])
    assert (found["type"], found["sha256"]) == (section["type"], section["sha256"])
    assert found["feature_count"] == 3
    assert found["features"] == (None if kind == "onnx" else ["a", "b", "c"])
    assert (found["answer"], found["classes"]) == ("probabilities", [0, 1, 2])
    pasted = yaml.safe_load("\n".join(found["config"]))["model"]
    chosen = {"classes": {0: "HOLD", 1: "BUY", 2: "SELL"}}  # the file has places, no labels
    assert pasted == section | (chosen if kind.startswith(("lightgbm", "xgboost")) else {})
    assert make_config(pasted).model.path == section["path"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ((0, 1, -1), {-1: "SELL", 0: "HOLD", 1: "BUY"}),
        (("flat", "up", "down"), {"down": "SELL", "flat": "HOLD", "up": "BUY"}),
    ],
)
def test_classes_to_paste_are_those_of_the_labels(tmp_path, labels, classes):
    path = to_onnx(logistic(labels), tmp_path / "m.onnx")
    found = document_of(str(path))
    assert yaml.safe_load("\n".join(found["config"]))["model"]["classes"] == classes


def test_regressor_asks_what_its_number_means(tmp_path):
    from sklearn.linear_model import LinearRegression

    from trader.models.skops_file import dump_skops

    path = tmp_path / "m.skops"
    path.write_bytes(dump_skops(LinearRegression().fit(*training_data())))
    found = document_of(str(path))
    assert found["answer"] == "number"
    assert "decide" in found["config"][-1]


def test_pickle_is_listed_and_not_loaded(tmp_path):
    path, marker = tmp_path / "m.pkl", tmp_path / "was_here"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    path.write_bytes(pickle.dumps(Payload()))
    found = document_of(str(path))
    assert found["loads"] is False
    assert found["names"] == ["posix.system"]
    assert not marker.exists()


@pytest.mark.process
def test_command_prints_json_and_lines_and_refuses_what_is_no_model(tmp_path, capfd):
    section = make_file("lightgbm", tmp_path)
    assert app.run(["model", "inspect", section["path"], "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sha256"] == section["sha256"]
    assert app.run(["model", "inspect", section["path"]]) == 0
    said = capfd.readouterr().out
    assert "a, b, c" in said
    assert f"sha256: {section['sha256']}" in said
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    assert app.run(["model", "inspect", str(other)]) == 5
    assert "no model file that is known" in capfd.readouterr().err


@pytest.mark.process
def test_missing_and_damaged_files_are_model_errors(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        inspect_file(str(tmp_path / "no.onnx"))
    path = tmp_path / "m.txt"
    path.write_text("tree\nversion=v4\nnum_class=3\nTree=0\nnum_leaves=9999999\n")
    with pytest.raises(ModelError):
        inspect_file(str(path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == section_of(path, "lightgbm")["sha256"]
