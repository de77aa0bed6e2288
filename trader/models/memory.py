"""How much memory a model may take."""

import os


def half_the_memory() -> int | None:
    """Half of the machine's memory in bytes: the most a model may take, unless told otherwise."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return None


def limit_memory(memory_bytes: int | None) -> None:
    """Let this process take so much on top of what Python itself takes, where the system can."""
    if memory_bytes is None:
        return
    try:
        import resource

        with open("/proc/self/statm") as stream:
            taken = int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory_bytes, taken + memory_bytes))
    except (ImportError, OSError, ValueError):
        return  # not on this system: the process's own limit has to do
