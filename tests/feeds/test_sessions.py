"""Trading hours: half days, lunch breaks, changes of clocks, and gaps counted inside them only."""

import numpy as np
import pytest

from tests.feeds_kit import config_of, csv_text
from trader.errors import ConfigError
from trader.feeds.feed import load_history
from trader.feeds.sessions import (
    bars_per_year,
    off_grid,
    session_table,
    sessions_per_year,
    trading_time_ns,
)

MINUTE = 60 * 10**9


def ns(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


def hours(code, day):
    """Opens and closes of one day, `HH:MM` UTC."""
    table = session_table(code, ns(day), ns(day))
    rows = table[table["session"] == int(np.datetime64(day, "D").astype(np.int64))]
    return [
        tuple(str(np.datetime64(int(row[name]), "ns"))[11:16] for name in ("open_ns", "close_ns"))
        for row in rows
    ]


@pytest.mark.parametrize(
    ("code", "day", "expected"),
    [
        ("XNYS", "2024-03-08", [("14:30", "21:00")]),
        ("XNYS", "2024-03-11", [("13:30", "20:00")]),  # clocks forward in New York
        ("XNYS", "2024-11-01", [("13:30", "20:00")]),
        ("XNYS", "2024-11-04", [("14:30", "21:00")]),  # and back
        ("XNYS", "2024-07-03", [("13:30", "17:00")]),  # a half day
        ("XNYS", "2024-07-04", []),  # a holiday
        ("XNYS", "2024-03-09", []),  # a Saturday
        ("XLON", "2024-03-28", [("08:00", "16:30")]),
        ("XLON", "2024-04-02", [("07:00", "15:30")]),  # clocks forward in London
        ("XTKS", "2024-03-04", [("00:00", "02:30"), ("03:30", "06:00")]),  # lunch
        ("XHKG", "2024-03-04", [("01:30", "04:00"), ("05:00", "08:00")]),
        ("XHKG", "2024-12-24", [("01:30", "04:00")]),  # a half day ends before lunch
        ("24x7", "2024-03-09", [("00:00", "00:00")]),
    ],
)
def test_hours_of_a_day(code, day, expected):
    assert hours(code, day) == expected


@pytest.mark.parametrize("code", ["XNYS", "XTKS", "XHKG", "24x7"])
def test_table_is_sorted_without_overlap_and_reaches_past_both_ends(code):
    first, last = ns("2023-12-29"), ns("2025-01-02")
    table = session_table(code, first, last)
    assert np.all(table["open_ns"] < table["close_ns"])
    assert np.all(table["close_ns"][:-1] <= table["open_ns"][1:])
    assert np.all(np.diff(table["session"]) >= 0)
    assert table["open_ns"][0] < first
    assert table["close_ns"][-1] > last


def test_lunch_is_inside_one_session():
    table = session_table("XTKS", ns("2024-03-04"), ns("2024-03-04"))
    assert np.bincount(np.unique(table["session"], return_inverse=True)[1]).tolist() == [2] * (
        len(table) // 2
    )


def test_unknown_calendar_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'XNYX' is not .*nearest: XNYS") as caught:
        session_table("XNYX", 0, 0)
    assert caught.value.key == "risk.market_hours"


def test_date_that_a_calendar_does_not_reach_is_refused():
    with pytest.raises(ConfigError, match="XHKG does not reach from"):
        session_table("XHKG", ns("1900-01-01"), ns("1900-02-01"))


def gaps(folder, hours_code, stamps, *overrides):
    path = folder / "bars.csv"
    path.write_text(csv_text(stamps))
    config = config_of(path, f"risk.market_hours={hours_code}", *overrides)
    return load_history(config).quality


@pytest.mark.parametrize(
    ("code", "stamps", "missing"),
    [
        ("XNYS", ["2024-03-08T20:59Z", "2024-03-11T13:30Z"], 0),  # weekend and change of clocks
        ("XNYS", ["2024-07-03T16:59Z", "2024-07-05T13:30Z"], 0),  # half day, holiday
        ("XNYS", ["2024-07-03T16:57Z", "2024-07-05T13:31Z"], 3),
        ("XTKS", ["2024-03-04T02:29Z", "2024-03-04T03:30Z"], 0),  # lunch
        ("XTKS", ["2024-03-04T02:28Z", "2024-03-04T03:31Z"], 2),
        ("XHKG", ["2024-12-24T03:59Z", "2024-12-27T01:30Z"], 0),  # half day, Christmas
        ("24x7", ["2024-03-08T23:59Z", "2024-03-09T00:00Z"], 0),
        ("24x7", ["2024-03-08T20:59Z", "2024-03-11T13:30Z"], 64 * 60 + 30),
    ],
)
def test_only_bars_inside_trading_hours_are_missed(tmp_path, code, stamps, missing):
    quality = gaps(tmp_path, code, stamps)
    assert quality.missing_bars == missing
    assert quality.counts["gap"] == (1 if missing else 0)
    if missing:
        assert quality.largest_gaps[0]["missing_bars"] == missing


def test_hourly_bars_from_half_past_are_on_the_grid_of_their_session(tmp_path):
    stamps = [f"2024-03-08T{hour}:30Z" for hour in range(14, 21)]
    assert gaps(tmp_path, "XNYS", stamps, "bar_period_seconds=3600").off_grid == 0
    quality = gaps(tmp_path, "XNYS", [*stamps[:3], "2024-03-08T17:45Z"], "bar_period_seconds=3600")
    assert quality.off_grid == 1
    assert any("not stamped on the grid" in line for line in quality.warnings)


def test_trading_time_stands_still_while_closed_and_does_not_depend_on_blocks():
    table = session_table("XTKS", ns("2024-03-04"), ns("2024-12-31"))
    times = np.arange(ns("2024-03-04"), ns("2024-09-04"), MINUTE)
    clock = trading_time_ns(table, times)
    steps = np.diff(clock)
    assert set(np.unique(steps).tolist()) == {0, MINUTE}
    picked = np.arange(0, len(times), 7_919)
    one_by_one = [int(trading_time_ns(table, times[i : i + 1])[0]) for i in picked]
    assert clock[picked].tolist() == one_by_one
    inside = trading_time_ns(table, times + MINUTE) > clock
    assert off_grid(table, times[inside], MINUTE) == 0
    assert off_grid(table, times + 1, MINUTE) == np.count_nonzero(inside)


def test_year_has_its_sessions_and_bars():
    assert sessions_per_year("24x7") == 365.25
    assert bars_per_year("24x7", 60.0) == 365.25 * 1440
    assert 250 <= sessions_per_year("XNYS") <= 253
    per_day = bars_per_year("XNYS", 60.0) / sessions_per_year("XNYS")
    assert 388 < per_day < 390  # half days take a little
