"""Waiting for a file lock, with a time limit.

Law: standard library only; below everything that locks.
"""

import fcntl
import time

RETRY_S = 0.001


def locked(fd: int, kind: int, timeout_s: float) -> bool:
    """Whether a `flock` of that kind (`LOCK_SH`, `LOCK_EX`) was had within the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(RETRY_S)
