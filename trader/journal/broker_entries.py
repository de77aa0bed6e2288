"""Builders of what a broker outside said. See `entries`.

Law: a record with `source` broker is an input of the run, as a bar is: the fold takes it in, and
compares what the core made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trader.journal.records import Entry, RecordType

BROKER = "broker"


def from_broker(entry: Entry) -> Entry:
    """A FILL or CANCEL_ACK that a broker outside told, and no bar."""
    return entry._replace(payload={**entry.payload, "source": BROKER})


def is_from_broker(data: Mapping[str, Any]) -> bool:
    """Whether a broker outside told what is in a payload."""
    return data.get("source") == BROKER


@dataclass(frozen=True)
class AccountReport:
    """What a broker outside showed, once all that it told was taken in."""

    broker_seq: int  # its newest event
    positions: Mapping[str, float]
    cash: float
    missing: Sequence[str]  # orders that may have left, and that it does not show


def reconciled(shown: AccountReport) -> Entry:
    """RECONCILED: positions and cash of the broker are those of the run."""
    held = {symbol: float(qty) for symbol, qty in shown.positions.items() if qty != 0.0}
    payload = {
        "broker_seq": int(shown.broker_seq),
        "positions": held,
        "cash": float(shown.cash),
        "missing": list(shown.missing),
    }
    return Entry(RecordType.RECONCILED, payload)
