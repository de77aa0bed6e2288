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
from trader.engine.recorded import recorded_rules
from trader.engine.recover import RunHistory, recovered
from trader.engine.replay import replay
from trader.engine.ruleset import build_rules
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
from trader.journal.audit.verify import verify
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


@dataclass
class Start:
    """What a run starts from. `path` is the journal to go on with, None for a new run."""

    order: Order
    clock: RealClock
    feed: LiveFeed
    rules: Rules
    model: ModelHash
    started_at: datetime
    path: Path | None = None
    found: RunHistory = field(default_factory=RunHistory)
    first_ns: int = 0  # close of the run's first bar
    facts: Sequence[InstrumentFacts] = ()  # what a market says of the instruments
    notes: list[str] = field(default_factory=list)  # what the user should know

    @property
    def config(self) -> Config:
        return self.order.loaded.config

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
    model = model_hash(order)
    found, recorded = (RunHistory(), None) if path is None else _resumed(path, order, model)
    slices = found.slices
    feed = open_feed(config, clock, asked.pace, _had(found, config.period_ns), tell)
    begun = Start(order, clock, feed, recorded or _no_rules(), model, datetime.now(UTC))
    begun.path, begun.found = path, found
    if feed.history is not None:
        check_drivers(config, feed.history.bars)
        begun.first_ns = int(feed.history.bars[0]["ts_ns"])
        begun.rules = recorded or build_rules(config, feed.history.sessions)
        _require_same_bars(feed.history.bars, slices)
    elif slices:
        begun.first_ns = int(slices[0].bars[0]["ts_ns"])
        begun.rules = begun.rules._replace(sessions=_hours(config, begun.first_ns, clock))
    return begun


async def first_bar(begun: Start) -> None:
    """Wait for the first bar of a new run on a live feed: trading hours begin with it.

    Raises `DataError` where the feed ends without one. Nothing for any other run.
    """
    if begun.history is not None:
        return
    market = getattr(begun.feed, "inner", begun.feed)  # behind a feed that resamples
    if isinstance(market, VenueFeed):
        begun.facts = await market.connect()
    if begun.found.slices:
        require_same_facts(begun)
        return
    begun.feed, first = await _with_first_bar(begun.feed)
    begun.first_ns = int(first.bar["ts_ns"])
    rules = build_rules(begun.config, _hours(begun.config, begun.first_ns, begun.clock))
    begun.rules = rules_with_facts(rules, begun)


def _had(found: RunHistory, period_ns: int) -> ResumePoint:
    """What the run that goes on knows of its feed."""
    if not found.slices:
        return ResumePoint()
    last = found.slices[-1]
    last_ns = int(last.bars[0]["ts_ns"])
    return ResumePoint(last_ns, last.wall_ns - last_ns <= recording_age_ns(period_ns))


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


def _resumed(path: Path, order: Order, model: ModelHash) -> tuple[RunHistory, Rules | None]:
    """What the journal holds, once it is shown to be whole, ours and reproducible."""
    name = path.parent.name
    report = verify(path, known_heads(order, name))
    if not report.ok:
        first = report.problems[0]
        if first.kind in ("truncated", "anchor"):
            raise VerificationError(
                f"{path} is not all that this run has written: {first.text} ({KNOWN_BY}). Nothing "
                "trades on it: bring back its newest copy, with its -wal file, or start fresh, "
                "with new cash, with --new"
            )
        raise VerificationError(
            f"{path} is damaged: record {first.seq}: {first.text}; nothing trades on it. See "
            f"`trader audit verify {name}`, and start a fresh run with --new"
        )
    records = list(read_records(path, types=("RUN_START", "RUN_RESUME")))
    begun = records[0]
    if begun.data["config_sha"] != order.loaded.sha256:
        raise UsageError(
            f"{name} was cut off and would go on, but the config is not the one it ran on"
            f"{_changes(path, order)}: bring the old config back, or start fresh with --new"
        )
    changed = difference(begun, model)
    if changed is not None:
        raise UsageError(
            f"{name} was cut off and would go on, but {changed} is not what it ran on: "
            "bring that back, or start fresh with --new"
        )
    again = replay(path)
    if again.divergence is not None:
        raise VerificationError(
            f"{path} does not reproduce itself: {again.divergence}; nothing trades on it. "
            "Start a fresh run with --new"
        )
    return recovered(read_records(path)), _newest_rules(records)


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


def _require_same_bars(bars: np.ndarray, slices: Sequence[Any]) -> None:
    """`UsageError` unless the files still begin with the bars that were traded on."""
    if not slices:
        return
    traded = np.concatenate([one.bars for one in slices])
    if bars[: len(traded)].tobytes() != traded.tobytes():
        raise UsageError(
            "the data files are not the ones the run that was cut off has traded on: bring them "
            "back, or start fresh with --new"
        )


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
