"""Our own kernels against plain formulas, on edge cases, and in three modes of running."""

import datetime as dt
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.core_kit import bars_from, flat_bars
from tests.features_kit import MINUTE, PERIOD, real_bars, same, values, walk_bars
from trader.core.schema import BAR
from trader.features.kernel_features import TYPES
from trader.feeds.sessions import session_table

ROOT = Path(__file__).parents[2]
WALK = walk_bars(400, seed=5, flat=False)
DAY_NS = 86_400 * 10**9


def stamp(text: str) -> int:
    """UTC nanoseconds of `2018-03-09 15:00`."""
    return int(np.datetime64(text, "ns").astype(np.int64))


def bars_at(stamps: list[str], closes: list[float] | None = None) -> np.ndarray:
    """Bars that close at these times, volume 10; open one below the close."""
    bars = np.zeros(len(stamps), BAR)
    bars["ts_ns"] = [stamp(text) for text in stamps]
    bars["close"] = closes or np.arange(len(stamps)) + 100.0
    bars["open"] = bars["close"] - 1.0
    bars["high"], bars["low"] = bars["close"] + 2.0, bars["close"] - 2.0
    bars["volume"] = 10.0
    bars["bid"] = bars["ask"] = np.nan
    return bars


def in_new_york(kind: str, bars: np.ndarray, period_ns: int = MINUTE) -> np.ndarray:
    sessions = session_table("XNYS", int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    return values({"type": kind}, bars, sessions=sessions, period_ns=period_ns)


@pytest.mark.parametrize("period", [1, 2, 7, 60])
def test_returns_compare_the_close_with_the_one_period_bars_ago(period):
    close = WALK["close"]
    found = values({"type": "returns", "period": period}, WALK)
    assert np.isnan(found[:period]).all()
    assert found[period:].tolist() == (close[period:] / close[:-period] - 1.0).tolist()
    found = values({"type": "log_returns", "period": period}, WALK)
    assert np.isnan(found[:period]).all()
    assert found[period:] == pytest.approx(np.log(close[period:] / close[:-period]), rel=1e-12)


@pytest.mark.parametrize("window", [2, 3, 4, 5, 20, 61])
def test_zscore_equals_the_pandas_formula(window):
    close = pd.Series(WALK["close"])
    rolling = close.rolling(window)
    expected = ((close - rolling.mean()) / rolling.std()).to_numpy()
    found = values({"type": "zscore", "window": window}, WALK)
    assert np.isnan(found[: window - 1]).all()
    assert found[window - 1 :] == pytest.approx(expected[window - 1 :], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("offset", [1e-7, 1.0, 1e9, 1e15])
def test_zscore_loses_no_digits_far_from_zero(offset):
    steps = np.array([0, 1, 3, 2, 5, 4, 8, 1, 2, 7], float)
    bars = flat_bars([100.0] * len(steps))
    bars["close"] = offset * (1.0 + steps * 2.0**-10)  # exact at every offset but 1e-7
    found = values({"type": "zscore", "window": 4}, bars)
    last = steps[-4:]
    expected = (last[-1] - last.mean()) / last.std(ddof=1)
    assert found[-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("price", [100.0, 0.1, 1 / 3, 1e15, 1e-8])
def test_zscore_of_a_constant_price_is_zero(price):
    found = values({"type": "zscore", "window": 7}, flat_bars([price] * 30))
    assert found[6:].tolist() == [0.0] * 24


@pytest.mark.parametrize("window", [1, 2, 3, 8, 20])
def test_volume_ratio_divides_by_the_mean_of_the_window_with_this_bar(window):
    volume = pd.Series(WALK["volume"])
    expected = (volume / volume.rolling(window).mean()).to_numpy()
    found = values({"type": "volume_ratio", "window": window}, WALK)
    assert np.isnan(found[: window - 1]).all()
    assert found[window - 1 :] == pytest.approx(expected[window - 1 :], rel=1e-9)


def test_volume_ratio_without_any_volume_is_undefined_and_recovers():
    bars = flat_bars([100.0] * 9)
    bars["volume"] = [0, 0, 0, 6, 0, 0, 0, 0, 3]
    found = values({"type": "volume_ratio", "window": 3}, bars)
    assert np.isnan(found[[0, 1, 2, 6, 7]]).all()
    assert found[[3, 4, 5, 8]].tolist() == [3.0, 0.0, 0.0, 3.0]


@pytest.mark.parametrize("kind", ["returns", "log_returns", "zscore"])
def test_another_column_can_be_the_input(kind):
    param = "window" if kind == "zscore" else "period"
    bars = WALK.copy()
    bars["close"] = bars["high"]
    found = values({"type": kind, param: 5, "input": "high"}, WALK)
    assert same(found, values({"type": kind, param: 5}, bars)).all()


@pytest.mark.parametrize("kind", ["returns", "log_returns"])
def test_returns_of_a_volume_of_zero_are_undefined(kind):
    bars = flat_bars([100.0] * 5)
    bars["volume"] = [5, 0, 0, 8, 4]
    found = values({"type": kind, "input": "volume"}, bars)
    assert np.isnan(found[[0, 2, 3]]).all()
    assert found[1] == -1.0 if kind == "returns" else math.isnan(found[1])
    assert found[4] == (-0.5 if kind == "returns" else math.log(0.5))


def test_session_vwap_starts_anew_with_each_utc_day_around_the_clock():
    typical = (WALK["high"] + WALK["low"] + WALK["close"]) / 3.0
    table = pd.DataFrame({"day": (WALK["ts_ns"] - 1) // DAY_NS, "v": WALK["volume"]})
    table["pv"] = typical * table["v"]
    sums = table.groupby("day")[["pv", "v"]].cumsum()
    assert table["day"].nunique() > 2
    expected = (sums["pv"] / sums["v"]).to_numpy()
    found = values({"type": "session_vwap"}, WALK)
    assert found == pytest.approx(expected, rel=1e-12)
    distance = values({"type": "vwap_distance"}, WALK)
    assert distance == pytest.approx(WALK["close"] / expected - 1.0, rel=1e-9, abs=1e-12)


def test_session_vwap_is_undefined_until_the_session_has_volume():
    bars = flat_bars([100.0, 101.0, 102.0])
    bars["volume"] = [0.0, 2.0, 0.0]
    assert np.isnan(values({"type": "session_vwap"}, bars)[0])
    assert values({"type": "session_vwap"}, bars)[1:].tolist() == [101.0, 101.0]
    assert np.isnan(values({"type": "vwap_distance"}, bars)[0])


def test_session_vwap_goes_on_over_a_lunch_break_and_not_over_night():
    bars = bars_at(
        ["2018-03-09 02:29", "2018-03-09 02:30", "2018-03-09 03:31", "2018-03-12 00:01"]
    )  # Tokyo: 00:00–02:30 and 03:30–06:00 UTC
    sessions = session_table("XTKS", int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    found = values({"type": "session_vwap"}, bars, sessions=sessions, period_ns=MINUTE)
    assert found.tolist() == [100.0, 100.5, 101.0, 103.0]
    minutes = values({"type": "minutes_since_open"}, bars, sessions=sessions, period_ns=MINUTE)
    assert minutes.tolist() == [149.0, 150.0, 211.0, 1.0]


def test_minutes_since_open_follow_the_exchange_through_the_change_of_clocks():
    bars = bars_at(
        [
            "2018-03-09 14:31",  # Friday, New York is 5 hours behind
            "2018-03-09 21:00",
            "2018-03-12 13:31",  # Monday, 4 hours
            "2018-03-12 20:00",
            "2018-07-03 17:00",  # half day, closes at 17:00 UTC
        ]
    )
    assert in_new_york("minutes_since_open", bars).tolist() == [1.0, 390.0, 1.0, 390.0, 210.0]


@pytest.mark.parametrize("kind", ["session_vwap", "vwap_distance", "minutes_since_open", "gap"])
def test_session_features_are_undefined_outside_trading_hours(kind):
    bars = bars_at(
        [
            "2018-03-08 20:00",
            "2018-03-09 14:30",  # closes as the session opens
            "2018-03-09 14:31",
            "2018-03-09 21:01",  # opens as the session closes
            "2018-03-10 15:00",  # Saturday
            "2018-03-12 13:31",
        ]
    )
    found = in_new_york(kind, bars)
    assert np.isnan(found[[1, 3, 4]]).all()
    assert np.isfinite(found[[2, 5]]).all()


def test_a_bar_that_overlaps_the_session_belongs_to_it():
    bars = bars_at(["2018-03-09 15:00", "2018-03-09 21:30", "2018-03-09 22:00"])
    hour = in_new_york("minutes_since_open", bars, period_ns=60 * MINUTE)
    assert hour[:2].tolist() == [30.0, 420.0]
    assert math.isnan(hour[2])


def test_gap_compares_the_first_open_with_the_last_close_before_and_stays():
    bars = bars_at(
        [
            "2018-03-08 14:31",
            "2018-03-08 21:00",
            "2018-03-08 22:00",  # after hours: not the last close of the session
            "2018-03-09 14:35",
            "2018-03-09 21:00",
            "2018-03-12 13:31",
        ],
        [100.0, 110.0, 500.0, 122.0, 120.0, 91.0],
    )
    found = in_new_york("gap", bars)
    assert np.isnan(found[:3]).all()
    assert found[3:].tolist() == [121.0 / 110.0 - 1.0, 121.0 / 110.0 - 1.0, 90.0 / 120.0 - 1.0]


def test_gap_is_each_symbols_own():
    pair = walk_bars(600, symbols=2, seed=8)
    both = values({"type": "gap"}, pair)
    for symbol in (0, 1):
        mine = pair[pair["symbol"] == symbol]
        found = both[pair["symbol"] == symbol]
        days = (mine["ts_ns"] - 1) // DAY_NS
        firsts = np.flatnonzero(np.diff(days)) + 1
        assert len(firsts) >= 1
        for first in firsts:
            assert found[first] == mine["open"][first] / mine["close"][first - 1] - 1.0
            assert found[first] == found[: first + 2][-1]


def test_spread_is_in_basis_points_of_the_middle_and_needs_both_quotes():
    rows = [(10, 10, 10, 10, 1, bid, ask) for bid, ask in [(99, 101), (100, 100), (101, 99)]]
    bars = bars_from([*rows, (10, 10, 10, 10, 1), (10, 10, 10, 10, 1, math.nan, 99.0)])
    found = values({"type": "spread_bps"}, bars)
    assert found[:3].tolist() == [200.0, 0.0, -200.0]
    assert np.isnan(found[3:]).all()


def test_clock_features_are_those_of_the_utc_close():
    bars = bars_at(["2018-03-09 06:00", "2018-03-09 18:00", "2018-03-10 00:00", "2018-03-11 12:00"])
    sine = values({"type": "time_of_day_sin"}, bars)
    cosine = values({"type": "time_of_day_cos"}, bars)
    assert sine == pytest.approx([1.0, -1.0, 0.0, 0.0], abs=1e-15)
    assert cosine == pytest.approx([0.0, 0.0, 1.0, -1.0], abs=1e-15)
    # Friday; the bar that closes at midnight still belongs to it; Sunday
    assert values({"type": "day_of_week"}, bars).tolist() == [4.0, 4.0, 4.0, 6.0]


def test_day_of_week_agrees_with_the_calendar():
    bars = walk_bars(2_000)
    expected = [
        dt.datetime.fromtimestamp(int(ns - 1) // 10**9, dt.UTC).weekday() for ns in bars["ts_ns"]
    ]
    assert values({"type": "day_of_week"}, bars).tolist() == expected


@pytest.mark.parametrize("kind", ["session_vwap", "minutes_since_open", "gap", "day_of_week"])
def test_a_trading_table_made_for_a_shorter_history_gives_the_same_past(kind):
    bars = walk_bars(1_500, seed=9)
    whole = in_new_york(kind, bars, PERIOD)
    assert np.isfinite(whole).any()
    for cut in (1, 100, 431, 900, 1_499):
        assert same(in_new_york(kind, bars[:cut], PERIOD), whole[:cut]).all()


@pytest.mark.long
def test_values_on_real_bars_equal_the_plain_formulas(real_data):
    bars = real_bars(real_data / "US24_1m_2019-02-11_15_panel.csv")
    sessions = session_table("XNYS", int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    found = values({"type": "session_vwap"}, bars, sessions=sessions, period_ns=MINUTE)
    table = pd.DataFrame({name: bars[name] for name in ("ts_ns", "symbol", "volume")})
    table["day"] = table["ts_ns"] // DAY_NS
    table["pv"] = (bars["high"] + bars["low"] + bars["close"]) / 3.0 * bars["volume"]
    sums = table.groupby(["symbol", "day"])[["pv", "volume"]].cumsum()
    vwap = (sums["pv"] / sums["volume"]).to_numpy()  # an index among them has no volume
    assert np.isfinite(vwap).sum() > 40_000
    assert found == pytest.approx(vwap, rel=1e-9, nan_ok=True)
    zscore = values({"type": "zscore"}, bars)
    rolling = pd.Series(bars["close"]).groupby(bars["symbol"]).rolling(20)
    expected = (pd.Series(bars["close"]) - rolling.mean().droplevel(0)) / rolling.std().droplevel(0)
    warm = np.isfinite(zscore) & (expected.abs() < 1e6).to_numpy()
    assert warm.sum() > 40_000
    assert zscore[warm] == pytest.approx(expected.to_numpy()[warm], rel=1e-4, abs=1e-4)


MODES = """
import sys
if "absent" in sys.argv:
    sys.modules["numba"] = None
import hashlib
import numpy as np
from tests.features_kit import feature_set, walk_bars, same
from trader import jit
from trader.features.kernel_features import TYPES
assert jit.COMPILED == ("compiled" in sys.argv), sys.argv
bars = walk_bars(700, symbols=2, seed=4)
for name in TYPES:  # each alone, where a write beside its own state would be outside the array
    matrix = feature_set({name: {"type": name}}, bars).batch(bars)
    bits = np.where(np.isnan(matrix), 0.0, matrix).tobytes()
    print(name, int(np.isnan(matrix).sum()), hashlib.sha256(bits).hexdigest())
together = feature_set({name: {"type": name} for name in TYPES}, bars).batch(bars)
print(hashlib.sha256(np.where(np.isnan(together), 0.0, together).tobytes()).hexdigest())
"""


def in_mode(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MODES, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_kernels_give_the_same_bits_compiled_interpreted_and_without_numba():
    compiled = in_mode("compiled")
    assert len(compiled.splitlines()) == len(TYPES) + 1
    assert in_mode("off", NUMBA_DISABLE_JIT="1") == compiled
    assert in_mode("absent") == compiled
