"""`trader rearm`: a person says, for one kill, that trading may go on.

Law: standard library only. One id at a time, by the owner of the state folder, with a reason, and
never while a runner in its scope is alive or cannot be told dead. The record is on disk before
anything opens; the channels open only when no other kill binds them; halted wins over everything
that happens at the same moment.
"""

import os
import time
from typing import Any

from trader.errors import KilledError, TraderError, UsageError
from trader.safety import arming, latch, pending, records, registry, statedir, stop


def rearm(home: str, kill_id: str, reason: str, root_cause: str = "") -> dict[str, Any]:
    """Re-arms one kill. `{kill_id, rearmed, armed, flatten, pending, audit}`.

    `armed`: trading may go on; `flatten`: the kill had asked for positions to be closed.

    UsageError (2): no reason, or no such kill. KilledError (7): not the owner, or a runner lives.
    TraderError (1): the state folder could not be written; then it is still halted.
    """
    if not reason.strip():
        raise UsageError(
            "--reason is empty; say why it is safe: trader rearm KILL_ID --reason TEXT"
        )
    _refuse_stranger(home)
    try:
        with arming.LatchLock(home):
            kill = _pending_kill(home, kill_id)
            _refuse_living(home, kill["scope"])
            entry = _record(kill, reason, root_cause)
            failed = records.store(home, statedir.REARMS, entry)
            if failed:
                raise TraderError(f"the re-arm could not be recorded: {failed}; still halted")
            armed = _open_what_is_free(home, kill)
    except OSError as error:
        raise TraderError(
            f"{error.filename or home}: {latch.reason_of(error)}; still halted. Mend that and run "
            f"this again: trader rearm {kill_id} --reason TEXT (or the id in `trader status`)"
        ) from None
    trouble = records.audit(home, {**entry, "event": "REARM", "armed": armed})
    left = [other["kill_id"] for other in pending.pending_kills(home)]
    return {
        "kill_id": kill_id,
        "rearmed": True,
        "armed": armed,
        "flatten": bool(kill.get("flatten")),
        "pending": left,
        "audit": trouble or "written",
    }


def _refuse_stranger(home: str) -> None:
    try:
        owner = os.stat(home).st_uid
    except OSError as error:
        raise UsageError(f"no state folder at {home}: {latch.reason_of(error)}") from None
    if owner != os.geteuid():
        name = records.user_name(owner)
        raise KilledError(
            f"only the owner of {home} may re-arm: {name} (uid {owner}); you are uid {os.geteuid()}"
        )


def _pending_kill(home: str, kill_id: str) -> dict[str, Any]:
    found = {kill["kill_id"]: kill for kill in pending.pending_kills(home)}
    if kill_id in found and kill_id == records.UNREADABLE:
        why = found[kill_id]["reason"]
        raise KilledError(f"{why}; mend that, and re-arm what is in it by its id")
    if kill_id in found:
        return found[kill_id]
    before = records.rearm_of(home, kill_id) if statedir.is_run_name(kill_id) else None
    if before:
        raise UsageError(
            f"{kill_id} was re-armed at {before.get('at')} by {before.get('user')}; "
            f"pending: {', '.join(found) or 'none'}"
        )
    raise UsageError(
        f"no pending kill {pending.shown(kill_id)} in {home}; pending: {', '.join(found) or 'none'}"
    )


def _refuse_living(home: str, scope: str) -> None:
    blind: list[str] = []
    for run in registry.all_runs(home, blind):
        if run.alive and scope in (records.EVERYTHING, run.run_id):
            what = f"is {run.was}" if run.lock == registry.HELD else "cannot be told dead"
            pid = f" (pid {run.runner.pid})" if run.runner else ""
            raise KilledError(f"run {run.run_id} {what}{pid}; stop it first, then re-arm")
    if blind:
        raise KilledError(f"the runs in {home} cannot be listed ({blind[0]}); still halted")


def _record(kill: dict[str, Any], reason: str, root_cause: str) -> dict[str, Any]:
    now_ns = time.time_ns()
    name = str(kill["kill_id"])
    if name.startswith(records.UNRECORDED):  # such an id can come up again
        name = f"{name}@{now_ns}"
    return {
        "kill_id": name,
        "reason": reason,
        "root_cause": root_cause,
        "scope": kill["scope"],
        "ts_ns": now_ns,
        "ts_mono_ns": time.monotonic_ns(),
        "at": records.timestamp(now_ns),
        "uid": os.getuid(),
        "user": records.user_name(os.getuid()),
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "kill": {key: value for key, value in kill.items() if key != "rearm"},
    }


def _open_what_is_free(home: str, kill: dict[str, Any]) -> bool:
    """Arms the folders of the kill's scope that no other kill binds. True when its own is armed."""
    scope = kill["scope"]
    if _binding(home, scope):
        return False
    scopes = [scope]
    if scope == records.EVERYTHING:
        scopes += [run.run_id for run in registry.all_runs(home) if _was_held_by_a_kill(home, run)]
    opened = [(each, _open(home, each)) for each in scopes if not _binding(home, each)]
    for each, folders in opened:  # a kill that came meanwhile and could not wait for us
        for late in _binding(home, each):
            _shut_again(folders, late)
    return not (_binding(home, scope) or pending.halted_folders(home, scope))


def _binding(home: str, scope: str) -> list[dict[str, Any]]:
    """Kills not re-armed that hold a scope, and whoever touched HALT since."""
    held = (records.EVERYTHING, scope)
    kills = records.all_kills(home)
    found = [kill for kill in kills if not kill["rearm"] and kill["scope"] in held]
    for each in dict.fromkeys(held):
        folder = home if each == records.EVERYTHING else statedir.run_folder(home, each)
        by_hand = pending.by_hand(home, each, folder, kills)
        found += [by_hand] if by_hand else []
    return found


def _was_held_by_a_kill(home: str, run: registry.Run) -> bool:
    """Whether a run's page holds a kill that has been re-armed since."""
    stamp = latch.read_page(run.folder)[1]
    return stamp is not None and records.rearm_of(home, stamp.kill_id) is not None


def _open(home: str, scope: str) -> list[str]:
    folder = home if scope == records.EVERYTHING else statedir.run_folder(home, scope)
    for place, _ in pending.halted_folders(home, scope):
        if place != folder:  # a fallback is armed by being empty
            arming.drop(os.path.join(place, latch.PAGE))
            arming.drop(os.path.join(place, latch.HALT))
    if scope != records.EVERYTHING and not os.path.isdir(folder):
        return []  # it ended for good as it was stopped: nothing of it is left to open
    arming.arm_folder(folder)
    return [folder]


def _shut_again(folders: list[str], kill: dict[str, Any]) -> None:
    code = latch.CODES.get(str(kill.get("code")), latch.CODES["SYSTEM_ERROR"])
    order = stop.StopOrder(str(kill.get("reason", "")), code, kill["scope"])
    order.stamp.kill_id = str(kill["kill_id"])
    for folder in folders:
        done = latch.engage_page(folder, order.stamp)
        latch.engage_names(folder, order.stamp, done)
        latch.flush(folder, done)
