"""What a model file says of itself: `python -m trader.models.inspection PATH` prints it as JSON.

Law: runs in a process of its own, for the parsers are other people's C++; a joblib or pickle file
is not loaded, only the names in it are listed. The model is never asked anything.
"""

import hashlib
import json
import os
import pickletools
import subprocess
import sys
from pathlib import Path
from typing import Any

from trader.core.schema import TradingAction
from trader.errors import ModelError, TraderError
from trader.models.file_kinds import ONNX, PICKLE, UNKNOWN, kind_of
from trader.models.memory import half_the_memory, limit_memory
from trader.models.pinned import read_file
from trader.models.predictor import Signature

MODULE = "trader.models.inspection"
TIMEOUT_S = 120.0
MOST_NAMES = 50
Document = dict[str, Any]


def inspect_file(path: str) -> Document:
    """What there is to say of the file. Raises `ModelError`, also where reading it crashed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path}: could not be read within {TIMEOUT_S:g} s") from None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        found: Document = json.loads(lines[-1])
    except (IndexError, ValueError):
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        raise ModelError(
            f"{path}: cannot be read: the process that read it ended ({how})"
        ) from None
    if "error" in found:
        raise ModelError(str(found["error"]))
    return found


def document_of(path: str) -> Document:
    """The same in this process."""
    data = read_file(path)
    kind = kind_of(data)
    sha256 = hashlib.sha256(data).hexdigest()
    found: Document = {
        "path": path,
        "format": kind.name,
        "type": kind.model_type or None,
        "bytes": len(data),
        "sha256": sha256,
    }
    if kind == UNKNOWN:
        raise ModelError(f"{path}: is {kind.name} ({len(data)} bytes)")
    if kind == PICKLE:
        found |= {"loads": False, "why": kind.advice, "names": _names_in_pickle(data)}
    elif not kind.model_type:
        found |= {"loads": False, "why": kind.advice}
    else:
        found |= _loaded(path, data, kind.model_type, sha256)
        if kind == ONNX:
            found |= _onnx(data)
    return found | {"card": _card(path, sha256)}


def _loaded(path: str, data: bytes, kind: str, sha256: str) -> Document:
    from trader.models.file_model import load_predictor
    from trader.models.registry import MODELS

    section = MODELS.entry(kind).section(type=kind, path=path, sha256=sha256)
    signature = load_predictor(section, data).signature
    return {
        "loads": True,
        "model": signature.format,
        "features": None if signature.feature_names is None else list(signature.feature_names),
        "feature_count": signature.feature_count,
        "dtype": signature.dtype,
        "answer": signature.answer,
        "classes": None if signature.labels is None else list(signature.labels),
        "config": config_lines(kind, path, sha256, signature),
    }


def config_lines(kind: str, path: str, sha256: str, signature: Signature) -> list[str]:
    """The section to paste; where a choice is the user's, a comment says so."""
    lines = ["model:", f"  type: {kind}", f"  path: {path}", f"  sha256: {sha256}"]
    if signature.answer == "number":
        return [
            *lines,
            "  decide: {buy_above: 0.0, sell_below: 0.0}  # choose: what the number means",
        ]
    labels = [str(label).lower() for label in signature.labels or ()]
    plain = {"0", "1", "2", "3", "hold", "buy", "sell", "close"}
    if set(labels) <= plain and len(labels) != 2:
        if not signature.are_places:
            return lines
        pairs = ", ".join(f"{place}: {TradingAction(int(place)).name}" for place in labels)
        return [*lines, f"  classes: {{{pairs}}}  # choose: 0 was the smallest label of the fit"]
    known = {"1": "BUY", "-1": "SELL", "0": "HOLD", "true": "BUY", "false": "HOLD"}
    known |= {"up": "BUY", "down": "SELL", "flat": "HOLD", "long": "BUY", "short": "SELL"}
    known |= {name: name.upper() for name in ("hold", "buy", "sell", "close")}
    pairs = ", ".join(f"{label}: {known.get(label, 'HOLD')}" for label in labels)
    return (
        [*lines, f"  classes: {{{pairs}}}  # check: the action of each class"] if labels else lines
    )


def _onnx(data: bytes) -> Document:
    from trader.models.onnx_graph import read_graph

    graph = read_graph(data)
    return {
        "inputs": [port._asdict() for port in graph.inputs],
        "outputs": [port._asdict() for port in graph.outputs],
        "operators": sorted(graph.operators),
        "metadata": graph.metadata,
    }


def _names_in_pickle(data: bytes) -> list[str] | None:
    """What the pickle would import, read without running it; None where it is compressed."""
    found: list[str] = []
    strings: list[str] = []
    try:
        for opcode, value, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                found.append(str(value).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                found.append(".".join(strings[-2:]))
            elif isinstance(value, str):
                strings.append(value)
    except Exception:  # joblib puts arrays between the opcodes; a compressed file has none
        return list(dict.fromkeys(found))[:MOST_NAMES] or None
    return list(dict.fromkeys(found))[:MOST_NAMES]


def _card(path: str, sha256: str) -> Document | None:
    from trader.models.model_card import read_card

    return read_card(path, sha256)


def main(path: str) -> None:
    """Print the document, or the error, as one line of JSON."""
    ours = os.dup(1)
    os.dup2(2, 1)  # what a parser prints is no part of the answer
    limit_memory(half_the_memory())
    try:
        found = document_of(path)
    except TraderError as error:
        found = {"error": str(error)}
    except BaseException as error:
        found = {"error": f"{Path(path)}: cannot be read: {type(error).__name__}: {error}"}
    os.write(ours, b"\n" + json.dumps(found, default=str).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
