"""Reads a model file that its SHA-256 pins.

Law: the file is read once, and the bytes whose SHA-256 was checked are the bytes that are loaded:
a link that is turned in between changes nothing. Nothing is parsed before that.
"""

import hashlib
import os
import stat
from pathlib import Path

from trader.errors import ConfigError, ModelError

MAX_BYTES = 2 * 1024**3  # of the file, and of all it unpacks to


def read_pinned(path: str, sha256: str | None) -> bytes:
    """The bytes of the file at `path`, whose SHA-256 is `sha256`.

    Raises `ConfigError` if no SHA-256 is given, `ModelError` if the file cannot be read or is
    another one.
    """
    data = read_file(path)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is None:
        raise ConfigError(
            f"is missing, and a model file is loaded only if it is the one you checked; if {path} "
            f"is, write under `model:`\n    sha256: {found}",
            key="model.sha256",
        )
    if found != sha256.lower():
        raise ModelError(
            f"model.path {path}: is not the file that the config names\n"
            f"    model.sha256  {sha256}\n    the file's    {found}\n"
            "If you trained it anew, put the new hash into the config; if not, do not use it"
        )
    return data


def read_file(path: str) -> bytes:
    """All bytes of an ordinary file of at most `MAX_BYTES`; `ModelError` for anything else."""
    try:
        # a pipe that nobody writes to would block: it is opened, and refused, without waiting
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ModelError(f"model.path {path}: is not a file")
            # as much as it says it has, and one: a buffer of MAX_BYTES may be too much to ask for
            data = b"" if found.st_size > MAX_BYTES else file.read(found.st_size + 1)
    except IsADirectoryError as error:
        raise ModelError(f"model.path {path}: is a folder, not a file") from error
    except (OSError, ValueError) as error:
        hint = "; run `trader train` first" if isinstance(error, FileNotFoundError) else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"model.path {path}: cannot be read: {reason}{hint}") from error
    if found.st_size > MAX_BYTES or len(data) > found.st_size:
        raise ModelError(f"model.path {Path(path)}: is larger than {MAX_BYTES} bytes")
    return data
