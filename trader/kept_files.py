"""Files in the user's cache folders: what costs time to make, kept by a name that says all of it.

Law: a file counts only if it is this user's and the hash in front of it is that of its name and its
content; anything else is as none, and made anew. Where nothing can be written it is left.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from trader.cache_folders import cache_parents

DIGEST_BYTES = 32


def kept(folder: str, name: str) -> bytes | None:
    """The content of the first sound file of that name; None where there is none."""
    for parent in cache_parents():
        path = parent / folder / name
        try:
            if path.stat().st_uid != os.getuid():
                continue
            content = path.read_bytes()
        except OSError:
            continue
        digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(name.encode() + body).digest() == digest:
            return body
    return None


def keep(folder: str, name: str, body: bytes) -> Path | None:
    """Write a file where the next run finds it; the folder it is in, None where there is none."""
    content = hashlib.sha256(name.encode() + body).digest() + body
    for parent in cache_parents():
        place = parent / folder
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=place)
        except OSError:
            continue
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            os.replace(temporary, place / name)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        else:
            return place
    return None
