"""What a process says before it leaves at once, to somebody who may not be reading.

Law: nothing here can keep a process from leaving: not a pipe that is full, nor one that is closed.
"""

import contextlib
import os
import threading

LAST_WORDS_S = 1.0  # for a reader to take them


def say_last(text: str) -> None:
    """Write to stderr, and wait for a second at most. `os._exit` is next."""

    def write() -> None:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))

    # From a thread: made non-blocking, the descriptor would be so for all who share it.
    telling = threading.Thread(target=write, name="last words", daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads for this user: then without a word
        telling.start()
        telling.join(LAST_WORDS_S)
