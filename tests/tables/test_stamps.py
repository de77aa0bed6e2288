"""Stamps: zones, changes of clocks, and years that do not fit."""

import numpy as np
import pandas as pd
import pytest

from tests.feeds_kit import config_of, csv_text
from trader.errors import DataError
from trader.feeds.feed import load_history

NEW_YORK = "feed.timezone=America/New_York"


def closes(folder, stamps, *overrides):
    """ISO closes (UTC) of hourly bars with these stamps."""
    path = folder / "bars.csv"
    path.write_text(csv_text(stamps))
    bars = load_history(config_of(path, "bar_period_seconds=3600", *overrides)).bars
    return [str(np.datetime64(int(ns), "ns").astype("datetime64[m]")) for ns in bars["ts_ns"]]


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-03-04T14:30:00Z",
        "2024-03-04 14:30:00+00:00",
        "2024-03-04T09:30:00-05:00",
        "2024-03-04T09:30:00-0500",
        "2024-03-04T09:30-05",
        "2024-03-04T14:30:00.000000000Z",
    ],
)
def test_stamp_with_a_zone_is_taken_at_its_word(tmp_path, stamp):
    assert closes(tmp_path, [stamp]) == ["2024-03-04T15:30"]
    assert closes(tmp_path, [stamp], NEW_YORK) == ["2024-03-04T15:30"]


@pytest.mark.parametrize(
    "stamp", ["2024-03-04T14:30:00", "2024-03-04 14:30", "2024-03-04", "20240304T143000"]
)
def test_stamp_without_a_zone_needs_feed_timezone(tmp_path, stamp):
    with pytest.raises(DataError) as caught:
        closes(tmp_path, [stamp])
    assert f"bars.csv line 2: timestamp '{stamp}' has no time zone" in str(caught.value)
    assert "set feed.timezone" in str(caught.value)


def test_zone_on_some_stamps_only_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 3: .*'2024-03-04T15:30:00'.*the same way"):
        closes(tmp_path, ["2024-03-04T14:30:00Z", "2024-03-04T15:30:00"], NEW_YORK)


def test_hour_that_clocks_skip_is_neither_a_gap_nor_a_bar(tmp_path):
    stamps = ["2024-03-10T00:00", "2024-03-10T01:00", "2024-03-10T03:00", "2024-03-10T04:00"]
    expected = ["2024-03-10T06:00", "2024-03-10T07:00", "2024-03-10T08:00", "2024-03-10T09:00"]
    assert closes(tmp_path, stamps, NEW_YORK, "feed.quality.gap=error") == expected


def test_hour_that_happens_twice_is_two_bars_by_their_order(tmp_path):
    stamps = [f"2024-11-03T{hour:02d}:00" for hour in (0, 1, 1, 2, 3)]
    expected = [f"2024-11-03T{hour:02d}:00" for hour in (5, 6, 7, 8, 9)]
    assert closes(tmp_path, stamps, NEW_YORK, "feed.quality.gap=error") == expected


def test_time_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 3: 2024-03-10 02:30:00 does not exist in America"):
        closes(tmp_path, ["2024-03-10T01:30", "2024-03-10T02:30"], NEW_YORK)


def test_hour_that_could_be_either_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 3: 2024-11-03 01:00:00 happens twice.*UTC"):
        closes(tmp_path, ["2024-11-03T00:00", "2024-11-03T01:00", "2024-11-03T02:00"], NEW_YORK)


def test_parquet_times_without_a_zone_follow_the_same_rules(tmp_path):
    path = tmp_path / "bars.parquet"
    times = pd.to_datetime([f"2024-11-03T{hour:02d}:00" for hour in (0, 1, 1, 2)])
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    pd.DataFrame({"timestamp": times, **prices}).to_parquet(path)
    bars = load_history(config_of(path, "bar_period_seconds=3600", NEW_YORK)).bars
    assert np.diff(bars["ts_ns"]).tolist() == [3600 * 10**9] * 3
    with pytest.raises(DataError, match=r"row 0: timestamp 2024-11-03 00:00:00.* has no time zone"):
        load_history(config_of(path, "bar_period_seconds=3600"))


@pytest.mark.parametrize("year", [1600, 1677, 1678, 2261, 2262, 9999])
def test_year_that_would_wrap_is_refused(tmp_path, year):
    with pytest.raises(DataError, match=rf"line 2: the year {year} is outside 1679 to 2260"):
        closes(tmp_path, [f"{year}-03-04T14:30:00Z"])
    with pytest.raises(DataError, match=rf"line 2: the year {year} is outside 1679 to 2260"):
        closes(tmp_path, [f"{year}-03-04T14:30:00"], NEW_YORK)


@pytest.mark.parametrize("year", [1679, 1969, 2038, 2106, 2260])
def test_year_before_1970_or_after_2038_is_read(tmp_path, year):
    assert closes(tmp_path, [f"{year}-03-04T14:30:00Z"]) == [f"{year}-03-04T15:30"]


@pytest.mark.parametrize(
    "stamp",
    [
        *("1709562600", "1709562600000", "03/04/2024 14:30", "noon", "NaT"),
        *("2024-02-30T14:30:00Z", "2016-12-31T23:59:60Z"),
    ],
)
def test_text_that_is_no_time_is_refused(tmp_path, stamp):
    with pytest.raises(DataError, match=r"line 3: timestamp .*is (not an ISO-8601 time|empty)"):
        closes(tmp_path, ["2010-03-04T14:30:00Z", stamp])


def test_empty_stamp_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 3: timestamp is empty"):
        closes(tmp_path, ["2010-03-04T14:30:00Z", ""])


def test_stamp_of_the_close_is_the_close(tmp_path):
    assert closes(tmp_path, ["2024-03-04T14:30Z"], "feed.timestamp=close") == ["2024-03-04T14:30"]
