"""What is looked at before anything else of a start: it costs milliseconds, and may refuse.

    require_armed   no kill of everything in force
    require_memory  an address space in which libraries can be loaded
    require_files   enough file handles for a whole run, taken up now and not in its midst

Law: imports nothing that takes long.
"""

import contextlib
import errno
import os
import resource

from trader.errors import KilledError, TraderError
from trader.safety import pending, records
from trader.safety.statedir import home_path

NEEDED = 64  # files that a run may have open beside those of its start, with room
ADDRESS_SPACE_MIB = 2560  # 2.0 GiB were measured on two cores, and every core adds threads
ENOUGH = 1024  # a limit that needs no raising


def require_armed() -> None:
    """`KilledError` with who, when, why and how to re-arm, under a kill of everything."""
    home = home_path()
    found = [kill for kill in pending.pending_kills(home) if kill["scope"] == records.EVERYTHING]
    if found:
        raise KilledError(pending.explain(found, home))


def require_files(needed: int = NEEDED) -> None:
    """`TraderError` unless `needed` more files can be opened; raises a low soft limit first."""
    limit = _raised_limit()
    opened: list[int] = []
    try:
        for _ in range(needed):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        whose = f"at most {limit} (`ulimit -n`)"
        if error.errno == errno.ENFILE:
            whose = "of the whole machine none are left (sysctl fs.file-max)"
        raise TraderError(
            f"only {len(opened)} more files can be opened, and a paper run needs {needed}: "
            f"{whose}. Raise the limit (`ulimit -n 1024`, or LimitNOFILE= of its service) and "
            "start again"
        ) from None
    finally:
        for handle in opened:
            os.close(handle)


def require_memory(needed_mib: int = ADDRESS_SPACE_MIB) -> None:
    """`TraderError` where a limit leaves less address space than a paper run takes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < needed_mib << 20:
        raise TraderError(
            f"this process may use {soft >> 20:,} MiB of address space (`ulimit -v`), and a paper "
            f"run needs about {needed_mib:,}: its libraries reserve more than they use. Raise the "
            "limit (`ulimit -v unlimited`, or LimitAS= of its service; MemoryMax= limits what is "
            "really used) and start again"
        )


def _raised_limit() -> int:
    """How many files this process may open, once a low limit is as high as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
