"""To the cent with backtesting.py: limit and stop entries with a stop and a target each, real bars.

One order in each of many stretches of three files, so that no trade hangs on the one before. What
a bar leaves open is not compared, and counted:
- entered in a bar that also holds the stop or the target: backtesting.py puts that exit off to the
  next bar, and says that the trade is dubious; ours fills the stop there, and the target where the
  entry was at the open;
- stop and target in one bar: both take the stop, and ours says AMBIGUOUS;
- an open beyond the target: ours closes there, backtesting.py looks at the stop first.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from tests.core.test_backtesting_py import CASH, FILES
from tests.core.test_naive import read_real
from tests.core_kit import run
from tests.tiers import cases
from trader.core.schema import FillFlag, OrderKind
from trader.models.prediction import no_requests

pytestmark = pytest.mark.long  # imports a plotting library

ASKED, LENGTH = 2, 120
OFFSET = {"limit": -1.0, "stop": 1.0}  # times the mean range of a bar
STOP, TARGET = 4.0, 6.0


def theirs(bars, kind, levels):
    """(entry row, price, exit row, price) by backtesting.py of 7 bought at a row's prices."""
    price, stop, target = levels

    backtesting = pytest.importorskip("backtesting")

    class Enter(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) - 1 == ASKED:
                self.buy(size=7, sl=stop, tp=target, **{kind: price})

    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame(
        {name.capitalize(): bars[name] for name in names}, index=pd.to_datetime(bars["ts_ns"])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = backtesting.Backtest(frame, Enter, cash=CASH).run()["_trades"]
    return [
        (one.EntryBar, one.EntryPrice, one.ExitBar, one.ExitPrice) for one in found.itertuples()
    ]


def ours(bars, kind, levels):
    """The same by the core, and whether it was ambiguous."""
    price, stop, target = levels
    actions = np.zeros(len(bars), np.int8)
    actions[ASKED] = 1
    requests = no_requests(len(bars))
    requests["stop_loss"][ASKED], requests["take_profit"][ASKED] = stop, target
    terms = {"entry_type": 2, "entry_offset_bps": (price / bars["close"][ASKED] - 1.0) * 10_000}
    if kind == "limit":
        requests["limit_price"][ASKED], terms = price, {}
    result = run(bars, actions, cash=CASH, base_size=7.0, limit_fill=1, requests=requests, **terms)
    period = int(result.rules.broker[0]["period_ns"])
    places = []
    for fill in result.fills:
        inside = fill["flags"] & FillFlag.INSIDE
        at = fill["ts_ns"] if inside else fill["ts_ns"] + period
        places.append(int(np.searchsorted(bars["ts_ns"], at)))
    if len(result.fills) < 2:
        return [], False
    first, last = result.fills
    assert (first["kind"], last["kind"] != OrderKind.SIGNAL) == (OrderKind.ENTRY, True)
    trade = places[0], float(first["price"]), places[1], float(last["price"])
    return [trade], bool(last["flags"] & FillFlag.AMBIGUOUS)


def is_open(trade, bars, levels):
    """Whether a bar leaves open what a trade did."""
    entered, _, left, _ = trade
    _, stop, target = levels
    entry, out = bars[entered], bars[left]
    beside = entry["low"] <= stop or entry["high"] >= target
    return bool(beside or (out["low"] <= stop and out["high"] >= target) or out["open"] > target)


@pytest.mark.parametrize("name", [name for name, _ in FILES])
@pytest.mark.parametrize("kind", ["limit", "stop"])
def test_a_trade_entered_by_an_order_equals_backtesting_py(real_data, name, kind):
    whole = read_real(real_data / name, 60_000)
    equal = doubtful = ambiguous = 0
    tried = cases(48)
    for start in np.linspace(0, len(whole) - LENGTH, tried).astype(int):
        bars = whole[start : start + LENGTH].copy()
        wide = float((bars["high"] - bars["low"]).mean())
        price = float(bars["close"][ASKED]) + OFFSET[kind] * wide
        levels = price, price - STOP * wide, price + TARGET * wide
        mine, was_ambiguous = ours(bars, kind, levels)
        other = theirs(bars, kind, levels)
        ambiguous += was_ambiguous
        if any(is_open(trade, bars, levels) for trade in (*mine, *other)):
            doubtful += 1
            continue
        assert len(mine) == len(other)
        for one, two in zip(mine, other, strict=True):
            assert (one[0], one[2]) == (two[0], two[2])
            assert (one[1], one[3]) == pytest.approx((two[1], two[3]), abs=0.005)
            equal += 1
    print(f"{name} {kind}: {equal} equal, {doubtful} doubtful, {ambiguous} ambiguous")
    assert equal > tried // 6, "enough is compared"
    assert equal + doubtful > tried // 2, "most orders fill"
