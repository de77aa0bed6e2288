"""Hostile model files from the command line: exit 3 or 5, one clear line, nothing runs."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from tests.config_demo import demo
from tests.feeds_kit import csv_text, minutes
from tests.model_files import section_of
from tests.models.test_hostile_files import Payload, custom_operator, external, onnx_graph
from trader.cli import app
from trader.models.skops_file import dump_skops

MIB = 1 << 20


def pickled(folder):
    path = folder / "model.onnx"
    path.write_bytes(pickle.dumps(Payload(folder / "was_here")))
    return section_of(path, "onnx")


def pickled_as_skops(folder):
    path = folder / "model.skops"
    path.write_bytes(pickle.dumps(Payload(folder / "was_here")))
    return section_of(path, "sklearn")


def bomb(folder):
    """A megabyte of zeros that the schema names five thousand times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("1.npy", bytes(MIB))
        node = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode"}
        named = [{**node, "type": "numpy", "file": "1.npy"}] * 5_000
        packed.writestr("schema.json", json.dumps({"content": named}))
    path = folder / "model.skops"
    path.write_bytes(buffer.getvalue())
    assert len(buffer.getvalue()) < MIB
    return section_of(path, "sklearn")


def reaches_outside(folder):
    external(folder / "model.onnx")
    return section_of(folder / "model.onnx", "onnx")


def has_an_operator_of_its_own(folder):
    custom_operator(folder / "model.onnx")
    return section_of(folder / "model.onnx", "onnx")


def graph_of(folder, nodes):
    (folder / "model.onnx").write_bytes(onnx_graph(nodes, shape=(None, 2)).SerializeToString())
    return section_of(folder / "model.onnx", "onnx", classes={0: "HOLD", 1: "BUY", 2: "SELL"})


def shape_beyond_memory(folder):
    """A kilobyte that asks for 400 GB while it answers."""
    from onnx import TensorProto, helper

    size = helper.make_tensor("s", TensorProto.INT64, [1], [100_000_000_000])
    nodes = [
        helper.make_node("Constant", [], ["size"], value=size),
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "sum"], ["one"]),
        helper.make_node("Concat", ["one", "one", "one"], ["y"], axis=1),
    ]
    return graph_of(folder, nodes)


def answers_nan(folder):
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["mean", "mean"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["none"]),
        helper.make_node("Concat", ["none", "none", "none"], ["y"], axis=1),
    ]
    return graph_of(folder, nodes)


def other_classes(folder):
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(1).normal(size=(90, 2))
    path = folder / "model.skops"
    path.write_bytes(dump_skops(LogisticRegression().fit(rows, [0, 1, 2] * 30)))
    return section_of(path, "sklearn", classes={0: "HOLD", 1: "BUY"})


CASES = [
    (pickled, "pickle"),
    (bomb, "would load"),
    (shape_beyond_memory, "model.onnx"),
    (answers_nan, "answers no number"),
]
MORE = [
    (pickled_as_skops, "allow_pickle"),
    (reaches_outside, "keeps data outside the file"),
    (has_an_operator_of_its_own, "operators of the domain evil"),
    (other_classes, "not in model.classes: 2"),
]


@pytest.mark.process
@pytest.mark.parametrize(
    ("made", "said"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.trials) for case in MORE)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_hostile_file_ends_a_backtest_with_one_line(tmp_path, monkeypatch, capsys, made, said):
    monkeypatch.chdir(tmp_path)
    section = made(tmp_path)
    stamps = [stamp.replace("T14:", f"T{hour}:") for hour in (14, 15) for stamp in minutes(10, 59)]
    (tmp_path / "bars.csv").write_text(csv_text(stamps))
    rule = "model:\n  type: rule\n  buy: sma_fast > sma_slow\n  sell: sma_fast <= sma_slow"
    text = demo(
        ("path: data/acme.csv", "path: bars.csv"),
        ("period: 30", "period: 5"),
        (rule, f"model: {json.dumps(section)}"),
        ("max_spread_bps: 50", "max_spread_bps: none"),
    )
    (tmp_path / "run.yaml").write_text(text)
    code = app.run(["backtest", "-c", "run.yaml"])
    err = capsys.readouterr().err
    assert code in (3, 5), err
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, err
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "was_here").exists()
    assert not list(tmp_path.glob("runs/*")), "no folder of a run that was none"
