"""What a journal says a run was made of: its rules, its slices, and how to say where it differs.

Law: rules stand in RUN_START (and every RUN_RESUME) under `rules`, written by `rules_details`, so
that a journal can be replayed without any other file. Comparison is bit for bit; one field is
left out: `session_cursor`, which is no state but a bookmark in the session table.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trader.core.book import Rules
from trader.core.schema import ADJUSTMENT, BROKER, ENTRY, EXITS, INSTRUMENT, LIMITS, SESSION, SIZING
from trader.journal.records import Record
from trader.journal.rows import from_rows, to_rows

RULES: dict[str, np.dtype] = {
    "limits": LIMITS,
    "sizing": SIZING,
    "broker": BROKER,
    "instruments": INSTRUMENT,
    "sessions": SESSION,
    "entry": ENTRY,
    "exits": EXITS,
    "adjustments": ADJUSTMENT,
}
NO_STATE = frozenset({"session_cursor"})


def rules_details(rules: Rules) -> dict[str, Any]:
    """`{"rules": …}` for the details of RUN_START and RUN_RESUME."""
    fields = {
        name: {"fields": list(dtype.names or ()), "rows": to_rows(getattr(rules, name))}
        for name, dtype in RULES.items()
    }
    return {"rules": fields}


def recorded_rules(record: Record) -> Rules | None:
    """The rules in a RUN_START or RUN_RESUME; None where it holds none (of this layout)."""
    recorded = record.data.get("rules")
    if not isinstance(recorded, Mapping):
        return None
    parts = {}
    for name, dtype in RULES.items():
        part = recorded.get(name, {})
        if part.get("fields") != list(dtype.names or ()):
            return None
        parts[name] = from_rows(part["rows"], dtype)
    return Rules(**parts)


@dataclass(frozen=True)
class Divergence:
    """The first place where what was recorded and what is recomputed differ."""

    seq: int  # of the record
    kind: str  # its type
    field: str
    recorded: str
    recomputed: str
    event_ns: int | None = None
    symbol: str | None = None

    def fields(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        about = "" if self.symbol is None else f" of {self.symbol}"
        return (
            f"record {self.seq} ({self.kind}), {self.field}{about}: "
            f"recorded {self.recorded}, recomputed {self.recomputed}"
        )


class DivergenceError(Exception):
    """Carries the first divergence to whoever reports it."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


@dataclass(frozen=True)
class Where:
    """The record under comparison, and names for what its rows mean."""

    record: Record
    symbols: tuple[str, ...]

    def differs(self, field: str, recorded: Any, recomputed: Any, symbol: str | None = None) -> Any:
        """Raise the divergence."""
        record = self.record
        shown = shortened(recorded), shortened(recomputed)
        raise DivergenceError(
            Divergence(record.seq, record.type, field, *shown, record.event_ns, symbol)
        )

    def require(
        self, field: str, recorded: Any, recomputed: Any, symbol: str | None = None
    ) -> None:
        """Diverged unless two plain values are equal (floats to the bit)."""
        if isinstance(recorded, float) and isinstance(recomputed, float):
            equal = np.float64(recorded).tobytes() == np.float64(recomputed).tobytes()
        else:
            equal = recorded == recomputed
        if not equal:
            self.differs(field, recorded, recomputed, symbol)

    def require_rows(self, name: str, recorded: np.ndarray, recomputed: np.ndarray) -> None:
        """Diverged at the first row and field where two record arrays are not the same bits."""
        common = min(len(recorded), len(recomputed))
        found = first_difference(recorded[:common], recomputed[:common])
        if found is not None:
            row, field = found
            label = f"{name} row {row}, {field}" if len(recorded) > 1 else f"{name} {field}"
            values = recorded[row][field].item(), recomputed[row][field].item()
            self.differs(label, *values, self._symbol(recomputed, row))
        if len(recorded) != len(recomputed):
            self.differs(f"number of {name} rows", len(recorded), len(recomputed))

    def _symbol(self, rows: np.ndarray, row: int) -> str | None:
        if "symbol" not in (rows.dtype.names or ()):
            return None
        symbol = int(rows[row]["symbol"])
        return self.symbols[symbol] if 0 <= symbol < len(self.symbols) else None


def first_difference(one: np.ndarray, other: np.ndarray) -> tuple[int, str] | None:
    """(row, field) of the first bits that differ in two record arrays of one shape."""
    if one.tobytes() == other.tobytes():
        return None
    first: tuple[int, str] | None = None
    for field in one.dtype.names or ():
        if field in NO_STATE:
            continue
        size = one.dtype[field].itemsize
        ours = np.ascontiguousarray(one[field]).view(f"V{size}")
        theirs = np.ascontiguousarray(other[field]).view(f"V{size}")
        rows = np.flatnonzero(ours != theirs)
        if len(rows) and (first is None or rows[0] < first[0]):
            first = int(rows[0]), field
    return first


def shortened(value: Any) -> str:
    """A value as a message shows it: floats with every digit."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
