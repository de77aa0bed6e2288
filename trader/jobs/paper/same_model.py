"""Whether a run goes on with the model it began with: one hash, and the files behind it.

Law: what decides a run's actions is hashed before any of it is loaded. A journal of before the
code was hashed is refused where there is code: nobody can tell whether it is the same.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.jobs.backtest import Order, model_files, model_section
from trader.journal.records import Record
from trader.user_code.own_files import OwnFile, is_code


@dataclass(frozen=True)
class ModelHash:
    """What RUN_START records of model and features."""

    sha256: str
    files: Mapping[str, OwnFile]  # by the config key that names each

    @property
    def details(self) -> dict[str, Any]:
        """`files` as it stands in RUN_START."""
        return {"files": {key: file._asdict() for key, file in self.files.items()}}


def model_hash(order: Order) -> ModelHash:
    """One hash over the model's section of the config, the file it names, and code it names."""
    files = model_files(order)
    whole = hashlib.sha256(repr(model_section(order.loaded)).encode())
    path = getattr(order.loaded.config.model, "path", None)
    if path is not None:
        with contextlib.suppress(OSError):  # loading it will say what is wrong
            whole.update(Path(path).read_bytes())
    second = files.get("model.filter.path")
    if second is not None:
        whole.update(f"model.filter.path {second.sha256}\n".encode())
    for key in sorted(filter(is_code, files)):  # none: the hash of the versions before
        whole.update(f"{key} {files[key].sha256}\n".encode())
    return ModelHash(whole.hexdigest(), files)


def difference(start: Record, now: ModelHash) -> str | None:
    """What of model and features is not what the run of RUN_START `start` ran on; None if all is.

    In words that go on with "is not what it ran on".
    """
    if start.data["model_sha"] == now.sha256:
        return None
    before = start.data.get("files")
    if before is None and any(map(is_code, now.files)):
        return "the code of model and features is not on record in this older journal, and maybe"
    known = before or {}
    changed = [
        f"{now.files[key].path if key in now.files else known[key]['path']} ({key})"
        for key in sorted({*known, *now.files})
        if key not in now.files or key not in known or known[key]["sha256"] != now.files[key].sha256
    ]
    return ", ".join(changed) or "the model"
