"""Recovery: a journal's own slices through the core again, and what the crash left undone.

Law: the state is what the recorded inputs make of it; nothing is guessed. The last slice may have
its inputs without its outputs, or intents without an outcome: those are handed back to be
finished, with the same order ids as the first time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from trader.core.schema import Reason
from trader.journal import readback
from trader.journal.records import Record
from trader.journal.rows import ACTION_ROW

TRADED = "slice"


@dataclass
class RecordedSlice:
    """One slice as recorded; `has_outputs` unless the crash came before they were written."""

    bars: np.ndarray
    actions: np.ndarray
    reasons: np.ndarray
    has_outputs: bool = False


@dataclass
class Recovered:
    """All that a journal says of a run so far."""

    slices: list[RecordedSlice] = field(default_factory=list)
    settled: dict[str, Reason] = field(default_factory=dict)  # order id → NONE sent, or why not
    acked: set[str] = field(default_factory=set)
    refused_bars: list[np.ndarray] = field(default_factory=list)
    was_killed: bool = False
    has_ended: bool = False


def recovered(records: Iterator[Record]) -> Recovered:
    """Read a journal from its RUN_START on."""
    found = Recovered()
    bars = np.empty(0)
    for record in records:
        kind = record.type
        if kind == "BAR":
            rows = readback.bars_of(record)
            if record.data["use"] == TRADED:
                bars = rows
            else:
                found.refused_bars.append(rows)
        elif kind == "ACTION":
            answer = readback.actions_of(record)
            assert answer.dtype == ACTION_ROW
            found.slices.append(
                RecordedSlice(bars, answer["action"].copy(), answer["reason"].copy())
            )
        elif kind == "DECISION":
            found.slices[-1].has_outputs = True
        elif kind == "ORDER_SENT":
            found.settled[record.data["client_order_id"]] = Reason.NONE
        elif kind == "ORDER_ACK":
            found.acked.add(record.data["client_order_id"])
        elif kind == "ORDER_ABORTED":
            found.settled[record.data["client_order_id"]] = Reason[record.data["reason"]]
        elif kind == "KILL":
            found.was_killed = True
        elif kind == "RUN_END":
            found.has_ended = True
    return found
