"""Is a journal whole and unchanged, and does it make sense? Names the first bad record and why.

    storage     the file is not what SQLite wrote        hash       a record was edited
    gap         records are missing                      order      records changed places
    duplicate   a record stands twice                    splice     a record of another journal
    truncated   the tail is gone                         checkpoint a Merkle root does not match
    anchor      the past, or the run before, is not      meaning    it says what cannot have been
                the one anchored

Law: reading only, and nothing read is trusted. `verify` does the work in a process of its own with
a time limit, because a damaged file may crash or hang its reader. Of a large file two processes
make one pass each (see `passes`); that nothing is wrong counts only if both read the same rows.
"""

import contextlib
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trader.errors import TraderError
from trader.journal.anchor import Anchor
from trader.journal.audit.findings import Problem, Report, diagnosis
from trader.journal.audit.passes import Chain, Row, Sense
from trader.journal.audit.second_reader import Fingerprint, SecondReader
from trader.journal.pack import in_bytes
from trader.journal.parent_runs import with_parent
from trader.journal.records import DamagedJournal, JournalError
from trader.journal.store import COLUMNS, TABLES, UNREADABLE, open_reader, require_format

if TYPE_CHECKING:
    pass

FIRST_SECONDS = 60.0  # time limit of the reading process, and then some per byte
SECONDS_PER_BYTE = 1e-5
READER = ("-P", "-m", "trader.journal.audit.verify")  # arguments of the reading process
GRACE_S = 5  # a reader ends by itself so much later, should nobody be left to end it
# What ends a process from outside says nothing of the file it reads.
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
APART_FROM = 8_000_000  # bytes of a journal for which a second process is worth its start


def verify_here(path: Path, anchors: Sequence[Anchor] = (), parents: Path | None = None) -> Report:
    """Verify in this process. JournalError if there is nothing that can be read.

    With `parents`, a folder of runs, the run before is compared with what RUN_START says of it.
    """
    chain, sense = Chain(anchors), Sense()
    _follow(path, chain, lambda last: None, sense.take)
    return _report(path, chain, sense.problem, parents)


def verify_apart(path: Path, anchors: Sequence[Anchor] = (), parents: Path | None = None) -> Report:
    """`verify_here`, with what the records say judged by a second process at the same time."""
    chain, read = Chain(anchors), Fingerprint()
    with SecondReader(path) as second:
        _follow(path, chain, second.begin, read.add)
        problem = second.problem()
    if problem is None and chain.problem is None and second.read != read.value:
        problem = Problem(max(chain.seq, 1), "storage", "it reads otherwise a second time")
    return _report(path, chain, problem, parents)


def _report(path: Path, chain: Chain, said: Problem | None, parents: Path | None) -> Report:
    report = Report.of(path, chain, chain.first_of(said))
    return report if parents is None else with_parent(report, parents)


def _follow(
    path: Path, chain: Chain, begin: Callable[[Any], None], linked: Callable[[Row], None]
) -> None:
    """Run `chain` over a journal: `begin` with the last number in view, `linked` with each row."""
    try:
        connection = open_reader(path)
    except DamagedJournal as error:
        chain.problem = Problem(1, "storage", str(error))
        return
    try:
        connection.execute("BEGIN")  # one view of the file, whatever a running writer adds
        storage = _storage_fault(connection, path)
        connection.text_factory = bytes
        begin(connection.execute("SELECT max(seq) FROM records").fetchone()[0])
        for row in _rows(connection, chain):
            if not chain.take(row):
                chain.problem = _broken(connection, row, chain)
                break
            linked(row)
        chain.finish()
        if storage is not None and chain.problem is None:
            chain.problem = Problem(chain.seq, "storage", storage)
    except UNREADABLE as error:
        chain.problem = Problem(chain.seq + 1, "storage", f"sqlite: {error}")
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection, chain: Chain) -> Iterator[Row]:
    """Every record in order, out of its pack where it lies in one."""
    for row in connection.execute(f"SELECT {COLUMNS} FROM records ORDER BY seq"):
        try:
            yield from in_bytes(row)
        except ValueError as error:
            chain.problem = Problem(chain.seq + 1, "storage", str(error))
            return


def _broken(connection: sqlite3.Connection, row: Row, chain: Chain) -> Problem:
    if type(row[0]) is not int:
        return Problem(chain.seq + 1, "storage", f"a record has the number {row[0]!r:.60}")
    return diagnosis(connection, row, chain.seq, chain.head)


def _storage_fault(connection: sqlite3.Connection, path: Path) -> str | None:
    """What is wrong with the file around the records: format, structure, anything added."""
    try:
        version = require_format(connection, path)
    except JournalError as error:
        return str(error)
    objects = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    if objects != [("table", "records", TABLES[version])]:
        return f"the file holds other tables than a journal: {[row[:2] for row in objects]}"
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return None if found == "ok" else f"sqlite: {found}"


def verify(
    path: Path,
    anchors: Sequence[Anchor] = (),
    timeout_s: float | None = None,
    parents: Path | None = None,
    apart_from: int = APART_FROM,
) -> Report:
    """`verify_here` in a process of its own; a reader that crashes means a damaged file.

    From `apart_from` bytes on two processes read, where there are two cores. JournalError if there
    is nothing to read, TraderError if it took longer than the time limit.
    """
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}")
    size = path.stat().st_size
    limit_s = timeout_s or FIRST_SECONDS + size * SECONDS_PER_BYTE
    request = {
        "path": str(path),
        "limit_s": limit_s,
        "apart": size >= apart_from and has_cores(),
        "parents": None if parents is None else str(parents),
        "anchors": [
            [a.hash.hex(), a.seq, None if a.root is None else a.root.hex(), a.run_id]
            for a in anchors
        ],
    }
    root = Path(__file__).parents[2]  # so that the child finds this very package, from anywhere
    places = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    environ.pop("PYTHONHASHSEED", None)  # `Fingerprint` needs a key that nobody knows
    with subprocess.Popen(
        [sys.executable, *READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        process_group=0,  # its second reader ends with it
    ) as reader:
        try:
            said, complaint = reader.communicate(json.dumps(request), timeout=limit_s)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(reader.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise TraderError(
                f"{path} could not be verified within {limit_s:.0f} s; nothing is proven either way"
            ) from None
    if -reader.returncode in FROM_OUTSIDE:
        raise TraderError(
            f"the reader of {path} was ended by signal {-reader.returncode}; verify it again: "
            "nothing is proven either way"
        )
    if reader.returncode < 0:
        chain = Chain()
        crash = f"reading the file crashed (signal {-reader.returncode})"
        chain.problem = Problem(1, "storage", crash)
        return Report.of(path, chain, None)
    if reader.returncode != 0:
        raise JournalError(complaint.strip().splitlines()[-1] if complaint else "no answer")
    return Report.from_json(said)


def has_cores() -> bool:
    """Whether a second process would have a core of its own, and can be a fork."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


def _main() -> int:
    """The child's side: a request on stdin, a report on stdout."""
    request = json.load(sys.stdin)
    signal.alarm(math.ceil(request["limit_s"]) + GRACE_S)
    anchors = [
        Anchor(bytes.fromhex(digest), seq, bytes.fromhex(root) if root else None, run_id)
        for digest, seq, root, run_id in request["anchors"]
    ]
    parents = None if request["parents"] is None else Path(request["parents"])
    try:
        check = verify_apart if request["apart"] else verify_here
        report = check(Path(request["path"]), anchors, parents)
    except JournalError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(report.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(_main())
