"""What verification found: the report, and what kind of damage a broken link is.

Law: a finding names the first bad record and never claims more than the bytes show.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trader.journal.chain import record_hash

SEARCHED = 2_000  # how far away a renumbered record is looked for


class Problem(NamedTuple):
    """Something wrong, at the first record that shows it."""

    seq: int
    kind: str
    text: str


@dataclass(frozen=True)
class Parent:
    """The run before, as RUN_START names it."""

    run_id: str
    head: str  # seq:hash of its last record when this run began
    status: str  # of lineage: MATCHES, DIFFERS, or ABSENT where its journal is not beside this one


@dataclass(frozen=True)
class Report:
    """What `verify` says about a journal. `problems` is empty if it is clean."""

    path: str
    run_id: str | None
    ok: bool
    records: int  # whose chain holds, from the first on
    head: str  # seq:hash of the last of them
    root: str  # Merkle root over them
    anchored_seq: int | None  # nothing up to here was cut or rewritten; None: tail not anchored
    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # records by type
    parent: Parent | None = None  # None where RUN_START names none, or nobody asked

    @property
    def first_bad_seq(self) -> int | None:
        """Seq of the first bad record."""
        return min((problem.seq for problem in self.problems), default=None)

    @property
    def tail(self) -> str:
        """How far the end of the journal is proven, in words."""
        if self.anchored_seq is None:
            return "tail not anchored"
        after = self.records - self.anchored_seq
        if after <= 0:
            return f"anchored to its last record, {self.anchored_seq}"
        return f"anchored up to record {self.anchored_seq}; {after} records after it are not"

    @classmethod
    def of(cls, path: Path, chain: Any, said: Problem | None) -> "Report":
        """The report of a finished `Chain`, and the first finding that is not about the chain."""
        all_said = chain.problem, said, chain.witnesses.problem
        found = [problem for problem in all_said if problem is not None]
        return cls(
            path=str(path),
            run_id=chain.run_id,
            ok=not found,
            records=chain.seq,
            head=f"{chain.seq}:{chain.head.hex()}",
            root=chain.tree.root().hex(),
            anchored_seq=chain.witnesses.anchored_seq,
            problems=sorted(found),
            counts=chain.counts,
        )

    def fields(self) -> dict[str, Any]:
        """Everything, for JSON."""
        fields = asdict(self)
        fields["problems"] = [problem._asdict() for problem in self.problems]
        return {**fields, "first_bad_seq": self.first_bad_seq, "tail": self.tail}

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.fields())

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report `to_json` spelled."""
        fields = json.loads(text)
        for derived in ("first_bad_seq", "tail"):
            del fields[derived]
        fields["problems"] = [Problem(**problem) for problem in fields["problems"]]
        fields["parent"] = None if fields["parent"] is None else Parent(**fields["parent"])
        return cls(**fields)


def diagnosis(
    connection: sqlite3.Connection, row: tuple[Any, ...], seq: int, head: bytes
) -> Problem:
    """What kind of damage broke the chain at `row`, when `seq` with hash `head` was still good."""
    number, wall_ns, mono_ns, event_ns, cause, kind, prev, digest, payload = row
    if number != seq + 1:
        text = f"record {seq + 1} is missing" + (
            f", and all up to {number - 1}" if number > seq + 2 else ""
        )
        return Problem(seq + 1, "gap", text)

    def own_hash(as_seq: int) -> bytes | None:
        try:
            return record_hash((as_seq, wall_ns, mono_ns, event_ns, cause), kind, payload, prev)
        except Exception:  # a column of another type than it was written with
            return None

    places = dict(connection.execute("SELECT hash, min(seq) FROM records GROUP BY hash"))
    if own_hash(number) == digest:
        if prev in places:
            return Problem(number, "order", f"it was written after record {places[prev]}")
        return Problem(number, "splice", "it follows a record that is not in this journal")
    if places.get(digest, number) < number:
        return Problem(number, "duplicate", f"it is record {places[digest]} again")
    before = _renumbered_from(digest, own_hash, _others(number))
    if before is None:
        return Problem(number, "hash", "it was changed after it was written")
    if prev in places:
        return Problem(number, "order", f"it was written as record {before}")
    return Problem(
        number, "gap", f"it was written as record {before}: some before it are missing or replaced"
    )


def _others(number: int) -> Iterable[int]:
    """Nearby numbers first."""
    for distance in range(1, SEARCHED):
        yield number + distance
        if number > distance:
            yield number - distance


def _renumbered_from(digest: bytes, own_hash: Any, numbers: Iterable[int]) -> int | None:
    return next((number for number in numbers if own_hash(number) == digest), None)
