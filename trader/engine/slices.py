"""Bars become slices: from a history that is whole, or from a feed as they come.

    feed ─► BarGate ─► one slice per close, complete or out of grace ─► Portion

Law: a slice holds one bar a symbol, in symbol order, all of one close, later than the slice
before. A bar that is bad, doubled, revised or too late is in no slice; it is handed on as
`Refused`, with the reason, so that it is recorded.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import numpy as np

from trader.engine.quarantine import Quarantine
from trader.feeds.bargate import BarGate, VerdictKind
from trader.feeds.live import BadBar, FeedItem, FeedNotice, LiveFeed, NoTrade, RevisedBar
from trader.finer_bars import NO_DETAIL, Detail
from trader.moments import iso_utc

SLICES_AT_ONCE = 32  # of a feed that has them at once: a stop is heard between two portions
SLICES_PER_JOB = 128  # of a history: one hop to the executor and back is shared by so many
USES = {
    VerdictKind.LATE: "late",
    VerdictKind.DUPLICATE: "duplicate",
    VerdictKind.REVISED: "revised",
}


class Slice(NamedTuple):
    """All bars that close at one instant, and how they came."""

    bars: np.ndarray  # BAR, (n,), in symbol order
    due_ns: int | None = None  # when it should have been here; None where lateness means nothing
    quarantined: tuple[int, ...] = ()  # symbols that showed a bad bar lately
    held: np.ndarray | None = None  # POSITION (n,) at its close, where the model needs it
    detail: Detail = NO_DETAIL  # the finer bars of each bar, where the feed gives them


class RefusedBar(NamedTuple):
    """A bar, or what came instead of one, that is not traded on."""

    use: str  # late, duplicate, revised, invalid (as the journal spells it); or disorder, of many;
    # or notice, of no bar: what a market's feed has to say
    bar: np.void | None  # BAR; None where the line was none
    text: str = ""
    line: str = ""
    symbol: int = -1  # of the instruments; -1 where the line names none
    kind: str = ""  # of a notice


class Portion(NamedTuple):
    """What came since the last one: slices in order, and what was refused meanwhile."""

    slices: Sequence[Slice]
    refused: Sequence[RefusedBar] = ()


async def history_portions(
    bars: np.ndarray,
    progress: Callable[[int], None] | None = None,
    detail: Detail = NO_DETAIL,
) -> AsyncIterator[Portion]:
    """BAR records sorted by (ts_ns, symbol), many slices at a time; `progress` gets rows done."""
    edges = np.flatnonzero(np.diff(bars["ts_ns"])) + 1
    starts = [0, *edges.tolist(), len(bars)] if len(bars) else [0]
    last = len(starts) - 1
    for first in range(0, last, SLICES_PER_JOB):
        stop = min(first + SLICES_PER_JOB, last)
        rows = itertools.pairwise(starts[first : stop + 1])
        yield Portion([Slice(bars[i:j], detail=detail.rows(i, j)) for i, j in rows])
        if progress is not None:
            progress(starts[stop])


class SlicePlan(NamedTuple):
    """How slices are made of a live feed."""

    symbols: int
    grace_s: float  # how long a slice waits for symbols that are late
    last_ns: int = -(2**63)  # close of the last slice of a resumed run
    is_timed: bool = False  # the feed's bars have a time at which they were due
    max_late: int = 2**63  # bars in a row may be late before that is worth a word


class LiveSlices:
    """The slices of a live feed, as an async iterator of portions. Iterated once."""

    def __init__(
        self,
        feed: LiveFeed,
        gate: BarGate,
        plan: SlicePlan,
        quarantine: Quarantine | None = None,
    ) -> None:
        """`quarantine`: of a run that goes on, as its journal leaves it."""
        self._feed = feed
        self._gate = gate
        self._plan = plan
        self._last_ns = plan.last_ns
        self._waiting: dict[int, np.void] = {}  # bars of the slice that is filling, by symbol
        self._finer: dict[int, np.ndarray] = {}  # and their finer bars
        self._waiting_ns = 0
        self._due_ns: int | None = None
        self._give_up_at: float = 0.0  # of the loop's clock: when the slice goes without the rest
        self._quarantine = quarantine or Quarantine()
        self.items = 0  # that came, good or bad; what is old or repeated is no sign of life
        self.answers = 0  # that nothing was traded
        self._late_in_a_row = 0

    @property
    def bad_in_a_row(self) -> int:
        """Bad bars since the last good one."""
        return self._quarantine.bad_in_a_row

    async def __aiter__(self) -> AsyncIterator[Portion]:
        loop = asyncio.get_running_loop()
        items = aiter(self._feed)
        pending: asyncio.Task[FeedItem] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(items))
                left_s = max(self._give_up_at - loop.time(), 0.0) if self._waiting else None
                done, _ = await asyncio.wait({pending}, timeout=left_s)
                if not done:
                    yield Portion([self._filled()])
                    continue
                came, pending = pending, None
                try:
                    portion = self._arrived(came.result(), loop.time())
                except StopAsyncIteration:
                    break
                if portion is None:
                    continue
                portion, next_one = self._with_more(portion, loop.time())
                yield portion
                if next_one is not None:
                    yield next_one
            if self._waiting:
                yield Portion([self._filled()])
        finally:
            if pending is not None:
                pending.cancel()
            await self._feed.aclose()

    def _with_more(self, portion: Portion, now_s: float) -> tuple[Portion, Portion | None]:
        """`portion` and the slices of what the feed has at once, and what was refused after it."""
        slices = list(portion.slices)
        while slices and len(slices) < SLICES_AT_ONCE and (item := self._feed.at_once()):
            came = self._arrived(item, now_s)
            if came is not None and came.refused:
                return portion._replace(slices=slices), came
            slices += () if came is None else came.slices
        return portion._replace(slices=slices), None

    def _arrived(self, came: FeedItem, now_s: float) -> Portion | None:
        """What one item of the feed completes or is refused for; None if it only waits."""
        if isinstance(came, FeedNotice):
            told = RefusedBar("notice", None, came.text, symbol=came.symbol, kind=came.kind)
            return Portion((), (told,))
        if isinstance(came, NoTrade):
            self.answers += 1
            return None
        if isinstance(came, BadBar):
            self.items += 1
            where = f"line {came.line_number}: " if came.line_number else ""
            text = where + came.reason
            return self._refuse(RefusedBar("invalid", None, text, came.line, came.symbol))
        bar, symbol = came.bar, int(came.bar["symbol"])
        if isinstance(came, RevisedBar):
            self._gate.counts["revised"] += 1
            return self._refuse(RefusedBar("revised", bar.copy(), came.text, symbol=symbol))
        verdict = self._gate.check(bar)
        self.items += verdict.kind not in (VerdictKind.LATE, VerdictKind.DUPLICATE)
        if not verdict.is_accepted:
            use = USES.get(verdict.kind, "invalid")
            return self._refuse(RefusedBar(use, bar.copy(), verdict.detail, symbol=symbol))
        ts_ns = int(bar["ts_ns"])
        if ts_ns <= self._last_ns or (self._waiting and ts_ns < self._waiting_ns):
            text = "its slice has been traded already"
            return self._refuse(RefusedBar("late", bar.copy(), text, symbol=symbol))
        self._quarantine.accept()
        self._late_in_a_row = 0
        slices = []
        if self._waiting and ts_ns > self._waiting_ns:
            slices.append(self._filled())
        if not self._waiting:
            self._waiting_ns, self._give_up_at = ts_ns, now_s + self._plan.grace_s
            self._due_ns = came.due_ns if self._plan.is_timed else None
        self._waiting[symbol] = bar.copy()
        if came.finer is not None:
            self._finer[symbol] = came.finer
        if len(self._waiting) == self._plan.symbols:
            slices.append(self._filled())
        return Portion(slices) if slices else None

    def _refuse(self, refused: RefusedBar) -> Portion:
        if refused.use == "invalid":
            self._quarantine.refuse(refused.symbol)
        self._late_in_a_row += refused.use == "late"
        if refused.use == "late" and self._late_in_a_row == self._plan.max_late + 1:
            latest = iso_utc(max(self._last_ns, self._waiting_ns))
            text = f"{self._late_in_a_row} bars in a row are late; only later ones than that of "
            return Portion(
                (), (refused, RefusedBar("disorder", None, f"{text}{latest} are traded"))
            )
        return Portion((), (refused,))

    def _filled(self) -> Slice:
        """The slice that was filling, as it is."""
        symbols = sorted(self._waiting)
        rows = [self._waiting[symbol] for symbol in symbols]
        detail = NO_DETAIL
        if self._finer:
            detail = Detail.of([self._finer.get(symbol, NO_DETAIL.finer) for symbol in symbols])
        self._waiting.clear()
        self._finer.clear()
        self._last_ns = self._waiting_ns
        bars, held = np.array(rows, rows[0].dtype), self._quarantine.held(symbols)
        return Slice(bars, self._due_ns, held, detail=detail)
