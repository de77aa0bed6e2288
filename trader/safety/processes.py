"""Processes by number and start time, so that a number used again is never signalled.

Law: standard library only.
"""

import os
import signal

GONE = "gone"
PROC = os.path.exists("/proc/self/stat")


def own() -> tuple[int, str]:
    """Our number and start token as /proc has them.

    Not `os.getpid` where a container sees the host's /proc: that number is somebody else's there.
    """
    try:
        pid = int(os.readlink("/proc/self"))
    except (OSError, ValueError):
        pid = os.getpid()
    return pid, start_token(pid)


def start_token(pid: int) -> str:
    """A text that a process of this number shares with no other since boot; "" when not running."""
    if PROC:
        return _stat_fields(pid)[1]
    return _start_by_ps(pid)


def is_stopped(pid: int) -> bool:
    """Whether a process is suspended (SIGSTOP, Ctrl-Z, a debugger). False where that is unknown."""
    return _stat_fields(pid)[0] in ("T", "t")


def _stat_fields(pid: int) -> tuple[str, str]:
    """State letter and start time in clock ticks since boot, as /proc tells them."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return "", ""
    state = fields[0].decode()
    return state, "" if state in ("Z", "X") else fields[19].decode()


def _start_by_ps(pid: int) -> str:
    import subprocess

    asked = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def is_reachable(pid: int, started: str) -> bool:
    """Whether that very process is seen from here and may be signalled by us."""
    if not started or start_token(pid) != started:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def kill_process(pid: int, started: str) -> str:
    """SIGKILL for that very process: "" when sent, GONE when it no longer runs, else why not."""
    handle = _pidfd(pid)  # from here on the number cannot be another process's
    try:
        if not started or start_token(pid) != started:
            return GONE
        if handle is None:
            os.kill(pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return GONE
    except OSError as error:
        return f"pid {pid}: {error.strerror}"
    finally:
        if handle is not None:
            os.close(handle)
    return ""


def _pidfd(pid: int) -> int | None:
    """A handle on a process, where the kernel has them."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
