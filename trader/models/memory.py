"""How much memory a model may take."""

import os


def half_the_memory() -> int | None:
    """Half of the machine's memory in bytes: the most a model may take, unless told otherwise."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return None
