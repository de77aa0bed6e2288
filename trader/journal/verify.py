"""Is a journal whole and unchanged, and does it make sense? Names the first bad record and why.

    storage     the file is not what SQLite wrote        hash       a record was edited
    gap         records are missing                      order      records changed places
    duplicate   a record stands twice                    splice     a record of another journal
    truncated   the tail is gone                         checkpoint a Merkle root does not match
    anchor      the past, or the run before, is not      meaning    it says what cannot have been
                the one anchored

Law: reading only, and nothing read is trusted. `verify` does the work in a process of its own with
a time limit, because a damaged file may crash or hang its reader.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trader.errors import TraderError
from trader.journal.anchor import Anchor
from trader.journal.chain import GENESIS, Stamp, record_hash
from trader.journal.copies import Copies
from trader.journal.findings import Problem, Report, diagnosis
from trader.journal.lineage import with_parent
from trader.journal.meaning import Meaning
from trader.journal.merkle import MerkleTree
from trader.journal.records import (
    HEADED,
    UNJUDGEABLE,
    DamagedJournal,
    JournalError,
    RecordType,
    canonical,
)
from trader.journal.store import COLUMNS, TABLE, UNREADABLE, open_reader, require_format
from trader.journal.witnesses import Witnesses

FIRST_SECONDS = 60.0  # time limit of the reading process, and then some per byte
SECONDS_PER_BYTE = 1e-6
READER = ("-P", "-m", "trader.journal.verify")  # arguments of the reading process
NAMES_ITS_PREDECESSOR = HEADED | {RecordType.CHECKPOINT}

Row = tuple[Any, ...]  # as COLUMNS, text as bytes


class Verification:
    """One pass over the records, in order. `take` every row, then `finish`."""

    def __init__(self, anchors: Sequence[Anchor] = ()) -> None:
        self.chain_problem: Problem | None = None
        self.problem: Problem | None = None  # the first one that is not about the chain
        self.meaning = Meaning()
        self.copies = Copies()
        self.tree = MerkleTree()
        self.head = GENESIS
        self.seq = 0
        self.counts: dict[str, int] = {}
        self.witnesses = Witnesses(anchors)

    def take(self, row: Row) -> bool:
        """Check the next row; False once the chain is broken and nothing after it can be told."""
        seq, wall_ns, mono_ns, event_ns, cause, kind, prev, digest, payload = row
        stamp = (seq, wall_ns, mono_ns, event_ns, cause)
        if not self._linked(stamp, kind, (prev, digest, payload)):
            return False
        name = kind.decode()
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.problem is None:
            self._judge(stamp, name, payload)
        self.seq, self.head = seq, digest
        self.tree.add(digest)
        if self.witnesses.concerns(seq, digest):
            self.witnesses.compare(seq, digest, self.tree, self.meaning.run_id)
        return True

    def _linked(self, stamp: Stamp, kind: bytes, sealed: tuple[bytes, bytes, bytes]) -> bool:
        prev, digest, payload = sealed
        try:
            intact = record_hash(stamp, kind, payload, prev) == digest
        except Exception:  # a column of another type than it was written with
            intact = False
        return intact and prev == self.head and stamp[0] == self.seq + 1

    def _judge(self, stamp: Stamp, kind: str, payload: bytes) -> None:
        seq = stamp[0]
        try:
            data = canonical(payload.decode("ascii"))
            fault = self.meaning.check((seq, stamp[2], stamp[3]), kind, data)
            if fault is None:
                fault = self.copies.check(stamp[3], kind, data)
            if fault is not None:
                self.problem = Problem(seq, "meaning", fault)
            elif kind == "CHECKPOINT" and not self._is_true_checkpoint(data):
                text = "the checkpoint is not one of the records before it"
                self.problem = Problem(seq, "checkpoint", text)
            elif kind in NAMES_ITS_PREDECESSOR and data["head"] != self.head.hex():
                self.problem = Problem(seq, "meaning", "it names another record before it")
        except UNJUDGEABLE as error:
            self.problem = Problem(seq, "meaning", f"a payload that cannot be read: {error!r}")

    def _is_true_checkpoint(self, data: dict[str, Any]) -> bool:
        return data["size"] == self.seq and data["root"] == self.tree.root().hex()

    def finish(self) -> None:
        """What can only be said at the end: a missing start, a tail that was anchored."""
        if self.chain_problem is not None:
            return
        if self.seq == 0:
            self.chain_problem = Problem(1, "truncated", "there is no record at all")
        cut = self.witnesses.finish(self.seq, self.meaning.run_id)
        self.chain_problem = self.chain_problem or cut


def verify_here(path: Path, anchors: Sequence[Anchor] = (), parents: Path | None = None) -> Report:
    """Verify in this process. JournalError if there is nothing that can be read.

    With `parents`, a folder of runs, the run before is compared with what RUN_START says of it.
    """
    work = Verification(anchors)
    try:
        connection = open_reader(path)
    except DamagedJournal as error:
        work.chain_problem = Problem(1, "storage", str(error))
        return Report.of(path, work)
    try:
        _verify_file(connection, path, work)
    except UNREADABLE as error:
        work.chain_problem = Problem(work.seq + 1, "storage", f"sqlite: {error}")
    finally:
        connection.close()
    report = Report.of(path, work)
    return report if parents is None else with_parent(report, parents)


def _verify_file(connection: sqlite3.Connection, path: Path, work: Verification) -> None:
    connection.execute("BEGIN")  # one view of the file, whatever a running writer adds
    storage = _storage_fault(connection, path)
    connection.text_factory = bytes
    for row in connection.execute(f"SELECT {COLUMNS} FROM records ORDER BY seq"):
        if not work.take(row):
            work.chain_problem = diagnosis(connection, row, work.seq, work.head)
            break
    work.finish()
    if storage is not None and work.chain_problem is None:
        work.chain_problem = Problem(work.seq, "storage", storage)


def _storage_fault(connection: sqlite3.Connection, path: Path) -> str | None:
    """What is wrong with the file around the records: format, structure, anything added."""
    try:
        require_format(connection, path)
    except JournalError as error:
        return str(error)
    objects = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    if objects != [("table", "records", TABLE)]:
        return f"the file holds other tables than a journal: {[row[:2] for row in objects]}"
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return None if found == "ok" else f"sqlite: {found}"


def verify(
    path: Path,
    anchors: Sequence[Anchor] = (),
    timeout_s: float | None = None,
    parents: Path | None = None,
) -> Report:
    """`verify_here` in a process of its own; a reader that crashes means a damaged file.

    JournalError if there is nothing to read, TraderError if it took longer than the time limit.
    """
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}")
    limit_s = timeout_s or FIRST_SECONDS + path.stat().st_size * SECONDS_PER_BYTE
    request = {
        "path": str(path),
        "parents": None if parents is None else str(parents),
        "anchors": [
            [a.hash.hex(), a.seq, None if a.root is None else a.root.hex(), a.run_id]
            for a in anchors
        ],
    }
    root = Path(__file__).parents[2]  # so that the child finds this very package, from anywhere
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, *READER],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=limit_s,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TraderError(
            f"{path} could not be verified within {limit_s:.0f} s; nothing is proven either way"
        ) from None
    if done.returncode < 0:
        work = Verification()
        work.chain_problem = Problem(
            1, "storage", f"reading the file crashed (signal {-done.returncode})"
        )
        return Report.of(path, work)
    if done.returncode != 0:
        raise JournalError(done.stderr.strip().splitlines()[-1] if done.stderr else "no answer")
    return Report.from_json(done.stdout)


def _main() -> int:
    """The child's side: a request on stdin, a report on stdout."""
    request = json.load(sys.stdin)
    anchors = [
        Anchor(bytes.fromhex(digest), seq, bytes.fromhex(root) if root else None, run_id)
        for digest, seq, root, run_id in request["anchors"]
    ]
    parents = None if request["parents"] is None else Path(request["parents"])
    try:
        report = verify_here(Path(request["path"]), anchors, parents)
    except JournalError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(report.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(_main())
