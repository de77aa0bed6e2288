"""`bars: 3600`: features of a longer period see closed bars only, alike in history and stream."""

import numpy as np
import pandas as pd
import pytest

from tests.features_kit import MINUTE, feature_set, same, streamed, walk_bars
from trader.core.schema import SESSION
from trader.errors import ConfigError
from trader.hours.long_periods import long_ends
from trader.jobs.lookahead import after_long_closes

HOUR = 60 * MINUTE
BARS = walk_bars(900, symbols=2, seed=5)
SPECS = {
    "fast": {"type": "sma", "period": 3},
    "hourly_rsi": {"type": "rsi", "period": 3, "bars": 3600},
    "two": {"type": "zscore", "window": 4, "bars": 7200},
    "turnover": {"type": "sma", "period": 2, "input": "volume", "bars": 3600},
    "mean": {"type": "sma", "period": 1, "bars": 3600},
}


def sessions_of(bars):
    """Days with a morning from 08:20 and an afternoon to 16:45, a break between them."""
    days = np.unique((bars["ts_ns"] - 1) // (24 * HOUR))
    rows = [
        (day * 24 * HOUR + first * MINUTE, day * 24 * HOUR + last * MINUTE, day)
        for day in days.tolist()
        for first, last in ((500, 720), (780, 1005))
    ]
    return np.array(rows, SESSION)


@pytest.mark.parametrize("hours", [None, "sessions"])
def test_history_and_stream_give_the_same_bits(hours):
    more = {} if hours is None else {"sessions": sessions_of(BARS)}
    features = feature_set(SPECS, BARS, **more)
    whole = features.batch(BARS)
    assert same(whole, streamed(features, BARS)).all()
    stream = features.stream()
    stream.warm_up(BARS[:401])
    rows = np.array([stream.update(bar) for bar in BARS[401:]])
    assert same(whole[401:], rows).all()
    for count in (1, 2, 77, 500):
        assert same(features.batch(BARS[:count]), whole[:count]).all()
    assert np.isfinite(whole[-50:]).all(axis=1).any()


def test_a_bar_sees_the_hour_that_has_closed_as_pandas_makes_it():
    bars = BARS[BARS["symbol"] == 0]
    features = feature_set({"mean": SPECS["mean"], "turnover": SPECS["turnover"]}, bars)
    stamps = pd.DatetimeIndex(bars["ts_ns"].view("M8[ns]"))
    frame = pd.DataFrame({"close": bars["close"], "volume": bars["volume"]}, index=stamps)
    hours = frame.resample("1h", closed="right", label="right")
    closed = pd.DataFrame({"close": hours["close"].last(), "volume": hours["volume"].sum()})
    closed = closed[hours["close"].count() > 0]
    closed["turnover"] = closed["volume"].rolling(2).mean()
    expected = closed.reindex(stamps, method="ffill")[["close", "turnover"]].to_numpy()
    np.testing.assert_allclose(features.batch(bars), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bars", [600, 60, 900, 90_000, "hour", True])
def test_a_period_that_is_no_longer_bar_is_refused(bars):
    with pytest.raises(ConfigError) as caught:
        feature_set({"one": {"type": "sma", "bars": bars}}, BARS)
    assert caught.value.key == "features.one.bars"


def test_a_frame_makes_its_longer_bars_itself():
    spec = {"type": "frame", "target": "x:y", "window": 5, "bars": 3600}
    with pytest.raises(ConfigError, match="no meaning for type frame"):
        feature_set({"one": spec}, BARS)


def test_lookahead_cuts_at_the_end_of_every_session_it_can():
    """An hour is cut short by the break and by the evening: both are closes of longer bars."""
    bars = BARS[BARS["symbol"] == 0]
    hours = sessions_of(bars)
    stamps = bars["ts_ns"]
    cuts = set(after_long_closes(stamps, hours, HOUR, 10_000))
    inside = [row for row in hours if stamps[0] < row["close_ns"] < stamps[-3]]
    assert len(inside) > 5
    for row in inside:
        rows = int(np.searchsorted(stamps, row["close_ns"], side="right"))
        if rows and stamps[rows - 1] > row["open_ns"]:  # it has bars
            assert {rows, rows + 1, rows + 2} <= cuts
    few = set(after_long_closes(stamps, hours, HOUR, 3))
    closes = set(hours["close_ns"].tolist())
    assert any(int(long_ends(stamps[[cut - 1]], hours, HOUR)[0]) in closes for cut in few)
    assert len(few) < len(cuts)
