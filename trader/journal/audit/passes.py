"""The two passes of a verification: how the records hang together, and what they say.

Law: reading only, and nothing read is trusted. The passes share nothing, so that two processes
can make them at the same time; each takes every record once, in order. What a record says counts
only as far as the chain holds.
"""

from collections.abc import Sequence
from typing import Any

from trader.journal.anchor import Anchor
from trader.journal.audit.copies import Copies
from trader.journal.audit.findings import Problem
from trader.journal.audit.meaning import Meaning
from trader.journal.audit.witnesses import Witnesses
from trader.journal.chain import GENESIS, record_hash
from trader.journal.merkle import MerkleTree
from trader.journal.records import HEADED, UNJUDGEABLE, RecordType, canonical, fault_in

NAMES_ITS_PREDECESSOR = HEADED | {RecordType.CHECKPOINT}
_OF_HASHES = {kind.encode() for kind in NAMES_ITS_PREDECESSOR | {RecordType.RUN_START}}

Row = tuple[Any, ...]  # as COLUMNS of the store, text as bytes


class Chain:
    """Every hash, number and order; the tree, its checkpoints, and the anchors."""

    def __init__(self, anchors: Sequence[Anchor] = ()) -> None:
        self.problem: Problem | None = None  # of the chain itself, or its cut tail
        self.hash_problem: Problem | None = None  # the first record that names a wrong hash
        self.tree = MerkleTree()
        self.head = GENESIS
        self.seq = 0
        self.run_id: str | None = None
        self.witnesses = Witnesses(anchors)
        self._counts: dict[bytes, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Records by type."""
        return {kind.decode(errors="backslashreplace"): n for kind, n in self._counts.items()}

    def take(self, row: Row) -> bool:
        """Check the next row; False once the chain is broken and nothing after it can be told."""
        seq, wall_ns, mono_ns, event_ns, cause, kind, prev, digest, payload = row
        try:
            intact = record_hash((seq, wall_ns, mono_ns, event_ns, cause), kind, payload, prev)
        except Exception:  # a column of another type than it was written with
            return False
        if not (intact == digest and prev == self.head and seq == self.seq + 1):
            return False
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if kind in _OF_HASHES and self.hash_problem is None:
            self._judge(seq, kind.decode(), payload)
        self.seq, self.head = seq, digest
        self.tree.add(digest)
        if self.witnesses.concerns(seq, digest):
            self.witnesses.compare(seq, digest, self.tree, self.run_id)
        return True

    def _judge(self, seq: int, kind: str, payload: bytes) -> None:
        """Compare the hashes that a payload names. One without them is the other pass's finding."""
        try:
            data = canonical(payload.decode("ascii"))
            if fault_in(kind, data) is not None:
                return
            if kind == "RUN_START":
                self.run_id = data["run_id"] if seq == 1 else self.run_id
            elif kind == "CHECKPOINT" and not self._is_true_checkpoint(data):
                text = "the checkpoint is not one of the records before it"
                self.hash_problem = Problem(seq, "checkpoint", text)
            elif data["head"] != self.head.hex():
                self.hash_problem = Problem(seq, "meaning", "it names another record before it")
        except UNJUDGEABLE:
            return

    def _is_true_checkpoint(self, data: dict[str, Any]) -> bool:
        return data["size"] == self.seq and data["root"] == self.tree.root().hex()

    def finish(self) -> None:
        """What can only be said at the end: a missing start, a tail that was anchored."""
        if self.problem is not None:
            return
        if self.seq == 0:
            self.problem = Problem(1, "truncated", "there is no record at all")
        cut = self.witnesses.finish(self.seq, self.run_id)
        self.problem = self.problem or cut

    def first_of(self, said: Problem | None) -> Problem | None:
        """The first finding that is not about the chain; `said` is that of the other pass."""
        found = [
            one
            for one in (said, self.hash_problem)
            if one is not None and type(one.seq) is int and 1 <= one.seq <= self.seq
        ]
        return min(found, key=lambda problem: problem.seq, default=None)


class Sense:
    """What every record says: spelling, shape, and what can have been after those before it."""

    def __init__(self) -> None:
        self.problem: Problem | None = None  # the first one; nothing after it is judged
        self._meaning = Meaning()
        self._copies = Copies()

    def take(self, row: Row) -> None:
        """Judge the next row."""
        if self.problem is not None:
            return
        seq, _, mono_ns, event_ns, _, kind, _, _, payload = row
        try:
            name = kind.decode()
            data = canonical(payload.decode("ascii"))
            fault = self._meaning.check((seq, mono_ns, event_ns), name, data)
            if fault is None:
                fault = self._copies.check(event_ns, name, data)
        except UNJUDGEABLE as error:
            fault = f"a payload that cannot be read: {error!r}"
        if fault is not None:
            self.problem = Problem(seq, "meaning", fault)
