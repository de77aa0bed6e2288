"""What a market says later of a bar that has gone out, as the run records it."""

import math

import numpy as np

from trader.core.schema import BAR, BAR_HISTORY
from trader.feeds.bargate import difference
from trader.feeds.final_bars import REMEMBERED, EarlierBars
from trader.feeds.finaliser_events import Revision
from trader.feeds.live import RevisedBar
from trader.feeds.source import RawBar
from trader.moments import iso_utc


def revised_bar(revision: Revision, name: str, period_ns: int) -> RevisedBar:
    """Of the instrument `name`; the text says which bar, and what of it has changed."""
    new, close_ns = revision.new, revision.new.open_ns + period_ns
    row = (close_ns, *new[1:], math.nan, math.nan, revision.symbol, BAR_HISTORY)
    text = f"{name} {iso_utc(close_ns)}: {difference(new[1:], revision.old[1:])}"
    return RevisedBar(np.array([row], BAR)[0], text)


def earlier_bars(bars: np.ndarray, symbols: int, period_ns: int) -> EarlierBars:
    """Of BARs that a run has traded on, in order: the newest of each symbol, as its market gave
    them, for corrections that come after a restart."""
    tail = bars[-2 * REMEMBERED * symbols :]  # a year of bars is not looked through for these
    newest = {symbol: tail[tail["symbol"] == symbol][-REMEMBERED:] for symbol in range(symbols)}
    return {
        symbol: [RawBar(int(row["ts_ns"]) - period_ns, *row.item()[1:6]) for row in rows]
        for symbol, rows in newest.items()
    }
