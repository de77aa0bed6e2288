"""The journal, recovery, the gate: in the order that closes every race with a kill.

    own_run (run.lock, latch) → journal → fold → kills that came meanwhile → what the broker has
    → gate (latch) → finish

Law: nothing is sent before the gate is open, and it opens last; nothing of an earlier end is
taken away before.
"""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from trader.config.sections.running import SYSLOG, AnchorCommand
from trader.core.schema import Reason, TradingState
from trader.engine.crash_points import reached
from trader.engine.journaled import JournaledSlices
from trader.engine.recorded import rules_details
from trader.engine.recover import Recovery
from trader.engine.replay import begin_fold
from trader.engine.sliceengine import SliceEngine
from trader.errors import KilledError, TraderError, UsageError
from trader.jobs.paper.broker_start import (
    broker_details,
    engine_of,
    reconcile,
    require_fit,
    send_late,
    slices_of,
)
from trader.jobs.paper.desk import Desk, DeskSettings
from trader.jobs.paper.earlier_records import Earlier
from trader.jobs.paper.exit_message import say_last
from trader.jobs.paper.facts import facts_details
from trader.jobs.paper.lost_kills import put_back
from trader.jobs.paper.right_to_run import OwnedRun
from trader.jobs.paper.start import Start
from trader.jobs.paper.which_run import journals_of, known_heads
from trader.journal import entries as build
from trader.journal.anchor import FileAnchor
from trader.journal.head_sender import CommandAnchor, HeadSender, to_syslog
from trader.journal.log import Journal, OnCheckpoint
from trader.journal.parent_runs import newest_parent
from trader.journal.records import DamagedJournal, Entry, JournalError
from trader.journal.spool import ingest_spool
from trader.journal.store import FILE_NAME
from trader.report.artifacts import DECISIONS, EQUITY_CURVE, MANIFEST
from trader.report.parquet import DecisionWriter
from trader.report.provenance import code_sha256
from trader.report.tally import DecisionTally
from trader.safety.lease import Lease
from trader.wiring import search_paths

SPOOLS = ("kills", "rearms", "audit-spool")


@dataclass
class OpenRun:
    """A run that may trade."""

    folder: Path
    lease: Lease
    journal: Journal
    slices: JournaledSlices
    desk: Desk
    decisions: DecisionWriter | None  # None where `earlier` writes them at the end
    tally: DecisionTally
    state_before: TradingState  # before the kills and re-arms that came while no process ran
    anchor: OnCheckpoint | None = None  # where the heads go
    earlier: Earlier | None = None  # what lies before the snapshot that the run goes on from
    notes: list[str] = field(default_factory=list)  # what the user should know

    def anchor_failures(self) -> list[str]:
        """Heads that could not be copied since the last call."""
        told: list[str] = []
        lists = [self.journal.anchor_failures]
        if isinstance(self.anchor, HeadSender):
            lists.append(self.anchor.failures)
        for failures in lists:  # another thread may be adding to them
            found = list(failures)
            del failures[: len(found)]
            told += found
        return told

    def close_anchor(self, timeout_s: float) -> None:
        """Wait so long for the last heads to be delivered."""
        if isinstance(self.anchor, HeadSender):
            self.anchor.close(timeout_s)

    @property
    def run_id(self) -> str:
        """Name of the run and of its folder."""
        return self.folder.name


def open_run(begun: Start, held: OwnedRun) -> OpenRun:
    """Bring the run to where its journal ends, and open the gate.

    Raises `KilledError` (exit 7) under a kill.
    """
    try:
        return _recovered(begun, held.folder, held.lease)
    except JournalError as error:
        is_begun = (held.folder / FILE_NAME).exists()  # else nothing was ever written
        if is_begun and not isinstance(error, DamagedJournal):
            leave(held.lease, error)
        raise


def leave(lease: Lease, error: JournalError) -> None:
    """A failed write: never retried on the same file. Trip, say, and end the process at once."""
    done = lease.trip("SYSTEM_ERROR", str(error))
    lines = (f"error: {error}", f"killed: {done.order.kill_id}; `trader status` tells more")
    say_last("".join(f"{line}\n" for line in lines))
    os._exit(KilledError.exit_code)


def _recovered(begun: Start, folder: Path, lease: Lease) -> OpenRun:
    config = begun.config
    require_fit(config, begun.broker, begun.rules)
    anchor = _anchor(config.audit.anchor)
    journal = _journal(begun, folder, anchor)
    reached("after_resume_record")
    pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
    snapshot_every = config.execution.snapshot_every
    desk = Desk(
        config.symbols, pool, begun.broker, DeskSettings(snapshot_every, begun.clock.mono_ns)
    )
    tally, earlier = DecisionTally(), _earlier(begun)
    decisions = None
    if earlier is None:
        decisions = DecisionWriter(folder / DECISIONS, config.symbols).__enter__()
        begun.keeper.hand_on(decisions.write, tally.add)
    else:
        begun.keeper.hand_on(earlier.keep, tally.add)
    slices = slices_of(_engine(begun), journal, desk, begun.fold)
    fold = begun.fold or begin_fold(next(journal.read()))
    desk.show(slices)
    recovery = Recovery(slices, journal, fold)
    recovery.complete()
    state_before = TradingState(int(slices.engine.book.account[0]["trading_state"]))
    home = Path(lease.home)
    recovery.take_in(ingest_spool(journal, *(home / name for name in SPOOLS)))
    lease.check()  # a kill that came meanwhile is in force already
    if slices.facts.kills:
        put_back(lease, slices.facts.kills)
        lease.check()
    notes = reconcile(slices, desk, journal)
    desk.open(lease.open_gate())
    for name in (MANIFEST, EQUITY_CURVE):  # of an earlier end; it is not over after all
        (folder / name).unlink(missing_ok=True)
    is_too_late = _is_too_late(begun)
    recovery.finish(refuse=Reason.EXPIRED_UNSENT if is_too_late else Reason.NONE)
    send_late(slices, journal, is_too_late)
    done = folder, lease, journal, slices, desk, decisions, tally, state_before
    return OpenRun(*done, anchor, earlier, notes)


def _engine(begun: Start) -> SliceEngine:
    """The engine at the end of the journal, under the rules of this process."""
    if begun.fold is not None:
        begun.fold.use_calendar(begun.rules)
    return engine_of(begun.fold, begun.broker, begun.rules, begun.keeper)


def _earlier(begun: Start) -> Earlier | None:
    if begun.path is None or not begun.snapshot_seq:
        return None
    known = known_heads(begun.order, begun.path.parent.name)
    return Earlier(begun.path, begun.snapshot_seq, known)


def _is_too_late(begun: Start) -> bool:
    """Whether orders decided before the crash are of a bar that is past. Never of a replay: its
    next bar comes when it is asked for."""
    if begun.history is not None or not begun.has_traded:
        return False
    age_ns = begun.clock.wall_ns() - begun.facts.last_wall_ns
    return not (age_ns <= begun.config.period_ns)


def _journal(begun: Start, folder: Path, anchor: OnCheckpoint | None) -> Journal:
    order, rules = begun.order, begun.rules
    who = build.Identity(
        folder.name,
        {"uid": os.getuid(), "pid": os.getpid(), "host": socket.gethostname(), "role": "runner"},
        rules.limits,
        order.loaded.sha256,
        begun.model.sha256,
        code_sha256(),
    )
    paths = [str(place) for place in search_paths(order.config_files)]
    details = {**rules_details(rules), "search_paths": paths, "first_ns": begun.first_ns}
    details |= {**begun.model.details, **facts_details(begun.market)}
    details |= broker_details(begun.config, begun.broker)
    if begun.path is not None:
        return _gone_on(begun.path, begun, anchor, build.run_resume(who, details))
    config = begun.config
    before = [path for path in journals_of(order) if path.parent != folder]
    parent_run, parent_head = newest_parent(before)
    start = build.RunStart(
        who,
        folder.name,
        "paper",
        config.symbols,
        config.broker.cash,
        parent_run,
        parent_head,
        details,
    )
    return Journal.create(folder / FILE_NAME, start, begun.clock, anchor)


def _gone_on(path: Path, begun: Start, anchor: OnCheckpoint | None, resume: Entry) -> Journal:
    """The journal to go on with, and `resume` in it. One that cannot be opened or takes no record
    refuses this start, which has sent nothing, and stops no other run."""
    try:
        journal = Journal.open(path, begun.clock, anchor)
        if journal.head.seq == begun.facts.last_seq:
            journal.append([resume])
            return journal
    except DamagedJournal:
        raise
    except JournalError as error:
        raise TraderError(f"{error}. This start is refused, and no other run is stopped") from None
    journal.close()
    raise UsageError(
        f"{path.parent.name} was resumed by another process meanwhile; start again to resume it"
    )


def _anchor(place: str | AnchorCommand | None) -> OnCheckpoint | None:
    """Where the heads of the hash chain are copied to; None for nowhere."""
    if place is None:
        return None
    if isinstance(place, AnchorCommand):
        return HeadSender(CommandAnchor(place.command))
    return HeadSender(to_syslog) if place == SYSLOG else FileAnchor(Path(place))
