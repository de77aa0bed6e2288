"""Data that looks right and is not, and messages that have to show the one thing that matters."""

import asyncio
import gzip
import os

import numpy as np
import pandas as pd
import pytest

from tests.feeds.test_contract import VirtualClock
from tests.feeds.test_contract import config_of as live_config
from tests.feeds_kit import GOOD, HEADER, config_of, csv_text, minutes, trader
from trader.errors import DataError
from trader.feeds.bargate import BarGate
from trader.feeds.feed import load_history
from trader.feeds.live import BadBar
from trader.feeds.registry import FEEDS
from trader.feeds.stdin_source import StdinFeed

NEW_YORK = "feed.timezone=America/New_York"
HOURLY = "bar_period_seconds=3600"


def loaded(folder, content, *overrides, name="bars.csv", symbols="ACME"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_history(config_of(path, *overrides, symbols=symbols))


def refusal(folder, content, *overrides, **options):
    with pytest.raises(DataError) as caught:
        loaded(folder, content, *overrides, **options)
    return str(caught.value)


# --- stamps ---


@pytest.mark.parametrize("stamp", ["now", "today", "2024", "202403", "2024-03-04T14:30:00ZZ"])
@pytest.mark.parametrize("zone", ["feed.timezone=none", "feed.timezone=UTC"])
def test_word_or_part_of_a_date_is_no_stamp(tmp_path, stamp, zone):
    message = refusal(tmp_path, csv_text([*minutes(30, 31), stamp]), zone)
    assert f"line 4: timestamp '{stamp}' is not an ISO-8601 time" in message


def panel(stamps, symbols=("A", "B")):
    lines = [f"{stamp},1,2,1,1.5,5,{symbol}\n" for stamp in stamps for symbol in symbols]
    return HEADER.replace("\n", ",symbol\n") + "".join(lines)


def test_two_symbols_of_one_stamp_are_not_an_hour_that_came_twice(tmp_path):
    stamps = [f"2024-11-03 0{hour}:00" for hour in (0, 1, 2)]  # 01:00 could be either
    message = refusal(tmp_path, panel(stamps), NEW_YORK, HOURLY, symbols="A,B")
    assert "line 4: 2024-11-03 01:00:00 happens twice" in message


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_hour_that_comes_twice_is_told_apart_symbol_by_symbol(tmp_path, kind):
    stamps = [f"2024-11-03 0{hour}:00" for hour in (0, 1, 1, 2)]
    path = tmp_path / f"bars.{kind}"
    path.write_text(panel(stamps))
    if kind == "parquet":
        frame = pd.read_csv(path)
        frame["timestamp"] = pd.to_datetime(frame["timestamp"])
        frame.to_parquet(path)
    bars = load_history(config_of(path, NEW_YORK, HOURLY, symbols="A,B")).bars
    for symbol in (0, 1):
        closes = bars["ts_ns"][bars["symbol"] == symbol]
        assert np.diff(closes).tolist() == [3600 * 10**9] * 3


def test_year_whose_hour_is_missing_is_named_and_not_the_one_that_has_both(tmp_path):
    whole = [f"2023-11-05 0{hour}:00" for hour in (0, 1, 1, 2)]
    lacking = [f"2024-11-03 0{hour}:00" for hour in (0, 1, 2)]
    message = refusal(tmp_path, csv_text([*whole, *lacking]), NEW_YORK, HOURLY)
    assert "line 7: 2024-11-03 01:00:00 happens twice" in message


def test_one_time_that_clocks_skip_is_found_among_many(tmp_path):
    stamps = pd.date_range("2024-03-09", periods=3_000, freq="min").strftime("%Y-%m-%d %H:%M")
    message = refusal(tmp_path, csv_text(stamps), NEW_YORK)
    assert "line 1562: 2024-03-10 02:00:00 does not exist in America/New_York" in message


@pytest.mark.parametrize("name", ["Date", "Datetime", "ts", None])
def test_parquet_index_of_any_name_is_the_stamp(tmp_path, name):
    frame = pd.read_csv(write(tmp_path, GOOD), index_col="timestamp", parse_dates=True)
    frame.index.name = name
    frame.to_parquet(tmp_path / "bars.parquet")
    bars = load_history(config_of(tmp_path / "bars.parquet")).bars
    assert stamp(bars) == "2024-03-04T14:31:00"


def test_parquet_dates_are_midnight_in_the_feeds_zone(tmp_path):
    frame = pd.read_csv(write(tmp_path, GOOD)).iloc[:2]
    frame["timestamp"] = pd.to_datetime(["2024-03-04", "2024-03-05"]).date
    path = tmp_path / "bars.parquet"
    frame.to_parquet(path)
    bars = load_history(config_of(path, NEW_YORK, "bar_period_seconds=86400")).bars
    assert stamp(bars) == "2024-03-05T05:00:00"
    with pytest.raises(DataError, match=r"row 0: timestamp 2024-03-04 .*has no time zone"):
        load_history(config_of(path, "bar_period_seconds=86400"))


def write(folder, content):
    path = folder / "source.csv"
    path.write_text(content)
    return path


def stamp(bars):
    return str(np.datetime64(int(bars["ts_ns"][0]), "ns").astype("datetime64[s]"))


# --- bytes ---


def test_text_of_another_encoding_in_a_column_not_used_does_no_harm(tmp_path):
    rows = GOOD.splitlines()
    lines = [rows[0] + ",name", *(row + ",Zürich" for row in rows[1:])]
    content = ("\n".join(lines) + "\n\n").encode("latin-1")
    assert len(loaded(tmp_path, content).bars) == 4


def test_cell_that_is_allowed_is_not_blamed_for_one_that_is_not(tmp_path):
    header = HEADER.replace("\n", ",bid,ask\n")
    first, second = minutes(30, 31)
    message = refusal(tmp_path, f"{header}{first},1,2,1,1, 5,NA,\n{second},1,2,1,1,5,1,x\n")
    assert "line 3: ask 'x' is not a number" in message


def test_digits_of_another_script_are_named_with_their_line(tmp_path):
    message = refusal(tmp_path, GOOD + "2024-03-04T14:40:00Z,1,2,1,１,5\n")
    assert "line 6: close '１' is not a number" in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], "not a whole gzip file"),
        (b"PAR1", "feed.type: parquet"),
    ],
)
def test_file_of_another_kind_says_what_it_is(tmp_path, content, part):
    assert part in refusal(tmp_path, content)


def test_line_cut_right_after_a_comma_is_not_traded(tmp_path):
    content = HEADER.replace("\n", ",bid,ask\n") + f"{minutes(30, 30)[0]},1,2,1,1,5,1,"
    message = refusal(tmp_path, content)
    assert "line 2: the last line is cut off (ask is empty" in message
    assert len(loaded(tmp_path, content + "\n").bars) == 1


def test_long_name_of_no_instrument_is_shortened(tmp_path):
    content = panel(minutes(30, 31), ("ACME", "x" * 10**6))
    quality = loaded(tmp_path, content).quality
    assert list(quality.unknown_symbols.values()) == [2]
    assert len(str(quality.to_dict())) < 10_000


# --- a file that changes ---


def changed_between(tmp_path, monkeypatch, edit):
    path = tmp_path / "bars.csv"
    path.write_text(GOOD)
    config = config_of(path)
    kind = FEEDS.built_in["csv"]

    def read_late(*arguments):
        edit(path)
        return kind.read(*arguments)

    monkeypatch.setitem(FEEDS.built_in, "csv", kind._replace(read=read_late))
    with pytest.raises(DataError) as caught:
        load_history(config)
    return str(caught.value)


def test_edit_of_equal_size_with_its_time_put_back_is_seen(tmp_path, monkeypatch):
    def edit(path):
        before = path.stat()
        path.write_text(GOOD.replace("1.5", "1.6"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert "changed while it was being read" in changed_between(tmp_path, monkeypatch, edit)


def test_file_that_goes_away_is_a_data_error(tmp_path, monkeypatch):
    message = changed_between(tmp_path, monkeypatch, lambda path: path.unlink())
    assert "bars.csv disappeared while it was being read" in message


# --- what the report says ---


def test_values_that_differ_late_are_shown_with_all_their_digits(tmp_path):
    row = "2024-03-04T14:40:00Z,43210.12,43210.11,43210.01,43210.05,123456789"
    message = refusal(tmp_path, GOOD + row + "\n")
    assert "open=43210.12 high=43210.11 low=43210.01 close=43210.05 volume=123456789" in message


def test_revised_live_bar_shows_the_digits_that_changed(tmp_path):
    bars = loaded(tmp_path, GOOD).bars[:1].repeat(2)
    bars["volume"] = 123456789.0, 123456788.0
    quality = config_of(tmp_path / "bars.csv").feed.quality
    gate = BarGate(1, 60 * 10**9, quality, None)
    gate.check(bars[0])
    assert gate.check(bars[1]).detail == "volume 123456789 became 123456788"


def test_stamp_far_ahead_is_named_and_not_only_the_rows_it_makes_late(tmp_path):
    content = csv_text(["2024-03-04T14:30:00Z", "2099-01-01T00:00:00Z", "2024-03-04T14:31:00Z"])
    message = refusal(tmp_path, content)
    assert "line 4: ACME at 2024-03-04T14:31:00Z: earlier than 2099-01-01T00:00:00Z" in message


def test_stamps_read_in_the_wrong_zone_are_noticed_by_the_trading_hours(tmp_path):
    stamps = pd.date_range("2024-03-04 09:30", periods=390, freq="min").strftime("%Y-%m-%d %H:%M")
    hours = "risk.market_hours=XNYS"
    wrong = loaded(tmp_path, csv_text(stamps), hours, "feed.timezone=UTC").quality
    assert wrong.to_dict()["outside_hours"] == 300
    assert any(
        "300 of 390 bars lie outside trading hours" in line and "bars.csv line 2" in line
        for line in wrong.warnings
    )
    right = loaded(tmp_path, csv_text(stamps), hours, NEW_YORK).quality
    assert (right.outside_hours, right.warnings) == (0, [])


def test_single_bar_outside_trading_hours_is_counted(tmp_path):
    content = csv_text(["2024-03-09T15:00:00Z"])  # a Saturday
    assert loaded(tmp_path, content, "risk.market_hours=XNYS").quality.outside_hours == 1
    assert loaded(tmp_path, content).quality.outside_hours == 0


def test_gaps_are_counted_for_each_symbol(tmp_path):
    rows = [(30, "A"), (33, "A"), (35, "A"), (30, "B"), (31, "B")]
    lines = [f"2024-03-04T14:{minute}:00Z,1,2,1,1.5,5,{symbol}\n" for minute, symbol in rows]
    content = HEADER.replace("\n", ",symbol\n") + "".join(lines)
    symbols = loaded(tmp_path, content, symbols="A,B").quality.to_dict()["symbols"]
    assert (symbols["A"]["gaps"], symbols["A"]["missing_bars"]) == (2, 3)
    assert (symbols["B"]["gaps"], symbols["B"]["missing_bars"]) == (0, 0)


# --- stdin, generate ---


def test_bad_line_of_stdin_has_its_number(tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        stream.write(b"\n" * 2 + b"nonsense\n" + b"\n" + b"17")

    async def take():
        source = StdinFeed(live_config(tmp_path, "stdin", None), VirtualClock(), reader)
        return [item async for item in source]

    items = asyncio.run(asyncio.wait_for(take(), 30))
    assert all(isinstance(item, BadBar) for item in items)
    assert [item.line_number for item in items] == [3, 5]


@pytest.mark.process
def test_format_has_to_agree_with_the_name(tmp_path):
    call = ("data", "generate", "--days", 1, "--seed", 1)
    done = trader(*call, "--out", "a.csv.gz", "--format", "csv.gz", folder=tmp_path)
    assert (done.returncode, (tmp_path / "a.csv.gz").read_bytes()[:2]) == (0, b"\x1f\x8b")
    done = trader(*call, "--out", "a.csv", "--format", "parquet", folder=tmp_path)
    assert (done.returncode, "ends in .parquet" in done.stderr) == (2, True)
    assert not (tmp_path / "a.csv").exists()
