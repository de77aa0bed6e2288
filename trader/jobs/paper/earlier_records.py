"""What lies before the snapshot that a run goes on from: verified and folded by a second process.

    Earlier    in the run: starts the process, asks whether it found anything, fetches its rows
    _main      the process: verifies the whole journal, folds it up to the snapshot, which must be
               the state it comes to, and leaves the rows of that part

Law: the run does not wait for it, and writes no results without it. What it finds stops the run.
It ends with the run, and its files with both; a kill does not wait for it either.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from trader.core.schema import DECISION
from trader.engine.batch import RowKeeper, RunRecord
from trader.engine.digest import RunDigest
from trader.engine.recorded import DivergenceError
from trader.engine.replay import begin_fold
from trader.errors import TraderError, VerificationError
from trader.journal.anchor import Anchor
from trader.journal.audit.verify import verify
from trader.journal.store import read_records
from trader.processes import ends_with_parent
from trader.report.artifacts import DECISIONS
from trader.report.parquet import DecisionWriter
from trader.report.tally import DecisionTally

FOLDER, SAID = ".earlier", "said"  # in the run folder, and what the process says in there
READER = ("-P", "-m", "trader.jobs.paper.earlier_records")
CHUNK = 65_536  # rows
NICE = 5
FAULTY = 8
ROWS = tuple(one.name for one in fields(RunRecord) if one.name not in ("book", "digest"))


class Earlier:
    """The part of a run before a snapshot."""

    def __init__(self, path: Path, snapshot_seq: int, known: Sequence[Anchor]) -> None:
        self._folder = path.parent / FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)  # of a process that died
        self._folder.mkdir()
        self._later = (self._folder / "later").open("wb")
        request = {
            "path": str(path),
            "seq": snapshot_seq,
            "folder": str(self._folder),
            "parent": os.getpid(),
            "known": [[a.hash.hex(), a.seq, a.run_id] for a in known],
        }
        self._process = _started(request)

    def keep(self, decisions: np.ndarray) -> None:
        """A sink of DECISION rows after the snapshot: they wait for those before it."""
        self._later.write(decisions.tobytes())

    def fault(self) -> str:
        """What it found so far; "" for nothing."""
        if self._process.poll() in (None, 0):
            return ""
        lines = (self._folder / SAID).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"its reader ended with {self._process.returncode}"

    @property
    def is_done(self) -> bool:
        """Whether `whole` need not wait."""
        return self._process.poll() is not None

    def whole(self, later: RunRecord) -> RunRecord:
        """The record of the whole run; waits for its first part. VerificationError where that is
        not what the run goes on from."""
        self._process.wait()
        if self.fault():
            raise VerificationError(f"the journal before this start: {self.fault()}")
        self._later.close()
        first = {name: np.load(self._folder / f"{name}.npy") for name in ROWS}
        digest = RunDigest()
        rows = first["equity"][:0], first["fills"][:0]
        for decisions in self.decisions():
            digest.add(decisions, rows[1], rows[0])
        joined: dict[str, Any] = {
            name: np.concatenate([first[name], getattr(later, name)]) for name in ROWS
        }
        digest.add(np.empty(0, DECISION), joined["fills"], joined["equity"])
        return replace(later, digest=digest.hexdigest(), **joined)

    def write_decisions(self, folder: Path, symbols: Sequence[str], tally: DecisionTally) -> None:
        """decisions.parquet of the whole run, and the tally of it; then nothing is left to do."""
        for rows in self._of("decisions"):
            tally.add(rows)
        with DecisionWriter(folder / DECISIONS, symbols) as file:
            for rows in self.decisions():
                file.write(rows)
        self.close()

    def decisions(self) -> Iterator[np.ndarray]:
        """Every DECISION row of the run, in order; once `whole` has come back."""
        yield from self._of("decisions")
        yield from self._of("later")

    def _of(self, name: str) -> Iterator[np.ndarray]:
        with (self._folder / name).open("rb") as file:
            while len(rows := np.frombuffer(file.read(CHUNK * DECISION.itemsize), DECISION)):
                yield rows.copy()

    def close(self) -> None:
        """End the process and take its files away."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._later.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _started(request: dict[str, Any]) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[3]  # so that the child finds this very package, from anywhere
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (Path(request["folder"]) / SAID).open("wb") as said:
        return subprocess.Popen(
            [sys.executable, *READER, json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            start_new_session=True,  # Ctrl-C is the run's
        )


def _main(request: dict[str, Any]) -> int:
    """The process: 0, or 8 with what it found as its last line."""
    if not ends_with_parent(request["parent"]):
        return 1
    os.nice(NICE)
    path = Path(request["path"])
    known = [Anchor(bytes.fromhex(head), seq, None, run) for head, seq, run in request["known"]]
    try:
        report = verify(path, known)
    except TraderError as error:
        return _say(str(error))
    if not report.ok:
        problem = report.problems[0]
        return _say(f"record {problem.seq}: {problem.text}")
    return _folded(path, request)


def _folded(path: Path, request: dict[str, Any]) -> int:
    try:
        _fold(path, request["seq"], Path(request["folder"]))
    except DivergenceError as diverged:
        return _say(f"it cannot be replayed: {diverged}")
    except TraderError as error:
        return _say(str(error))
    return 0


def _say(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return FAULTY


def _fold(path: Path, last: int, folder: Path) -> None:
    """Fold up to the SNAPSHOT `last`, which is compared, and leave the rows."""
    with (folder / "decisions").open("wb") as decisions:
        records = read_records(path)
        keeper = RowKeeper(0, (lambda rows: decisions.write(rows.tobytes()),))
        fold = begin_fold(next(records, None), keeper=keeper)
        for record in records:
            fold.take(record)
            if record.seq >= last:
                break
        rows = fold.engine.record()
    for name in ROWS:
        np.save(folder / f"{name}.npy", getattr(rows, name))


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
