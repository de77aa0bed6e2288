"""Run folders on disk: list them, find one by what a user types, read it back.

Law: reads only. A folder that cannot be read is named with the reason and never hides the
others. What `trader runs show` gives back is the document the run printed when it ended.
"""

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.errors import UsageError
from trader.report.artifacts import COMPLETE, CONFIG, MANIFEST, METRICS
from trader.report.folder import PARTIAL_SUFFIX, RUN_ID
from trader.report.provenance import FORMAT

LATEST = "latest"
JOURNAL = "journal.sqlite"
SWEEP = "sweep.json"  # a folder of many runs, which is none itself
NEEDED_KEYS = ("run_id", "command", "engine", "started_at", "digest", "counts", "risk", "timing")
KINDS = {"run_id": str, "counts": dict, "risk": dict, "timing": dict}  # of the values of these
COUNTED = ("bars", "slices", "orders", "fills", "denied", "throttled")
NEEDED_METRICS = ("start_equity", "final_equity")
NEAREST = 3  # names offered for an unknown one


@dataclass(frozen=True)
class StoredRun:
    """A finished run, read from its folder."""

    path: Path
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    missing: tuple[str, ...]  # files of a complete folder that are not there

    @property
    def run_id(self) -> str:
        """As the run named itself; the folder may have been renamed since."""
        return str(self.manifest["run_id"])

    def document(self) -> dict[str, Any]:
        """The summary document of the run; see `document.summary_document`."""
        manifest, counts = self.manifest, self.manifest["counts"]
        return {
            "run_id": self.run_id,
            "run_dir": str(self.path),
            "digest": manifest["digest"],
            **{name: counts[name] for name in COUNTED},
            "start_equity": self.metrics["start_equity"],
            "final_equity": self.metrics["final_equity"],
            "metrics": self.metrics,
            "risk": manifest["risk"],
            "timing": manifest["timing"],
            "engine": manifest["engine"],
            **({"in_sample": manifest["in_sample"]} if "in_sample" in manifest else {}),
        }


@dataclass(frozen=True)
class BrokenRun:
    """A folder that looks like a run and cannot be read as one."""

    path: Path
    problem: str


def read_run(path: Path) -> StoredRun:
    """Read a run folder; UsageError that says what is wrong with it."""
    problem = _unfinished(path)
    if problem:
        raise UsageError(f"{path}: {problem}")
    manifest = _json_object(path / MANIFEST)
    absent = [key for key in NEEDED_KEYS if key not in manifest]
    if absent:
        raise UsageError(f"{path / MANIFEST}: damaged, no {', '.join(absent)}")
    if manifest.get("format") != FORMAT:
        raise UsageError(
            f"{path / MANIFEST}: format {manifest.get('format')!r}, and this version reads "
            f"{FORMAT}; use the version of trader that made it"
        )
    for key, kind in KINDS.items():
        if not isinstance(manifest[key], kind):
            raise UsageError(f"{path / MANIFEST}: damaged, {key} is {manifest[key]!r:.40}")
    absent = [key for key in COUNTED if key not in manifest["counts"]]
    if absent:
        raise UsageError(f"{path / MANIFEST}: damaged, no {', '.join(absent)} in counts")
    metrics = _json_object(path / METRICS)
    absent = [key for key in NEEDED_METRICS if key not in metrics]
    if absent:
        raise UsageError(f"{path / METRICS}: damaged, no {', '.join(absent)}")
    missing = tuple(name for name in COMPLETE if not (path / name).is_file())
    return StoredRun(path, manifest, metrics, missing)


def list_runs(parent: Path) -> tuple[list[StoredRun], list[BrokenRun]]:
    """Every run under `parent`, newest first, and what could not be read, by name."""
    runs, broken = [], []
    for path in sorted(_run_folders(parent)):
        try:
            runs.append(read_run(path))
        except UsageError as error:
            broken.append(BrokenRun(path, str(error).removeprefix(f"{path}: ")))
    runs.sort(key=lambda run: run.run_id, reverse=True)  # begins with the time of its first start
    return runs, broken


def find_run(text: str, parent: Path) -> StoredRun:
    """The run meant by a folder path, a run id, a unique beginning of one, or `latest`."""
    if os.sep in text or (Path(text) / MANIFEST).is_file():
        if not Path(text).is_dir():
            raise UsageError(f"no run folder {text}")
        return read_run(Path(text))
    if text == LATEST:
        runs, _ = list_runs(parent)
        if not runs:
            raise UsageError(f"no finished run in {parent}; `trader backtest -c FILE` makes one")
        return runs[0]
    names = [path.name for path in _run_folders(parent) if not path.name.startswith(".")]
    if text in names:
        return read_run(parent / text)
    matches = sorted(name for name in names if text and name.startswith(text))
    if len(matches) == 1:
        return read_run(parent / matches[0])
    if matches:
        raise UsageError(f"{text!r} is the beginning of {len(matches)} runs: {_some(matches)}")
    nearest = difflib.get_close_matches(text, names, n=NEAREST, cutoff=0.3)
    hint = f"; nearest: {_some(nearest)}" if nearest else ""
    raise UsageError(f"no run {text!r} in {parent}{hint}; `trader runs list` shows all")


def _run_folders(parent: Path) -> list[Path]:
    """Folders that are runs, or were meant to be."""
    try:
        entries = [path for path in parent.iterdir() if path.is_dir() and not _is_sweep(path)]
    except OSError as error:
        raise UsageError(f"cannot read the folder {parent}: {error.strerror}") from error
    return [path for path in entries if _is_run(path)]


def _is_sweep(path: Path) -> bool:
    return (path / SWEEP).exists()


def _is_run(path: Path) -> bool:
    name = path.name.removeprefix(".").removesuffix(PARTIAL_SUFFIX)
    if RUN_ID.match(name):
        return True
    return any((path / file).exists() for file in (MANIFEST, METRICS, JOURNAL))


def _unfinished(path: Path) -> str:
    """Why a folder without a manifest has none; empty if it has one."""
    if path.name.endswith(PARTIAL_SUFFIX):
        return "not finished: the run is still going on, or died; its folder may be deleted"
    if (path / MANIFEST).is_file():
        return ""
    if (path / JOURNAL).is_file():
        return (
            "not finished: a paper run that is live (`trader status` shows it), or was "
            "interrupted and can be resumed by the same `trader paper`"
        )
    if [found.name for found in path.iterdir()] == [CONFIG]:
        return (
            "not begun: a paper run that waits for its first bar, or died before it; the next "
            "start of its config takes it away"
        )
    return f"damaged: {MANIFEST} is missing"


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: damaged, the file is missing") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # JSON and UTF-8 alike
        raise UsageError(f"{path}: damaged, not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: damaged, not a JSON object")
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NEAREST])
    return shown if len(names) <= NEAREST else f"{shown}, …"
