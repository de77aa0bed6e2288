"""What a model file is, by its first bytes, whatever it is called. Nothing is loaded."""

import io
import json
import zipfile
from typing import NamedTuple

from trader.models.onnx_graph import is_onnx

HEAD = 4096


class FileKind(NamedTuple):
    """A format: its name in messages, and the `model.type` that loads it; "" where none does."""

    name: str
    model_type: str
    advice: str = ""


SKOPS = FileKind("a skops file", "sklearn")
PICKLE = FileKind(
    "a joblib or pickle file",
    "sklearn",
    "loading it runs code from it: save the model with skops.io.dump, or, if you made the file "
    "yourself, write allow_pickle: true beside its sha256",
)
ONNX = FileKind("an ONNX graph", "onnx")
LIGHTGBM = FileKind("a LightGBM model", "lightgbm")
XGBOOST = FileKind("an XGBoost model", "xgboost")
CATBOOST = FileKind("a CatBoost model", "catboost")
TORCH = FileKind(
    "a PyTorch file", "", "export the network with torch.onnx.export and use type: onnx"
)
KERAS = FileKind("a Keras file", "", "export the network to ONNX and use type: onnx")
ORT = FileKind("an onnxruntime flatbuffer", "", "use the .onnx file it was made from")
SAFETENSORS = FileKind(
    "a safetensors file", "", "it holds weights without a network: export it to ONNX"
)
UNKNOWN = FileKind("no model file that is known", "")

# pickle of protocol 2 and later, and what joblib compresses with: zlib, gzip, bz2, xz, lzma, lz4
PICKLE_HEADS = (
    b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x78\x01", b"\x78\x5e", b"\x78\x9c",
    b"\x78\xda", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00", b"\x04\x22\x4d\x18",
)  # fmt: skip


def kind_of(data: bytes) -> FileKind:
    """The kind of a model file from its bytes."""
    head = data[:HEAD]
    if head.startswith(b"PK"):
        return _kind_of_zip(data)
    if head.startswith(b"CBM1"):
        return CATBOOST
    if head.startswith(b"tree\n") or b"\nobjective=" in head or b"\ntree_sizes=" in head:
        return LIGHTGBM
    if head.lstrip()[:1] == b"{" and b'"learner"' in data[: 1 << 20]:
        return XGBOOST
    if head.startswith(b"{L") and b"learner" in head:
        return XGBOOST
    if head.startswith(b"\x89HDF"):
        return KERAS
    if head[4:8] == b"ORTM":
        return ORT
    if head.startswith(PICKLE_HEADS):
        return PICKLE
    if head[8:9] == b"{" and b'"dtype"' in head:
        return SAFETENSORS
    if is_onnx(data):
        return ONNX
    return PICKLE if head[:1] in (b"(", b"c", b"]", b"}") and data.endswith(b".") else UNKNOWN


def _kind_of_zip(data: bytes) -> FileKind:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
        return UNKNOWN
    if "schema.json" in names:
        return SKOPS
    if any(name.endswith("data.pkl") for name in names):
        return TORCH
    if "config.json" in names and any("weights" in name for name in names):
        return KERAS
    return UNKNOWN


def wrong_kind(path: str, data: bytes, model_type: str) -> str | None:
    """What to say of a file that is none of `model_type`; None where it is one."""
    kind = kind_of(data)
    if kind.model_type == model_type:
        return None
    said = f"model.path {path}: is {kind.name}, which model.type: {model_type} does not load"
    if kind.model_type:
        said += f"; write type: {kind.model_type}"
    return f"{said}; {kind.advice}" if kind.advice else said


def text_value(data: bytes) -> object:
    """The JSON in `data`; None where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
