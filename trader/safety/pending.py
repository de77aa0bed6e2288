"""What keeps a state folder, or one run of it, from trading, and who has to say otherwise.

Law: standard library only; reads, never writes. Halted wins: a channel that says stop counts
without a record, a record without a re-arm counts without a channel, and what cannot be read
counts as both. The answer is a list of kills, empty when trading is allowed.
"""

import os
from typing import Any

from trader.safety import latch, records, registry, statedir

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
TOUCHED_NS = 2_000_000_000  # between a kill and its HALT, on a slow disk


def pending_kills(home: str, run_id: str | None = None) -> list[dict[str, Any]]:
    """Kills not re-armed, oldest first: of everything and of one run, or of every run for None.

    Keys of each: docs/kill-switch.md. A stop without a record has the id UNRECORDED (of the state
    folder) or UNRECORDED-<run_id>.
    """
    kills = records.all_kills(home)
    open_kills = {kill["kill_id"]: kill for kill in kills if not kill["rearm"]}
    names = [run_id] if run_id else [run.run_id for run in registry.all_runs(home)]
    for scope in (records.EVERYTHING, *names):
        for folder, reading in halted_folders(home, scope):
            kill = by_hand(home, scope, folder, kills) or _unaccounted(
                home, scope, folder, reading, open_kills
            )
            if kill:
                open_kills.setdefault(kill["kill_id"], kill)
    wanted = (records.EVERYTHING, run_id)
    found = [kill for kill in open_kills.values() if run_id is None or kill["scope"] in wanted]
    return sorted(found, key=records.age)


def halted_folders(home: str, scope: str) -> list[tuple[str, latch.Reading]]:
    """The folders of a scope that say stop: its own, and those in the fallbacks."""
    found = []
    for index, place in enumerate((home, *statedir.trusted_fallbacks(home))):
        folder = place if scope == records.EVERYTHING else statedir.run_folder(place, scope)
        if is_new(folder):
            continue  # nothing was ever stopped here
        reading = latch.inspect(folder)
        if index:  # a fallback never had a PERMIT, and no page there means no kill
            halt = os.path.lexists(os.path.join(folder, latch.HALT))
            killed = reading.page not in (latch.ARMED, latch.MISSING)
            reading.causes = reading.causes if halt or killed else []
        if reading.causes:
            found.append((folder, reading))
    return found


def is_new(folder: str) -> bool:
    """Whether a folder holds no trace of the latch. One that cannot be looked into is not new."""
    for name in (latch.PAGE, latch.PERMIT, latch.HALT):
        try:
            os.lstat(os.path.join(folder, name))
        except FileNotFoundError:
            continue
        except OSError:
            return False
        return False
    return True


def by_hand(
    home: str, scope: str, folder: str, kills: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The stop of somebody who touched HALT while a kill was in force: not lifted with that kill.

    A kill makes HALT with its record; a file that is younger is another stop, until its re-arm.
    """
    try:
        touched_ns = os.lstat(os.path.join(folder, latch.HALT)).st_mtime_ns
    except OSError:
        return None
    held = (records.EVERYTHING, scope)
    known = [kill.get("ts_ns") for kill in kills if kill["scope"] in held]
    made_ns = max((ts_ns for ts_ns in known if isinstance(ts_ns, int)), default=touched_ns)
    if touched_ns <= made_ns + TOUCHED_NS:
        return None
    if records.is_rearmed_since(home, (scope,), touched_ns, records.UNRECORDED):
        return None
    return unrecorded(scope, folder, [f"{latch.HALT} was touched after the last kill"])


def _unaccounted(
    home: str, scope: str, folder: str, reading: latch.Reading, known: dict[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """The kill behind a folder that says stop, when no pending record explains it."""
    stamp = reading.stamp
    if stamp and not records.rearm_of(home, stamp.kill_id):
        # A run's page may hold the kill of everything: that one is told by the state folder.
        return None if stamp.kill_id in known else records.from_stamp(stamp, scope)
    if any(kill["scope"] in (records.EVERYTHING, scope) for kill in known.values()):
        return None
    if stamp:
        kill = records.from_stamp(stamp, scope)
        kill["reason"] += " (its re-arm did not finish: re-arm it again)"
        return kill
    return unrecorded(scope, folder, reading.causes)


def unrecorded(scope: str, folder: str, causes: list[str]) -> dict[str, Any]:
    """A stop without a kill: HALT made by hand, PERMIT gone, a page that cannot be read."""
    suffix = "" if scope == records.EVERYTHING else f"-{scope}"
    kill: dict[str, Any] = {
        "kill_id": records.UNRECORDED + suffix,
        "code": "MANUAL_STOP" if any(latch.HALT in cause for cause in causes) else "SYSTEM_ERROR",
        "reason": f"in {folder}: {', '.join(causes)}",
        "scope": scope,
        "ts_ns": None,
        "at": None,
        "uid": None,
        "user": None,
        "pid": None,
        "rearm": None,
    }
    by_trader = halted_by_trader(folder)
    if by_trader:
        kill.update(code="SYSTEM_ERROR", reason=f"in {folder}: {by_trader}", source="engine")
    try:
        made = os.lstat(os.path.join(folder, latch.HALT))
    except OSError:
        return kill
    kill.update(ts_ns=made.st_mtime_ns, at=records.timestamp(made.st_mtime_ns))
    if not by_trader:
        kill.update(uid=made.st_uid, user=records.user_name(made.st_uid))
    return kill


def halted_by_trader(folder: str) -> str:
    """Why a run of ours made HALT in a folder; "" where a kill or a person did."""
    try:
        fd = os.open(os.path.join(folder, latch.HALT), _READ)
        try:
            line = os.pread(fd, latch.TEXT_BYTES, 0).decode("utf-8", "replace").partition("\n")[0]
        finally:
            os.close(fd)
    except OSError:  # also a folder of that name, which reading refuses
        return ""
    return line.removeprefix(latch.BY_TRADER) if line.startswith(latch.BY_TRADER) else ""


def explain(kills: list[dict[str, Any]], home: str) -> str:
    """Who, when, why and how to re-arm, for the message of a start that is refused."""
    lines = [f"trading is stopped: {len(kills)} kill(s) not re-armed in {home}"]
    for kill in kills:
        when = f" at {kill['at']}" if kill.get("at") else ""
        what = "every run" if kill["scope"] == records.EVERYTHING else f"run {kill['scope']}"
        lines.append(shown(f"  {kill['kill_id']}  {kill['code']}{by_whom(kill)}{when}, {what}"))
        lines.append(f"    why: {shown(str(kill.get('reason', '')))}")
        lines.append(f"    to trade again: trader rearm {kill['kill_id']} --reason TEXT")
    return "\n".join(lines)


def by_whom(kill: dict[str, Any]) -> str:
    """` by ada (uid 1000)`, ` by the engine`, or "" where that is not known."""
    if kill.get("source") in ("engine", "watchdog"):
        return f" by the {kill['source']}"
    uid = f" (uid {kill['uid']})" if kill.get("uid") is not None else ""
    return f" by {kill['user']}{uid}" if kill.get("user") else ""


def shown(text: str, limit: int = 500) -> str:
    """A reason as a terminal may show it: one line, no control characters, not too long."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return safe if len(safe) <= limit else f"{safe[:limit]}… ({len(text)} characters)"
