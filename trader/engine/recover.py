"""Recovery: a run brought to where its journal ends, and what the crash left undone.

    resumed      the fold of a journal: whole, or from its newest snapshot on
    Recovery     `complete` does what is left of the last slice, `finish` sends through the gate

Law: the state is what the recorded inputs make of it, every recorded output compared to the bit;
nothing is guessed. A snapshot only spares work: what cannot be read or does not fit is passed
over. The last slice may have its inputs without its outputs, or intents without an outcome: those
are finished with the same order ids as the first time. An order whose sending is not on record
never left: this broker is our own core.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trader.core.schema import Reason
from trader.engine.batch import RowKeeper
from trader.engine.crash_points import reached
from trader.engine.journaled import JournaledSlices
from trader.engine.quarantine import Quarantine
from trader.engine.recorded import Where
from trader.engine.replay import Replayer, begin_fold
from trader.engine.run_facts import RunFacts
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.readback import snapshot_state
from trader.journal.records import Entry, JournalError, Record
from trader.journal.store import newest_record, read_records

WHOLE_UP_TO = 20_000  # records: a journal as short as that is folded from its first record on
INPUTS = frozenset({"ACTION", "KILL", "REARM", "CANCEL_INTENT", "ORDER_SENT"})
LIVES = ("RUN_START", "RUN_RESUME", "KILL", "REARM")


@dataclass
class JournalFold:
    """A journal's fold at its end, and where it began."""

    fold: Replayer
    snapshot: Record | None  # None: at the first record


def folded(records: Iterable[Record], keeper: RowKeeper | None = None) -> Replayer:
    """The fold of all records, the first a RUN_START. `DivergenceError` where they contradict."""
    stream = iter(records)
    fold = begin_fold(next(stream, None), keeper=keeper)
    fold.facts.keep_bars()
    _fold_on(fold, stream)
    return fold


def resumed(path: Path, snapshot: Record | None, keeper: RowKeeper) -> JournalFold:
    """The fold of the journal at `path`, from `snapshot` on where it fits. As `folded`."""
    if snapshot is not None:
        lives = list(read_records(path, types=LIVES))
        fold = begin_fold(lives[0], keeper=keeper)
        if _begins_at(fold, snapshot, [one for one in lives[1:] if one.seq < snapshot.seq]):
            _fold_on(fold, read_records(path, snapshot.seq + 1))
            return JournalFold(fold, snapshot)
    return JournalFold(folded(read_records(path), keeper), None)


def newest_snapshot(path: Path) -> Record | None:
    """The newest SNAPSHOT worth beginning at that can be read; None where all is folded."""
    before = None
    while (record := newest_record(path, "SNAPSHOT", before)) is not None:
        if record.seq <= WHOLE_UP_TO:
            return None
        if _is_usable(record):
            return record
        before = record.seq
    return None


def _is_usable(record: Record) -> bool:
    try:
        _facts_of(record, [])
        snapshot_state(record)
    except (JournalError, LookupError, ValueError, TypeError, AttributeError):
        return False
    return True


def _begins_at(fold: Replayer, snapshot: Record, before: Sequence[Record]) -> bool:
    try:
        fold.go_on_from(snapshot, _facts_of(snapshot, before))
    except (JournalError, ValueError):  # of another shape
        return False
    for record in before:
        if record.type == "RUN_RESUME":
            fold.take_calendar(record)
    return True


def _facts_of(snapshot: Record, before: Sequence[Record]) -> RunFacts:
    """What a SNAPSHOT, and the stops before it, say beside the book."""
    data = snapshot.data
    facts = RunFacts(keeps_bars=True)
    facts.quarantine = Quarantine.of(data)
    facts.go_on_from(int(data["bars"]), str(data["bars_sha"]))
    facts.last_ns, facts.last_seq = snapshot.event_ns, snapshot.seq
    facts.last_wall_ns = snapshot.wall_ns
    assert int(data["slices"]) >= 0
    for record in before:
        if record.type in ("KILL", "REARM"):
            facts.take_stop(record.type, record.data)
    return facts


def _fold_on(fold: Replayer, records: Iterator[Record]) -> None:
    for record in records:
        if record.type in INPUTS:
            reached("during_recovery")
        fold.take(record)


class Recovery:
    """Brings a run to where its journal ends. `complete` first, `finish` once the gate is open."""

    def __init__(self, slices: JournaledSlices, journal: Journal, fold: Replayer) -> None:
        self._slices = slices
        self._journal = journal
        self._fold = fold
        self._pending: list[Entry] = []  # intents without an outcome

    def complete(self) -> None:
        """What the crash kept from the disk: cancellations, and the outputs of a slice that has
        only its inputs on it. Nothing is sent: intents without an outcome wait for `finish`."""
        slices, fold = self._slices, self._fold
        missing = [entry for event in fold.cancels for entry in slices.ended(event)]
        if fold.pending is not None and fold.pending.is_complete:
            here = Where(Record(fold.facts.last_seq, 0, 0, None, None, "ACTION", b"", b"", ""), ())
            slices.step(fold.inputs(here))
            outputs, self._pending = slices.outputs()
            missing += outputs
        else:
            self._pending = slices.intents()
        text = "the run ended before it was sent"
        for client_id in fold.closing:
            missing.append(build.order_aborted(client_id, Reason.EXPIRED_UNSENT, text))
        fold.cancels.clear()
        fold.closing.clear()
        self._journal.append(missing)

    def take_in(self, entries: Sequence[Entry]) -> None:
        """Kills and re-arms that reached the journal only now."""
        facts, missing = self._slices.facts, []
        for entry in entries:
            if entry.type not in ("KILL", "REARM"):
                continue
            facts.take_stop(entry.type, entry.payload)
            if entry.type == "KILL":
                missing += self._slices.ended(self._slices.engine.halt(Reason.KILLED))
            elif not facts.kills:
                self._slices.engine.rearm()
        self._journal.append(missing)

    def finish(self, refuse: Reason = Reason.NONE) -> None:
        """Send what was to be sent and has not left; with `refuse`, deny it instead."""
        waiting = {int(order["order_id"]) for _, order in self._slices.engine.intents()}
        left = [intent for intent in self._pending if intent.payload["order_id"] in waiting]
        outcomes = self._slices.pass_gate(left, refuse=refuse)
        self._pending = []
        self._journal.append(outcomes, durable=False)
