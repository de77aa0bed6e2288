"""`model.type: onnx`: an ONNX graph run by onnxruntime on one thread of the CPU.

Law: the graph is read before it is loaded; data outside the file, operators of other domains and
functions are refused. It is loaded from the bytes whose SHA-256 was checked, so there is no folder
that it could name a file in. Features are cast to the type that the input states.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trader.config.sections.model import OnnxModel
from trader.errors import ConfigError, ModelError
from trader.models.onnx_graph import DOMAINS, Graph, GraphError, Port, read_graph
from trader.models.predictor import Signature, library

NUMBERS = ("float32", "float64", "float16")
ACTIONS = 3  # columns of a model that does not say how many it has: HOLD, BUY, SELL
LABELS = ("int64", "int32", "string", "bool")


class OnnxPredictor:
    """A session, one input (rows, features) or one input a feature, and one output."""

    def __init__(self, section: OnnxModel, data: bytes) -> None:
        self._path = section.path
        graph = checked_graph(data, section.path)
        self._window = section.window
        self._inputs = _inputs(graph.inputs, section)
        self._output = _output(graph.outputs, section)
        self._session = _session(data)
        first = self._inputs[0]
        self._rows = first.shape[0] if first.shape else None  # None: any number at once
        columns = _columns(self._inputs)
        self._labels = _labels(graph, self._output, section)
        self.signature = Signature(
            _format(graph),
            _answer(self._output, self._labels),
            columns,
            tuple(port.name for port in self._inputs) if len(self._inputs) > 1 else None,
            self._labels,
            first.dtype,
            are_probabilities=False,
            are_places=graph.labels is None and self._labels is not None,
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        if self._rows is None:
            return self._ask(features)
        size, rows = self._rows, len(features)
        parts = []
        for start in range(0, rows, size):
            part = features[start : start + size]
            if len(part) < size:
                part = np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)])
            parts.append(self._ask(part))
        return np.concatenate(parts)[:rows]

    def _ask(self, features: np.ndarray) -> np.ndarray:
        dtype = self._inputs[0].dtype
        if self._window > 1:
            features = features.reshape(len(features), self._window, -1)
        if len(self._inputs) == 1:
            asked = {self._inputs[0].name: np.ascontiguousarray(features, dtype)}
        else:
            asked = {
                port.name: np.ascontiguousarray(features[:, [at]], port.dtype)
                for at, port in enumerate(self._inputs)
            }
        (answer,) = self._session.run([self._output.name], asked)
        if self._output.dtype == "map":
            assert self._labels is not None
            return np.array([[row[label] for label in self._labels] for row in answer], np.float64)
        answer = np.asarray(answer)
        if self._output.dtype in NUMBERS:
            answer = answer.astype(np.float64)
        is_column = self.signature.answer != "probabilities" and answer.ndim == 2
        return answer[:, 0] if is_column and answer.shape[1] == 1 else answer


def checked_graph(data: bytes, path: str) -> Graph:
    """The structure of a file that may be loaded; `ModelError` says why another may not."""
    try:
        graph = read_graph(data)
    except GraphError as error:
        raise ModelError(f"model.path {path}: cannot be read as ONNX: {error}") from error
    if graph.external:
        names = ", ".join(repr(name) for name in graph.external[:3])
        raise ModelError(
            f"model.path {path}: keeps data outside the file ({names}), and only what its SHA-256 "
            "covers is loaded; save it as one file (torch.onnx.export: external_data=False; "
            "onnx.save_model: save_as_external_data=False)"
        )
    foreign = sorted(domain for domain in graph.domains if domain not in DOMAINS)
    if foreign:
        raise ModelError(
            f"model.path {path}: uses operators of the domain {', '.join(foreign)}, which are not "
            "ONNX's own and are not loaded"
        )
    if graph.functions:
        raise ModelError(
            f"model.path {path}: defines functions or training steps of its own, which are not "
            "loaded; inline them (onnx.inliner.inline_local_functions)"
        )
    return graph


def _session(data: bytes) -> Any:
    runtime = library("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "0")
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _inputs(ports: Sequence[Port], section: OnnxModel) -> Sequence[Port]:
    """The inputs, each of which must take numbers: (rows, features), or (rows, 1) for each; with a
    window, one (rows, window, features)."""
    path, window = section.path, section.window
    shown = ", ".join(_shown(port) for port in ports) or "none"
    fits = bool(ports) and all(port.dtype in NUMBERS for port in ports)
    if len(ports) == 1 and len(ports[0].shape) == 3:
        length = ports[0].shape[1]
        if window == 1 or length not in (window, None):
            raise ConfigError(
                f"{path} takes {shown}: (rows, bars, features), so the window is "
                f"{'the bars it learned from' if length is None else length}; got {window}",
                key="model.window",
            )
    elif window > 1:
        raise ModelError(
            f"model.path {path}: its inputs are {shown}; with model.window one of (rows, {window}, "
            "features) is needed"
        )
    elif len(ports) == 1:
        fits = fits and len(ports[0].shape) in (0, 2)
    else:
        fits = fits and all(len(port.shape) == 2 and port.shape[1] in (1, None) for port in ports)
    if not fits:
        raise ModelError(
            f"model.path {path}: its inputs are {shown}; one input of numbers (rows, features), or "
            "one (rows, 1) for each feature, is needed"
        )
    return ports


def _columns(ports: Sequence[Port]) -> int | None:
    if len(ports) > 1:
        return len(ports)
    return ports[0].shape[-1] if ports[0].shape else None


def _output(ports: Sequence[Port], section: OnnxModel) -> Port:
    """The output to use: the one that was named, the only one, or the probabilities of two."""
    names = ", ".join(port.name for port in ports)
    if section.output is not None:
        for port in ports:
            if port.name == section.output:
                return port
        raise ConfigError(f"the model has no such output; it has {names}", key="model.output")
    numbers = [port for port in ports if port.dtype in NUMBERS or port.dtype == "map"]
    if len(ports) == 1 or not numbers:
        found = ports[0] if len(ports) == 1 or len({port.dtype for port in ports}) == 1 else None
    else:
        found = numbers[0] if len(numbers) == 1 else None
    if found is None or (found not in numbers and found.dtype not in LABELS):
        shown = ", ".join(_shown(port) for port in ports)
        raise ConfigError(
            f"is needed to say which of the outputs of {section.path} counts: {shown}",
            key="model.output",
        )
    return found


def _labels(graph: Graph, output: Port, section: OnnxModel) -> tuple[Any, ...] | None:
    """Labels of the columns; numbers from 0 where the file names none."""
    if output.dtype in LABELS:
        return graph.labels
    width = output.shape[1] if len(output.shape) == 2 else None
    if graph.labels is not None and width in (None, len(graph.labels)) and width != 1:
        is_classifier = output.dtype == "map" or len(output.shape) == 2
        return graph.labels if is_classifier else None
    if width is None and len(output.shape) != 1 and section.decide is None:
        width = len(section.classes) if section.classes is not None else ACTIONS
    return tuple(range(width)) if width is not None and width > 1 else None


def _answer(output: Port, labels: tuple[Any, ...] | None) -> Any:
    if output.dtype in LABELS:
        return "labels"
    return "number" if labels is None else "probabilities"


def _format(graph: Graph) -> str:
    return f"an ONNX graph{f' of {graph.producer}' if graph.producer else ''}"


def _shown(port: Port) -> str:
    shape = ", ".join("?" if length is None else str(length) for length in port.shape)
    return f"{port.name} {port.dtype or 'of another kind'} ({shape})"
