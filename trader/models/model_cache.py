"""Models of walk-forwards on disk, by the content they were made of.

Law: the name of a file is the hash of everything that its model depends on: rows, labels, weights,
estimator, seed, versions. A file that is damaged, or another user's, is as none. What is kept is
only ever a saving of time.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.core.jit import cache_parents
from trader.models.fitting import FittedModel, Lesson
from trader.models.model_card import versions_of

LAYOUT = 1
DIGEST_BYTES = 32
MOST_FILES = 4_000
FOLDER = "models"


@dataclass(frozen=True)
class ModelFile:
    """What a fitted model leaves: the bytes of its file and the classes of its columns."""

    kind: str
    data: bytes
    codes: tuple[int, ...] | None

    @property
    def sha256(self) -> str:
        """Of the bytes that a file of it would hold."""
        return hashlib.sha256(self.data).hexdigest()


def cached(config: Config, lesson: Lesson, fit: Callable[[], FittedModel]) -> ModelFile:
    """The model of a lesson: out of the cache, or fitted now and kept."""
    name = f"{lesson_key(config, lesson)}.bin"
    for folder in _folders():
        found = _read(folder / name)
        if found is not None:
            return found
    fitted = fit()
    made = ModelFile(fitted.kind, fitted.data, fitted.codes)
    _write(made, name)
    return made


def lesson_key(config: Config, lesson: Lesson) -> str:
    """Hash of everything that a fitted model depends on."""
    train = config.train
    assert train is not None
    about = {
        "layout": LAYOUT,
        "train": train.model_dump(mode="json", exclude={"split", "retrain", "start", "end"}),
        "seed": config.seed,
        "features": lesson.feature_names,
        "classes": lesson.class_names,
        "versions": versions_of(train),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    columns = (lesson.features, lesson.classes, lesson.returns, lesson.asked_ns, lesson.known_ns)
    for array in (*columns, np.empty(0) if lesson.weights is None else lesson.weights):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _folders() -> list[Path]:
    return [parent / FOLDER for parent in cache_parents()]


def _read(path: Path) -> ModelFile | None:
    try:
        if path.stat().st_uid != os.getuid():
            return None
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(path.name.encode() + body).digest() != digest:
        return None
    head, _, data = body.partition(b"\n")
    facts = json.loads(head)
    codes = facts["codes"]
    return ModelFile(facts["kind"], data, None if codes is None else tuple(codes))


def _write(made: ModelFile, name: str) -> None:
    """Keep a model where the next run finds it; where nothing can be written it is left."""
    head = json.dumps({"kind": made.kind, "codes": made.codes}).encode()
    body = head + b"\n" + made.data
    content = hashlib.sha256(name.encode() + body).digest() + body
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=folder)
        except OSError:
            continue
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            os.replace(temporary, folder / name)
            _forget_oldest(folder)
            return
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _forget_oldest(folder: Path) -> None:
    """Keep the folder from growing without end."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    if len(names) <= MOST_FILES:
        return
    with contextlib.suppress(OSError):
        by_age = sorted(names, key=lambda name: (folder / name).stat().st_mtime_ns)
        for name in by_age[: MOST_FILES // 4]:
            (folder / name).unlink(missing_ok=True)
