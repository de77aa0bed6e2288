"""Packs: many records in one row of the file, a tenth of their size, every one still itself.

    PACK row   seq: of the last record   cause: seq of the first   prev, hash: of the two ends
    payload    sections, each packed by zlib behind its length: stamps; four bytes of each hash;
               then the payloads of one kind after another, a line each

Law: packing changes how records lie in the file and nothing of what they say: seq, stamps, type,
payload and hash come back as they were, and the hash of each is worked out again on reading. Only
what a snapshot has left behind is packed; what is looked up by its type never is.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from trader.journal.chain import HASH_SIZE, record_hash
from trader.journal.records import Record

PACK = "PACK"  # type of the row
PACKABLE = (
    "BAR",
    "ACTION",
    "DECISION",
    "ORDER_INTENT",
    "ORDER_SENT",
    "ORDER_ACK",
    "FILL",
    "CASHFLOW",
)  # the bulk of a journal; the place in here is on disk: only ever added to
LEVEL = 6
MARK = 4  # bytes kept of every hash: they name the record that was changed
MOST_BYTES = 1 << 28  # of a section unpacked: what is read may be made to be huge
_LENGTH = 4
_KINDS = {kind: code for code, kind in enumerate(PACKABLE)}

Row = tuple[Any, ...]  # as COLUMNS of the store


class Stamps(NamedTuple):
    """The columns of the records, as differences from the one before."""

    kinds: list[int]
    wall_ns: list[int]
    mono_ns: list[int]
    event_ns: list[int | None]  # itself, not a difference, where the one before has none
    cause: list[int | None]  # how many records before


def packed(records: Sequence[Record]) -> Record:
    """The row that stands for `records`, one after the other and of PACKABLE kinds."""
    first, last = records[0], records[-1]
    stamps = Stamps(
        [_KINDS[record.type] for record in records],
        _differences(record.wall_ns for record in records),
        _differences(record.mono_ns for record in records),
        [record.event_ns for record in records],
        [None if record.cause is None else record.seq - record.cause for record in records],
    )
    events = stamps.event_ns
    before = [0, *(0 if event is None else event for event in events)]
    near = [None if event is None else event - before[at] for at, event in enumerate(events)]
    head = json.dumps(stamps._replace(event_ns=near), separators=(",", ":")).encode()
    sections = [head, b"".join(record.hash[:MARK] for record in records)]
    for code, kind in enumerate(PACKABLE):
        if code in stamps.kinds:
            lines = (record.payload for record in records if record.type == kind)
            sections.append("\n".join(lines).encode())
    body = b"".join(_section(section) for section in sections)
    stamp = last.seq, last.wall_ns, last.mono_ns, None, first.seq
    return Record(*stamp, PACK, first.prev, last.hash, body)  # type: ignore[arg-type]


def _differences(values: Iterable[int]) -> list[int]:
    before, found = 0, []
    for value in values:
        found.append(value - before)
        before = value
    return found


def _section(content: bytes) -> bytes:
    squeezed = zlib.compress(content, LEVEL)
    return len(squeezed).to_bytes(_LENGTH, "big") + squeezed


def unpacked(row: Row) -> Iterator[Record]:
    """The records of a PACK row; ValueError where the row is none that `packed` made."""
    seq, first, body = row[0], row[4], row[8]
    sections = _sections(body)
    try:
        stamps = Stamps(*json.loads(_content(sections[0])))
        count = len(stamps.kinds)
        if seq - first + 1 != count or {len(column) for column in stamps} != {count}:
            raise ValueError(f"{seq - first + 1} records, and {count} in it")
        there = sorted(set(stamps.kinds))
        texts = {}
        for place, code in enumerate(there, 2):
            texts[code] = iter(_content(sections[place]).decode("ascii").split("\n"))
        yield from _records(row, stamps, texts, _content(sections[1]))
    except (LookupError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"a pack that cannot be read: {error!r}") from error


def payloads(row: Row, kind: str) -> list[str]:
    """The payloads of one kind in a PACK row, as `unpacked` gives them, and nothing else of it."""
    sections = _sections(row[8])
    try:
        there = sorted(set(json.loads(_content(sections[0]))[0]))
        if _KINDS[kind] not in there:
            return []
        text = _content(sections[2 + there.index(_KINDS[kind])]).decode("ascii")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"a pack that cannot be read: {error!r}") from error
    return text.split("\n")


def _records(
    row: Row, stamps: Stamps, texts: dict[int, Iterator[str]], marks: bytes
) -> Iterator[Record]:
    seq, prev, event = row[4], row[6], 0
    walls, monos = accumulate(stamps.wall_ns), accumulate(stamps.mono_ns)
    for code, wall_ns, mono_ns, near, back in zip(
        stamps.kinds, walls, monos, stamps.event_ns, stamps.cause, strict=True
    ):
        event_ns = None if near is None else near + event
        event = 0 if event_ns is None else event_ns
        payload, kind = next(texts[code]), PACKABLE[code]
        stamp = seq, wall_ns, mono_ns, event_ns, None if back is None else seq - back
        digest = record_hash(stamp, kind.encode(), payload.encode(), prev)
        at = (seq - row[4]) * MARK
        digest = row[7] if seq == row[0] else marks[at : at + MARK] + digest[MARK:]
        yield Record(*stamp, kind, prev, digest, payload)
        prev = digest
        seq += 1


def _sections(body: Any) -> list[bytes]:
    if not isinstance(body, bytes):
        raise ValueError("a pack that is no blob")
    at, found = 0, []
    while at < len(body):
        size = int.from_bytes(body[at : at + _LENGTH], "big")
        at += _LENGTH
        if size == 0 or at + size > len(body):
            raise ValueError("a pack that is cut short")
        found.append(body[at : at + size])
        at += size
    return found


def _content(section: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(section, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"a pack that cannot be unpacked: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("a pack that is not what was packed")
    return content


def in_bytes(row: Row) -> Iterator[Row]:
    """The rows behind a row that was read with text as bytes; itself where it is no pack."""
    if row[5] != b"PACK":
        yield row
        return
    for record in unpacked(row):
        kind, payload = record.type.encode(), record.payload.encode()
        yield (*record[:5], kind, record.prev, record.hash, payload)


def runs_of(records: Iterable[Record]) -> Iterator[list[Record]]:
    """What can be packed, in unbroken stretches."""
    stretch: list[Record] = []
    for record in records:
        if record.type in _KINDS:
            stretch.append(record)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


assert HASH_SIZE > MARK
