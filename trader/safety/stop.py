"""Stopping: the latch of every folder in scope, its record, its durability. Steps 1 to 3.

Law: standard library only; no lock is shared with callbacks, logging or the gate; the failure of
one step never skips the next. The same code serves `trader kill` and every internal trip.

    1 page byte of the state folder and of each live run     effective now
    2 PERMIT gone, HALT made, in each of them; the record
    3 all of it flushed; then a second look, should somebody have been re-arming
"""

import _thread
import os
import time
from collections.abc import Callable
from typing import Any

from trader.safety import arming, latch, records, registry, statedir

ALL_CHANNELS = 3


class StopOrder:
    """What is to be stopped, by whom and why. `scope` is EVERYTHING or a run id."""

    def __init__(
        self,
        reason: str,
        code: int,
        scope: str = records.EVERYTHING,
        source: str = "human",
        flatten: bool = False,
    ) -> None:
        self.reason, self.code, self.scope = reason, code, scope
        self.source, self.flatten = source, flatten
        self.wall_ns, self.mono_ns = time.time_ns(), time.monotonic_ns()
        self.kill_id = records.new_kill_id(self.wall_ns)
        self.stamp = latch.Stamp(self.kill_id, code, reason, self.wall_ns)

    def record(self) -> dict[str, Any]:
        """The kill record of this order, before anything is known of its outcome."""
        return {
            **records.from_stamp(self.stamp, self.scope),
            "reason": self.reason,
            "source": self.source,
            "flatten": self.flatten,
            "ts_mono_ns": self.mono_ns,
            "host": os.uname().nodename,
        }


class Stop:
    """How far a stop has come. Filled in place, so that it can be watched from another thread."""

    def __init__(self, home: str, order: StopOrder) -> None:
        self.home, self.order = home, order
        self.started_ns = time.monotonic_ns()
        self.page_ns = self.visible_ns = self.durable_ns = 0
        self.durable = self.finished = False
        self.listed = False  # `runs` and `blind` are told
        self.record_error = "not tried"
        self.runs: list[registry.Run] = []
        self.blind: list[str] = []  # why the live runs are not known
        self.errors: list[str] = []
        self.folders: dict[str, latch.Channels] = {}
        self.fallbacks: list[str] = []

    @property
    def scope_folder(self) -> str:
        """The folder whose latch binds every run in scope."""
        if self.order.scope == records.EVERYTHING:
            return self.home
        return statedir.run_folder(self.home, self.order.scope)

    def binds(self, run: registry.Run) -> bool:
        """True when this stop can be seen by the runner of that run."""
        found = (self.folders.get(folder) for folder in (self.scope_folder, run.folder))
        return any(done.visible for done in found if done)

    def failures(self) -> list[str]:
        """Everything that did not work, in words."""
        told = [
            f"{path}/{why}" for path, done in list(self.folders.items()) for why in done.failures()
        ]
        if self.record_error:
            told.append(f"{statedir.KILLS}/{self.order.kill_id}.json: {self.record_error}")
        return told + self.errors + self.blind

    def micros(self, moment_ns: int) -> int:
        """Microseconds since this stop began."""
        return max(0, moment_ns - self.started_ns) // 1000


def shut(stop: Stop) -> None:
    """Steps 1 to 3. Never raises for the disk's reasons: what failed is in `stop`."""
    order = stop.order
    try:
        statedir.make_folder(stop.scope_folder)
    except OSError as error:
        stop.errors.append(f"{stop.scope_folder}: {latch.reason_of(error)}")
    _pages(stop)
    for folder, done in stop.folders.items():
        latch.engage_names(folder, order.stamp, done)
    stop.visible_ns = time.monotonic_ns()
    stop.record_error = records.store(stop.home, statedir.KILLS, order.record())
    for folder, done in stop.folders.items():
        latch.flush(folder, done)
    look_again(stop)
    stop.durable_ns = time.monotonic_ns()
    stop.finished = True


def _pages(stop: Stop) -> None:
    order = stop.order
    folder = stop.scope_folder
    done = stop.folders[folder] = latch.engage_page(folder, order.stamp, order.flatten)
    stop.page_ns = time.monotonic_ns()
    if done.created:
        _give_to_owner(os.path.join(folder, latch.PAGE), stop)
    find_runs(stop)
    for run in stop.runs:
        if run.alive and run.folder != folder:
            done = latch.engage_page(run.folder, order.stamp, order.flatten)
            stop.folders[run.folder] = done


def find_runs(stop: Stop) -> None:
    """The runs in scope that live, or died without a goodbye, or have left since the stop began.

    Only reads: a disk that hangs on every write may still tell.
    """
    blind: list[str] = []
    order = stop.order
    stop.runs = [
        run
        for run in registry.all_runs(stop.home, blind)
        if order.scope in (records.EVERYTHING, run.run_id)
        and (registry.is_listed(run) or run.left_since(order.mono_ns))
    ]
    stop.blind = blind
    stop.listed = True


def _give_to_owner(path: str, stop: Stop) -> None:
    """Gives what root has made to the owner of the state folder."""
    try:
        statedir.give_to_owner(path)
    except OSError as error:
        stop.errors.append(f"{path}: {latch.reason_of(error)}")


def within(work: Callable[[], object], timeout_s: float) -> str:
    """Calls `work` in a thread and waits for it so long at most. "" or why it did not finish."""
    told = [f"no answer in {timeout_s:g} s"]
    finished = _thread.allocate_lock()
    finished.acquire()

    def run() -> None:
        try:
            work()
            told[0] = ""
        except Exception as error:
            told[0] = f"{type(error).__name__}: {error}"
        finally:
            finished.release()

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # no more threads for this user: then without
        run()
    finished.acquire(timeout=timeout_s)
    return told[0]


def look_again(stop: Stop) -> None:
    """Undoes what somebody opening at the same moment may have undone: halted wins.

    A re-arm holds the latch lock; once we have it too, the last word on the channels is ours. If
    the lock does not come (a re-arm that was suspended), our record alone refuses every start.
    """
    hold = arming.nobody_opens(stop.home, timeout_s=0.1)
    if hold is not None:
        for folder in stop.folders:
            if len(latch.inspect(folder).causes) < ALL_CHANNELS:
                again = latch.engage_page(folder, stop.order.stamp, stop.order.flatten)
                latch.engage_names(folder, stop.order.stamp, again)
                latch.flush(folder, again)
                stop.folders[folder] = again
        if hold >= 0:
            os.close(hold)
    done = stop.folders[stop.scope_folder]
    told = not stop.record_error or (hold is not None and _is_on_page(stop))
    stop.durable = done.durable and told


def _is_on_page(stop: Stop) -> bool:
    """Whether the page tells of this very stop. It keeps the first: a second needs its record."""
    stamp = latch.read_page(stop.scope_folder)[1]
    return stamp is not None and stamp.kill_id == stop.order.kill_id


def fall_back(stop: Stop) -> None:
    """Writes the latch and the record to every fallback folder: the state folder did not take it.

    These folders may not outlive a reboot, so this is never called durable.
    """
    uid = statedir.owner_of(stop.home)
    for folder in statedir.fallback_folders(stop.home):
        why = statedir.make_fallback(folder, uid)
        if why:
            stop.errors.append(why)
            continue
        target = folder
        if stop.order.scope != records.EVERYTHING:
            target = statedir.run_folder(folder, stop.order.scope)
        try:
            statedir.make_folder(target)
        except OSError as error:
            stop.errors.append(f"{target}: {latch.reason_of(error)}")
            continue
        done = latch.engage_page(target, stop.order.stamp, stop.order.flatten)
        if done.created:
            _give_to_owner(os.path.join(target, latch.PAGE), stop)
        latch.engage_names(target, stop.order.stamp, done)
        if done.visible:
            stop.fallbacks.append(folder)
        records.store(folder, statedir.KILLS, stop.order.record())
        latch.flush(target, done)


def settle_audit(stop: Stop, entry: dict[str, Any]) -> str:
    """Step 8: the line in the audit file, or the spool. "" or what went wrong, in words."""
    failed = records.audit(stop.home, entry)
    if not failed:
        return ""
    for folder in (stop.home, *statedir.trusted_fallbacks(stop.home)):
        if not records.store(folder, statedir.SPOOL, entry):
            return f"audit.jsonl: {failed}; spooled in {folder}/{statedir.SPOOL}"
    uid = statedir.owner_of(stop.home)
    for folder in statedir.fallback_folders(stop.home):
        ready = not statedir.make_fallback(folder, uid)
        if ready and not records.store(folder, statedir.SPOOL, entry):
            return f"audit.jsonl: {failed}; spooled in {folder}/{statedir.SPOOL}"
    return f"audit.jsonl: {failed}; and no spool could be written"
