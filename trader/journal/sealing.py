"""An entry as the record that follows the last one: numbered, stamped, checked, hashed onto it."""

from typing import Protocol

from trader.journal.chain import record_hash
from trader.journal.records import HEADED, Entry, Head, Record, encode, fault_in


class Clock(Protocol):
    """Where the stamps come from."""

    def wall_ns(self) -> int:
        """UTC nanoseconds since 1970."""

    def mono_ns(self) -> int:
        """Monotonic nanoseconds (CLOCK_MONOTONIC, or virtual)."""


def record_of(entry: Entry, head: Head, wall_ns: int, mono_ns: int) -> Record:
    """`entry` as the record after `head`; ValueError or TypeError if it breaks its own type."""
    seq = head.seq + 1
    cause = entry.cause
    if cause is not None and cause < 0:
        cause += seq
    if cause is not None and not 0 < cause < seq:
        raise ValueError(f"{entry.type} names record {cause} as its cause, which is not before it")
    payload = dict(entry.payload)
    kind = str(entry.type)
    if kind in HEADED:
        payload["head"] = head.hash.hex()
        payload["last_seq"] = head.seq
    fault = fault_in(kind, payload)
    if fault is not None:
        raise ValueError(fault)
    text = encode(payload)
    event_ns = None if entry.event_ns is None else int(entry.event_ns)
    stamp = (seq, wall_ns, mono_ns, event_ns, cause)
    digest = record_hash(stamp, kind.encode(), text.encode(), head.hash)
    return Record(*stamp, kind, head.hash, digest, text)
