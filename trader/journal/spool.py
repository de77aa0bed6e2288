"""Kill and re-arm records that could not be appended when they happened.

Law: `trader kill` and `trader rearm` do not depend on the journal: what they did is a JSON file,
`<kill_id>.json`, and the next start of a run takes in what concerns it. Files are never deleted,
because several runs may have to read them; what the journal holds already is left out, so taking
them in twice changes nothing. A file that cannot be read becomes an ALERT and is set aside.

A file holds one object: `kill_id`, `code` (number or name), `reason`; `type` (KILL, the default,
or REARM); `wall_ns`, when it happened; `scope` (`all`, the default, or a run id) or `runs` (run
ids, or objects with a `run_id`); `mono_ns`, `flatten` and whatever else should be kept.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trader.core.schema import KillSwitchReason
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.records import Entry, RecordType

ASIDE = ".unreadable"
QUOTED = 200  # characters of an unreadable file that the alert quotes


def ingest_spool(journal: Journal, folder: Path) -> list[Entry]:
    """Append what `folder` holds for this run and the journal does not, oldest first; returns it.

    Call it after RUN_RESUME. A folder that does not exist holds nothing.
    """
    started_ns = next(journal.read(1)).wall_ns
    known = {
        (record.type, record.data["kill_id"])
        for record in journal.read(types=(RecordType.KILL, RecordType.REARM))
    }
    found: list[tuple[int, str, Entry]] = []
    broken: list[tuple[Path, Entry]] = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            event = _parsed(path)
        except (OSError, ValueError) as error:
            broken.append((path, _unreadable(path, error)))
            continue
        if _concerns(event, journal.run_id, started_ns):
            found.append((event["wall_ns"], path.name, _entry(event)))
    taken = _news([entry for _, _, entry in sorted(found, key=lambda item: item[:2])], known)
    taken += [entry for _, entry in broken]
    journal.append(taken)
    for path, _ in broken:
        path.rename(path.with_name(path.name + ASIDE))
    return taken


def _news(entries: list[Entry], known: set[tuple[str, str]]) -> list[Entry]:
    """What the journal does not hold; a REARM only where its KILL is held or comes with it."""
    news = []
    for entry in entries:
        key = (str(entry.type), entry.payload["kill_id"])
        orphan = key[0] == RecordType.REARM and (str(RecordType.KILL), key[1]) not in known
        if key not in known and not orphan:
            known.add(key)
            news.append(entry)
    return news


def _parsed(path: Path) -> dict[str, Any]:
    """The event in a file, with defaults filled in; ValueError if it is not one."""
    event = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")
    event.setdefault("kill_id", path.stem)
    event.setdefault("type", str(RecordType.KILL))
    event.setdefault("scope", "all")
    event.setdefault("wall_ns", event.get("ts_wall_ns", 0))
    for name in ("kill_id", "reason"):
        if not isinstance(event.get(name), str):
            raise ValueError(f"{name} is {event.get(name)!r}, expected a text")
    if not isinstance(event["wall_ns"], int):
        raise ValueError(f"wall_ns is {event['wall_ns']!r}, expected nanoseconds")
    if event["type"] == RecordType.KILL:
        event["code"] = _code(event.get("code", event.get("code_name")))
    elif event["type"] != RecordType.REARM:
        raise ValueError(f"type is {event['type']!r}, expected KILL or REARM")
    return event


def _code(value: Any) -> KillSwitchReason:
    if isinstance(value, str) and value in KillSwitchReason.__members__:
        return KillSwitchReason[value]
    return KillSwitchReason(value)


def _concerns(event: Mapping[str, Any], run_id: str, started_ns: int) -> bool:
    """Whether an event is about this run: it names it, or is for all since the run began."""
    runs = event.get("runs")
    if isinstance(runs, list):
        names = {run.get("run_id") if isinstance(run, dict) else run for run in runs}
        if run_id in names:
            return True
    if event["scope"] != "all":
        return bool(event["scope"] == run_id)
    return bool(event["wall_ns"] >= started_ns)


def _entry(event: dict[str, Any]) -> Entry:
    details = {name: value for name, value in event.items() if name != "type"}
    details["spooled"] = True
    if event["type"] == RecordType.REARM:
        return build.rearm(event["kill_id"], event["reason"], details)
    return build.kill(event["kill_id"], event["code"], event["reason"], details)


def _unreadable(path: Path, error: Exception) -> Entry:
    try:
        content = path.read_bytes()[:QUOTED].decode("utf-8", "backslashreplace")
    except OSError:
        content = ""
    text = f"{path.name} in the audit spool cannot be read: {error}"
    return build.alert("SPOOL_UNREADABLE", text, {"file": str(path), "content": content})
