"""Kills that a journal holds in force and the state folder has lost."""

from collections.abc import Mapping
from typing import Any

from trader.safety import latch, records, statedir
from trader.safety.lease import Lease


def put_back(lease: Lease, kills: Mapping[str, Mapping[str, Any]]) -> None:
    """Kills that the journal holds in force, and the state folder lost: in force there again.

    `kills`: id → the KILL record's payload. They bind what they bound and are re-armed like any
    other. What is on record there is never written again.
    """
    known = {str(kill["kill_id"]) for kill in records.all_kills(lease.home)}
    for kill_id, data in kills.items():
        if kill_id in known:
            continue
        if kill_id.startswith(records.UNRECORDED):
            place = lease.home if kill_id == records.UNRECORDED else lease.folder
            latch.raise_own_halt(place, "the journal holds a stop that this state folder had lost")
            continue
        is_of_all = data.get("scope") == records.EVERYTHING
        record = {
            "kill_id": kill_id,
            "code": data.get("code_name", data["code"]),
            "scope": records.EVERYTHING if is_of_all else lease.run_id,
            "ts_ns": None,
            "reason": f"{data['reason']} (in the journal of {lease.run_id}; the state folder had "
            "lost it)",
        }
        records.store(lease.home, statedir.KILLS, record)
