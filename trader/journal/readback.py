"""What the builders in `entries` wrote, back as arrays and bytes. For recovery, replay, parity.

Law: bit for bit what was recorded, or JournalError; nothing is repaired or guessed. Arrays of an
older journal's outputs have the fields that it recorded (`rows.recorded_layouts`), and no others.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Collection
from itertools import islice
from pathlib import Path

import numpy as np

from trader.core import schema
from trader.journal.entries import SliceOutcome
from trader.journal.records import JournalError, Record, RecordType
from trader.journal.rows import ACTION_ROW, LAYOUTS, Layouts, from_rows
from trader.journal.store import read_payloads

AT_ONCE = 256  # payloads parsed at once


def bars_of(record: Record) -> np.ndarray:
    """BAR array of a BAR record."""
    return from_rows(record.data["rows"], schema.BAR)


def finer_of(record: Record) -> list[np.ndarray]:
    """The finer bars of each bar of a BAR record; none of a journal that has no detail."""
    count = len(record.data["rows"])
    parts = [from_rows(rows, schema.BAR) for rows in record.data.get("finer", [[]] * count)]
    if len(parts) != count:
        raise JournalError(f"record {record.seq} has finer bars of {len(parts)} bars, not {count}")
    return parts


def actions_of(record: Record) -> np.ndarray:
    """Array of (symbol, action, reason) of an ACTION record."""
    return from_rows(record.data["rows"], ACTION_ROW)


def requests_of(record: Record) -> np.ndarray:
    """REQUEST array that runs with `actions_of`; empty where every action came alone."""
    return from_rows(record.data.get("requests", []), schema.REQUEST)


def outcome_of(record: Record, layouts: Layouts = LAYOUTS) -> SliceOutcome:
    """What `entries.decisions` was given, of a DECISION record."""
    data = record.data
    return SliceOutcome(
        first=data["first"],
        decisions=from_rows(data["rows"], schema.DECISION),
        throttles=from_rows(data["throttles"], schema.THROTTLE),
        events=from_rows(data["events"], schema.EVENT),
        account=from_rows([data["account"]], layouts["ACCOUNT"]),
    )


def order_of(record: Record, layouts: Layouts = LAYOUTS) -> np.ndarray:
    """One-element ORDER array of an ORDER_INTENT that a decision led to."""
    return from_rows([record.data["order"]], layouts["ORDER"])


def cashflows_of(record: Record) -> np.ndarray:
    """CASHFLOW rows of a CASHFLOW record."""
    return from_rows(record.data["rows"], schema.CASHFLOW)


def fill_of(record: Record, layouts: Layouts = LAYOUTS) -> np.ndarray:
    """One-element FILL array of a FILL record."""
    return from_rows([record.data["fill"]], layouts["FILL"])


def snapshot_state(record: Record) -> bytes:
    """The state bytes of a SNAPSHOT record; JournalError if they are not what was hashed."""
    data = record.data
    try:
        state = zlib.decompress(base64.b64decode(data["state"], validate=True))
    except (ValueError, zlib.error) as error:
        raise JournalError(f"snapshot {record.seq} cannot be read: {error}") from error
    if hashlib.sha256(state).hexdigest() != data["state_sha"]:
        raise JournalError(f"snapshot {record.seq} does not match its own hash")
    return state


def bars_before(path: Path, seq: int, uses: Collection[str] = ("slice",)) -> np.ndarray:
    """Every BAR traded on before a record (or recorded as one of `uses`), in order, once each: a
    bar whose slice was recorded again after a crash is the one of the last time."""
    parts: list[np.ndarray] = []
    stream = read_payloads(path, RecordType.BAR, seq)
    while some := list(islice(stream, AT_ONCE)):
        said = json.loads(f"[{','.join(some)}]")
        rows = [row for one in said if one["use"] in uses for row in one["rows"]]
        parts.append(from_rows(rows, schema.BAR))
    bars = np.concatenate([np.empty(0, schema.BAR), *parts])
    places = np.lexsort((bars["symbol"], bars["ts_ns"]))  # stable: the last one of a bar is last
    bars = bars[places]
    is_last = np.ones(len(bars), bool)
    is_last[:-1] = (np.diff(bars["ts_ns"]) != 0) | (np.diff(bars["symbol"]) != 0)
    return bars if is_last.all() else bars[is_last]
