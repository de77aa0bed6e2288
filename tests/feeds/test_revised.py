"""What a market says of bars that have gone out."""

import numpy as np

from trader.core.schema import BAR
from trader.feeds.final_bars import REMEMBERED
from trader.feeds.revised import earlier_bars
from trader.feeds.source import RawBar

PERIOD_NS = 60_000_000_000


def test_the_newest_traded_bars_of_each_symbol_are_as_the_market_gave_them():
    bars = np.zeros(700, BAR)
    bars["ts_ns"] = (np.arange(700) // 2 + 1) * PERIOD_NS
    bars["symbol"] = np.arange(700) % 2
    bars["close"] = np.arange(700)
    bars["volume"] = 7.0
    bars = np.delete(bars, np.flatnonzero(bars["symbol"][:-2] == 1))  # of the second the last only
    changed = bars[-4:-3].copy()
    changed["close"] = 1.5
    refused = [("late", bars[:1]), ("revised", changed)]
    found = earlier_bars(bars, refused, 3, PERIOD_NS)
    assert [len(found[symbol]) for symbol in range(3)] == [REMEMBERED, 1, 0]
    assert found[0][-1] == RawBar(349 * PERIOD_NS, 0.0, 0.0, 0.0, 698.0, 7.0)
    at_ns = int(changed["ts_ns"][0]) - PERIOD_NS
    assert [bar.close for bar in found[0] if bar.open_ns == at_ns] == [1.5]
    assert [bar.open_ns // PERIOD_NS for bar in found[0]] == list(range(286, 350))
