"""What is remembered of each kill: its record, its re-arm, and the line in the audit file.

Law: standard library only. A kill is pending until a re-arm of that very id is on disk; a record
that cannot be read is pending too. Where the state folder is full, the record goes to the spool of
the first place that takes it, and from there into `audit.jsonl` at the next start.

    kills/<kill_id>.json   rearms/<kill_id>.json   audit.jsonl   audit-spool/<kill_id>.json
"""

import errno
import fcntl
import json
import os
import time
from typing import Any

from trader.safety import latch, registry, statedir
from trader.safety.flocks import locked

AUDIT = "audit.jsonl"
EVERYTHING = "everything"  # scope of a kill without --run
UNRECORDED = "UNRECORDED"  # id of a stop that nobody recorded: `touch HALT`, a damaged page
UNREADABLE = "UNREADABLE"  # id of whatever is in a folder of records that cannot be listed
LOCK_WAIT_S = 1.0  # for another process that writes to the audit file
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def new_kill_id(wall_ns: int) -> str:
    """`20261123T143000Z-1f00c3`: sorts by time, fits the page, needs no quoting in a shell."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall_ns // 1_000_000_000))
    return f"{moment}-{os.urandom(3).hex()}"


def storable(text: str) -> str:
    """A text of the command line as JSON takes it: bytes that are no UTF-8 read `\\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def user_name(uid: int) -> str:
    """Login name of a user, or the number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def timestamp(wall_ns: int) -> str:
    """UTC time as people read it: `2026-11-23T14:30:00.123Z`; the number where it is no time."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    try:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return str(wall_ns)
    return f"{moment}.{rest // 1_000_000:03d}Z"


def store(folder: str, kind: str, record: dict[str, Any]) -> str:
    """Writes `<kind>/<kill_id>.json` durably. "" or why that failed."""
    try:
        statedir.make_folder(os.path.join(folder, kind))
        path = os.path.join(folder, kind, f"{record['kill_id']}.json")
        registry.write_json(path, record, durable=True)
        latch.sync_path(folder)
    except OSError as error:
        return latch.reason_of(error)
    return ""


def audit(home: str, entry: dict[str, Any]) -> str:
    """Appends one line to `audit.jsonl` durably. "" or why that failed.

    The file is closed to writers for the moment of the append; a holder that hangs is an error
    after a second, never a wait without end.
    """
    line = json.dumps(entry, sort_keys=True).encode("ascii") + b"\n"
    try:
        fd = os.open(os.path.join(home, AUDIT), _APPEND, latch.FILE_MODE)
    except OSError as error:
        return latch.reason_of(error)
    try:
        if not locked(fd, fcntl.LOCK_EX, LOCK_WAIT_S):
            raise BlockingIOError(errno.EAGAIN, f"locked by another process for {LOCK_WAIT_S} s")
        statedir.give_to_owner(os.path.join(home, AUDIT))
        found = os.fstat(fd)
        end = found.st_size
        if os.getuid() in (found.st_uid, 0):
            os.fchmod(fd, latch.FILE_MODE)  # whatever the umask: who may stop may say so
        if os.write(fd, line) != len(line):
            os.ftruncate(fd, end)  # half a line is no record
            return "ENOSPC the line did not fit"
        os.fsync(fd)
    except OSError as error:
        return latch.reason_of(error)
    finally:
        os.close(fd)
    return ""


def take_in_spool(home: str) -> list[dict[str, Any]]:
    """Moves spooled records into the audit file; those moved, oldest first.

    A record whose line is there already (the sink that failed was another one) is moved without
    a second line. One for which there is still no room stays where it is.
    """
    taken = []
    known = audited_ids(home)
    for folder in (home, *statedir.trusted_fallbacks(home)):
        for name, record in _documents(folder, statedir.SPOOL):
            if record["kill_id"] == UNREADABLE:
                continue
            entry = {**record, "event": "KILL", "spooled": True}
            missing = record["kill_id"] not in known
            if (missing and audit(home, entry)) or store(home, statedir.KILLS, record):
                continue
            known.add(record["kill_id"])
            taken.append(record)
            os.unlink(os.path.join(folder, statedir.SPOOL, name))
    return taken


def audited_ids(home: str) -> set[str]:
    """The kills that already have their line in the audit file."""
    ids: set[str] = set()
    try:
        with open(os.path.join(home, AUDIT), "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and entry.get("event") == "KILL":
                    ids.add(str(entry.get("kill_id")))
    except OSError:
        pass
    return ids


def _documents(folder: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """File name and content of each record of a kind; one that cannot be read says so itself."""
    place = os.path.join(folder, kind)
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        if not os.path.lexists(place):
            return []
        # There may be a kill in it.
        return [("", _unreadable(f"{place} cannot be listed: {latch.reason_of(error)}"))]
    found = []
    for name in names:
        stem, extension = os.path.splitext(name)
        if extension != ".json":
            continue
        record = registry.read_json(os.path.join(place, name)) or {}
        if not all(isinstance(record.get(key), str) for key in ("reason", "code", "scope")):
            record = _unreadable("the record of this kill cannot be read")
        found.append((name, {**record, "kill_id": stem}))
    return found


def _unreadable(why: str) -> dict[str, Any]:
    """What stands for a record that is not to be had: it stops everything."""
    told = {"kill_id": UNREADABLE, "reason": why, "code": "SYSTEM_ERROR", "scope": EVERYTHING}
    return {**told, "ts_ns": None, "at": None, "uid": None, "user": None, "pid": None}


def all_kills(home: str) -> list[dict[str, Any]]:
    """Every kill on record, oldest first, each with its re-arm under `rearm` or None."""
    kills: dict[str, dict[str, Any]] = {}
    for folder in (home, *statedir.trusted_fallbacks(home)):
        for kind in (statedir.KILLS, statedir.SPOOL):
            for _, record in _documents(folder, kind):
                kills.setdefault(record["kill_id"], record)
    for kill_id, record in kills.items():
        record["rearm"] = rearm_of(home, kill_id)
    return sorted(kills.values(), key=age)


def age(kill: dict[str, Any]) -> tuple[int, str]:
    """Sorts kills oldest first; one without a time comes first of all."""
    ts_ns = kill.get("ts_ns")
    return ts_ns if isinstance(ts_ns, int) else 0, str(kill["kill_id"])


def rearm_of(home: str, kill_id: str) -> dict[str, Any] | None:
    """The record of the re-arm of a kill, or None."""
    return registry.read_json(os.path.join(home, statedir.REARMS, f"{kill_id}.json"))


def is_rearmed_since(home: str, scopes: tuple[str, ...], since_ns: int, begins: str = "") -> bool:
    """Whether anything in one of the scopes, with an id that begins so, was re-armed since then."""
    place = os.path.join(home, statedir.REARMS)
    try:
        names = [name for name in os.listdir(place) if name.startswith(begins)]
    except OSError:
        return False
    found = [registry.read_json(os.path.join(place, name)) or {} for name in names]
    times = [entry.get("ts_ns") for entry in found if entry.get("scope") in scopes]
    return any(isinstance(ts_ns, int) and ts_ns > since_ns for ts_ns in times)


def from_stamp(stamp: latch.Stamp, scope: str) -> dict[str, Any]:
    """A kill as far as the page alone tells it."""
    return {
        "kill_id": stamp.kill_id,
        "code": latch.CODE_NAMES.get(stamp.code, str(stamp.code)),
        "reason": stamp.text,
        "scope": scope,
        "ts_ns": stamp.wall_ns,
        "at": timestamp(stamp.wall_ns),
        "uid": stamp.uid,
        "user": user_name(stamp.uid),
        "pid": stamp.pid,
        "flatten": stamp.flatten,
        "rearm": None,
    }
