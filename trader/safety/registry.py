"""The registry of live runs: who holds which run, and what is known of the process.

Law: standard library only. A run is alive exactly while its `run.lock` is held; the kernel lets go
of it with the process, so nothing here can be stale. Its process is written twice, in place in the
run's page (which needs no free disk space) and in `run.json` (for people and `trader status`).

    registry/live-<run_id>/  kill.page PERMIT HALT  run.lock gate.lock  run.json status.json
        hang.txt: where the hard watchdog wrote tracebacks
        left.json: the run.json of a process that has said goodbye
"""

import contextlib
import fcntl
import json
import os
import struct
import time
import zlib
from typing import Any, TypeGuard

from trader.safety import latch, processes, statedir

RUN_LOCK, GATE_LOCK = "run.lock", "gate.lock"
ENTRY, STATUS = "run.json", "status.json"
LEFT = "left.json"
HANG = "hang.txt"  # where the hard watchdog writes tracebacks
FILES = (latch.PAGE, latch.PERMIT, latch.HALT, RUN_LOCK, GATE_LOCK, ENTRY, STATUS, LEFT, HANG)
HELD, FREE, UNKNOWN = "held", "free", "unknown"
STARTING, OPEN, ENDED = 1, 2, 3  # of the gate
SILENT_NS = 1_000_000_000  # ten heartbeats
BARRIER_MS, CANCEL_S = 250.0, 5.0  # where a run does not say otherwise
DEADLINES = {"barrier_ms": (BARRIER_MS, 5_000.0), "cancel_timeout_s": (CANCEL_S, 60.0)}
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

# pid, gate state, start token of the process, inode of its gate.lock
_RUNNER = struct.Struct("<II32sQ")
_CRC = struct.Struct("<I")
_BEAT = struct.Struct("<q")


class Runner:
    """The process behind a run."""

    __slots__ = ("gate", "gate_inode", "pid", "started")

    def __init__(self, pid: int, started: str, gate: int, gate_inode: int) -> None:
        self.pid, self.started, self.gate, self.gate_inode = pid, started, gate, gate_inode


class Run:
    """One run of the registry, as found now."""

    __slots__ = ("entry", "folder", "heartbeat_ns", "lock", "run_id", "runner")

    def __init__(self, home: str, run_id: str) -> None:
        self.run_id = run_id
        self.folder = statedir.run_folder(home, run_id)
        self.lock = lock_state(os.path.join(self.folder, RUN_LOCK))
        self.entry = read_json(os.path.join(self.folder, ENTRY)) or {}
        self.runner, self.heartbeat_ns = self._from_page()

    def _from_page(self) -> tuple[Runner | None, int]:
        try:
            fd = os.open(os.path.join(self.folder, latch.PAGE), _READ)
        except OSError:
            return self._from_entry(), 0
        try:
            data = os.pread(fd, latch.PAGE_SIZE, 0).ljust(latch.PAGE_SIZE, b"\0")
        except OSError:
            data = bytes(latch.PAGE_SIZE)
        finally:
            os.close(fd)
        return decode_runner(data) or self._from_entry(), _BEAT.unpack_from(
            data, latch.HEARTBEAT_AT
        )[0]

    def _from_entry(self) -> Runner | None:
        pid, started = self.entry.get("pid"), self.entry.get("pid_start")
        if not (is_pid(pid) and isinstance(started, str)):
            return None
        inode = self.entry.get("gate_inode")
        return Runner(pid, started, OPEN, inode if isinstance(inode, int) else 0)

    @property
    def alive(self) -> bool:
        """Held, or not to be told: what cannot be shown dead counts as alive."""
        return self.lock != FREE or self.is_unlocked

    @property
    def is_unlocked(self) -> bool:
        """Whether its process lives without the lock: somebody has taken `run.lock` away."""
        runner = self.runner
        if self.lock != FREE or runner is None or runner.gate == ENDED:
            return False
        return bool(runner.started) and processes.start_token(runner.pid) == runner.started

    @property
    def was(self) -> str:
        """dead, starting, stopped (suspended), hung (no heartbeat for a second) or running."""
        if not self.alive:
            return "dead"
        if self.runner and processes.is_stopped(self.runner.pid):
            return "stopped"
        if self.runner is None or self.runner.gate != OPEN:
            return "starting"
        if time.monotonic_ns() - self.heartbeat_ns <= SILENT_NS:
            return "running"
        if processes.start_token(self.runner.pid) == self.runner.started:
            return "hung"
        # The page is of the process before it, or of one whose number means nothing here (a
        # container): the entry is as new as the process that made it, the heartbeat is its own.
        is_of_page = self.entry.get("pid_start") == self.runner.started
        return "hung" if is_of_page and self.heartbeat_ns else "starting"

    def now(self) -> "Run":
        """The same run as it is by now."""
        return Run(os.path.dirname(os.path.dirname(self.folder)), self.run_id)

    def left_since(self, mono_ns: int) -> bool:
        """Whether its process said goodbye after that moment, and since the last boot."""
        ended = self.runner is not None and self.runner.gate == ENDED
        return ended and mono_ns <= self.heartbeat_ns <= time.monotonic_ns()

    def deadline(self, key: str) -> float:
        """`barrier_ms` or `cancel_timeout_s` of the entry, within reason; else its default."""
        default, longest = DEADLINES[key]
        value = self.entry.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return default
        return min(float(value), longest) if value >= 0 else default


def all_runs(home: str, errors: list[str] | None = None) -> list[Run]:
    """Every run of a state folder, in name order. What cannot be listed goes to `errors`."""
    try:
        names = statedir.registered(home)
    except OSError as error:
        if errors is not None:
            errors.append(f"registry: {latch.reason_of(error)} ({error.filename})")
        return []
    return [Run(home, name) for name in names]


def is_listed(run: Run) -> bool:
    """Alive, or dead without having said goodbye."""
    return run.alive or bool(run.entry)


def set_aside(folder: str) -> None:
    """Takes a run off the list as it leaves. What `run.json` told of it goes to `left.json`, whose
    time is when it left; neither needs room on the disk. OSError where the disk refuses."""
    path = os.path.join(folder, ENTRY)
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)
        os.rename(path, os.path.join(folder, LEFT))


def left(run: Run) -> tuple[dict[str, Any], int]:
    """What was known of a run that has said goodbye, and when (UTC nanoseconds, 0: never)."""
    path = os.path.join(run.folder, LEFT)
    try:
        return read_json(path) or {}, os.lstat(path).st_mtime_ns
    except OSError:
        return {}, 0


def forget(home: str, run_id: str) -> None:
    """Takes a run that will not go on off the list of runs. Nothing for one that is alive."""
    run = Run(home, run_id)
    if run.alive:
        return
    for name in (ENTRY, LEFT):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(run.folder, name))
    retire(home, run_id)


def retire(home: str, run_id: str) -> None:
    """Removes the entry of a run that will never go on: `trader kill` looks at each there is.

    One with a stop in it stays as it is until the re-arm; so does one that holds anything that the
    registry did not make. Called by who holds the run, or knows that nobody does.
    """
    folder = statedir.registry_folder(home, run_id)
    if latch.inspect(folder).causes:
        return
    gone = os.path.join(home, statedir.REGISTRY, f".gone-{run_id}")  # no name of an entry
    try:
        if not all(map(is_ours, os.listdir(folder))):
            return
        os.rename(folder, gone)  # at once: nobody sees half a run
        for name in filter(is_ours, os.listdir(gone)):
            os.unlink(os.path.join(gone, name))
        os.rmdir(gone)
    except OSError:
        pass  # it stays, and costs a look each time


def is_ours(name: str) -> bool:
    """Whether the registry makes files of that name: those of an entry, and drafts of them."""
    return name in FILES or any(name.startswith(f"{made}.") for made in (latch.PAGE, ENTRY, STATUS))


def lock_state(path: str) -> str:
    """HELD, FREE (also when there is no such file) or UNKNOWN."""
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        return FREE
    except OSError:
        return UNKNOWN
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return HELD
    except OSError:
        return UNKNOWN
    finally:
        os.close(fd)
    return FREE


def is_pid(value: object) -> TypeGuard[int]:
    """Whether a value can be the number of a process."""
    return isinstance(value, int) and 0 < value < 2**31


def encode_runner(runner: Runner) -> bytes:
    """The bytes for `latch.RUNNER_AT`, with their own checksum."""
    fields = _RUNNER.pack(runner.pid, runner.gate, runner.started.encode(), runner.gate_inode)
    return fields + _CRC.pack(zlib.crc32(fields))


def decode_runner(page: bytes) -> Runner | None:
    """The process in a page; None when there is none or its checksum is wrong."""
    fields = page[latch.RUNNER_AT : latch.RUNNER_AT + _RUNNER.size]
    (crc,) = _CRC.unpack_from(page, latch.RUNNER_AT + _RUNNER.size)
    pid, gate, started, inode = _RUNNER.unpack(fields)
    if not is_pid(pid) or crc != zlib.crc32(fields):
        return None
    return Runner(pid, started.rstrip(b"\0").decode("ascii", "replace"), gate, inode)


def encode_heartbeat(now_ns: int) -> bytes:
    """The bytes for `latch.HEARTBEAT_AT`."""
    return _BEAT.pack(now_ns)


def read_json(path: str) -> dict[str, Any] | None:
    """A JSON object out of a file; None when it is not there or not one."""
    try:
        fd = os.open(path, _READ)
    except OSError:
        return None
    try:
        with open(fd, "rb") as file:
            found = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: str, document: dict[str, Any], durable: bool = False) -> None:
    """A file that is there whole or not at all. OSError when it cannot be written."""
    fresh = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(fresh, flags, latch.FILE_MODE)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, latch.FILE_MODE)  # whatever the umask: the folder decides who reads
            statedir.give_to_owner(fresh)
            file.write(json.dumps(document, sort_keys=True).encode("ascii") + b"\n")
            if durable:
                file.flush()
                os.fsync(fd)
        os.rename(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise
    if durable:
        latch.sync_path(os.path.dirname(path))


def new_entry(run_id: str, runner: Runner, details: dict[str, Any]) -> dict[str, Any]:
    """What `run.json` says of a run that starts now. Keys: see docs/kill-switch.md."""
    return {
        "run_id": run_id,
        "pid": runner.pid,
        "pid_start": runner.started,
        "gate_inode": runner.gate_inode,
        "started_ns": time.time_ns(),
        "cwd": os.getcwd(),
        "host": os.uname().nodename,
        **details,
    }
