"""Journal: the single writer of one run's records.

Law: `append` is one transaction: all of its records or none, numbered without a gap, each hashed
onto the one before. A failed write is fatal: it raises JournalError, and from then on the object
refuses everything; the same file is never retried by the same process: a failed flush may have
lost pages that a second one reports as written. Clocks are passed in. Appends may come from any
thread. One process writes at a time, and a forked child may not.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from trader.journal import entries as build
from trader.journal.anchor import Checkpoint
from trader.journal.chain import GENESIS
from trader.journal.merkle import MerkleTree, edge_of
from trader.journal.own_files import OwnFiles, remedy
from trader.journal.pack import PACK
from trader.journal.records import (
    ALWAYS_DURABLE,
    UNJUDGEABLE,
    Entry,
    Head,
    JournalError,
    Record,
    RecordType,
)
from trader.journal.sealing import Clock, record_of
from trader.journal.store import (
    INSERT,
    UNREADABLE,
    damaged,
    make_file,
    newest_record,
    open_writer,
    pack_between,
    read_records,
    require_format,
)
from trader.journal.writerlock import WriterLock

CHECKPOINT_RECORDS = 1000
PACK_RECORDS = 900  # that a snapshot has left behind before they are packed
CHECKPOINTED = frozenset({RecordType.KILL, RecordType.RUN_END})

# Connections whose write failed. Closing one would flush the file again, so they stay open until
# the process ends, which after a JournalError should be soon and by `os._exit`.
_ABANDONED: list[sqlite3.Connection] = []


OnCheckpoint = Callable[[Checkpoint], None]


class Journal:
    """The open journal of a run. Make one with `create` or `open`."""

    def __init__(
        self, path: Path, clock: Clock, lock: WriterLock, on_checkpoint: OnCheckpoint | None
    ) -> None:
        self.path = path
        self.failure: str | None = None  # why it refuses, once it does
        self.anchor_failures: list[str] = []  # what `on_checkpoint` raised; never fatal
        self._clock = clock
        self._lock = lock
        self._on_checkpoint = on_checkpoint
        self._mutex = threading.Lock()
        self._owner = os.getpid()
        self._full_sync = True
        self._connection = open_writer(path)
        self._load()

    @classmethod
    def create(
        cls,
        path: Path,
        start: build.RunStart,
        clock: Clock,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> "Journal":
        """A new journal with its RUN_START durable in it; JournalError if the file exists."""
        lock = WriterLock(path)
        try:
            entry = build.run_start(start)
            make_file(path, record_of(entry, Head(0, GENESIS), clock.wall_ns(), clock.mono_ns()))
            return cls(path, clock, lock, on_checkpoint)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Path, clock: Clock, on_checkpoint: OnCheckpoint | None = None) -> "Journal":
        """The journal of an earlier process, to go on with.

        Checks that the file is whole enough to append to, not that it is true: verify it while
        this object holds the lock, and append RUN_RESUME before anything else.
        """
        if not path.is_file():
            raise JournalError(f"there is no journal at {path}")
        lock = WriterLock(path)
        try:
            return cls(path, clock, lock, on_checkpoint)
        except BaseException:
            lock.release()
            raise

    def _load(self) -> None:
        """Take run id, head and the Merkle tree's edge from the file; of its bulk, nothing."""
        try:
            first = self._connection.execute(
                "SELECT payload FROM records WHERE seq = 1 AND type = 'RUN_START'"
            ).fetchone()
            last = newest_record(self.path, RecordType.CHECKPOINT)
            self._tree = edge_of({} if last is None else last.data)
            head = Head(0, GENESIS)
            for record in read_records(self.path, self._tree.size + 1):
                head = Head(record.seq, record.hash)
                self._tree.add(head.hash)
            self._format = require_format(self._connection, self.path)
            packs = self._connection.execute(
                "SELECT seq FROM records WHERE type = ? ORDER BY seq DESC LIMIT 1", (PACK,)
            ).fetchone()
            self._files = OwnFiles(self.path)
        except (*UNREADABLE, *UNJUDGEABLE, OSError) as error:
            self._connection.close()
            raise damaged(self.path, error) from error
        except JournalError:
            self._connection.close()
            raise
        if first is None or head.seq != self._tree.size:
            self._connection.close()
            raise damaged(self.path, ValueError("records are missing"))
        self.run_id: str = Record(1, 0, 0, None, None, "", b"", b"", first[0]).data["run_id"]
        self._head = self._durable_head = head
        self._checkpointed = 1 if last is None else last.seq
        self._packed = packs[0] if packs else 0

    @property
    def head(self) -> Head:
        """Seq and hash of the last record."""
        return self._head

    @property
    def durable_head(self) -> Head:
        """Seq and hash of the last record that a crash of the machine cannot take."""
        return self._durable_head

    @property
    def next_seq(self) -> int:
        """Seq of the first record of the next `append`; those of one append are contiguous."""
        return self._head.seq + 1

    def append(
        self, entries: Iterable[Entry], durable: bool = True, checkpoint: bool = False
    ) -> int:
        """Append all of `entries` in one transaction; returns the seq of the last of them.

        Durable: on the disk when this returns, whatever happens to process and machine. With
        `durable=False` a crash of the machine (not of the process) may lose the batch; use it for
        outcomes that can be found out again. A batch with a record that must be durable is flushed
        anyway. A CHECKPOINT follows the batch in the same transaction where one is due (see
        CHECKPOINT_RECORDS, CHECKPOINTED) or with `checkpoint` asked for.
        """
        batch = list(entries)
        if not batch:
            return self._head.seq
        with self._mutex:
            self._require_usable()
            tree = self._tree.copy()
            records = self._chained(batch, tree)
            last = records[-1].seq
            kinds = {entry.type for entry in batch}
            made = None
            is_due = last - self._checkpointed >= CHECKPOINT_RECORDS
            if checkpoint or is_due or kinds & CHECKPOINTED:
                made = self._add_checkpoint(records, tree)
            is_durable = durable or made is not None or bool(kinds & ALWAYS_DURABLE)
            self._write(records, tree, is_durable)
            if made:
                self._checkpointed = self._head.seq
        if made:
            self._publish(made)
        return last

    def pack(self, before: int) -> int:
        """Pack what lies below seq `before`, where that is worth it; how many rows are left out.

        For what a snapshot has left behind. One durable transaction, and what every record says
        stays as it is; a failure is fatal like that of a write.
        """
        with self._mutex:
            if self._format < 2 or before - self._packed <= PACK_RECORDS:
                return 0
            self._require_usable()
            with self._transaction(True) as connection:
                saved = pack_between(connection, self._packed, before)
            self._packed = before - 1
            return saved

    def read(self, from_seq: int = 1, types: Sequence[str] = ()) -> Iterator[Record]:
        """Records from `from_seq` on, through a connection of its own."""
        return read_records(self.path, from_seq, types)

    def close(self) -> None:
        """Fold the write-ahead file in and let go. After a failure it leaves everything as is."""
        with self._mutex:
            if self.failure is not None:
                return
            self.failure = "it is closed"
            try:
                self._connection.close()
            except sqlite3.Error as error:
                raise JournalError(f"cannot close the journal {self.path}: {error}") from error
            finally:
                self._lock.release()

    def _require_usable(self) -> None:
        if self.failure is not None:
            raise JournalError(f"the journal {self.path} takes no records any more: {self.failure}")
        if os.getpid() != self._owner:
            raise JournalError(f"{self.path} was opened by process {self._owner}, not this one")

    def _chained(self, batch: list[Entry], tree: MerkleTree) -> list[Record]:
        """The batch as records, stamped once and hashed onto the head."""
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        head = self._head
        records = []
        for entry in batch:
            record = record_of(entry, head, wall_ns, mono_ns)
            records.append(record)
            tree.add(record.hash)
            head = Head(record.seq, record.hash)
        return records

    def _add_checkpoint(self, records: list[Record], tree: MerkleTree) -> Checkpoint:
        """Append a CHECKPOINT over everything up to the last of `records` to them."""
        head = Head(records[-1].seq, records[-1].hash)
        checkpoint = Checkpoint(self.run_id, head.seq, tree.root(), head.hash)
        payload = {
            "size": head.seq,
            "root": checkpoint.root.hex(),
            "head": head.hash.hex(),
            "peaks": [peak.hex() for peak in tree.peaks],
        }
        entry = Entry(RecordType.CHECKPOINT, payload)
        record = record_of(entry, head, self._clock.wall_ns(), self._clock.mono_ns())
        records.append(record)
        tree.add(record.hash)
        return checkpoint

    def _write(self, records: list[Record], tree: MerkleTree, durable: bool) -> None:
        """One transaction. Whatever goes wrong in it makes this object refuse from now on."""
        with self._transaction(durable) as connection:
            connection.executemany(INSERT, records)
        self._tree = tree
        self._head = Head(records[-1].seq, records[-1].hash)
        if durable:
            self._durable_head = self._head

    @contextlib.contextmanager
    def _transaction(self, durable: bool) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            self._files.require_same()
            if durable != self._full_sync:
                connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._full_sync = durable
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            self._files.written()
        except (*UNREADABLE, OSError) as error:
            self._abandon(str(error))
            raise JournalError(
                f"cannot write the journal {self.path}: {error}; trading must stop. {remedy(error)}"
                ", then start the run again: it recovers from what is on disk"
            ) from error
        except BaseException as error:  # an interrupt in mid-write leaves nobody knowing how far
            self._abandon(repr(error))
            raise

    def _abandon(self, why: str) -> None:
        self.failure = f"a write failed ({why})"
        _ABANDONED.append(self._connection)

    def _publish(self, checkpoint: Checkpoint) -> None:
        """Hand the checkpoint to its second place; a failure there is reported, not fatal."""
        if self._on_checkpoint is None:
            return
        try:
            self._on_checkpoint(checkpoint)
        except Exception as error:
            self.anchor_failures.append(f"checkpoint {checkpoint.size}: {error}")
