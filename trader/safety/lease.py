"""The right to run: one process, one run, under the latch.

Law: the start-up order closes every race with a kill: take `run.lock`, open the pages, check the
latch (`arm`); recover and reconcile (the caller); check again and open the gate (`open_gate`).
A runner that cannot read any channel does not trade. Nothing in here re-arms.
"""

import fcntl
import os
import time
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from trader.errors import KilledError, TraderError, UsageError
from trader.safety import (
    arming,
    flocks,
    gate,
    latch,
    pending,
    processes,
    records,
    registry,
    statedir,
    stop,
    takeover,
    trip,
)

LOST_LATCH = "it has a journal and no PERMIT: the state folder was lost, or TRADER_HOME changed"
LOCK_WAIT_S = 1.0  # `trader status` and `trader kill` look at the lock for a moment
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_LEASES: "weakref.WeakSet[Lease]" = weakref.WeakSet()


class RunInfo(NamedTuple):
    """What the registry says of a run, and the deadlines `trader kill` grants it."""

    mode: str  # "paper"
    run_dir: str  # the run folder with the journal
    resumes: bool = False  # a journal of this run exists already
    barrier_ms: float = registry.BARRIER_MS  # config kill.barrier_ms
    cancel_timeout_s: float = registry.CANCEL_S  # config kill.cancel_timeout_seconds


class Lease:
    """A run held by this process. Made by `arm`; ends with `close` or with the process."""

    def __init__(self, home: str, run_id: str, lock_fd: int) -> None:
        self.home, self.run_id = home, run_id
        self.folder = statedir.run_folder(home, run_id)
        self.cancel_first = False  # killed while it could not cancel: do that before anything
        self.spooled: list[dict[str, Any]] = []  # kills that only now reached the audit file
        self._fds = [lock_fd]
        self._page_fd = -1
        self._gate: gate.Gate | None = None
        self._closed = ""
        self._runner = registry.Runner(*processes.own(), 0, 0)
        self._wire = trip.Tripwire(home, self.shut_gate)
        _LEASES.add(self)

    def kills(self) -> list[dict[str, Any]]:
        """The kills in force for this run, oldest first; a trip the disk did not take as well."""
        found = pending.pending_kills(self.home, self.run_id)
        if not found and self._closed:
            found = [pending.unrecorded(self.run_id, self.folder, [self._closed])]
        return found

    def check(self) -> None:
        """Raises KilledError (exit 7) with who, when, why and how to re-arm, under any kill."""
        found = self.kills()
        if found:
            raise KilledError(pending.explain(found, self.home))

    def open_gate(
        self, checks: Sequence[gate.Check] = (), rate: float | None = None
    ) -> "gate.Gate":
        """The second look at the latch, then the gate. KilledError when it is engaged.

        `checks` are asked inside the gate for every order and give the name of a `Reason` to deny
        it; `rate` is the last-resort limit of orders a second on the monotonic clock.
        """
        if self._gate is not None:
            raise TraderError(f"run {self.run_id}: the gate has been opened already")
        lock_fd = os.open(os.path.join(self.folder, registry.GATE_LOCK), _FLAGS, latch.FILE_MODE)
        self._fds.append(lock_fd)
        self._runner.gate, self._runner.gate_inode = registry.OPEN, os.fstat(lock_fd).st_ino
        self._write(registry.encode_runner(self._runner), latch.RUNNER_AT)
        opened = gate.Gate(self._gate_paths(lock_fd), self._trip_named, checks, rate)
        self.check()
        self._gate = opened
        if self._closed:  # a trip came while the gate was being made
            opened.close(self._closed)
        return opened

    def is_halted(self) -> bool:
        """Whether any channel of the state folder or of this run says stop; gate or no gate."""
        scopes = (records.EVERYTHING, self.run_id)
        return any(pending.halted_folders(self.home, scope) for scope in scopes)

    def stop_cause(self) -> str:
        """Why no order can pass; "" when one could. Cheap: ask it ten times a second when idle."""
        if self._gate is not None:
            return self._gate.stop_cause()
        return self._closed or "the gate is not open"

    def is_flatten_asked(self) -> bool:
        """Whether a kill in force wants positions closed, too (`--flatten`)."""
        return bool(self.flatten_asked_by())

    def flatten_asked_by(self) -> str:
        """Id of a kill in force that wants that, by its record or the page alone; "" for none."""
        kills = self.kills()
        asking = [kill["kill_id"] for kill in kills if kill.get("flatten")]
        if not asking and kills:
            stamps = [latch.read_page(folder)[1] for folder in (self.home, self.folder)]
            asking = [kills[0]["kill_id"] for stamp in stamps if stamp and stamp.flatten]
        return str(asking[0]) if asking else ""

    def trip(
        self, code: str, text: str, source: str = "engine", everything: bool = True
    ) -> stop.Stop:
        """Kills from inside: this gate first, then the latch, of everything or of this run."""
        scope = records.EVERYTHING if everything else self.run_id
        return self.halt(stop.StopOrder(text, latch.CODES[code], scope, source))

    def halt(self, order: stop.StopOrder) -> stop.Stop:
        """`trip` with the order made by the caller."""
        return self._wire.trip(order)

    def shut_gate(self, why: str) -> None:
        """Shuts the gate of this process, in memory and for good; the latch is not touched."""
        self._closed = self._closed or why
        if self._gate is not None:
            self._gate.close(why)

    def heartbeat(self, now_ns: int) -> None:
        """Writes the monotonic time into the page. OSError when the disk does not take it."""
        self._write(registry.encode_heartbeat(now_ns), latch.HEARTBEAT_AT)

    @property
    def is_held(self) -> bool:
        """Whether this process still holds the run."""
        return bool(self._fds)

    def write_status(self, document: dict[str, Any]) -> None:
        """Replaces `status.json`, which `trader status` shows. Keys: docs/kill-switch.md."""
        registry.write_json(os.path.join(self.folder, registry.STATUS), document)

    def drain(self, timeout_s: float) -> bool:
        """Waits until no order is inside the gate. True when none is."""
        return self._gate is None or self._gate.drain(timeout_s)

    def close(self, over: bool = False) -> None:
        """Says goodbye: no longer listed, its lock free; `over`: it never goes on."""
        self.shut_gate("the run has ended")
        self.drain(1.0)
        try:
            self.heartbeat(time.monotonic_ns())
            self._runner.gate = registry.ENDED
            self._write(registry.encode_runner(self._runner), latch.RUNNER_AT)
            registry.set_aside(self.folder)
        except OSError:
            pass  # a disk that takes nothing: it stays listed, as dead
        if over:
            registry.retire(self.home, self.run_id)
        self.drop_files()

    def drop_files(self) -> None:
        """Closes every file, and with them the locks. Called in a forked child, too."""
        self._page_fd = -1
        while self._fds:
            os.close(self._fds.pop())

    def _open(self, info: RunInfo) -> None:
        """Everything of `arm` after the lock."""
        self._prepare_folders(info)
        gate_path = os.path.join(self.folder, registry.GATE_LOCK)
        gate_fd = os.open(gate_path, _FLAGS, latch.FILE_MODE)
        self._runner.gate_inode = os.fstat(gate_fd).st_ino
        os.close(gate_fd)
        self.check()
        self._page_fd = os.open(
            os.path.join(self.folder, latch.PAGE), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        )
        self._fds.append(self._page_fd)
        self._runner.gate = registry.STARTING
        self._write(registry.encode_runner(self._runner), latch.RUNNER_AT)
        entry_path = os.path.join(self.folder, registry.ENTRY)
        self.cancel_first = self._was_killed_since(registry.read_json(entry_path))
        entry = registry.new_entry(self.run_id, self._runner, info._asdict())
        registry.write_json(entry_path, entry)
        self.heartbeat(time.monotonic_ns())
        self.spooled = records.take_in_spool(self.home)

    def _gate_paths(self, lock_fd: int) -> gate.GatePaths:
        fds = [
            os.open(os.path.join(self.home, latch.PAGE), _READ),
            os.open(os.path.join(self.folder, latch.PAGE), _READ),
            os.open(self.folder, _READ | os.O_DIRECTORY),
        ]
        self._fds.extend(fds)
        home = os.fsencode(self.home)
        permit, halt = latch.PERMIT.encode(), latch.HALT.encode()
        names = (os.path.join(home, permit), os.path.join(home, halt))
        return gate.GatePaths(lock_fd, fds[0], fds[1], *names, fds[2])

    def _prepare_folders(self, info: RunInfo) -> None:
        with arming.LatchLock(self.home):
            arming.arm_if_new(self.home)
            if not info.resumes:
                arming.arm_if_new(self.folder)
            elif pending.is_new(self.folder):
                # It was armed once; that its PERMIT is gone was not `trader`'s doing.
                latch.raise_own_halt(self.folder, LOST_LATCH)

    def _was_killed_since(self, before: dict[str, Any] | None) -> bool:
        """Whether the process before us left without a goodbye and was killed after it began."""
        if before is None:
            return False
        since = before.get("started_ns", 0)
        scopes = (records.EVERYTHING, self.run_id)
        return any(
            kill["scope"] in scopes and (kill.get("ts_ns") or since) >= since
            for kill in records.all_kills(self.home)
        )

    def _write(self, data: bytes, at: int) -> None:
        os.pwrite(self._page_fd, data, at)

    def _trip_named(self, code: str, text: str) -> stop.Stop:
        return self.trip(code, text)


def arm(home: str, run_id: str, info: RunInfo) -> Lease:
    """Takes a run for this process and looks at the latch for the first time.

    KilledError (exit 7) under a kill, UsageError (2) when the run is alive already or the state
    folder is no safe place, TraderError when it cannot be written. Recover and reconcile next,
    then `open_gate`.
    """
    try:
        statedir.run_folder(home, run_id)
        statedir.make_folder(home)
        statedir.share_with_group(home)
        takeover.take_over(home)
        statedir.make_folder(statedir.run_folder(home, run_id))
        unsafe = statedir.unsafe_because(home)
        if unsafe:
            raise UsageError(unsafe)
        lease = Lease(home, run_id, _take(home, run_id))
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise unusable(home, error) from None
    try:
        lease._open(info)
    except OSError as error:
        lease.drop_files()
        raise unusable(home, error) from None
    except BaseException:
        lease.drop_files()
        raise
    return lease


def unusable(home: str, error: OSError) -> TraderError:
    """The error of a state folder that cannot be written, with the remedy."""
    return TraderError(
        f"the state folder {home} cannot be used: {latch.reason_of(error)} ({error.filename}); "
        "nothing is traded without it. Make room or rights there, or set TRADER_HOME"
    )


def _take(home: str, run_id: str) -> int:
    found = registry.Run(home, run_id)
    if found.is_unlocked:
        raise UsageError(f"run {run_id} is running, and its run.lock was taken away; stop it")
    fd = os.open(os.path.join(found.folder, registry.RUN_LOCK), _FLAGS, latch.FILE_MODE)
    if not flocks.locked(fd, fcntl.LOCK_EX, LOCK_WAIT_S):
        os.close(fd)
        raise UsageError(f"run {run_id} is already running; stop it, or name another")
    return fd


def live_leases(home: str) -> "list[Lease]":
    """The leases of this process on a state folder."""
    return [lease for lease in list(_LEASES) if lease.home == home and lease.is_held]


def _forget_in_child() -> None:
    """A forked child must not keep the locks of a runner that has died."""
    for lease in list(_LEASES):
        lease.shut_gate("a forked child trades nothing")
        lease.drop_files()


os.register_at_fork(after_in_child=_forget_in_child)
