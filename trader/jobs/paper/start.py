"""Which run is started: a new one, or the one that was cut off; and what it runs on.

Law: whatever can be refused is refused here, before anything is written. A run goes on only on
what it began with: the same config, model and, for files, the same bars.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.core.book import Rules
from trader.core.schema import BAR
from trader.engine.batch import RowKeeper, RowSink
from trader.engine.recorded import DivergenceError, recorded_rules
from trader.engine.recover import newest_snapshot, resumed
from trader.engine.replay import Replayer
from trader.engine.ruleset import build_rules
from trader.engine.run_facts import RunFacts
from trader.errors import DataError, UsageError, VerificationError
from trader.feeds.feed import BarSet
from trader.feeds.live import (
    BadBar,
    FeedNotice,
    LiveBar,
    LiveFeed,
    ResumePoint,
    Tell,
    open_feed,
)
from trader.feeds.pipe_history import FeedEnd, recording_age_ns
from trader.feeds.source import InstrumentFacts
from trader.feeds.venue_feed import VenueFeed
from trader.hours.tables import last_known_ns, session_table
from trader.jobs.backtest import Order
from trader.jobs.paper.clock import RealClock
from trader.jobs.paper.facts import require_same_facts, rules_with_facts
from trader.jobs.paper.sameness import ModelHash, difference, model_hash
from trader.jobs.paper.which_run import known_heads
from trader.journal.audit.findings import Problem
from trader.journal.audit.tail import tail_problem
from trader.journal.audit.verify import verify
from trader.journal.readback import bars_before
from trader.journal.records import JournalError, Record
from trader.journal.store import read_records
from trader.report.artifacts import CONFIG
from trader.report.compare import changed_keys
from trader.wiring import check_drivers

CALENDAR_AHEAD_NS = 366 * 86_400 * 1_000_000_000  # how far a live run knows trading hours
KNOWN_BY = "by audit.anchor, or by status.json in the state folder"


@dataclass(frozen=True)
class ResumeRequest:
    """What the command line asked for beside the config."""

    pace: float | None = 1.0  # times real time for a replay of files; None for no wait
    new: bool = False


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


@dataclass
class Start:
    """What a run starts from. `path` is the journal to go on with, None for a new run."""

    order: Order
    clock: RealClock
    feed: LiveFeed
    rules: Rules
    model: ModelHash
    started_at: datetime
    keeper: HeldRows  # takes the rows of the run
    path: Path | None = None
    fold: Replayer | None = None  # of its journal, at its end
    snapshot_seq: int = 0  # of the record where the fold began; 0: at the first one
    seen: np.ndarray | None = None  # every BAR traded on so far, until features have seen them
    first_ns: int = 0  # close of the run's first bar
    market: Sequence[InstrumentFacts] = ()  # what a market says of the instruments
    notes: list[str] = field(default_factory=list)  # what the user should know

    @property
    def config(self) -> Config:
        return self.order.loaded.config

    @property
    def facts(self) -> RunFacts:
        """What is on record beside the book."""
        return RunFacts() if self.fold is None else self.fold.facts

    @property
    def history(self) -> BarSet | None:
        """The files behind a replay; None for a feed that is live."""
        return self.feed.history


def start(order: Order, asked: ResumeRequest, path: Path | None, tell: Tell | None = None) -> Start:
    """What a new run, or the one behind the journal at `path`, starts from; waits for nothing.

    `tell` is told of long waits of a replay. Raises the errors of config and data, `UsageError`
    where the run that would go on had another config, model or data, `VerificationError` where its
    journal is damaged. A live feed has no trading hours yet: `first_bar` is next.
    """
    config, clock = order.loaded.config, RealClock()
    model, keeper = model_hash(order), HeldRows()
    begun = Start(order, clock, _NO_FEED, _no_rules(), model, datetime.now(UTC), keeper, path)
    recorded = None if path is None else _resume(begun, path)
    feed = open_feed(config, clock, asked.pace, _had(begun.facts, config.period_ns), tell)
    begun.feed = feed
    if feed.history is not None:
        check_drivers(config, feed.history.bars)
        begun.first_ns = int(feed.history.bars[0]["ts_ns"])
        begun.rules = recorded or build_rules(config, feed.history.sessions)
    elif begun.facts.traded:
        assert recorded is not None
        begun.rules = recorded._replace(sessions=_hours(config, begun.first_ns, clock))
    _take_bars(begun)
    return begun


async def first_bar(begun: Start) -> None:
    """Wait for the first bar of a new run on a live feed: trading hours begin with it.

    Raises `DataError` where the feed ends without one. Nothing for any other run.
    """
    if begun.history is not None:
        return
    if isinstance(begun.feed, VenueFeed):
        begun.market = await begun.feed.connect()
    if begun.facts.traded:
        require_same_facts(begun)
        return
    begun.feed, first = await _with_first_bar(begun.feed)
    begun.first_ns = int(first.bar["ts_ns"])
    rules = build_rules(begun.config, _hours(begun.config, begun.first_ns, begun.clock))
    begun.rules = rules_with_facts(rules, begun)


def _had(facts: RunFacts, period_ns: int) -> ResumePoint:
    """What the run that goes on knows of its feed."""
    if facts.last_ns is None:
        return ResumePoint()
    age_ns = facts.last_wall_ns - facts.last_ns
    return ResumePoint(facts.last_ns, age_ns <= recording_age_ns(period_ns))


_NO_FEED: Any = None  # until it is opened


def _no_rules() -> Rules:
    nothing = np.empty(0)
    return Rules(nothing, nothing, nothing, nothing, nothing)


def _hours(config: Config, first_ns: int, clock: RealClock) -> np.ndarray:
    """Trading hours from a run's first bar to about a year from now, or as far as they are known.

    `ConfigError` where the calendar has ended by now.
    """
    hours, latest_ns = config.risk.market_hours, max(first_ns, clock.now_ns())
    ahead_ns = min(latest_ns + CALENDAR_AHEAD_NS, last_known_ns(hours, latest_ns))
    return session_table(hours, first_ns, max(latest_ns, ahead_ns))


def _resume(begun: Start, path: Path) -> Rules:
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
    if lives[0].data["config_sha"] != order.loaded.sha256:
        raise UsageError(
            f"{name} was cut off and would go on, but the config is not the one it ran on"
            f"{_changes(path, order)}: bring the old config back, or start fresh with --new"
        )
    changed = difference(lives[0], begun.model)
    if changed is not None:
        raise UsageError(
            f"{name} was cut off and would go on, but {changed} is not what it ran on: "
            "bring that back, or start fresh with --new"
        )
    try:
        found = resumed(path, snapshot, begun.keeper)
    except DivergenceError as diverged:
        raise VerificationError(
            f"{path} does not reproduce itself: {diverged}; nothing trades on it. "
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
            f"{path} is not all that this run has written: {first.text} ({KNOWN_BY}). Nothing "
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


def _take_bars(begun: Start) -> None:
    """Every bar traded on so far, into `begun.seen`. Refused where they are not those on record:
    `UsageError` of files, `VerificationError` of the journal itself."""
    facts = begun.facts
    if not facts.traded:
        return
    later = np.concatenate([np.empty(0, BAR), *facts.bars])
    count = facts.traded - len(later)  # of the bars before the snapshot
    if begun.history is not None:
        bars = begun.history.bars
        is_same = bars[count : facts.traded].tobytes() == later.tobytes()
        if not is_same or (begun.snapshot_seq and not facts.show_earlier(bars[:count])):
            raise UsageError(
                "the data files are not the ones the run that was cut off has traded on: bring "
                "them back, or start fresh with --new"
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


class _ReadyRun:
    """A feed whose first items have been looked at already."""

    def __init__(self, feed: LiveFeed, rest: AsyncIterator[Any], seen: list[Any]) -> None:
        self.history: BarSet | None = feed.history
        self._feed, self._rest, self._seen = feed, rest, seen

    @property
    def skipped(self) -> int:
        return self._feed.skipped

    @property
    def forming(self) -> int:
        return self._feed.forming

    @property
    def untraded(self) -> int:
        return self._feed.untraded

    @property
    def end(self) -> FeedEnd:
        return self._feed.end

    async def __aiter__(self) -> AsyncIterator[LiveBar | BadBar | FeedNotice]:
        while self._seen:
            yield self._seen.pop(0)
        async for item in self._rest:
            yield item

    async def aclose(self) -> None:
        await self._feed.aclose()


async def _with_first_bar(feed: LiveFeed) -> tuple[LiveFeed, LiveBar]:
    """The feed, nothing of it lost, and its first bar. `DataError` if it ends without one."""
    items = aiter(feed)
    seen: list[LiveBar | BadBar | FeedNotice] = []
    async for item in items:
        seen.append(item)
        if isinstance(item, LiveBar):
            return _ReadyRun(feed, items, seen), item
        if len(seen) > 100:
            seen = seen[-100:]
    bad = [item.reason for item in seen if isinstance(item, BadBar)]
    why = f"; the last line was refused: {bad[-1]}" if bad else ""
    raise DataError(f"the feed ended before its first bar{why}")
