"""When a SNAPSHOT is due: every so many records, and once a trading session has ended.

Law: a change of session is followed by a SNAPSHOT with a CHECKPOINT, also where a crash came
between: whether one is still owed follows from the session of the newest snapshot on record.
"""

from trader.core.book import Book
from trader.engine.run_facts import RunFacts
from trader.journal.log import Journal


class SnapshotRhythm:
    """Of one process of a run. `begin` after every slice, `taken` after every snapshot."""

    def __init__(self, journal: Journal, every: int, facts: RunFacts) -> None:
        """`every`: journal records between two snapshots."""
        self._journal = journal
        self._every = every
        self._last = journal.head.seq
        self._facts = facts

    def begin(self, book: Book) -> None:
        """The run's first slice, if it is that: no session has ended yet."""
        if self._facts.session is None:
            self._facts.session = _session(book)

    def is_next_session(self, book: Book) -> bool:
        """Whether a session has ended since the newest snapshot."""
        return self._facts.session != _session(book)

    def is_due(self, book: Book) -> bool:
        """Whether a snapshot has to be taken now."""
        return self.is_next_session(book) or self._journal.next_seq - self._last >= self._every

    def taken(self, book: Book) -> None:
        """A snapshot of `book` is the last thing on record, or a checkpoint after it is."""
        self._last, self._facts.session = self._journal.head.seq, _session(book)


def _session(book: Book) -> int:
    return int(book.account[0]["session"])
