"""Bars of a longer period out of shorter ones: where they begin and end, and what is in them.

Law: a long bar begins at the opening of its stretch of trading hours (24x7: midnight UTC) and the
last of a stretch closes with it, so none holds bars of two sessions. A history and a stream make
the same long bars, bit for bit.
"""

from typing import NamedTuple

import numpy as np

from trader.core.schema import BAR

LAST = ("close", "bid", "ask")


class LongSpans(NamedTuple):
    """Opens and closes of the long bars that some bars lie in, int64 UTC nanoseconds."""

    open_ns: np.ndarray
    close_ns: np.ndarray


def long_spans(stamps_ns: np.ndarray, sessions: np.ndarray, long_ns: int) -> LongSpans:
    """The long bars that bars closing at `stamps_ns` (n,) lie in.

    Outside of trading hours they are counted from midnight UTC and end where the next begin.
    """
    inside = stamps_ns - 1
    at = np.searchsorted(sessions["open_ns"], inside, side="right") - 1
    opens = np.append(sessions["open_ns"], np.iinfo(np.int64).max)
    closes = np.append(sessions["close_ns"], np.iinfo(np.int64).min)
    is_open = (at >= 0) & (inside < closes[at])
    start = np.where(is_open, opens[at], 0)
    begins = start + (inside - start) // long_ns * long_ns
    ends = np.minimum(begins + long_ns, np.where(is_open, closes[at], opens[at + 1]))
    before = np.where(at >= 0, closes[at], np.iinfo(np.int64).min)
    begins = np.where(is_open, begins, np.maximum(begins, before))
    return LongSpans(begins.astype(np.int64), ends.astype(np.int64))


def long_ends(stamps_ns: np.ndarray, sessions: np.ndarray, long_ns: int) -> np.ndarray:
    """When the long bars close that bars closing at `stamps_ns` (n,) lie in."""
    return long_spans(stamps_ns, sessions, long_ns).close_ns


def long_bars(bars: np.ndarray, ends_ns: np.ndarray) -> np.ndarray:
    """BAR of the long bars, each of which closes at one of `ends_ns`, of one symbol's bars.

    Open first, high, low, close, bid and ask last, volume in all.
    """
    if not len(bars):
        return np.zeros(0, BAR)
    first = first_rows(ends_ns)
    last = np.append(first[1:], len(bars)) - 1
    made = np.zeros(len(first), BAR)
    made["ts_ns"], made["symbol"] = ends_ns[first], bars["symbol"][0]
    made["open"] = bars["open"][first]
    made["high"] = np.maximum.reduceat(bars["high"], first)
    made["low"] = np.minimum.reduceat(bars["low"], first)
    number = np.repeat(np.arange(len(first)), last - first + 1)
    made["volume"] = np.bincount(number, bars["volume"])  # one by one, as a stream adds
    for name in LAST:
        made[name] = bars[name][last]
    return made


def first_rows(ends_ns: np.ndarray) -> np.ndarray:
    """The first row of each long bar."""
    return np.flatnonzero(np.concatenate([[True], ends_ns[1:] != ends_ns[:-1]]))


class FormingBars:
    """The long bar that forms, of every symbol, as bars come."""

    def __init__(self, n_symbols: int) -> None:
        self._forming = np.zeros(n_symbols, BAR)
        self.counts = [0] * n_symbols  # bars in the one that forms; 0 where none does

    def end_ns(self, symbol: int) -> int | None:
        """When the long bar of a symbol closes that forms now."""
        return int(self._forming[symbol]["ts_ns"]) if self.counts[symbol] else None

    def add(self, bar: np.void, end_ns: int) -> None:
        """Put `bar` into the long bar that closes at `end_ns`; an earlier one has been taken."""
        symbol = int(bar["symbol"])
        forming = self._forming[symbol]
        if not self.counts[symbol]:
            self._forming[symbol] = bar  # `forming` is a view of it
            forming["ts_ns"], forming["flags"], forming["volume"] = end_ns, 0, 0.0
        assert forming["ts_ns"] == end_ns, "one long bar at a time"
        self.counts[symbol] += 1
        forming["high"] = max(forming["high"], bar["high"])
        forming["low"] = min(forming["low"], bar["low"])
        forming["volume"] += bar["volume"]
        for name in LAST:
            forming[name] = bar[name]

    def take(self, symbol: int) -> np.void:
        """The long bar of a symbol as it stands: it has closed."""
        self.counts[symbol] = 0
        taken: np.void = self._forming[symbol].copy()
        return taken
