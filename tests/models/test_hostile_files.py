"""Files made to harm: nothing of them runs, the run ends with one line, the parent lives."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from tests.model_files import NAMES, make_file, section_of, training_data
from tests.model_kit import make_bars, make_model
from trader.errors import ModelError

FRAME, _ = training_data()
TYPES = ("sklearn", "onnx", "lightgbm", "xgboost", "catboost")


class Payload:
    """What a pickle can do: a command, run while it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "name", ["m.skops", "m.onnx", "m.txt", "m.json", "m.ubj", "m.cbm", "m.pkl"]
)
def test_pickle_under_any_name_is_not_run(tmp_path, kind, name):
    path, marker = tmp_path / name, tmp_path / "was_here"
    for protocol in (0, 2, 5):
        path.write_bytes(pickle.dumps(Payload(marker), protocol))
        with pytest.raises(ModelError) as caught:
            make_model(section_of(path, kind), NAMES)
        assert "\n" not in str(caught.value)
        assert not marker.exists()


def onnx_graph(nodes, initializers=(), shape=(None, 3), **more):
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("evil", 1)]
    model = helper.make_model(graph, opset_imports=opsets, **more)
    model.ir_version = 9
    return model


def external(path):
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    path.write_bytes(
        onnx_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor]).SerializeToString()
    )


def hidden_external(path):
    """External data of a constant inside a branch."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=tensor)],
        "b",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 3])],
    )
    yes = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=yes),
        helper.make_node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    path.write_bytes(onnx_graph(nodes).SerializeToString())


def custom_operator(path):
    from onnx import helper

    node = helper.make_node("System", ["x"], ["y"], domain="evil")
    path.write_bytes(onnx_graph([node]).SerializeToString())


def own_function(path):
    from onnx import helper

    inner = [helper.make_node("Identity", ["x"], ["y"])]
    function = helper.make_function("evil", "F", ["x"], ["y"], inner, [helper.make_opsetid("", 17)])
    model = onnx_graph([helper.make_node("Identity", ["x"], ["y"])], functions=[function])
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (external, "keeps data outside the file"),
        (hidden_external, "keeps data outside the file"),
        (custom_operator, "operators of the domain evil"),
        (own_function, "functions"),
    ],
)
def test_onnx_that_reaches_outside_is_refused_before_it_is_loaded(
    tmp_path, made, told, monkeypatch
):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("loaded"))
    made(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=told):
        make_model(section_of(tmp_path / "m.onnx", "onnx"), NAMES)


def test_named_pipe_and_folder_are_no_files_and_block_nothing(tmp_path):
    os.mkfifo(tmp_path / "m.onnx")
    section = {"type": "onnx", "path": str(tmp_path / "m.onnx"), "sha256": "0" * 64}
    with pytest.raises(ModelError, match="is not a file"):
        make_model(section, NAMES)
    with pytest.raises(ModelError, match="is a folder"):
        make_model(section | {"path": str(tmp_path)}, NAMES)


def test_link_that_is_turned_after_the_hash_changes_nothing(tmp_path, monkeypatch):
    """Also for native formats: they are loaded from the bytes that were hashed."""
    section = make_file("lightgbm", tmp_path)
    good, link = Path(section["path"]), tmp_path / "link.txt"
    other = tmp_path / "other.txt"
    other.write_text("tree\nnonsense")
    link.symlink_to(good)
    from trader.models import file_model

    checked = file_model.read_pinned

    def turn(path, sha256):
        data = checked(path, sha256)
        link.unlink()
        shutil.copy(other, link)
        return data

    monkeypatch.setattr(file_model, "read_pinned", turn)
    model = make_model(section | {"path": str(link)}, NAMES)
    assert link.read_text().startswith("tree\nnonsense")
    assert model.predict(make_bars(600), FRAME.to_numpy()).actions.any()
