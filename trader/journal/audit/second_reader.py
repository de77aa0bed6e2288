"""A second process that judges what the records say while the first follows their chain.

Law: that nothing is wrong counts only if both read the same rows, every column of them.
"""

import contextlib
import itertools
import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trader.journal.audit.findings import Problem
from trader.journal.audit.passes import Row, Sense
from trader.journal.pack import in_bytes
from trader.journal.records import JournalError
from trader.journal.store import COLUMNS, UNREADABLE, open_reader
from trader.processes import ends_with_parent

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Fingerprint:
    """Of all rows that one reader has read, every column of them.

    Made with the key of this process's `hash`, which a fork shares and no file can know.
    """

    def __init__(self) -> None:
        self.value = 0

    def add(self, row: Row) -> None:
        """One more row."""
        self.value = hash((self.value, row))


class SecondReader:
    """A fork that judges what the records say, up to the number it is told.

    It is made before this process opens the file: a connection of SQLite does not outlive a fork.
    """

    def __init__(self, path: Path) -> None:
        forks = multiprocessing.get_context("fork")
        self.read = 0  # fingerprint of what it has read
        self._line, theirs = forks.Pipe()
        lines = (theirs, self._line)
        self._process = forks.Process(target=_judge, args=(path, os.getpid(), lines), daemon=True)
        self._process.start()
        theirs.close()
        self._has_begun = False

    def __enter__(self) -> "SecondReader":
        return self

    def __exit__(self, *raised: object) -> None:
        self._line.close()
        self._process.kill()
        self._process.join()

    def begin(self, last: Any) -> None:
        """Judge the records up to this number."""
        self._has_begun = True
        with contextlib.suppress(OSError):  # it is gone: `problem` sees that, and how
            self._line.send(last)

    def problem(self) -> Problem | None:
        """What it found. A crash of it is a crash of ours: the file is damaged."""
        if not self._has_begun:
            return None
        try:
            problem, self.read = self._line.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            if code < 0:
                os.kill(os.getpid(), -code)
            raise JournalError(f"the second reader of the journal ended with {code}") from None
        return cast("Problem | None", problem)


def _judge(path: Path, first: int, lines: "tuple[Connection[Any, Any], ...]") -> None:
    """The second reader's side. It ends with the first, and has no part of its output."""
    line, others = lines
    others.close()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(nowhere, number)
    if not ends_with_parent(first):
        return
    sense, read, last = Sense(), Fingerprint(), line.recv()
    connection = open_reader(path)
    connection.text_factory = bytes
    query = f"SELECT {COLUMNS} FROM records WHERE seq <= ? ORDER BY seq"
    # What cannot be read is not read, which is seen.
    with contextlib.suppress(*UNREADABLE, ValueError):
        for row in itertools.chain.from_iterable(map(in_bytes, connection.execute(query, (last,)))):
            sense.take(row)
            if sense.problem is not None:
                break
            read.add(row)
    line.send((sense.problem, read.value))
