"""What a record says twice must be the same both times.

Law: an order and a fill stand in their record by name, for people and for `verify`, and as the
core's own row, for `trader replay`; whoever changes one of the two is found by the other. A
snapshot's state matches its hash.
"""

import base64
import hashlib
import zlib
from typing import Any

from trader.journal.records import NUMBER

Data = dict[str, Any]
PIECE = 1 << 20  # bytes of a state in memory at once: what is read may be made to be huge
SAME = {  # record type → (field with the core's row, its layout, fields that stand beside it)
    "ORDER_INTENT": ("order", "ORDER", ("qty", "decision", "order_id")),
    "FILL": ("fill", "FILL", ("qty", "price", "commission")),
}


class Copies:
    """`check` every record, from RUN_START on."""

    def __init__(self) -> None:
        self._symbols: list[str] = []
        self._columns: dict[str, dict[str, int]] = {}  # layout → place of each field

    def check(self, event_ns: int | None, kind: str, data: Data) -> str | None:
        """Where this record contradicts itself; None if it does not."""
        if kind in SAME:
            return self._row_fault(event_ns, kind, data)
        if kind == "SNAPSHOT":
            return state_fault(data["state"], data["state_sha"])
        if kind == "RUN_START":
            self._symbols = data["symbols"]
            self._columns = {
                layout: {field[0]: at for at, field in enumerate(data["layouts"][layout])}
                for _, layout, _ in SAME.values()
            }
        return None

    def _row_fault(self, event_ns: int | None, kind: str, data: Data) -> str | None:
        place, layout, names = SAME[kind]
        if place not in data:
            needed = data.get("purpose") == "decision"  # what is not the core's has no row of it
            return f"{kind} has no field {place!r}" if needed else None
        row, column = data[place], self._columns[layout]
        if len(row) != len(column):
            return f"{kind} has {len(row)} fields in its {place} row, not {len(column)}"
        for name in names:
            again = row[column[name]]
            if not (again == data[name] and isinstance(again, NUMBER)):
                return f"{kind} says {name} {data[name]!r}, and {again!r} in its {place} row"
        again, symbol = row[column["ts_ns"]], row[column["symbol"]]
        if again != event_ns:
            return f"{kind} is of time {event_ns}, and {again!r} in its {place} row"
        if not (0 <= symbol < len(self._symbols) and self._symbols[symbol] == data["symbol"]):
            return f"{kind} is in {data['symbol']}, and in symbol {symbol!r} in its {place} row"
        return None


def state_fault(state: str, sha: str) -> str | None:
    """Whether a snapshot's state can be unpacked and is the one that was hashed."""
    digest, unpacker = hashlib.sha256(), zlib.decompressobj()
    try:
        packed = base64.b64decode(state, validate=True)
        while not unpacker.eof:
            piece = unpacker.decompress(packed, PIECE)
            packed = unpacker.unconsumed_tail
            if not (piece or packed):
                return "the state of the snapshot is cut short"
            digest.update(piece)
    except (ValueError, zlib.error) as error:
        return f"the state of the snapshot cannot be unpacked: {error}"
    if unpacker.unused_data or digest.hexdigest() != sha:
        return "the state of the snapshot does not match its hash"
    return None
