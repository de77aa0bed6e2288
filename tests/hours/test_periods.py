"""What the stamp of a day, a week or a month means, and what such bars are from then on."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.feeds_kit import VALUES, config_of, csv_text
from trader.core.schema import BAR
from trader.errors import ConfigError, DataError
from trader.feeds.checking import FileTerms, check_file
from trader.feeds.feed import load_history
from trader.feeds.jsonbar import BarParser
from trader.feeds.live import BadBar
from trader.hours.bar_sessions import bar_opens

DAYS = pd.DatetimeIndex(list(pd.bdate_range("2024-03-01", "2024-03-28")))  # clocks change
NAMES = ("open", "high", "low", "close", "volume")
NEW_YORK = "America/New_York"
XNYS = ("bar_period_seconds=day", "risk.market_hours=XNYS")


def spans(bars, config):
    """(open, close) of each BAR as texts, UTC."""
    opens = bar_opens(bars, config.period_ns)
    return [
        tuple(str(np.datetime64(int(ns), "ns"))[:16] for ns in pair)
        for pair in zip(opens, bars["ts_ns"], strict=True)
    ]


def history(folder, stamps, *overrides):
    path = folder / "bars.csv"
    path.write_text(csv_text(stamps))
    config = config_of(path, *overrides)
    return load_history(config), config


def at(clock, zone=NEW_YORK, days=DAYS):
    return (days + pd.Timedelta(clock)).tz_localize(zone)


STAMPED = {  # name → (texts, or an index for Parquet; overrides)
    "dates": (DAYS.strftime("%Y-%m-%d"), ()),
    "dates, in UTC": (DAYS.strftime("%Y-%m-%d"), ("feed.timezone=UTC",)),
    "dates, in Berlin": (DAYS.strftime("%Y-%m-%d"), ("feed.timezone=Europe/Berlin",)),
    "midnight here, no zone": (DAYS.strftime("%Y-%m-%d 00:00:00"), ()),
    "midnight here": (at("0h").map(lambda t: t.isoformat()), ()),
    "midnight UTC": (DAYS.strftime("%Y-%m-%dT00:00:00Z"), ()),
    "midnight UTC, of closes": (
        DAYS.strftime("%Y-%m-%dT00:00:00Z"), ("feed.timestamp=close",)
    ),
    "open": (at("9h30m").tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"), ()),
    "open, no zone": (DAYS.strftime("%Y-%m-%d 09:30"), (f"feed.timezone={NEW_YORK}",)),
    "close": (
        at("16h").tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"), ("feed.timestamp=close",)
    ),
    "close, no zone": (DAYS.strftime("%Y-%m-%d 16:00"), ("feed.timestamp=close",)),
    "close, called an open": (DAYS.strftime("%Y-%m-%d 16:00"), ()),
    "Parquet, midnight UTC": (DAYS.tz_localize("UTC"), ()),
    "Parquet, midnight here": (at("0h"), ()),
    "Parquet, no zone": (DAYS, ()),
    "Parquet, close": (at("16h"), ("feed.timestamp=close",)),
}  # fmt: skip


def loaded_as(folder, stamps, overrides):
    if isinstance(stamps, pd.DatetimeIndex):
        path = folder / "bars.parquet"
        frame = pd.DataFrame({"timestamp": stamps})
        for name, value in zip(
            ("open", "high", "low", "close", "volume"), VALUES.split(","), strict=False
        ):
            frame[name] = float(value)
        frame.to_parquet(path)
    else:
        path = folder / "bars.csv"
        path.write_text(csv_text(stamps))
    config = config_of(path, *XNYS, *overrides)
    return load_history(config), config


@pytest.mark.parametrize("name", STAMPED)
def test_a_daily_bar_is_its_session_however_it_is_stamped(name, tmp_path):
    found, config = loaded_as(tmp_path, *STAMPED[name])
    told = spans(found.bars, config)
    assert told[0] == ("2024-03-01T14:30", "2024-03-01T21:00")
    assert told[-1] == ("2024-03-28T13:30", "2024-03-28T20:00")
    (tmp_path / "other").mkdir()
    other, _ = loaded_as(tmp_path / "other", *STAMPED["dates"])
    assert found.bars.tobytes() == other.bars.tobytes()
    assert found.quality.missing_bars == 0
    assert found.quality.counts["gap"] == 0


@pytest.mark.parametrize("name", ["dates", "midnight UTC", "open", "close, no zone"])
def test_a_live_bar_of_a_day_is_that_of_a_file(name, tmp_path):
    stamps, overrides = STAMPED[name]
    files, config = loaded_as(tmp_path, stamps, overrides)
    parser = BarParser(config)
    for stamp, wanted in zip(stamps, files.bars, strict=True):
        text = f"{stamp}T00:00" if len(stamp) == 10 else stamp
        line = {"timestamp": text, "open": 1, "high": 2, "low": 1, "close": 1.5, "volume": 5}
        assert parser.parse(json.dumps(line).encode(), 0).tobytes() == wanted.tobytes()


def test_a_missing_session_is_a_gap_and_a_holiday_is_none(tmp_path):
    stamps = ["2024-03-27", "2024-03-28", "2024-04-01", "2024-04-03"]  # Good Friday, a weekend
    found, _ = history(tmp_path, stamps, *XNYS)
    assert (found.quality.missing_bars, found.quality.counts["gap"]) == (1, 1)
    with pytest.raises(DataError, match="1 bars missing"):
        history(tmp_path, stamps, *XNYS, "feed.quality.gap=error")


def test_a_date_without_a_session_is_refused_or_left_out(tmp_path):
    stamps = ["2024-03-28", "2024-03-29", "2024-04-01"]
    with pytest.raises(DataError, match=r"line 3: .*no session of XNYS .*no_session"):
        history(tmp_path, stamps, *XNYS)
    found, _ = history(tmp_path, stamps, *XNYS, "feed.quality.no_session=drop")
    assert len(found.bars) == 2
    with pytest.raises(ConfigError, match="a bar without a session cannot be kept"):
        history(tmp_path, stamps, *XNYS, "feed.quality.no_session=warn")


def test_a_live_bar_on_a_holiday_is_named(tmp_path):
    config = config_of(tmp_path / "bars.csv", *XNYS, "feed.timezone=UTC")
    line = {"timestamp": "2024-03-29T00:00", "open": 1, "high": 2, "low": 1, "close": 1.5}
    found = BarParser(config).parse(json.dumps(line | {"volume": 5}).encode(), 0)
    assert isinstance(found, BadBar)
    assert "in no session of XNYS" in found.reason


WEEKS = {
    "Mondays": ["2024-03-18", "2024-03-25", "2024-04-01"],
    "Fridays": ["2024-03-22", "2024-03-29", "2024-04-05"],  # one is no session
    "Saturdays": ["2024-03-23", "2024-03-30", "2024-04-06"],
    "Sundays before": ["2024-03-17", "2024-03-24", "2024-03-31"],
}


@pytest.mark.parametrize("name", WEEKS)
def test_a_week_opens_and_closes_with_its_sessions(name, tmp_path):
    found, config = history(
        tmp_path, WEEKS[name], "bar_period_seconds=week", "risk.market_hours=XNYS"
    )
    assert spans(found.bars, config) == [
        ("2024-03-18T13:30", "2024-03-22T20:00"),
        ("2024-03-25T13:30", "2024-03-28T20:00"),  # Good Friday
        ("2024-04-01T13:30", "2024-04-05T20:00"),
    ]
    assert found.quality.missing_bars == 0


def test_the_sunday_after_a_week_is_its_end_where_closes_are_stamped(tmp_path):
    overrides = "bar_period_seconds=week", "risk.market_hours=XNYS", "feed.timestamp=close"
    found, config = history(tmp_path, ["2024-03-24", "2024-03-31"], *overrides)
    assert [close for _, close in spans(found.bars, config)] == [
        "2024-03-22T20:00", "2024-03-28T20:00",
    ]  # fmt: skip


@pytest.mark.parametrize("period", ["month", "2592000", "2678400", "2629746"])
def test_a_month_is_as_long_as_it_is(period, tmp_path):
    stamps = ["2024-01-01", "2024-02-01", "2024-03-01", "2024-05-01"]
    overrides = f"bar_period_seconds={period}", "feed.timezone=UTC"
    found, config = history(tmp_path, stamps, *overrides)
    assert spans(found.bars, config)[:3] == [
        ("2024-01-01T00:00", "2024-02-01T00:00"),
        ("2024-02-01T00:00", "2024-03-01T00:00"),
        ("2024-03-01T00:00", "2024-04-01T00:00"),
    ]
    assert found.quality.missing_bars == 1
    found, config = history(tmp_path, stamps, *overrides, "risk.market_hours=XNYS")
    assert spans(found.bars, config)[0] == ("2024-01-02T14:30", "2024-01-31T21:00")


def test_a_day_when_clocks_change_is_as_long_as_it_is(tmp_path):
    stamps = ["2024-03-09", "2024-03-10", "2024-03-11"]  # local midnights around the clock
    found, config = history(tmp_path, stamps, "bar_period_seconds=day", f"feed.timezone={NEW_YORK}")
    assert spans(found.bars, config) == [
        ("2024-03-09T05:00", "2024-03-10T05:00"),
        ("2024-03-10T05:00", "2024-03-11T04:00"),
        ("2024-03-11T04:00", "2024-03-12T04:00"),
    ]
    assert found.quality.missing_bars == 0


@pytest.mark.parametrize(
    ("hours", "stamp", "span"),
    [
        ("FX", "2024-03-08", ("2024-03-07T22:00", "2024-03-08T22:00")),
        ("FX", "2024-03-10T21:00Z", ("2024-03-10T21:00", "2024-03-11T21:00")),  # Sunday 17:00
        ("CMES", "2024-03-08", ("2024-03-07T23:00", "2024-03-08T23:00")),
        ("CMES", "2024-03-07T23:00Z", ("2024-03-07T23:00", "2024-03-08T23:00")),  # its open
        ("XTKS", "2024-03-08", ("2024-03-08T00:00", "2024-03-08T06:00")),
        ("XTKS", "2024-03-07T15:00Z", ("2024-03-08T00:00", "2024-03-08T06:00")),  # midnight there
        ("XASX", "2024-03-08", ("2024-03-07T23:00", "2024-03-08T05:00")),
        ("XASX", "2024-03-08T00:00Z", ("2024-03-07T23:00", "2024-03-08T05:00")),
    ],
)
def test_a_session_that_opens_the_evening_before_is_that_of_its_date(hours, stamp, span, tmp_path):
    overrides = "bar_period_seconds=day", f"risk.market_hours={hours}"
    found, config = history(tmp_path, [stamp], *overrides)
    assert spans(found.bars, config) == [span]


def test_minutes_called_days_are_told(tmp_path):
    stamps = [f"2024-03-08T15:{minute:02d}Z" for minute in range(20)]
    with pytest.raises(ConfigError, match="are 60 s apart") as caught:
        history(tmp_path, stamps, *XNYS)
    assert caught.value.key == "bar_period_seconds"


def test_bars_that_reach_into_the_next_close_where_it_opens(tmp_path):
    stamps = ["2024-03-08T15:00Z", "2024-03-08T15:01Z", "2024-03-08T15:01:30Z", "2024-03-08T15:03Z"]
    found, config = history(tmp_path, stamps)
    assert found.quality.overlapping == 1
    assert any("reach into the next" in line for line in found.quality.warnings)
    opens = bar_opens(found.bars, config.period_ns)
    assert np.all(found.bars["ts_ns"][:-1] <= opens[1:])
    assert found.bars.dtype == BAR


def test_range_of_a_feed_is_cut_by_sessions(tmp_path):
    stamps = ["2024-03-07", "2024-03-08", "2024-03-11", "2024-03-12"]
    found, config = history(
        tmp_path, stamps, *XNYS, "feed.start=2024-03-08T14:30Z", "feed.end=2024-03-11T20:00Z"
    )
    assert [close[:10] for _, close in spans(found.bars, config)] == ["2024-03-08", "2024-03-11"]


def test_a_daily_file_without_a_config_is_checked_by_its_sessions(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(csv_text(["2024-03-01", "2024-03-04", "2024-03-05", "2024-03-07"]))
    found = check_file(path, FileTerms("XNYS"))
    assert (found.failures, found.quality.missing_bars, found.period_s) == ([], 1, 86_400.0)
    with pytest.raises(DataError, match="has no time zone"):
        check_file(path, FileTerms("24x7"))
