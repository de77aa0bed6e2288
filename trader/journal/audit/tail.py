"""The tail of a journal, from a snapshot on: the check that a start waits for.

Law: reading only, in this process, and as long as the tail is. What lies before the tail is not
judged here; whoever goes on from a snapshot has all of it verified beside.
"""

from collections.abc import Sequence
from pathlib import Path

from trader.journal.anchor import Anchor
from trader.journal.audit.findings import Problem
from trader.journal.chain import record_hash
from trader.journal.records import UNJUDGEABLE, canonical, fault_in
from trader.journal.store import read_records


def tail_problem(path: Path, first: int, known: Sequence[Anchor] = ()) -> Problem | None:
    """What is wrong with the records from `first` on: broken links, edits, a tail that is gone.

    `known` are heads from elsewhere; those of records before `first` are not compared.
    """
    heads = {anchor.seq: anchor.hash for anchor in known if anchor.seq and anchor.seq >= first}
    head, last = b"", first - 1
    for record in read_records(path, first):
        seq, _, _, _, _, kind, prev, digest, payload = record
        if seq != last + 1 or (head and prev != head):
            return Problem(last + 1, "gap", f"record {last + 1} is missing, or is not what it was")
        try:
            intact = record_hash(record[:5], kind.encode(), payload.encode(), prev)
            fault = fault_in(kind, canonical(payload))
        except UNJUDGEABLE as error:
            return Problem(seq, "hash", f"it was changed after it was written: {error!r}")
        if intact != digest or heads.pop(seq, digest) != digest:
            return Problem(seq, "hash", "it was changed after it was written")
        if fault is not None:
            return Problem(seq, "meaning", fault)
        head, last = digest, seq
    if heads:
        most = max(seq for seq in heads if seq is not None)
        text = f"record {most} was anchored, and the journal ends at {last}"
        return Problem(last + 1, "truncated", text)
    return None
