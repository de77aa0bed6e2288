"""What a market says later of a bar that has gone out, as the run records it."""

import math
from collections.abc import Iterable

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


def earlier_bars(
    bars: np.ndarray, refused: Iterable[tuple[str, np.ndarray]], symbols: int, period_ns: int
) -> EarlierBars:
    """The newest bars of each symbol, as its market has told them, for corrections that come after
    a restart. `bars`: BARs that the run has traded on, in order; `refused`: others, by their use.
    """
    tail = bars[-2 * REMEMBERED * symbols :]  # a year of bars is not looked through for these
    corrected = {bar_key(row): row for use, rows in refused if use == "revised" for row in rows}
    found: dict[int, list[RawBar]] = {symbol: [] for symbol in range(symbols)}
    for row in tail:
        told = corrected.get(bar_key(row), row)
        bar = RawBar(int(told["ts_ns"]) - period_ns, *told.item()[1:6])
        found[int(row["symbol"])].append(bar)
    return {symbol: told[-REMEMBERED:] for symbol, told in found.items()}


def bar_key(row: np.void) -> tuple[int, int]:
    """The symbol of a BAR, and its close in ns: by which what is said later finds it."""
    return int(row["symbol"]), int(row["ts_ns"])
