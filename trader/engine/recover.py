"""Recovery: what a journal says through the core again, and what the crash left undone.

    read_steps     the journal's inputs, in their order
    Recovery       folds them into a `JournaledSlices`; `finish` does what is left of the last one

Law: the state is what the recorded inputs make of it; nothing is guessed. Bars, actions, what the
gate said, cancellations, kills and re-arms are inputs. The last slice may have its inputs without
its outputs, or intents without an outcome: those are finished with the same order ids as the
first time. An order whose sending is not on record never left: this broker is our own core.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trader.core.book import Inputs
from trader.core.schema import Reason
from trader.engine.crash_points import reached
from trader.engine.journaled import JournaledSlices
from trader.engine.quarantine import Quarantine
from trader.journal import entries as build
from trader.journal import readback
from trader.journal.log import Journal
from trader.journal.records import Entry, Record

TRADED = "slice"
KILLED_BY = "core_reason"  # detail of a KILL: Reason under which the core halted
OVER = ("end", "caught_up")  # reasons of a RUN_END that nothing follows; others are taken up again


@dataclass
class RecordedSlice:
    """One slice as recorded; `has_outputs` unless the crash came before they were written."""

    bars: np.ndarray
    actions: np.ndarray
    reasons: np.ndarray
    requests: np.ndarray
    wall_ns: int
    has_outputs: bool = False

    @property
    def inputs(self) -> Inputs:
        """The same as inputs of the core."""
        return Inputs(self.bars, self.actions, self.reasons, self.requests)


@dataclass(frozen=True)
class CancelEntry:
    """A working order that was ended from outside the core."""

    client_id: str
    reason: Reason


@dataclass(frozen=True)
class KillEntry:
    """A kill."""

    reason: Reason


@dataclass(frozen=True)
class RearmEntry:
    """An operator's re-arm of the last kill in force."""


@dataclass(frozen=True)
class CloseEntry:
    """A position that a kill with `flatten` has closed."""

    symbol: str


Step = RecordedSlice | CancelEntry | KillEntry | RearmEntry | CloseEntry


@dataclass
class RunHistory:
    """All that a journal says of a run so far."""

    steps: list[Step] = field(default_factory=list)
    settled: dict[str, Reason] = field(default_factory=dict)  # order id → NONE sent, or why not
    acked: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)  # CANCEL_ACKs on record by order id
    refused: list[tuple[str, np.ndarray]] = field(default_factory=list)  # use, BAR row
    quarantine: Quarantine = field(default_factory=Quarantine)  # after all that came
    kills: dict[str, dict[str, Any]] = field(default_factory=dict)  # in force: id → its record
    end: str = ""  # reason of a RUN_END that nothing follows
    closing: dict[str, str] = field(default_factory=dict)  # flattening orders under way
    last_seq: int = 0

    @property
    def slices(self) -> list[RecordedSlice]:
        """The slices alone."""
        return [step for step in self.steps if isinstance(step, RecordedSlice)]

    @property
    def is_over(self) -> bool:
        """Whether the feed had ended: there is nothing to go on with."""
        return self.end in OVER


def recovered(records: Iterator[Record]) -> RunHistory:
    """Read a journal from its RUN_START on."""
    found = RunHistory()
    bars: np.ndarray = np.empty(0)
    last: RecordedSlice | None = None
    for record in records:
        kind, found.last_seq = record.type, record.seq
        if kind == "BAR":
            found.end = ""
            rows, use = readback.bars_of(record), record.data["use"]
            if use == TRADED:
                bars = rows
            else:
                found.refused.append((use, rows))
        elif kind == "ACTION":
            answer = readback.actions_of(record)
            asked = answer["action"].copy(), answer["reason"].copy()
            requests = readback.requests_of(record)
            last = RecordedSlice(bars, *asked, requests, record.wall_ns)
            found.steps.append(last)
            found.quarantine.accept()
            found.quarantine.held(bars["symbol"].tolist())
        elif kind == "DECISION":
            assert last is not None, "verified before it is read"
            last.has_outputs = True
        elif kind in _TAKE_IN:
            _TAKE_IN[kind](found, record.data)
    return found


def _kill(found: RunHistory, data: dict[str, Any]) -> None:
    found.kills[data["kill_id"]] = data
    found.steps.append(KillEntry(Reason(int(data.get(KILLED_BY, Reason.KILLED)))))


def _rearm(found: RunHistory, data: dict[str, Any]) -> None:
    found.kills.pop(data["kill_id"], None)
    if not found.kills:
        found.steps.append(RearmEntry())


def _cancel(found: RunHistory, data: dict[str, Any]) -> None:
    found.steps.append(CancelEntry(data["client_order_id"], Reason[data["reason"]]))


def _intent(found: RunHistory, data: dict[str, Any]) -> None:
    if data["purpose"] == "flatten":
        found.closing[data["client_order_id"]] = data["symbol"]


def _sent(found: RunHistory, data: dict[str, Any]) -> None:
    client_id = data["client_order_id"]
    if client_id in found.closing:
        found.steps.append(CloseEntry(found.closing.pop(client_id)))
    found.settled[client_id] = Reason.NONE


def _aborted(found: RunHistory, data: dict[str, Any]) -> None:
    found.closing.pop(data["client_order_id"], None)
    found.settled[data["client_order_id"]] = Reason[data["reason"]]


def _doubted(found: RunHistory, data: dict[str, Any]) -> None:
    found.settled[data["client_order_id"]] = Reason.ORDER_UNKNOWN


def _alert(found: RunHistory, data: dict[str, Any]) -> None:
    if data["kind"] == "BAD_BAR":
        symbol = data.get("symbol")
        if symbol is None:  # a journal of before they named it
            symbol = int(found.refused[-1][1][0]["symbol"]) if found.refused else -1
        found.quarantine.refuse(symbol)


_TAKE_IN: dict[str, Callable[[RunHistory, dict[str, Any]], None]] = {
    "ORDER_INTENT": _intent,
    "ORDER_SENT": _sent,
    "ORDER_ABORTED": _aborted,
    "ORDER_UNKNOWN": _doubted,
    "ORDER_ACK": lambda found, data: found.acked.add(data["client_order_id"]),
    "CANCEL_ACK": lambda found, data: found.ended.update([data["client_order_id"]]),
    "CANCEL_INTENT": _cancel,
    "KILL": _kill,
    "REARM": _rearm,
    "ALERT": _alert,
    "RUN_RESUME": lambda found, data: setattr(found, "end", ""),
    "RUN_END": lambda found, data: setattr(found, "end", data["reason"]),
}


class Recovery:
    """Brings a run to where its journal ends. `fold` first, `finish` once the gate is open."""

    def __init__(self, slices: JournaledSlices, journal: Journal, found: RunHistory) -> None:
        self._slices = slices
        self._journal = journal
        self._found = found
        self._missing: list[Entry] = []  # CANCEL_ACKs that the crash kept from the disk
        self._pending: list[Entry] = []  # intents without an outcome

    def fold(self) -> None:
        """Everything on record, and the outputs of a slice that has only inputs on it.

        Nothing is sent: intents without an outcome wait for `finish`.
        """
        for step in self._found.steps:
            reached("during_recovery")
            if isinstance(step, RecordedSlice):
                self._slice(step)
            elif isinstance(step, KillEntry):
                self._end(self._slices.engine.halt(step.reason))
            elif isinstance(step, RearmEntry):
                self._slices.engine.rearm()
            elif isinstance(step, CloseEntry):
                self._slices.engine.close_out(self._slices.symbols.index(step.symbol))
            else:
                self._cancel(step)
        for client_id in self._found.closing:
            text = "the run ended before it was sent"
            self._missing.append(build.order_aborted(client_id, Reason.EXPIRED_UNSENT, text))
        self._journal.append(self._missing)
        self._missing = []

    def take_in(self, entries: Sequence[Entry]) -> None:
        """Kills and re-arms that reached the journal only now."""
        for entry in entries:
            if entry.type == "KILL":
                _kill(self._found, dict(entry.payload))
                self._end(self._slices.engine.halt(Reason.KILLED))
            elif entry.type == "REARM":
                _rearm(self._found, dict(entry.payload))
                if not self._found.kills:
                    self._slices.engine.rearm()
        self._journal.append(self._missing)
        self._missing = []

    def finish(self, refuse: Reason = Reason.NONE) -> None:
        """Send what was to be sent and has not left; with `refuse`, deny it instead."""
        waiting = {int(order["order_id"]) for _, order in self._slices.engine.intents()}
        left = [intent for intent in self._pending if intent.payload["order_id"] in waiting]
        outcomes = self._slices.pass_gate(left, refuse=refuse)
        self._pending = []
        self._journal.append(outcomes, durable=False)

    def _slice(self, recorded: RecordedSlice) -> None:
        slices, found = self._slices, self._found
        slices.step(recorded.inputs)
        outputs, intents = slices.outputs()
        if not recorded.has_outputs:  # the last one
            self._journal.append([*self._missing, *outputs])
            self._missing = []
        for entry in outputs:
            if entry.type == "CANCEL_ACK" and recorded.has_outputs:
                found.ended[entry.payload["client_order_id"]] -= 1
        self._pending = [
            intent for intent in intents if intent.payload["client_order_id"] not in found.settled
        ]
        if not self._pending:  # outcomes of a slice are one transaction: all on record or none
            self._missing += slices.pass_gate(intents, found.settled, found.acked)

    def _end(self, events: np.ndarray) -> None:
        """CANCEL_ACKs of `events` that are not on record are due."""
        for entry in self._slices.ended(events):
            client_id = entry.payload["client_order_id"]
            if self._found.ended[client_id] > 0:
                self._found.ended[client_id] -= 1
            else:
                self._missing.append(entry)

    def _cancel(self, step: CancelEntry) -> None:
        for symbol, order in list(self._slices.engine.working()):
            order_id = int(order["order_id"])
            if self._slices.client_id(order_id) == step.client_id:
                self._end(self._slices.engine.cancel(symbol, order_id, step.reason))
