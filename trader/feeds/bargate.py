"""The data gate for bars that come one by one: the rules of `bars.DataGate`, one bar of memory.

Law: a bar is judged by what came before it and by nothing else, in the batch gate's order (order
and doubles, then values, then jumps and gaps), and the counts are the batch gate's. It never
raises: what the policy calls an error is refused and said. Nothing is repaired.
`LATE` here: older than the last bar of its symbol. Whether its slice still waits for it is said by
`engine/slices.py`.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from trader.config.sections.feed import Quality
from trader.feeds.quality import RULES, exact
from trader.feeds.series import FLOAT_NOISE
from trader.feeds.splits import DeclaredSplits
from trader.hours.periods import BarClock
from trader.moments import iso_utc
from trader.session_rows import bar_open_ns

NEVER = -(2**62)
OVERLAP = "bars overlap: look at bar_period_seconds"


class VerdictKind(IntEnum):
    """What a bar is, most severe finding first."""

    ACCEPTED = 0
    GAP = 1  # accepted, and bars are missing before it
    JUMP = 2
    INVALID = 3
    LATE = 4
    DUPLICATE = 5
    REVISED = 6


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one bar.

    `is_accepted`: it may be traded on. `rule`: the class of `feed.quality` it broke, "" for none.
    `missing`: bars missing inside trading hours since the last accepted one.
    """

    kind: VerdictKind
    is_accepted: bool
    rule: str = ""
    missing: int = 0
    detail: str = ""


ACCEPTED = Verdict(VerdictKind.ACCEPTED, True)


class _Series:
    """What is remembered of one symbol."""

    __slots__ = (
        "close",
        "closed_ns",
        "first",
        "latest_ns",
        "level",
        "open_time",
        "refused_jumps",
        "split",
    )

    def __init__(self) -> None:
        self.latest_ns = NEVER  # newest close seen, of a sane bar or not
        self.first: tuple[float, ...] = ()  # values of the first bar of that close
        self.close = math.nan  # of the last accepted bar
        self.closed_ns = NEVER  # when it closed
        self.split = 1.0  # by which declared splits make the newest bar's prices comparable
        self.level = math.nan  # `close` times the split of its bar
        self.open_time: int | None = None  # trading time at which it opened; or its close
        self.refused_jumps = 0  # in a row


class BarGate:
    """Judges the bars of a run, in the order they come."""

    def __init__(
        self,
        n_symbols: int,
        period_ns: int,
        quality: Quality,
        sessions: np.ndarray | None,
        clock: BarClock | None = None,
        may_be_negative: Sequence[bool] = (),
    ) -> None:
        """`may_be_negative` says of each symbol whether its prices may; without it none may."""
        self._clock = None if clock is None or clock.is_fixed else clock
        self.counts = dict.fromkeys(RULES, 0)
        self.missing_bars = 0
        self.equal_by_last_bit = 0  # bars of which a price lies outside by float noise alone
        self._period_ns = period_ns
        self._most_over = period_ns // 10  # that stamps may be unsteady
        self._quality = quality
        self._may_be_negative = may_be_negative or [False] * n_symbols
        self._splits = DeclaredSplits()
        self._series = [_Series() for _ in range(n_symbols)]
        self._opens: list[int] = []
        if sessions is not None:
            self.extend_sessions(sessions)

    def count_from_here(self) -> None:
        """Forget what was counted, and nothing of what was seen."""
        self.counts = dict.fromkeys(RULES, 0)
        self.missing_bars = self.equal_by_last_bit = 0

    def take_counts(self, other: "BarGate") -> None:
        """Count what another gate has counted, too."""
        for rule, count in other.counts.items():
            self.counts[rule] += count
        self.missing_bars += other.missing_bars
        self.equal_by_last_bit += other.equal_by_last_bit

    def expect_splits(self, splits: DeclaredSplits) -> None:
        """Take declared splits for what they are, and not for jumps."""
        self._splits = splits

    def extend_sessions(self, sessions: np.ndarray) -> None:
        """Take a table that reaches further; it must begin where the first one did."""
        lengths = sessions["close_ns"] - sessions["open_ns"]
        self._opens = sessions["open_ns"].tolist()
        self._lengths = lengths.tolist()
        self._before = np.concatenate([[0], np.cumsum(lengths)]).tolist()

    def check(self, bar: np.void) -> Verdict:
        """The verdict on one BAR record; an accepted bar becomes the one the next is held to."""
        fields: tuple[Any, ...] = bar.item()  # type: ignore[assignment]
        ts_ns, values, symbol = fields[0], fields[1:8], fields[8]
        series = self._series[symbol]
        if ts_ns < series.latest_ns:
            return self._refused(VerdictKind.LATE, "disorder", "earlier than the one before it")
        if ts_ns == series.latest_ns:
            if _equal(values, series.first):
                return self._refused(VerdictKind.DUPLICATE, "duplicate", "the same bar again")
            return self._refused(VerdictKind.REVISED, "revised", difference(values, series.first))
        series.latest_ns, series.first = ts_ns, values
        if self._clock is None and series.closed_ns - (ts_ns - self._period_ns) > self._most_over:
            opens, closed = iso_utc(ts_ns - self._period_ns), iso_utc(series.closed_ns)
            detail = f"opens at {opens}, before the one before it closed ({closed}); {OVERLAP}"
            return self._refused(VerdictKind.INVALID, "disorder", detail)
        if self._splits.are_of(symbol):
            open_ns = bar_open_ns(bar, self._period_ns)
            series.split = float(self._splits.factors(symbol, np.array([open_ns]))[0])
        rule = broken_rule(values, self._may_be_negative[symbol])
        if rule == "ohlc" and is_noise(values):
            self.equal_by_last_bit += 1
            rule = "" if 0.0 <= values[4] < math.inf else "volume"
        if rule == "ohlc" and self._quality.ohlc == "warn":
            self.counts[rule] += 1
            if 0.0 <= values[4] < math.inf:
                return self._in_series(series, ts_ns, values, rule)
            rule = "volume"
        if rule:
            return self._refused(VerdictKind.INVALID, rule, _shown(values))
        return self._in_series(series, ts_ns, values, "")

    def _in_series(
        self, series: _Series, ts_ns: int, values: tuple[float, ...], rule: str
    ) -> Verdict:
        """Jump and gap of a bar whose own values are sane (or kept by policy, broken `rule`)."""
        close, before = values[3] * series.split, series.level
        kind = VerdictKind.INVALID if rule else VerdictKind.ACCEPTED
        detail = _shown(values) if rule else ""
        is_defined = close > 0.0 and before > 0.0  # NaN before the first: no jump
        if is_defined and abs(close / before - 1.0) > self._quality.max_jump:
            jump = f"close {exact(values[3])} after {exact(series.close)}"
            if self._quality.jump == "warn":
                kind, rule, detail = max(kind, VerdictKind.JUMP), rule or "jump", detail or jump
                self.counts["jump"] += 1
            elif series.refused_jumps < self._quality.max_bad_bars:
                series.refused_jumps += 1
                return self._refused(VerdictKind.JUMP, "jump", jump)
        series.refused_jumps = 0
        series.close, series.level, series.closed_ns = values[3], close, ts_ns
        missing = self._missing(series, ts_ns)
        if missing > 0:
            self.counts["gap"] += 1
            self.missing_bars += missing
            kind, rule = max(kind, VerdictKind.GAP), rule or "gap"
            detail = detail or f"{missing} bars missing before"
        if kind == VerdictKind.ACCEPTED:
            return ACCEPTED
        return Verdict(kind, True, rule, missing, detail)

    def _missing(self, series: _Series, ts_ns: int) -> int:
        """Bars missing since the last accepted one, in trading time."""
        if self._clock is not None:
            last, series.open_time = series.open_time, ts_ns
            if last is None:
                return 0
            before, now = self._clock.numbers(np.array([last, ts_ns])).tolist()
            return max(now - before - 1, 0)
        opened = self._trading_time(ts_ns - self._period_ns)
        before, series.open_time = series.open_time, opened
        if before is None:
            return 0
        return max((opened - before + self._period_ns // 2) // self._period_ns - 1, 0)

    def _trading_time(self, ts_ns: int) -> int:
        """`sessions.trading_time_ns` of one time."""
        if not self._opens:
            return ts_ns
        row = max(bisect_right(self._opens, ts_ns) - 1, 0)
        return self._before[row] + min(max(ts_ns - self._opens[row], 0), self._lengths[row])

    def _refused(self, kind: VerdictKind, rule: str, detail: str) -> Verdict:
        self.counts[rule] += 1
        return Verdict(kind, False, rule, 0, detail)


def broken_rule(values: tuple[float, ...], may_be_negative: bool = False) -> str:
    """The first rule that a bar's own values break, "" for none.

    `values` are open, high, low, close, volume, bid, ask; a quote may be NaN.
    """
    opened, high, low, close, volume, bid, ask = values
    least = -math.inf if may_be_negative else 0.0
    for price in (opened, high, low, close):
        if not least < price < math.inf:
            return "price"
    for quote in (bid, ask):
        if not (least < quote < math.inf or quote != quote):
            return "price"
    if not (low <= opened <= high and low <= close <= high):
        return "ohlc"
    return "" if 0.0 <= volume < math.inf else "volume"


def is_noise(values: tuple[float, ...]) -> bool:
    """Whether open and close lie between low and high but for the noise of floats."""
    opened, high, low, close = values[:4]
    slack = FLOAT_NOISE * max(abs(high), abs(low))
    return low - slack <= min(opened, close) and max(opened, close) <= high + slack


def _equal(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a == b or (a != a and b != b) for a, b in zip(one, other, strict=True))


NAMES = ("open", "high", "low", "close", "volume", "bid", "ask")


def _shown(values: tuple[float, ...]) -> str:
    return " ".join(f"{n}={exact(v)}" for n, v in zip(NAMES, values, strict=True))


def difference(values: tuple[float, ...], first: tuple[float, ...]) -> str:
    """What of a bar has changed, in words; without bid and ask where it has none."""
    changed = [
        f"{name} {exact(old)} became {exact(new)}"
        for name, old, new in zip(NAMES, first, values, strict=False)
        if not (old == new or (old != old and new != new))
    ]
    return ", ".join(changed)
