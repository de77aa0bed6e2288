"""Reads and writes skops files: a model as plain data, loaded without running code of its own.

Law: only types that skops knows or the config trusts are made. The same
model always gives the same bytes: skops names its parts by memory address and time, and trees
save unused memory, so parts are renumbered and wiped before writing.
"""

import importlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trader.errors import ModelError
from trader.models.pinned import MAX_BYTES

MAX_SCHEMA_BYTES = 256 * 1024**2
_SCHEMA = "schema.json"
# Classes of scikit-learn are made without doing anything; these parts of it are not models.
NOT_MODELS = ("datasets", "externals", "tests", "utils", "conftest", "experimental")
KNOWN_PARTS = (
    "numpy.dtype",
    "numpy.mean",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.utils._bunch.Bunch",
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip file can hold


def load_skops(data: bytes, path: str, trusted: Sequence[str]) -> Any:
    """The object in a skops file; `ModelError` if it is damaged or holds types not trusted."""
    import skops.io

    try:
        _check_size(data, path)
        untrusted = skops.io.get_untrusted_types(data=data)
        allowed = [*trusted, *filter(is_part_of_sklearn, untrusted)]
        refused = [name for name in untrusted if name not in allowed]
        if refused:
            raise ModelError(
                f"model.path {path}: holds types that are not trusted: {', '.join(refused)}\n"
                "Loading them can run code. If you know and trust every one, list them under "
                "model.trusted"
            )
        return skops.io.loads(data, trusted=allowed)
    except (ModelError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a damaged or malicious file can fail anywhere
        text = str(error).splitlines()
        raise ModelError(
            f"model.path {path}: cannot be loaded as a skops file: {type(error).__name__}"
            + (f": {text[0]}" if text else "")
        ) from error


def is_part_of_sklearn(name: str) -> bool:
    """Whether a type is a class that scikit-learn's own estimators consist of.

    skops leaves it to its caller to trust them. They hold numbers, or other parts, and do nothing
    when they are made; functions are not among them, for a model could call one.
    """
    module, _, attribute = name.rpartition(".")
    parts = module.split(".")
    if name in KNOWN_PARTS:
        return True
    if parts[0] != "sklearn" or len(parts) < 2 or set(parts) & set(NOT_MODELS):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception:  # no such module
        return False
    return isinstance(found, type) and found.__module__.partition(".")[0] == "sklearn"


def dump_skops(model: Any) -> bytes:
    """The bytes of a skops file of `model`, equal for equal models.

    Raises `skops.io.exceptions.UnsupportedTypeException` or `TypeError` if skops cannot save it.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    names: dict[str, str] = {}
    schema = _renumbered(json.loads(parts.pop(_SCHEMA)), {}, names)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stable:
        for old, new in names.items():
            stable.writestr(zipfile.ZipInfo(new, _EPOCH), _without_padding(new, parts[old]))
        stable.writestr(zipfile.ZipInfo(_SCHEMA, _EPOCH), json.dumps(schema, indent=1))
    return buffer.getvalue()


def _renumbered(state: Any, ids: dict[int, int], names: dict[str, str]) -> Any:
    """The schema with object ids and file names numbered in order of appearance."""
    if isinstance(state, list):
        return [_renumbered(item, ids, names) for item in state]
    if not isinstance(state, dict):
        return state
    fresh: dict[str, Any] = {}
    for key, value in state.items():
        if key == "__id__" and isinstance(value, int):
            fresh[key] = ids.setdefault(value, len(ids) + 1)
        elif key == "file" and isinstance(value, str) and "__loader__" in state:
            suffix = Path(value).suffix
            fresh[key] = names.setdefault(value, f"{len(names) + 1}{suffix}")
        else:
            fresh[key] = _renumbered(value, ids, names)
    return fresh


def _without_padding(name: str, part: bytes) -> bytes:
    """A saved array with zeros between its fields, where trees leave whatever was in memory."""
    if not name.endswith(".npy"):
        return part
    saved = np.load(io.BytesIO(part), allow_pickle=False)
    if saved.dtype.names is None:
        return part
    clean = np.zeros(saved.shape, saved.dtype)  # zeros_like leaves the padding as it was
    for field in saved.dtype.names:
        clean[field] = saved[field]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _check_size(data: bytes, path: str) -> None:
    """Refuse a file that unpacks to more than it may; what a part declares, zipfile enforces."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        parts = packed.infolist()
        schema = packed.getinfo(_SCHEMA).file_size
        total = sum(part.file_size for part in parts)
        if len({part.filename for part in parts}) != len(parts):
            raise ModelError(f"model.path {path}: holds two parts of one name")
        if total > MAX_BYTES or schema > MAX_SCHEMA_BYTES:
            raise ModelError(
                f"model.path {path}: unpacks to {total} bytes ({_SCHEMA}: {schema}); at most "
                f"{MAX_BYTES} ({MAX_SCHEMA_BYTES}) are loaded"
            )
        # a part may be named many times, and skops reads it each time
        named = _named_bytes(
            json.loads(packed.read(_SCHEMA)), {part.filename: part.file_size for part in parts}
        )
        if named > MAX_BYTES:
            raise ModelError(f"model.path {path}: would load {named} bytes; at most {MAX_BYTES}")


def _named_bytes(state: Any, sizes: dict[str, int]) -> int:
    """Bytes of all parts that the schema names, each as often as it is named."""
    total, todo = 0, [state]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            file = item.get("file")
            total += sizes.get(file, 0) if isinstance(file, str) else 0
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return total
