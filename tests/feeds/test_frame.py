"""A pandas frame as bars: what is taken, and what raises."""

import asyncio

import numpy as np
import pandas as pd
import pytest

from trader.engine.slices import history_portions
from trader.errors import DataError
from trader.feeds.frame import bars_from_frame


def frame(count: int = 3, **columns: object) -> pd.DataFrame:
    index = pd.date_range("2024-03-10 01:58", periods=count, freq="min", tz="America/New_York")
    values = {name: np.arange(count) + 10.0 for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({**values, **columns}, index=index)


def test_a_frame_in_any_zone_becomes_bars_of_utc_closes():
    bars = bars_from_frame(frame())
    assert bars["ts_ns"][0] == pd.Timestamp("2024-03-10T06:58:00Z").value
    assert np.diff(bars["ts_ns"]).tolist() == [60 * 10**9] * 2  # across the change of clocks
    assert bars["close"].tolist() == [10.0, 11.0, 12.0]
    assert np.isnan(bars["bid"]).all()


def test_a_frame_of_several_symbols_is_sorted_into_slices():
    both = pd.concat([frame(symbol="B"), frame(symbol="A")])
    bars = bars_from_frame(both, ("A", "B"))
    assert bars["symbol"].tolist() == [0, 1] * 3

    async def slices() -> list[int]:
        return [len(one.bars) async for part in history_portions(bars) for one in part.slices]

    assert asyncio.run(slices()) == [2, 2, 2]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda f: f.reset_index(drop=True), "not a DatetimeIndex"),
        (lambda f: f.tz_localize(None), "no time zone"),
        (lambda f: f.iloc[::-1], "before the one above it"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), "twice"),
        (lambda f: f.drop(columns="close"), "no column 'close'"),
        (lambda f: f.assign(close="x"), "holds no numbers"),
        (lambda f: f.assign(symbol="X"), "'X' is not an instrument"),
        (lambda f: f.set_index(f.index.where([True, False, True])), "NaT"),
    ],
)
def test_a_frame_without_proper_times_or_columns_raises(broken, words):
    with pytest.raises(DataError, match=words):
        bars_from_frame(broken(frame()), ("ACME",))


def test_bars_of_one_symbol_may_be_named():
    assert bars_from_frame(frame(), ("A", "B"), "B")["symbol"].tolist() == [1, 1, 1]
    with pytest.raises(DataError, match="several instruments"):
        bars_from_frame(frame(), ("A", "B"))
