"""Models of walk-forwards on disk, by the content they were made of.

Law: the name of a file is the hash of everything that its model depends on: rows, labels, weights,
estimator, seed, versions. A file that is damaged, or another user's, is as none. What is kept is
only ever a saving of time.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.kept_files import keep, kept
from trader.models.fitting import FittedModel, Lesson
from trader.models.model_card import versions_of

LAYOUT = 1
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
    found = kept(FOLDER, name)
    if found is not None:
        return _read(found)
    fitted = fit()
    made = ModelFile(fitted.kind, fitted.data, fitted.codes)
    place = keep(FOLDER, name, _written(made))
    if place is not None:
        _forget_oldest(place)
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


def _read(body: bytes) -> ModelFile:
    head, _, data = body.partition(b"\n")
    facts = json.loads(head)
    codes = facts["codes"]
    return ModelFile(facts["kind"], data, None if codes is None else tuple(codes))


def _written(made: ModelFile) -> bytes:
    return json.dumps({"kind": made.kind, "codes": made.codes}).encode() + b"\n" + made.data


def _forget_oldest(folder: Path) -> None:
    """Keep the folder from growing without end."""
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
        if len(names) <= MOST_FILES:
            return
        by_age = sorted(names, key=lambda name: (folder / name).stat().st_mtime_ns)
        for name in by_age[: MOST_FILES // 4]:
            (folder / name).unlink(missing_ok=True)
