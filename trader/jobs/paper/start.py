"""Which run is started: a new one, or the one that was cut off; and what it runs on.

Law: whatever can be refused is refused here, before anything is written. A run goes on only on
what it began with: the same config, model and, for files, the same bars.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trader.brokers.broker import Broker
from trader.brokers.registry import open_broker
from trader.config.schema import Config
from trader.core.book import Rules
from trader.engine.replay import Replayer
from trader.engine.ruleset import build_rules
from trader.engine.run_facts import RunFacts
from trader.errors import DataError, TraderError
from trader.feeds.corporate_actions import CorporateAction
from trader.feeds.feed import BarSet
from trader.feeds.live import (
    BadBar,
    FeedItem,
    FeedNotice,
    LiveBar,
    LiveFeed,
    ResumePoint,
    Tell,
    open_feed,
)
from trader.feeds.pipe_history import FeedEnd, recording_age_ns
from trader.feeds.revised import earlier_bars
from trader.feeds.source import InstrumentFacts
from trader.feeds.venue_feed import VenueFeed
from trader.hours.tables import last_known_ns, session_table
from trader.jobs.backtest import Order
from trader.jobs.paper.clock import RealClock
from trader.jobs.paper.facts import require_same_facts, rules_to_come, rules_with_facts
from trader.jobs.paper.resume import HeldRows, fold_journal, take_bars
from trader.jobs.paper.same_model import ModelHash, model_hash
from trader.wiring import check_drivers

CALENDAR_AHEAD_NS = 366 * 86_400 * 1_000_000_000  # how far a live run knows trading hours

NOT_RETRAINED = (
    "train.retrain: a paper run trades the model file as it is and trains none; a backtest of this "
    "config trades models of its own history. `trader train`, and a new run, bring a newer one"
)


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
    keeper: HeldRows  # takes the rows of the run
    path: Path | None = None
    fold: Replayer | None = None  # of its journal, at its end
    snapshot_seq: int = 0  # of the record where the fold began; 0: at the first one
    seen: np.ndarray | None = None  # every BAR traded on so far, until features have seen them
    first_ns: int = 0  # close of the run's first bar
    market: Sequence[InstrumentFacts] = ()  # what a market says of the instruments
    broker: Broker = field(default_factory=lambda: _NO_BROKER)
    actions: Sequence[CorporateAction] | None = None  # None: of a market that tells none
    notes: list[str] = field(default_factory=list)  # what the user should know

    @property
    def config(self) -> Config:
        return self.order.loaded.config

    @property
    def has_traded(self) -> bool:
        """Whether there is a slice on record."""
        return self.fold is not None and bool(self.facts.traded or len(self.fold.waiting))

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
    if config.train is not None and config.train.retrain is not None:
        begun.notes.append(NOT_RETRAINED)
    begun.broker = _broker(config)
    recorded = None if path is None else fold_journal(begun, path)
    feed = open_feed(config, clock, asked.pace, _had(begun), tell)
    begun.feed = feed
    if feed.history is not None:
        check_drivers(config, feed.history.bars)
        begun.first_ns = int(feed.history.bars[0]["ts_ns"])
        begun.rules = recorded or build_rules(config, feed.history.sessions)
    elif begun.has_traded:
        assert recorded is not None
        begun.rules = recorded._replace(sessions=_hours(config, begun.first_ns, clock))
    take_bars(begun)
    return begun


def _broker(config: Config) -> Broker:
    try:
        return open_broker(config)
    except OSError as error:
        raise TraderError(f"broker.type {config.broker.type}: {error}; start again") from None


async def first_bar(begun: Start) -> None:
    """Wait for the first bar of a new run on a live feed: trading hours begin with it.

    Raises `DataError` where the feed ends without one. Nothing for any other run.
    """
    if begun.history is not None:
        return
    market = getattr(begun.feed, "inner", begun.feed)  # behind a feed that resamples
    if isinstance(market, VenueFeed):
        begun.market = await market.connect()
        begun.actions = market.actions
    if begun.has_traded:
        if isinstance(begun.feed, VenueFeed) and begun.seen is not None:  # its bars are the run's
            config, refused = begun.config, begun.facts.refused
            begun.feed.earlier = earlier_bars(
                begun.seen, refused, len(config.symbols), config.period_ns
            )
        require_same_facts(begun)
        begun.rules = rules_to_come(begun)
        return
    begun.feed, first = await _with_first_bar(begun.feed)
    begun.first_ns = int(first.bar["ts_ns"])
    rules = build_rules(begun.config, _hours(begun.config, begun.first_ns, begun.clock))
    begun.rules = rules_with_facts(rules, begun)


def _had(begun: Start) -> ResumePoint:
    """What the run that goes on knows of its feed."""
    if begun.fold is None or not begun.has_traded:
        return ResumePoint()
    facts, waiting = begun.facts, begun.fold.waiting
    last_ns = int(waiting[-1]["ts_ns"]) if len(waiting) else facts.last_ns
    assert last_ns is not None
    age_ns = facts.last_wall_ns - last_ns
    return ResumePoint(last_ns, age_ns <= recording_age_ns(begun.config.period_ns))


_NO_FEED: Any = None  # until it is opened
_NO_BROKER: Any = None


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

    async def __aiter__(self) -> AsyncIterator[FeedItem]:
        while self._seen:
            yield self._seen.pop(0)
        async for item in self._rest:
            yield item

    def at_once(self) -> LiveBar | None:
        """See `LiveFeed`."""
        return None

    async def aclose(self) -> None:
        await self._feed.aclose()


async def _with_first_bar(feed: LiveFeed) -> tuple[LiveFeed, LiveBar]:
    """The feed, nothing of it lost, and its first bar. `DataError` if it ends without one."""
    items = aiter(feed)
    seen: list[FeedItem] = []
    async for item in items:
        seen.append(item)
        if isinstance(item, LiveBar):
            return _ReadyRun(feed, items, seen), item
        if len(seen) > 100:
            seen = seen[-100:]
    bad = [item.reason for item in seen if isinstance(item, BadBar)]
    refused = [item.text for item in seen if isinstance(item, FeedNotice)]
    why = f"; the last line was refused: {bad[-1]}" if bad else ""
    why = f": {refused[-1]}" if refused and feed.end == FeedEnd.REFUSED else why
    raise DataError(f"the feed ended before its first bar{why}")
