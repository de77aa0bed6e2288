"""What a journal says a run was made of: its rules, its slices, and how to say where it differs.

Law: rules stand in RUN_START (and every RUN_RESUME) under `rules`, written by `rules_details`, so
that a journal can be replayed without any other file. Comparison is bit for bit; one field is
left out: `session_cursor`, which is no state but a bookmark in the session table. What an older
version did not record is not compared; what its rules did not know is 0 in them, which is off.
Only numbers of core 1 may lie beside today's by noise of floats, and the first is told.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trader.core.book import NO_ADJUSTMENTS, NO_ENTRY, NO_EXITS, Rules
from trader.core.schema import ADJUSTMENT, BROKER, ENTRY, EXITS, INSTRUMENT, LIMITS, SESSION, SIZING
from trader.journal.records import Record
from trader.journal.rows import Layouts, from_rows, to_rows
from trader.rounding import money_noise

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
NOT_YET = {"entry": NO_ENTRY, "exits": NO_EXITS, "adjustments": NO_ADJUSTMENTS}
ADDED = {  # fields that the first version of the core did not know; at 0 it does as that did
    "sizing": {"floor"},
    "broker": {"intrabar", "limit_fill", "detail_period_ns", "converts", "initial_margin"}
    | {"maintenance_margin", "borrow_rate", "interest_rate", "dividend_tax"},
    "instruments": {"allow_negative_prices", "multiplier", "min_notional", "rate", "future"},
}
NOISE = 1e-12  # of a number
SUMS = {"cash", "equity", "session_open_equity", "peak_equity", "gross_exposure"}
MONEY = SUMS | {"realized_pnl", "commission", "slippage", "worst_daily_loss", "observed", "value"}
NO_STATE = frozenset({"session_cursor"})


def rules_details(rules: Rules) -> dict[str, Any]:
    """`{"rules": …}` for the details of RUN_START and RUN_RESUME."""
    fields = {
        name: {"fields": list(dtype.names or ()), "rows": to_rows(getattr(rules, name))}
        for name, dtype in RULES.items()
    }
    return {"rules": fields}


def recorded_rules(record: Record) -> Rules | None:
    """The rules in a RUN_START or RUN_RESUME; None where it holds none (that are known)."""
    recorded = record.data.get("rules")
    if not isinstance(recorded, Mapping):
        return None
    found = {name: _recorded_part(name, recorded.get(name, {})) for name in RULES}
    parts = {name: part for name, part in found.items() if part is not None}
    return Rules(**parts) if len(parts) == len(RULES) else None


def _recorded_part(name: str, part: Mapping[str, Any]) -> np.ndarray | None:
    if not part:
        return NOT_YET.get(name)
    dtype, fields = RULES[name], part["fields"]
    names = list(dtype.names or ())
    if fields == names:
        return from_rows(part["rows"], dtype)
    if not set(fields) <= set(names) or not set(names) - set(fields) <= ADDED.get(name, set()):
        return None
    known = from_rows(part["rows"], np.dtype([(field, dtype[field]) for field in fields]))
    rows = np.zeros(len(known), dtype)
    for field in fields:
        rows[field] = known[field]
    return rows


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


class OldRounding:
    """Noise of floats between core 1 and today: its fills stood beside their ticks by a last place
    (118.19000000000001), and all money with them (decision 0018)."""

    def __init__(self, cash: float) -> None:
        """`cash` is what the run began with."""
        self.first: Divergence | None = None
        self._money = float(money_noise(cash))

    @classmethod
    def of(cls, start: Record, layouts: Layouts) -> "OldRounding | None":
        """That of the journal that begins with `start`; None where it is not of core 1."""
        return None if "type" in (layouts["ORDER"].names or ()) else cls(start.data["cash"])

    def covers(self, field: str, recorded: Any, recomputed: Any) -> Any:
        """Where two values, or arrays of them, differ by no more than noise: of the value, or of
        the money that it is a difference of."""
        least = self._money if field.rsplit(maxsplit=1)[-1] in MONEY else 0.0
        return np.abs(recorded - recomputed) <= NOISE * np.abs(recomputed) + least

    def note(self, found: Divergence) -> None:
        """A place where they did."""
        self.first = self.first or found


@dataclass(frozen=True)
class Where:
    """The record under comparison, names for what its rows mean, and what noise may lie in them."""

    record: Record
    symbols: tuple[str, ...]
    rounding: OldRounding | None = None

    def differs(self, field: str, recorded: Any, recomputed: Any, symbol: str | None = None) -> Any:
        """Raise the divergence."""
        raise DivergenceError(self._divergence(field, recorded, recomputed, symbol))

    def _divergence(
        self, field: str, recorded: Any, recomputed: Any, symbol: str | None
    ) -> Divergence:
        record = self.record
        shown = shortened(recorded), shortened(recomputed)
        return Divergence(record.seq, record.type, field, *shown, record.event_ns, symbol)

    def require(
        self, field: str, recorded: Any, recomputed: Any, symbol: str | None = None
    ) -> None:
        """Diverged unless two plain values are equal (floats to the bit)."""
        if isinstance(recorded, float) and isinstance(recomputed, float):
            equal = np.float64(recorded).tobytes() == np.float64(recomputed).tobytes()
            if not equal and self.rounding and self.rounding.covers(field, recorded, recomputed):
                self.rounding.note(self._divergence(field, recorded, recomputed, symbol))
                return
        else:
            equal = recorded == recomputed
        if not equal:
            self.differs(field, recorded, recomputed, symbol)

    def require_rows(self, name: str, recorded: np.ndarray, recomputed: np.ndarray) -> None:
        """Diverged at the first row and field where two record arrays are not the same bits."""
        common = min(len(recorded), len(recomputed))
        found = self._difference(name, recorded[:common], recomputed[:common])
        if found is not None and self.rounding is not None:
            recorded, first = self._without_noise(recorded, recomputed[:common]), found
            found = self._difference(name, recorded[:common], recomputed[:common])
            if found != first:
                self.rounding.note(first)
        if found is not None:
            raise DivergenceError(found)
        if len(recorded) != len(recomputed):
            self.differs(f"number of {name} rows", len(recorded), len(recomputed))

    def _difference(
        self, name: str, recorded: np.ndarray, recomputed: np.ndarray
    ) -> Divergence | None:
        found = first_difference(recorded, recomputed)
        if found is None:
            return None
        row, field = found
        label = f"{name} row {row}, {field}" if len(recorded) > 1 else f"{name} {field}"
        values = recorded[row][field].item(), recomputed[row][field].item()
        return self._divergence(label, *values, self._symbol(recomputed, row))

    def _without_noise(self, recorded: np.ndarray, recomputed: np.ndarray) -> np.ndarray:
        """`recorded` with today's number where the two differ by no more than noise."""
        assert self.rounding is not None
        cleaned = recorded.copy()
        for field in recorded.dtype.names or ():
            if recorded.dtype[field].kind == "f":
                theirs, ours = cleaned[field][: len(recomputed)], recomputed[field]
                is_noise = self.rounding.covers(field, theirs, ours)
                theirs[is_noise] = ours[is_noise]
        return cleaned

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
