"""Reads the structure of an ONNX file from its bytes: inputs, outputs, operators, class labels.

Law: pure Python over protobuf's wire format, with bounds checked: a damaged file is a
`GraphError`, never a crash. It is read before onnxruntime, so that what may not be loaded
(data outside the file, operators of other domains, functions) never reaches native code.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
MAX_FIELDS = 5_000_000
MAX_DEPTH = 32
ELEMENT_TYPES = {1: "float32", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16",
                 11: "float64"}  # fmt: skip
# field numbers of onnx.proto
MODEL_IR, MODEL_PRODUCER, MODEL_GRAPH, MODEL_OPSET, MODEL_META, MODEL_TRAINING, MODEL_FUNCTIONS = (
    1, 2, 7, 8, 14, 20, 25,
)  # fmt: skip
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_SPARSE = 1, 5, 11, 12, 15
NODE_INPUT, NODE_OUTPUT, NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTR_NAME, ATTR_TENSOR, ATTR_GRAPH, ATTR_INTS, ATTR_STRINGS = 1, 5, 6, 8, 9
ATTR_TENSORS, ATTR_GRAPHS = 10, 11
TENSOR_DIMS, TENSOR_TYPE, TENSOR_I32, TENSOR_STRINGS, TENSOR_I64, TENSOR_NAME, TENSOR_RAW = (
    1, 2, 5, 6, 7, 8, 9,
)  # fmt: skip
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14


class GraphError(Exception):
    """The bytes are no ONNX graph that can be read."""


class Port(NamedTuple):
    """An input or output of a graph."""

    name: str
    dtype: str  # of the elements; "map" for a sequence of maps, "" where it is another thing
    shape: tuple[int | None, ...]  # None where a length is not fixed


@dataclass
class Graph:
    """What an ONNX file says of itself."""

    inputs: list[Port] = field(default_factory=list)  # without those that have a value
    outputs: list[Port] = field(default_factory=list)
    operators: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    labels: tuple[int | str, ...] | None = None  # of the classifier in it
    external: list[str] = field(default_factory=list)  # tensors whose data is not in the file
    functions: int = 0
    producer: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


Value = int | bytes


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(field number, value) of a message; `GraphError` where it is damaged."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise GraphError("a field without a number")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if at + size > end:
                raise GraphError("ends inside a number")
            yield number, data[at : at + size]
            at += size
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise GraphError("a part is longer than the file")
            yield number, data[at : at + size]
            at += size
        else:
            raise GraphError(f"a field of unknown form {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise GraphError("ends inside a number")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise GraphError("a number where a part was expected")
    return value


def _text(value: Value) -> str:
    return _bytes(value).decode("utf-8", "backslashreplace")


def read_graph(data: bytes) -> Graph:
    """The structure of an ONNX file; `GraphError` if it is none."""
    graph = Graph()
    body: bytes | None = None
    has_version = False
    for number, value in _fields(data):
        if number == MODEL_IR:
            has_version = isinstance(value, int)
        elif number == MODEL_PRODUCER:
            graph.producer = _text(value)
        elif number == MODEL_GRAPH:
            body = _bytes(value)
        elif number == MODEL_META:
            name, text = _pair(_bytes(value))
            graph.metadata[name] = text
        elif number in (MODEL_FUNCTIONS, MODEL_TRAINING):
            graph.functions += 1
    if body is None or not has_version:
        raise GraphError("there is no graph in it")
    _read_body(body, graph, 0)
    if not graph.outputs:
        raise GraphError("its graph has no output")
    return graph


def is_onnx(data: bytes) -> bool:
    """Whether the bytes are an ONNX file."""
    try:
        read_graph(data)
    except GraphError:
        return False
    return True


def _pair(data: bytes) -> tuple[str, str]:
    found = {number: _text(value) for number, value in _fields(data) if number in (1, 2)}
    return found.get(1, ""), found.get(2, "")


def _read_body(data: bytes, graph: Graph, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise GraphError("graphs are nested too deeply")
    inputs: list[Port] = []
    values: dict[str, tuple[int | str, ...]] = {}  # short constants that may be class labels
    named: set[str] = set()
    nodes: list[bytes] = []
    for number, value in _fields(data):
        if number == GRAPH_NODE:
            nodes.append(_bytes(value))
        elif number == GRAPH_INITIALIZER:
            name, labels = _read_tensor(_bytes(value), graph)
            named.add(name)
            if labels:
                values[name] = labels
        elif number == GRAPH_SPARSE:
            for part, tensor in _fields(_bytes(value)):
                if part in (1, 2):
                    _read_tensor(_bytes(tensor), graph)
        elif number == GRAPH_INPUT and depth == 0:
            inputs.append(_port(_bytes(value)))
        elif number == GRAPH_OUTPUT and depth == 0:
            graph.outputs.append(_port(_bytes(value)))
    graph.inputs += [port for port in inputs if port.name not in named]
    for node in nodes:
        _read_node(node, graph, values, depth)


def _read_node(
    data: bytes, graph: Graph, values: dict[str, tuple[int | str, ...]], depth: int
) -> None:
    operator = domain = ""
    inputs: list[str] = []
    attributes: list[bytes] = []
    for number, value in _fields(data):
        if number == NODE_OP:
            operator = _text(value)
        elif number == NODE_DOMAIN:
            domain = _text(value)
        elif number == NODE_INPUT:
            inputs.append(_text(value))
        elif number == NODE_ATTRIBUTE:
            attributes.append(_bytes(value))
    graph.domains.add(domain)
    graph.operators.add(operator)
    if operator == "ArrayFeatureExtractor" and inputs and inputs[0] in values:
        graph.labels = values[inputs[0]]  # how skl2onnx looks up the label of the winner
    for attribute in attributes:
        _read_attribute(attribute, graph, depth)


def _read_attribute(data: bytes, graph: Graph, depth: int) -> None:
    name = ""
    ints: list[int] = []
    strings: list[str] = []
    for number, value in _fields(data):
        if number == ATTR_NAME:
            name = _text(value)
        elif number == ATTR_INTS:
            ints += _ints(value)
        elif number == ATTR_STRINGS:
            strings.append(_text(value))
        elif number in (ATTR_TENSOR, ATTR_TENSORS):
            _read_tensor(_bytes(value), graph)
        elif number in (ATTR_GRAPH, ATTR_GRAPHS):
            _read_body(_bytes(value), graph, depth + 1)
    if name.startswith("classlabels_") and (ints or strings):
        graph.labels = tuple(ints or strings)


def _ints(value: Value) -> list[int]:
    """Signed integers of a repeated field, packed or one by one."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        one, at = _varint(value, at)
        found.append(_signed(one))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _read_tensor(data: bytes, graph: Graph) -> tuple[str, tuple[int | str, ...]]:
    """Name of a constant, and its values if they could be class labels."""
    name, kind, raw = "", 0, b""
    dims: list[int] = []
    labels: list[int | str] = []
    is_external = False
    for number, value in _fields(data):
        if number == TENSOR_NAME:
            name = _text(value)
        elif number == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == TENSOR_DIMS:
            dims += _ints(value)
        elif number in (TENSOR_I32, TENSOR_I64):
            labels += _ints(value) if not isinstance(value, bytes) or len(value) < 10_000 else []
        elif number == TENSOR_STRINGS:
            labels.append(_text(value))
        elif number == TENSOR_RAW:
            raw = _bytes(value)
        elif number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value == 1):
            is_external = True
    if is_external:
        graph.external.append(name)
    width = {6: 4, 7: 8}.get(kind, 0)
    if raw and width and len(raw) % width == 0 and len(raw) < 10_000:
        code = "i" if width == 4 else "q"
        labels = list(struct.unpack(f"<{len(raw) // width}{code}", raw))
    return name, tuple(labels) if kind in (6, 7, 8) else ()


def _port(data: bytes) -> Port:
    name, dtype = "", ""
    shape: tuple[int | None, ...] = ()
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            dtype, shape = _type(_bytes(value))
    return Port(name, dtype, shape)


def _type(data: bytes) -> tuple[str, tuple[int | None, ...]]:
    for number, value in _fields(data):
        if number == 1:  # a tensor
            return _tensor_type(_bytes(value))
        if number == 4:  # a sequence; of maps, as ZipMap gives it
            inner = [_bytes(part) for one, part in _fields(_bytes(value)) if one == 1]
            is_map = any(one == 5 for part in inner for one, _ in _fields(part))
            return ("map" if is_map else "", ())
    return "", ()


def _tensor_type(data: bytes) -> tuple[str, tuple[int | None, ...]]:
    dtype = ""
    shape: list[int | None] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            dtype = ELEMENT_TYPES.get(value, f"type {value}")
        elif number == 2:
            for one, dim in _fields(_bytes(value)):
                if one == 1:
                    lengths = [v for n, v in _fields(_bytes(dim)) if n == 1]
                    length = lengths[0] if lengths else None
                    shape.append(length if isinstance(length, int) and length > 0 else None)
    return dtype, tuple(shape)
