"""Where this user's caches lie: compiled code, calendars, models."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path


def cache_parents() -> list[Path]:
    """Folders to keep caches in, the best first."""
    explicit = os.environ.get("TRADER_CACHE_DIR")
    if explicit:
        return [Path(explicit)]
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trader"
    return [user, Path(tempfile.gettempdir()) / f"trader-cache-{os.getuid()}"]


def writable_folder(name: str) -> Path | None:
    """The first cache folder of that name that can be written, private to this user; or None."""
    for parent in cache_parents():
        folder = parent / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return None


def source_hash(sources: Iterable[Path]) -> str:
    """Hex hash of the names and contents of `sources`, and of the interpreter."""
    digest = hashlib.sha256(sys.implementation.cache_tag.encode())
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
