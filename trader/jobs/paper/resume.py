"""A run that goes on: its journal shown to be whole and ours, folded, and the bars it has had.

Law: a journal of a moderate length is verified and folded from its first record on. A longer one
is from its newest snapshot on; `earlier_records` verifies what lies before that while the run
trades. Only its bars are checked first: they must be those that the snapshot counts, to the bit.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.core.book import Rules
from trader.core.schema import BAR
from trader.engine.batch import RowKeeper, RowSink
from trader.engine.recorded import DivergenceError, recorded_rules
from trader.engine.recover import newest_snapshot, resumed
from trader.errors import UsageError, VerificationError
from trader.jobs.backtest import Order
from trader.jobs.paper.same_model import difference, model_hash
from trader.jobs.paper.which_run import known_heads
from trader.journal.audit.findings import Problem
from trader.journal.audit.tail import tail_problem
from trader.journal.audit.verify import verify
from trader.journal.readback import bars_before
from trader.journal.records import JournalError, Record
from trader.journal.rows import require_layouts
from trader.journal.store import read_records
from trader.report.artifacts import CONFIG
from trader.report.compare import changed_keys

if TYPE_CHECKING:
    from trader.jobs.paper.start import Start

LIFE = ("RUN_START", "RUN_RESUME", "RUN_END")  # of a run in which nothing happened
KNOWN_BY = "by audit.anchor, or by status.json in the state folder"


class HeldRows(RowKeeper):
    """Keeps the DECISION rows of a fold until there is somebody to take them."""

    def __init__(self) -> None:
        super().__init__(0, (self._hold,))
        self._held: list[np.ndarray] = []

    def _hold(self, rows: np.ndarray) -> None:
        self._held.append(rows.copy())

    def hand_on(self, *sinks: RowSink) -> None:
        """What was held goes to `sinks`, and all that comes."""
        for rows in self._held:
            for sink in sinks:
                sink(rows)
        self._held.clear()
        self.decision_sinks = sinks


def came_to_nothing(path: Path, order: Order) -> bool:
    """Whether the run of the journal at `path` ended as it started, with another config or model:
    nothing happened in it, and nothing is lost where a new one takes its place."""
    lives = []
    try:
        for record in read_records(path):
            if record.type not in LIFE:
                return False
            lives.append(record)
    except JournalError:
        return False
    return bool(lives) and (
        lives[0].data["config_sha"] != order.loaded.sha256
        or difference(lives[0], model_hash(order)) is not None
    )


def fold_journal(begun: "Start", path: Path) -> Rules:
    """Fold the journal, once it is shown to be ours, and whole as far as it is folded; the rules
    of the run. What lies before a snapshot that is gone on from is looked at beside (`earlier`)."""
    name, order = path.parent.name, begun.order
    known = known_heads(order, name)
    snapshot = newest_snapshot(path)
    if snapshot is None:
        report = verify(path, known)
        _require_sound(path, report.problems[0] if report.problems else None)
    else:
        _require_sound(path, tail_problem(path, snapshot.seq, known))
    lives = list(read_records(path, types=("RUN_START", "RUN_RESUME")))
    require_layouts(lives[0].data["layouts"])
    if lives[0].data["config_sha"] != order.loaded.sha256:
        raise UsageError(
            f"{name} would be resumed, but its config has changed"
            f"{_changes(path, order)}: restore it, or start fresh with --new"
        )
    changed = difference(lives[0], begun.model)
    if changed is not None:
        raise UsageError(
            f"{name} would be resumed, but {changed} has changed: "
            "restore it, or start fresh with --new"
        )
    try:
        found = resumed(path, snapshot, begun.keeper)
    except DivergenceError as diverged:
        raise VerificationError(
            f"{path} cannot be replayed: {diverged}; nothing trades on it. "
            "Start a fresh run with --new"
        ) from None
    begun.fold = found.fold
    begun.snapshot_seq = 0 if found.snapshot is None else found.snapshot.seq
    begun.first_ns = int(lives[0].data.get("first_ns", 0))
    return _newest_rules(lives)


def _require_sound(path: Path, first: Problem | None) -> None:
    """`VerificationError` for what was found first in a journal."""
    if first is None:
        return
    if first.kind in ("truncated", "anchor"):
        raise VerificationError(
            f"{path} lacks records that this run has written: {first.text} ({KNOWN_BY}). Nothing "
            "trades on it: bring back its newest copy, with its -wal file, or start fresh, "
            "with new cash, with --new"
        )
    raise VerificationError(
        f"{path} is damaged: record {first.seq}: {first.text}; nothing trades on it. See "
        f"`trader audit verify {path.parent.name}`, and start a fresh run with --new"
    )


def _changes(path: Path, order: Order) -> str:
    """What differs from the config beside the journal, in brackets; "" if it cannot be read."""
    with contextlib.suppress(UsageError):
        changed = changed_keys(path.parent / CONFIG, order.loaded.resolved_yaml())
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            return f" ({'; '.join(changed[:3])}{more})"
    return ""


def _newest_rules(records: Sequence[Record]) -> Rules:
    rules = [found for record in records if (found := recorded_rules(record)) is not None]
    if not rules:
        raise JournalError("the journal holds no rules of this version; start fresh with --new")
    return rules[-1]


def take_bars(begun: "Start") -> None:
    """Every bar traded on so far, into `begun.seen`. Refused where they are not those on record:
    `UsageError` of files, `VerificationError` of the journal itself."""
    facts = begun.facts
    if begun.fold is None or not begun.has_traded:
        return
    later = np.concatenate([np.empty(0, BAR), *facts.bars])
    count = facts.traded - len(later)  # of the bars before the snapshot
    if begun.history is not None:
        bars, had = begun.history.bars, np.concatenate([later, begun.fold.waiting])
        is_same = bars[count : count + len(had)].tobytes() == had.tobytes()
        if not is_same or (begun.snapshot_seq and not facts.show_earlier(bars[:count])):
            raise UsageError(
                "the run would be resumed, but the data files are not the ones it has traded on: "
                "restore them, or start fresh with --new"
            )
        begun.seen = bars[: facts.traded]
        return
    assert begun.path is not None
    earlier = bars_before(begun.path, begun.snapshot_seq) if begun.snapshot_seq else later[:0]
    if begun.snapshot_seq and not facts.show_earlier(earlier):
        raise VerificationError(
            f"{begun.path} is damaged: its bars are not those that its snapshot "
            f"{begun.snapshot_seq} counts; nothing trades on it. Start a fresh run with --new"
        )
    begun.seen = np.concatenate([earlier, later])
