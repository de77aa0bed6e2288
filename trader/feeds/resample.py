"""Bars of `feed.period_seconds` made into bars of `bar_period_seconds`.

    source bars, judged ─► the long bar each lies in ─► closed long bars

Law: a long bar lies in one session, closes on the grid of the trading hours and is there once the
feed has a bar that closes at its end or later; the one that still forms is not. One that lacks
source bars is made of what is there, and told. A history and a live feed make the same bits.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR, BAR_HISTORY, BAR_PROOF_BITS, NS_PER_SECOND
from trader.feeds.series import merged
from trader.feeds.sessions import trading_time_ns
from trader.finer_bars import Detail
from trader.hours.bar_sessions import bar_opens
from trader.hours.long_periods import LongSpans, first_rows, long_bars, long_spans
from trader.hours.periods import bar_clock, has_session_bars, stretch_flags
from trader.moments import iso_utc
from trader.record_arrays import joined, taken

if TYPE_CHECKING:
    from trader.feeds.feed import BarSet

EXAMPLES = 5


class LongGrid:
    """Which long bar of a config a source bar lies in."""

    def __init__(self, config: Config) -> None:
        self.period_ns, self._source = config.period_ns, config.at_source
        by_open = config.model_copy(
            update={"feed": config.feed.model_copy(update={"timestamp": "open"})}
        )
        self._clock = bar_clock(by_open)
        self._source_clock = bar_clock(self._source)

    def spans(self, bars: np.ndarray, sessions: np.ndarray) -> tuple[LongSpans, np.ndarray]:
        """(spans, whether a bar lies in its span whole) of source BAR records."""
        closes = bars["ts_ns"]
        if self._clock.is_fixed:
            spans = long_spans(closes, sessions, self.period_ns)
            return spans, np.ones(len(bars), bool)
        opens = bar_opens(bars, self._source.period_ns)
        found = self._clock.spans(opens)
        inside = found.known & (found.open_ns <= opens) & (closes <= found.close_ns)
        return LongSpans(found.open_ns, found.close_ns), inside

    def expected(self, spans: LongSpans, sessions: np.ndarray) -> np.ndarray:
        """How many source bars each long bar should hold."""
        if not self._source_clock.is_fixed:
            ends = np.concatenate([spans.open_ns, spans.close_ns])
            first, last = np.split(self._source_clock.numbers(ends), 2)
            return last - first + int(has_session_bars(self._source))
        first, last = (trading_time_ns(sessions, ends) for ends in spans)
        return -(-(last - first) // self._source.period_ns)

    def flags(self, spans: LongSpans, last: np.ndarray) -> np.ndarray:
        """`flags` of long bars whose last source bars are `last`."""
        stretch = stretch_flags(spans.open_ns, spans.close_ns, self.period_ns)
        return stretch | (last["flags"] & (BAR_HISTORY | BAR_PROOF_BITS))


def resampled(config: Config, bar_set: "BarSet") -> "BarSet":
    """The closed long bars of a history, and in its report what they lack."""
    if not config.is_resampled:
        return bar_set
    grid, bars, sessions = LongGrid(config), bar_set.bars, bar_set.sessions
    newest_ns = int(bars["ts_ns"][-1]) if len(bars) else 0
    parts, sources, lacking, forming, outside = [], [], [], 0, 0
    for symbol in np.unique(bars["symbol"]).tolist():
        own = bars[bars["symbol"] == symbol]
        spans, inside = grid.spans(own, sessions)
        outside += int(np.count_nonzero(~inside))
        own, spans = own[inside], LongSpans(*(ends[inside] for ends in spans))
        if not len(own):
            continue
        first = first_rows(spans.close_ns)
        counts = np.diff(np.append(first, len(own)))
        made = long_bars(own, spans.close_ns)
        whole = LongSpans(*(ends[first] for ends in spans))
        made["flags"] = grid.flags(whole, own[np.append(first[1:], len(own)) - 1])
        closed = made["ts_ns"] <= newest_ns
        forming += int(counts[~closed].sum())
        expected = grid.expected(whole, sessions)
        lacking += [
            (int(made["ts_ns"][row]), config.symbols[symbol], int(counts[row]), int(expected[row]))
            for row in np.flatnonzero(closed & (counts < expected)).tolist()
        ]
        parts.append(made[closed])
        if config.has_detail:  # what is not closed is the last one
            sources.append((own[: counts[closed].sum()], counts[closed]))
    whole_bars = merged(parts)
    told = _told(config, sorted(lacking), whole_bars, (forming, outside))
    bar_set.quality.resampled = told
    if not config.has_detail:
        return replace(bar_set, bars=whole_bars)
    detail = _detail(joined(parts, BAR), sources)
    told["in_one_piece"] = int(np.count_nonzero(np.diff(detail.edges) == 1))
    return replace(bar_set, bars=whole_bars, detail=detail)


def _detail(bars: np.ndarray, sources: list[tuple[np.ndarray, np.ndarray]]) -> Detail:
    """The source bars of long bars, of one symbol after another, in the order of a history.

    `sources`: a symbol's source bars, and how many of them each of its bars is made of.
    """
    if not sources:
        return Detail.of(())
    shorter = joined([own for own, _ in sources], BAR)
    counts = np.concatenate([count for _, count in sources])
    if len(sources) == 1:
        return Detail(shorter, np.append(0, np.cumsum(counts)))
    order = np.lexsort((bars["symbol"], bars["ts_ns"]))
    first = np.append(0, np.cumsum(counts))[:-1]
    edges = np.append(0, np.cumsum(counts[order]))
    places = np.repeat(first[order] - edges[:-1], counts[order]) + np.arange(edges[-1])
    return Detail(taken(shorter, places), edges)


def _told(
    config: Config,
    lacking: list[tuple[int, str, int, int]],
    bars: np.ndarray,
    left_out: tuple[int, int],
) -> dict[str, Any]:
    return {
        "from_seconds": config.at_source.bar_period_seconds,
        "to_seconds": config.bar_period_seconds,
        "bars": len(bars),
        "lacking": len(lacking),
        "examples": [lack_text(config, *one) for one in lacking[:EXAMPLES]],
        "not_closed": left_out[0],
        "in_no_session": left_out[1],
    }


def lack_text(config: Config, close_ns: int, symbol: str, count: int, expected: int) -> str:
    """A long bar that lacks source bars, for people."""
    return (
        f"{symbol}, bar closing {iso_utc(close_ns)}: {count} of {expected} bars of "
        f"{config.at_source.period_ns / NS_PER_SECOND:g} s"
    )
