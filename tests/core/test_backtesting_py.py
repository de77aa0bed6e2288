"""To the cent with backtesting.py: next-open fills, whole shares, bps commission, real bars."""

import warnings

import numpy as np
import pandas as pd
import pytest

from tests.core.test_naive import read_real
from tests.core_kit import run

CASH = 10_000_000.0
FILES = [
    ("BITFINEX_BTCUSD_1m.parquet", 60_000),
    ("BITFINEX_XRPUSD_1m.parquet", 60_000),
    ("USDJPY_1m_bidask.csv", 28_000),
]

pytestmark = pytest.mark.long  # imports a plotting library


def run_backtesting_py(bars: np.ndarray, actions: np.ndarray, size: int, bps: float):
    """The same actions in backtesting.py: long `size`, short `size`, or leave it."""
    backtesting = pytest.importorskip("backtesting")

    class Follow(backtesting.Strategy):
        def init(self):
            pass

        def next(self):
            action = actions[len(self.data) - 1]
            held = self.position.size
            wanted = {0: held, 1: size, 2: -size}[int(action)]
            if wanted > held:
                self.buy(size=wanted - held)
            elif wanted < held:
                self.sell(size=held - wanted)

    frame = pd.DataFrame(
        {name.capitalize(): bars[name] for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(bars["ts_ns"]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = backtesting.Backtest(
            frame, Follow, cash=CASH, commission=bps / 10_000, trade_on_close=False
        )
        return test.run()


def market_actions(bars: np.ndarray) -> np.ndarray:
    """A moving-average cross, always in the market, from the 30th bar."""
    close = pd.Series(bars["close"])
    fast, slow = close.rolling(10).mean(), close.rolling(30).mean()
    actions = np.where(fast > slow, 1, 2).astype(np.int8)
    actions[:30] = 0  # backtesting.py runs no strategy on the very first bar
    return actions


@pytest.mark.parametrize(("name", "rows"), FILES)
@pytest.mark.parametrize("bps", [0.0, 2.0])
@pytest.mark.long
def test_final_equity_and_fills_equal_backtesting_py(real_data, name, rows, bps):
    bars = read_real(real_data / name, rows)
    actions = market_actions(bars)
    result = run(bars, actions, cash=CASH, base_size=7.0, commission_value=bps)
    theirs = run_backtesting_py(bars, actions, 7, bps)
    assert len(result.fills) > 100
    assert float(result.account["equity"]) == pytest.approx(
        theirs["_equity_curve"]["Equity"].iloc[-1], abs=0.005
    )
    trades = theirs["_trades"]
    entries = result.fills["price"]
    assert np.all(np.isin(np.round(trades["EntryPrice"], 9), np.round(entries, 9)))
    assert len(result.fills) in (len(trades), len(trades) + 1)
