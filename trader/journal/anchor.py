"""Heads kept in a second place: what makes a cut tail or a rewritten journal show.

Law: an anchor file is only ever appended to. Each entry is the text of a C2SP checkpoint: origin
`trader/<run id>`, number of records, base64 Merkle root, then the extension line `head <hex>`,
then a blank line. It proves something only as far as whoever can write the journal cannot write
the anchor too.
"""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import NamedTuple

from trader.errors import UsageError

ORIGIN = "trader/"
_HEAD = re.compile(r"(?:([0-9]{1,19}):)?([0-9a-f]{64})", re.IGNORECASE)


class Checkpoint(NamedTuple):
    """The journal's first `size` records in one hash; `head` is the hash of the last of them."""

    run_id: str
    size: int
    root: bytes
    head: bytes


class Anchor(NamedTuple):
    """What is known from elsewhere: record `seq` has this hash. None is not known."""

    hash: bytes
    seq: int | None = None
    root: bytes | None = None
    run_id: str | None = None


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """The checkpoint as it stands in an anchor file, with the blank line that ends it."""
    return (
        f"{ORIGIN}{checkpoint.run_id}\n{checkpoint.size}\n"
        f"{base64.b64encode(checkpoint.root).decode()}\nhead {checkpoint.head.hex()}\n\n"
    )


class FileAnchor:
    """Appends every checkpoint to a file, flushed. An `on_checkpoint` of Journal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, checkpoint: Checkpoint) -> None:
        """Append one checkpoint; OSError if it cannot be made durable."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(checkpoint_text(checkpoint))
            file.flush()
            os.fsync(file.fileno())


def parsed_head(text: str) -> Anchor | None:
    """The anchor that `SEQ:HASH` or a bare hash means; None for anything else."""
    match = _HEAD.fullmatch(text.strip())
    if match is None:
        return None
    return Anchor(bytes.fromhex(match[2]), int(match[1]) if match[1] else None)


def parse_anchor(text: str) -> list[Anchor]:
    """The anchors meant by `SEQ:HASH`, by a bare hash, or by the path of an anchor file.

    UsageError for anything else.
    """
    head = parsed_head(text)
    anchors = _in_file(text) if head is None else [head]
    for anchor in anchors:
        if anchor.seq is not None and anchor.seq < 1:
            raise UsageError(f"--from {text}: record {anchor.seq}; records are counted from 1")
    return anchors


def _in_file(text: str) -> list[Anchor]:
    path = Path(text)
    try:
        content = path.read_text("utf-8")
    except (OSError, ValueError):
        raise UsageError(
            f"--from {text!r}: neither a head (SEQ:HASH, as printed by `trader audit verify`) "
            "nor an anchor file that can be read"
        ) from None
    anchors = [_parsed(note, path) for note in content.split("\n\n") if note.strip()]
    if not anchors:
        raise UsageError(f"{path} holds no anchor")
    return anchors


def anchors_in(path: Path) -> list[Anchor]:
    """The anchors of a file that a run writes: a last entry that a crash cut off is none yet.

    UsageError where the file is no anchor file or cannot be read.
    """
    try:
        whole, _, _ = path.read_text("utf-8").rpartition("\n\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"the anchor file {path} cannot be read: {error}") from None
    return [_parsed(note, path) for note in whole.split("\n\n") if note.strip()]


def _parsed(note: str, path: Path) -> Anchor:
    lines = note.strip("\n").split("\n")
    try:
        origin, size, root, head = lines[:4]
        if not (origin.startswith(ORIGIN) and head.startswith("head ")):
            raise ValueError
        return Anchor(
            hash=bytes.fromhex(head[5:]),
            seq=int(size),
            root=base64.b64decode(root, validate=True),
            run_id=origin[len(ORIGIN) :],
        )
    except (ValueError, binascii.Error):
        raise UsageError(
            f"{path} is not an anchor file: expected `{ORIGIN}RUN`, a count, a root and "
            f"`head HASH`, found {lines[0]!r:.60}"
        ) from None
