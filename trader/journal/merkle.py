"""The Merkle tree of RFC 6962 over the record hashes, grown one leaf at a time.

Law: leaf = SHA-256(0x00 ‖ record hash), node = SHA-256(0x01 ‖ left ‖ right); the root of n leaves
is that of RFC 6962 section 2.1, so existing transparency tools can check it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

_sha256 = hashlib.sha256
EMPTY_ROOT = _sha256(b"").digest()


class MerkleTree:
    """Holds only the right edge: one peak per set bit of `size`, largest first."""

    __slots__ = ("peaks", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self.peaks: list[bytes] = []
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf: bytes) -> None:
        """Append one record hash."""
        node = _sha256(b"\x00" + leaf).digest()
        size = self.size
        while size & 1:
            node = _sha256(b"\x01" + self.peaks.pop() + node).digest()
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Merkle tree hash of the leaves so far, 32 bytes."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = _sha256(b"\x01" + peak + node).digest()
        return node

    def copy(self) -> "MerkleTree":
        """An independent tree of the same leaves."""
        twin = MerkleTree()
        twin.size, twin.peaks = self.size, list(self.peaks)
        return twin


def edge_of(checkpoint: Mapping[str, Any]) -> MerkleTree:
    """The tree over the records that a CHECKPOINT counts; an empty one where it holds no peaks.

    ValueError where peaks and root of the checkpoint contradict each other.
    """
    tree = MerkleTree()
    if "peaks" in checkpoint:
        tree.size = checkpoint["size"]
        tree.peaks = [bytes.fromhex(peak) for peak in checkpoint["peaks"]]
        if tree.root().hex() != checkpoint["root"]:
            raise ValueError("the newest checkpoint contradicts itself")
    return tree
