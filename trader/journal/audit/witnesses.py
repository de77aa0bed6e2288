"""What anchors say of a journal, held against it.

Law: no anchor is passed over. Each one of this run is compared with the record it names, or said
never to have been; two that disagree with each other are a finding, whichever of them is true.
Anchors of other runs are nobody's witness here: one file may serve many runs.
"""

from collections.abc import Sequence

from trader.journal.anchor import Anchor
from trader.journal.audit.findings import Problem
from trader.journal.merkle import MerkleTree


class Witnesses:
    """`compare` every record that `concerns` says, then `finish`."""

    def __init__(self, anchors: Sequence[Anchor] = ()) -> None:
        self.problem: Problem | None = None  # the first contradiction
        self.anchored_seq: int | None = None
        self._left = set(anchors)  # not compared yet
        self._by_seq: dict[int, set[Anchor]] = {}
        self._by_hash: dict[bytes, set[Anchor]] = {}  # those that name no seq
        self._other_runs: set[str] = set()
        for anchor in anchors:
            if anchor.seq is None:
                self._by_hash.setdefault(anchor.hash, set()).add(anchor)
            else:
                self._by_seq.setdefault(anchor.seq, set()).add(anchor)

    def concerns(self, seq: int, digest: bytes) -> bool:
        """Whether an anchor names this record."""
        return seq in self._by_seq or digest in self._by_hash

    def compare(self, seq: int, digest: bytes, tree: MerkleTree, run_id: str | None) -> None:
        """Hold record `seq`, the last one in `tree`, against every anchor of it."""
        named = self._by_seq.get(seq, set()) | self._by_hash.get(digest, set())
        self._left -= named
        own = self._of_run(named, run_id)
        if not own:
            return
        if len({anchor.hash for anchor in own}) > 1:
            self._found(seq, f"the anchors of record {seq} contradict each other")
        root = tree.root()
        if all(a.hash == digest and a.root in (None, root) for a in own):
            self.anchored_seq = seq
        else:
            self._found(seq, f"record {seq} is not the one that was anchored")

    def finish(self, last_seq: int, run_id: str | None) -> Problem | None:
        """Every anchor that no record answered; returns the cut tail that they prove, if any."""
        left = self._of_run(self._left, run_id)
        for anchor in sorted(left, key=lambda anchor: (anchor.seq or 0, anchor.hash)):
            if anchor.seq is None:
                text = f"no record has the anchored hash {anchor.hash.hex()}"
                self._found(last_seq + 1, text)
            elif anchor.seq <= last_seq:
                self._found(anchor.seq, f"record {anchor.seq} was never held against its anchor")
            elif len({other.hash for other in left if other.seq == anchor.seq}) > 1:
                self._found(
                    last_seq + 1, f"the anchors of record {anchor.seq} contradict each other"
                )
        if self._other_runs and self.anchored_seq is None and not left and self.problem is None:
            of = ", ".join(sorted(self._other_runs))
            self._found(1, f"the anchor is of run {of}, this is {run_id}")
        cut = max((anchor.seq for anchor in left if anchor.seq is not None), default=0)
        if cut <= last_seq:
            return None
        text = f"record {cut} was anchored, and the journal ends at {last_seq}"
        return Problem(last_seq + 1, "truncated", text)

    def _of_run(self, anchors: set[Anchor], run_id: str | None) -> set[Anchor]:
        own = {anchor for anchor in anchors if anchor.run_id in (None, run_id)}
        self._other_runs |= {str(anchor.run_id) for anchor in anchors - own}
        return own

    def _found(self, seq: int, text: str) -> None:
        self.problem = self.problem or Problem(seq, "anchor", text)
