"""The hash of a record, and the chain the records make.

    hash = SHA-256(0x00 ‖ "trader-audit/1" ‖ fields ‖ prev)

Law: every field is preceded by its length as four big-endian bytes; integers are eight bytes,
big-endian; an absent integer has length 0. The fields are seq, wall_ns, mono_ns, event_ns, cause,
type, payload, prev, in this order. The first record's prev is 32 zero bytes. 0x00 marks a leaf as
in RFC 6962, so that no record can be passed off as a node of the Merkle tree.
"""

import hashlib
from struct import Struct

DOMAIN = b"\x00trader-audit/1"
GENESIS = bytes(32)
HASH_SIZE = 32

_sha256 = hashlib.sha256
_FIVE = Struct(">IqIqIqIqIqI").pack  # all integers, and the length of the type
_THREE = Struct(">IqIqIq").pack
_PRESENT = Struct(">Iq").pack
_ABSENT = bytes(4)
_LENGTH = Struct(">I").pack
_PREV_LENGTH = _LENGTH(HASH_SIZE)

Stamp = tuple[int, int, int, int | None, int | None]  # seq, wall_ns, mono_ns, event_ns, cause


def record_hash(stamp: Stamp, kind: bytes, payload: bytes, prev: bytes) -> bytes:
    """SHA-256 of one record, 32 bytes. `stamp` is (seq, wall_ns, mono_ns, event_ns, cause)."""
    seq, wall_ns, mono_ns, event_ns, cause = stamp
    if event_ns is None or cause is None:
        head = b"".join(
            (
                _THREE(8, seq, 8, wall_ns, 8, mono_ns),
                _ABSENT if event_ns is None else _PRESENT(8, event_ns),
                _ABSENT if cause is None else _PRESENT(8, cause),
                _LENGTH(len(kind)),
            )
        )
    else:
        head = _FIVE(8, seq, 8, wall_ns, 8, mono_ns, 8, event_ns, 8, cause, len(kind))
    return _sha256(
        b"".join(
            (
                DOMAIN,
                head,
                kind,
                _LENGTH(len(payload)),
                payload,
                _PREV_LENGTH,
                prev,
            )
        )
    ).digest()
