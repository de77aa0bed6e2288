"""Kills and re-arms that happened outside the journal, taken in when the run starts again.

Law: `trader kill` and `trader rearm` do not depend on the journal: what they did is a JSON file
under TRADER_HOME (`kills/`, `rearms/`, `audit-spool/`), and the next start of a run takes in what
concerns it. The files are read and never touched: they belong to the latch, and other runs read
them too. What the journal holds already is left out, so taking them in twice changes nothing.

A file holds one object: `kill_id` (or the file's name), `code` (number or name), `reason`; `type`
or `event`, KILL or REARM (without it, REARM in a folder named `rearms` and KILL elsewhere);
`ts_ns` or `wall_ns`, when it happened; `ts_mono_ns` or `mono_ns`; `scope`, `everything` or a run
id; `runs`, the run ids (or objects with a `run_id`) it reached; and whatever else should be kept.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trader.core.schema import KillSwitchReason
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.records import Entry, RecordType

EVERYTHING = ("everything", "all")
UNREADABLE = "SPOOL_UNREADABLE"  # kind of the ALERT for a file that cannot be read
QUOTED = 200  # characters of such a file that the alert quotes
KILL, REARM = str(RecordType.KILL), str(RecordType.REARM)

Key = tuple[str, str]  # what makes two events the same: type and kill id, or a file's content


def ingest_spool(journal: Journal, *folders: Path) -> list[Entry]:
    """Append what `folders` hold for this run and the journal does not, oldest first; returns it.

    Call it after RUN_RESUME (or RUN_START). A folder that does not exist holds nothing.
    """
    started_ns = next(journal.read(1)).wall_ns
    events: list[tuple[int, str, Entry]] = []
    alerts: list[Entry] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        content = b""
        try:
            content = path.read_bytes()
            event = _event(content, path)
        except (OSError, ValueError) as error:
            alerts.append(_unreadable(path, content, error))
            continue
        if _concerns(event, journal.run_id, started_ns):
            events.append((event["wall_ns"], event["type"], _entry(event)))
    began = {entry.payload["kill_id"]: at for at, kind, entry in events if kind == KILL}

    def turn(event: tuple[int, str, Entry]) -> tuple[int, str]:
        at, kind, entry = event  # a kill comes before its own re-arm, whatever the clocks say
        return max(at, began.get(entry.payload["kill_id"], at)), kind

    in_order = [entry for _, _, entry in sorted(events, key=turn)]
    taken = _news(in_order + alerts, *_held(journal))
    journal.append(taken)
    return taken


def _held(journal: Journal) -> tuple[set[Key], dict[str, int]]:
    """What the journal holds already, and since when (wall ns) the kills in force are."""
    types = (RecordType.KILL, RecordType.REARM, RecordType.ALERT)
    held: set[Key] = set()
    in_force: dict[str, int] = {}
    for record in journal.read(types=types):
        held.add(_key(record.type, record.data))
        if record.type == KILL:
            in_force.setdefault(record.data["kill_id"], record.wall_ns)
        elif record.type == REARM:
            in_force.pop(record.data["kill_id"], None)
    return held, in_force


def _key(kind: str, payload: Mapping[str, Any]) -> Key:
    if kind == RecordType.ALERT:
        return str(payload["kind"]), str(payload.get("sha"))
    return str(kind), str(payload.get("rearm_id") or payload["kill_id"])


def _news(entries: list[Entry], held: set[Key], in_force: dict[str, int]) -> list[Entry]:
    """What is not held; a REARM only where its KILL is held or comes with it.

    A REARM with a `rearm_id` is of a stop whose id comes up again (`touch HALT`): it ends the one
    that was in force when it was given, and no later one.
    """
    news = []
    for entry in entries:
        key, kill_id = _key(entry.type, entry.payload), str(entry.payload.get("kill_id"))
        orphan = key[0] == REARM and (KILL, kill_id) not in held
        if "rearm_id" in entry.payload:
            since_ns = in_force.get(kill_id)
            orphan = since_ns is None or since_ns > entry.payload["wall_ns"]
        if key not in held and not orphan:
            held.add(key)
            news.append(entry)
            if key[0] == REARM:
                in_force.pop(kill_id, None)
    return news


def _event(content: bytes, path: Path) -> dict[str, Any]:
    """The event in a file, its fields by their names here; ValueError if it is not one."""
    event = json.loads(content.decode("utf-8"))
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")
    event.setdefault("kill_id", path.stem)
    usual = REARM if path.parent.name == "rearms" else KILL
    event["type"] = event.get("type") or event.pop("event", None) or usual
    event.setdefault("scope", EVERYTHING[0])
    event["wall_ns"] = event.pop("ts_ns", None) or event.get("wall_ns", 0)
    if "ts_mono_ns" in event:
        event["mono_ns"] = event.pop("ts_mono_ns")
    for name in ("kill_id", "reason"):
        if not isinstance(event.get(name), str):
            raise ValueError(f"{name} is {event.get(name)!r}, expected a text")
    if type(event["wall_ns"]) is not int:
        raise ValueError(f"its time is {event['wall_ns']!r}, expected nanoseconds")
    answered = event.get("kill")
    meant = answered.get("kill_id") if isinstance(answered, dict) else None
    if event["type"] == REARM and meant not in (None, event["kill_id"]):  # it can come up again
        event["rearm_id"], event["kill_id"] = event["kill_id"], str(meant)
    if event["type"] == KILL:
        event["code"] = _code(event.get("code"))
    elif event["type"] != REARM:
        raise ValueError(f"type is {event['type']!r}, expected {KILL} or {REARM}")
    return event


def _code(value: Any) -> KillSwitchReason:
    if isinstance(value, str) and value in KillSwitchReason.__members__:
        return KillSwitchReason[value]
    return KillSwitchReason(value)


def _concerns(event: Mapping[str, Any], run_id: str, started_ns: int) -> bool:
    """Whether an event is about this run: it names it, or is for all since the run began.

    A re-arm always may be: it counts only where its kill is held, and clocks may have gone back.
    """
    if event["type"] == REARM:
        return True
    runs = event.get("runs")
    if isinstance(runs, list):
        names = [run.get("run_id") if isinstance(run, dict) else run for run in runs]
        if run_id in names:
            return True
    if event["scope"] not in EVERYTHING:
        return bool(event["scope"] == run_id)
    return bool(event["wall_ns"] >= started_ns)


def _entry(event: dict[str, Any]) -> Entry:
    details = {name: value for name, value in event.items() if name != "type"}
    details["spooled"] = True
    if event["type"] == REARM:
        return build.rearm(event["kill_id"], event["reason"], details)
    return build.kill(event["kill_id"], event["code"], event["reason"], details)


def _unreadable(path: Path, content: bytes, error: Exception) -> Entry:
    text = f"{path.parent.name}/{path.name} cannot be read as a kill or a re-arm: {error}"
    sha = hashlib.sha256(path.name.encode() + b"\0" + content).hexdigest()
    quoted = content.decode("utf-8", "backslashreplace")[:QUOTED]
    return build.alert(UNREADABLE, text, {"file": str(path), "content": quoted, "sha": sha})
