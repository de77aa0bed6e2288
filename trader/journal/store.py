"""Where records live: the SQLite file, how it is made, opened for writing and for reading.

Law: a row is a record, or a pack of many (`pack`), which no reader sees. WAL with synchronous=FULL,
one STRICT table and nothing else in the file. A journal appears under its name only once its
RUN_START is on disk. Readers never write and never block the writer.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from trader.journal.pack import PACK, PACKABLE, packed, payloads, runs_of, unpacked
from trader.journal.records import (
    FORMAT_VERSION,
    READABLE,
    DamagedJournal,
    Head,
    JournalError,
    Record,
)

FILE_NAME = "journal.sqlite"
APPLICATION_ID = 0x54524A4C  # "TRJL"
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
BUSY_SECONDS = 5.0

# The small fixed-size columns come first: reading hashes never touches a payload's overflow pages.
_TABLE = """CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    wall_ns INTEGER NOT NULL,
    mono_ns INTEGER NOT NULL,
    event_ns INTEGER,
    cause INTEGER,
    type TEXT NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL,
    payload {payload} NOT NULL
) STRICT"""
TABLES = {1: _TABLE.format(payload="TEXT"), 2: _TABLE.format(payload="ANY")}  # by format
TABLE = TABLES[FORMAT_VERSION]
COLUMNS = "seq, wall_ns, mono_ns, event_ns, cause, type, prev, hash, payload"
# A damaged file makes the driver raise the second one: it cannot decode a name or a message.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
INSERT = f"INSERT INTO records ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


def make_file(path: Path, first: Record) -> None:
    """Create the journal holding its first record, durable; the last step is the rename."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise JournalError(
            f"SQLite {sqlite3.sqlite_version} is too old for the journal: it needs 3.37 or later"
        )
    if path.exists():
        raise JournalError(f"{path} exists already: resume that run, or start a fresh one (--new)")
    draft = path.with_name(path.name + ".new")
    try:
        for leftover in (draft, _beside(draft, "-journal"), _beside(draft, "-wal")):
            leftover.unlink(missing_ok=True)
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
            connection.execute(TABLE)
            connection.execute(INSERT, first)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        os.rename(draft, path)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"cannot create the journal {path}: {error}") from error


def sync_folder(folder: Path) -> None:
    """Make names created in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection for the single writer; JournalError if the file is not a journal of ours."""
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_SECONDS,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone may stop in the drive cache
        connection.execute("PRAGMA checkpoint_fullfsync=ON")
        require_format(connection, path)
    except UNREADABLE as error:
        raise JournalError(f"cannot open the journal {path}: {error}") from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside a running writer if there is one.

    JournalError if the file cannot be opened, DamagedJournal if it is not SQLite any more.
    """
    if not os.access(path, os.R_OK):
        raise JournalError(f"there is no journal at {path}, or it may not be read")
    name = f"file:{quote(str(path))}?mode=ro"
    try:
        return _opened(name)
    except sqlite3.OperationalError as error:
        # A folder that cannot be written has no place for the -shm file. Without a -wal file
        # nobody is writing, and the file alone is the whole journal.
        wal = _beside(path, "-wal")
        if wal.exists() and wal.stat().st_size > 0:
            raise JournalError(
                f"cannot read {path}: {error}; copy it with its -wal file to a folder you can write"
            ) from error
    except UNREADABLE as error:
        raise damaged(path, error) from error
    try:
        return _opened(name + "&immutable=1")
    except UNREADABLE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DamagedJournal:
    """What to raise when SQLite cannot make sense of the file."""
    return DamagedJournal(f"{path} is damaged: {error}; see `trader audit verify`")


def _opened(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
    )
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except UNREADABLE:
        connection.close()
        raise
    return connection


def require_format(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a journal; JournalError unless the file says it is one we know."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is not a trader journal")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version not in READABLE:
        raise JournalError(
            f"{path} is a journal of format {version}, this trader knows {FORMAT_VERSION}; "
            "use the version that wrote it"
        )
    return version


def read_records(path: Path, from_seq: int = 1, types: Sequence[str] = ()) -> Iterator[Record]:
    """Records from `from_seq` on, in order; of the given types only, if any are given.

    Sees everything committed at the first `next`, also while a run is writing. Nothing is
    verified here: JournalError means that the file cannot be read at all.
    """
    where = "WHERE seq >= ?"
    asked = [*types, PACK] if types and not _PACKABLE.isdisjoint(types) else types
    if asked:
        where += f" AND type IN ({', '.join('?' * len(asked))})"
    connection = open_reader(path)
    try:
        query = f"SELECT {COLUMNS} FROM records {where} ORDER BY seq"
        for row in connection.execute(query, (from_seq, *asked)):
            if row[5] != PACK:
                yield Record._make(row)
                continue
            for record in unpacked(row):
                if record.seq >= from_seq and (not types or record.type in types):
                    yield record
    except (*UNREADABLE, ValueError) as error:
        raise damaged(path, error) from error
    finally:
        connection.close()


_PACKABLE = frozenset(PACKABLE)
_OF_A_KIND = "type = ? AND seq < ? OR type = ? AND cause < ?"  # below a seq, or in a pack


def read_payloads(path: Path, kind: str, before: int) -> Iterator[str]:
    """Payload of every record of one kind below seq `before`: of a pack, nothing else is read."""
    connection = open_reader(path)
    query = f"SELECT {COLUMNS} FROM records WHERE {_OF_A_KIND} ORDER BY seq"
    try:
        for row in connection.execute(query, (kind, before, PACK, before)):
            if row[5] != PACK:
                yield row[8]
            elif row[0] < before:
                yield from payloads(row, kind)
            else:
                for record in unpacked(row):
                    if record.type == kind and record.seq < before:
                        yield record.payload
    except (*UNREADABLE, ValueError) as error:
        raise damaged(path, error) from error
    finally:
        connection.close()


def read_head(path: Path) -> Head:
    """Seq and hash of the last record, as the file says. JournalError if it cannot be read."""
    connection = open_reader(path)
    try:
        query = "SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1"
        row = connection.execute(query).fetchone()
    except UNREADABLE as error:
        raise damaged(path, error) from error
    finally:
        connection.close()
    if row is None or not isinstance(row[1], bytes):
        raise damaged(path, ValueError("it has no last record"))
    return Head._make(row)


def newest_record(path: Path, kind: str, before: int | None = None) -> Record | None:
    """The last record of a type, or the last one below seq `before`; None if there is none."""
    below = before if before is not None else (1 << 62)
    other = PACK if kind in _PACKABLE else kind  # the others are never packed
    query = f"SELECT {COLUMNS} FROM records WHERE {_OF_A_KIND} ORDER BY seq DESC"
    connection = open_reader(path)
    try:
        for row in connection.execute(query, (kind, below, other, below)):
            if row[5] != PACK:
                return Record._make(row)
            found = [one for one in unpacked(row) if one.type == kind and one.seq < below]
            if found:
                return found[-1]
    except (*UNREADABLE, ValueError) as error:
        raise damaged(path, error) from error
    finally:
        connection.close()
    return None


def pack_between(connection: sqlite3.Connection, after: int, before: int) -> int:
    """Pack the records between two seqs, in the transaction under way; how many rows it saves."""
    query = f"SELECT {COLUMNS} FROM records WHERE seq > ? AND seq < ? ORDER BY seq"
    saved = 0
    for run in runs_of(list(map(Record._make, connection.execute(query, (after, before))))):
        if len(run) > 1:
            bounds = run[0].seq, run[-1].seq
            connection.execute("DELETE FROM records WHERE seq BETWEEN ? AND ?", bounds)
            connection.execute(INSERT, packed(run))
            saved += len(run) - 1
    return saved
