"""A sweep on disk: what it is, every finished trial as a line, the table at the end.

Law: a trial is on disk, in a file of lines that only grows, before the next one counts; a line cut
off by a crash is as if its trial had not run. The table follows from the lines alone, in the order
of their numbers: it is the same to the byte whoever ran the trials.
"""

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np

from trader.errors import UsageError
from trader.jobs.sweep.figures import NUMBERS
from trader.jobs.sweep.space import Parameter
from trader.jobs.sweep.trial import Outcome
from trader.report.folder import cannot_write, write_file

ABOUT, LINES, TABLE, LOCK, WORK = "sweep.json", "trials.jsonl", "trials.parquet", ".lock", ".work"
SYNC_S = 0.5  # a crash of the machine, not of a process, may cost so many seconds of trials


class SweepFolder:
    """An open sweep, ours alone until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _opened(path / LOCK, "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UsageError(f"{path}: this sweep is running already") from None
        self._mend()
        self.outcomes = {one.trial: _light(one) for one in read_lines(path / LINES)}
        self._file = _opened(path / LINES, "a")
        self._synced = time.monotonic()

    @property
    def work(self) -> Path:
        """Where the workers share their arrays."""
        return self.path / WORK

    def add(self, outcome: Outcome) -> None:
        """Keep a finished trial."""
        self.outcomes[outcome.trial] = _light(outcome)
        try:
            self._file.write(_line(outcome))
            self._file.flush()
            if time.monotonic() - self._synced > SYNC_S:
                os.fdatasync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise cannot_write(self.path / LINES, error) from error

    def close(self) -> None:
        """Sync, and let others have it."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path / LINES, error) from error
        finally:
            with suppress(OSError):  # what the disk did not take
                self._file.close()
            self._lock.close()

    def _mend(self) -> None:
        """Take a line away that a crash cut off."""
        path = self.path / LINES
        if path.exists():
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) != len(data):
                write_file(path, whole)


def _opened(path: Path, mode: str) -> TextIO:
    try:
        return cast(TextIO, path.open(mode, encoding="utf-8"))
    except OSError as error:
        raise cannot_write(path, error) from error


def _light(outcome: Outcome) -> Outcome:
    """Without what only the end of the sweep needs, which is on disk: memory stays small."""
    return replace(outcome, sums=[], fold_sums=[])


@dataclass(frozen=True)
class Moments:
    """What finished trials earned, by stretch of time."""

    trials: np.ndarray  # i8 (n,)
    sums: np.ndarray | None  # f8 (n, blocks, moments); None: not the same days for all
    folds: np.ndarray | None


def read_moments(path: Path) -> Moments:
    """The moments of all trials of a file, in the order of their numbers."""
    numbers, sums, folds = [], [], []
    for one in read_lines(path):
        if one.state == "done":
            numbers.append(one.trial)
            sums.append(np.array(one.sums))
            folds.append(np.array(one.fold_sums))
    trials = np.array(numbers, np.int64)
    order = np.argsort(trials, kind="stable")
    return Moments(trials[order], _stacked(sums, order), _stacked(folds, order))


def _stacked(parts: list[np.ndarray], order: np.ndarray) -> np.ndarray | None:
    if len({part.shape for part in parts}) != 1 or parts[0].size == 0:
        return None
    stacked = np.array(parts)[order]
    days = stacked[:, :, 0]
    return stacked if (days == days[0]).all() else None


def _line(outcome: Outcome) -> str:
    about = {
        "trial": outcome.trial,
        "params": outcome.params,
        "state": outcome.state,
        "error": outcome.error,
        "values": outcome.values,
        "sums": outcome.sums,
        "fold_sums": outcome.fold_sums,
        "span": outcome.span,
    }
    return json.dumps(about, separators=(",", ":")) + "\n"


def read_lines(path: Path) -> Iterator[Outcome]:
    """Finished trials of a file, in the order they ended; nothing where there is none."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                about = json.loads(line)
                about["span"] = tuple(about["span"])
                yield Outcome(**about)


def about_sweep(path: Path) -> dict[str, Any] | None:
    """sweep.json of a folder; None where it is none or cannot be read."""
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def write_about(path: Path, about: dict[str, Any]) -> None:
    """Write sweep.json, whole."""
    write_file(path / ABOUT, json.dumps(about, indent=2) + "\n")


def sweeps_in(parent: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every sweep folder under `parent`, oldest first."""
    if not parent.is_dir():
        return
    for path in sorted(parent.iterdir()):
        about = about_sweep(path) if path.is_dir() else None
        if about is not None:
            yield path, about


def rows(outcomes: Sequence[Outcome], parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """One row a trial, in the order of their numbers, as the table has them."""
    made = []
    for one in sorted(outcomes, key=lambda outcome: outcome.trial):
        row: dict[str, Any] = {"trial": one.trial}
        row |= {parameter.key: one.params[parameter.key] for parameter in parameters}
        row |= {name: _number(one.values.get(name)) for name in NUMBERS}
        row["trades"] = one.values.get("trades", 0)
        row["digest"] = one.values.get("digest", "")
        row["state"] = one.state
        row["trading_state"] = one.values.get("trading_state", "")
        row["error"] = one.error
        made.append(row)
    return made


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def table(made: Sequence[dict[str, Any]], parameters: Sequence[Parameter]) -> Any:
    """The rows as an Arrow table: a column a parameter by its dotted key, then the results."""
    import pyarrow as pa

    fields = [("trial", pa.int64())]
    fields += [(parameter.key, _type_of(parameter)) for parameter in parameters]
    fields += [(name, pa.float64()) for name in NUMBERS]
    fields += [("trades", pa.int64())]
    fields += [(name, pa.string()) for name in ("digest", "state", "trading_state", "error")]
    columns = [pa.array([_as_type(row[name], kind) for row in made], kind) for name, kind in fields]
    return pa.Table.from_arrays(columns, names=[name for name, _ in fields])


def _type_of(parameter: Parameter) -> Any:
    import pyarrow as pa

    values = [value for value in parameter.values if value is not None]
    if all(isinstance(value, bool) for value in values):
        return pa.bool_()
    if any(isinstance(value, str | bool) for value in values):
        return pa.string()
    return pa.int64() if all(isinstance(value, int) for value in values) else pa.float64()


def _as_type(value: Any, kind: Any) -> Any:
    return str(value) if str(kind) == "string" and value is not None else value


def write_table(path: Path, made: Any) -> None:
    """trials.parquet, whole: the same rows are the same bytes."""
    import pyarrow.parquet as pq

    draft = path / f".{TABLE}.tmp"
    try:
        pq.write_table(made, draft, compression="zstd", store_schema=False)
        draft.replace(path / TABLE)
    except OSError as error:
        raise cannot_write(path / TABLE, error) from error
