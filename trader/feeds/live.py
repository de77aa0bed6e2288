"""Bars as they come: what a live feed is, and which source gives one.

Law: a feed yields what it got, in the order it got it, each with the time it got it; it judges no
values (`bargate` does) and ends the run by no row: a line that is no bar is a `BadBar`, a value
like any other. It reads no clock and sleeps on none but the one it was given.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from trader.config.schema import Config

if TYPE_CHECKING:
    from trader.feeds.feed import BarSet
    from trader.feeds.pipe_history import FeedEnd


class ResumePoint(NamedTuple):
    """What a run that goes on knows of the feed it had; nothing of a new run."""

    after_ns: int | None = None  # close of the last bar it has
    was_live: bool | None = None  # whether that bar came as it closed


Tell = Callable[[str], None]  # takes a line for people; must not wait


class FeedClock(Protocol):
    """Time as a feed sees it; real in a run, virtual in a test."""

    def now_ns(self) -> int:
        """UTC nanoseconds. Called from any thread."""
        ...

    def latest_ns(self) -> int:
        """UTC nanoseconds, the latest time that can be: a sleep of the machine counts at once."""
        ...

    async def sleep_until_ns(self, ts_ns: int) -> None:
        """Return when `now_ns()` has reached `ts_ns`; at once if it has already."""
        ...


@dataclass(frozen=True, slots=True)
class LiveBar:
    """One bar: BAR record, when we got it, and when by the same clock it was due.

    `received_ns - due_ns` is the feed's lag; for a paced replay the close is due when its time
    has come on the replay's own scale, with pace `max` whenever it is asked for.
    """

    bar: np.void  # BAR, ts_ns the close
    received_ns: int
    due_ns: int
    finer: np.ndarray | None = None  # BAR (any number): what it is made of, with intrabar detail


@dataclass(frozen=True, slots=True)
class BadBar:
    """What came instead of a bar: the line (its beginning) and what is wrong with it."""

    line: str
    reason: str
    received_ns: int = 0
    symbol: int = -1  # index into the instruments, where the line names one
    line_number: int = 0  # from 1, blank lines counted; 0 where a source has no lines


@dataclass(frozen=True, slots=True)
class RevisedBar:
    """What a market says now of a bar that has come: recorded, and never traded on."""

    bar: np.void  # BAR, ts_ns the close
    text: str  # which bar, and what of it has changed


@dataclass(frozen=True, slots=True)
class FeedNotice:
    """What a market's feed has to say beside bars: it goes on record as an ALERT of `kind`."""

    kind: str
    text: str
    symbol: int = -1


@dataclass(frozen=True, slots=True)
class NoTrade:
    """A market says, asked after a close, that nothing was traded since its newest bar."""

    symbol: int


FeedItem = LiveBar | BadBar | RevisedBar | NoTrade | FeedNotice


class LiveFeed(Protocol):
    """Where a paper run's bars come from. Iterated once; `aclose` may be called at any time."""

    history: "BarSet | None"  # the files behind a replay: sources, quality, sessions

    @property
    def skipped(self) -> int:
        """Bars of a live feed left out: the run that goes on has traded past them."""
        ...

    @property
    def forming(self) -> int:
        """Bars of a live feed left out because they had not closed yet."""
        ...

    @property
    def untraded(self) -> int:
        """Bars of a live feed that had closed before it began: nothing was decided on them."""
        ...

    @property
    def end(self) -> "FeedEnd":
        """What it means for the run that the feed has ended."""
        ...

    def __aiter__(self) -> AsyncIterator[FeedItem]: ...

    def at_once(self) -> LiveBar | None:
        """The next bar of a replay that waits for nothing; None of any other feed."""
        ...

    async def aclose(self) -> None:
        """Stop reading; nothing more is yielded."""
        ...


def open_feed(
    config: Config,
    clock: FeedClock,
    pace: float | None,
    resumed: ResumePoint = ResumePoint(),  # noqa: B008 - immutable
    tell: Tell | None = None,
) -> LiveFeed:
    """The feed that `config.feed` names.

    `pace` is a multiple of real time for a replay of files, None for no wait; stdin has its own
    pace. Bars that a `resumed` run has are left out. `tell` gets a line for each long wait of a
    replay, for the first bar of a pipe that has not closed yet, and for what was recognised of a
    pipe's lines. Raises `ConfigError` and `DataError` as `load_history` does.
    """
    if config.is_resampled and not config.feed.is_file:
        from trader.feeds.resampled_feed import ResampledFeed, source_config

        short: LiveFeed = open_feed(source_config(config), clock, pace, resumed, tell)
        begins = resumed.after_ns if resumed.after_ns is not None else config.feed.start_ns
        return ResampledFeed(config, short, is_cut=config.feed.is_market and begins is None)
    if config.feed.type == "stdin":
        from trader.feeds.stdin_source import StdinFeed

        return StdinFeed(config, clock, resumed=resumed, tell=tell)
    if config.feed.is_market:
        from trader.feeds.registry import open_source
        from trader.feeds.venue_feed import VenueFeed

        return VenueFeed(config, open_source(config), clock, resumed.after_ns, tell)
    from trader.feeds.feed import load_history
    from trader.feeds.replay_source import LongWaits, ReplayFeed

    waits = None if tell is None else LongWaits(tell, config.period_ns)
    return ReplayFeed(load_history(config), clock, pace, resumed.after_ns, waits)
