"""Generated bars: the same bytes for the same seed, and what a real market also shows."""

import numpy as np
import pandas as pd
import pytest

from tests.feeds_kit import ROOT, config_of
from trader.errors import UsageError
from trader.feeds.checking import FileTerms, check_file
from trader.feeds.feed import load_history
from trader.feeds.generate import BARS_MISSING, Recipe, generate, write

ACME = Recipe(("ACME",), "2024-03-04", 10, 60, "XNYS", 7)


def recipe(**changes):
    return Recipe(**{**ACME.__dict__, **changes})


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, name):
    contents = []
    for folder, seed in (("one", 7), ("two", 7), ("three", 8)):
        write(recipe(seed=seed), tmp_path / folder / name)
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_bundled_example_is_what_the_documented_command_makes(tmp_path):
    write(ACME, tmp_path / "acme.csv")
    bundled = (ROOT / "data" / "acme.csv").read_bytes()
    assert (tmp_path / "acme.csv").read_bytes() == bundled
    assert len(bundled) < 400_000
    header, first = bundled.split(b"\n")[:2]
    assert header == b"timestamp,open,high,low,close,volume,bid,ask"
    assert first.startswith(b"2024-03-04T14:30:00Z,")


def test_every_format_holds_the_same_bars(tmp_path):
    bars = []
    for name in ("a.csv", "a.csv.gz", "a.parquet"):
        write(ACME, tmp_path / name)
        bars.append(load_history(config_of(tmp_path / name, "risk.market_hours=XNYS")).bars)
    assert bars[0].tobytes() == bars[1].tobytes() == bars[2].tobytes()


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("hours", ["XNYS", "XTKS", "24x7"])
def test_bars_pass_the_gate_with_one_gap_a_symbol(tmp_path, seed, hours):
    write(recipe(symbols=("A", "B/USD"), market_hours=hours, seed=seed), tmp_path / "a.parquet")
    quality = check_file(tmp_path / "a.parquet", FileTerms(hours)).quality
    assert quality.failures == []
    assert quality.counts == {**dict.fromkeys(quality.counts, 0), "gap": 2}
    assert quality.missing_bars == 2 * BARS_MISSING
    assert (quality.off_grid, quality.crossed_quotes, quality.missing_quotes) == (0, 0, 0)
    assert list(quality.symbols) == ["A", "B/USD"]


def test_market_is_busy_at_the_ends_of_the_day_and_wide_at_the_open():
    bars = generate(recipe(days=60))
    minute = bars.groupby(bars["timestamp"].dt.date).cumcount()
    tenth = minute // 39
    volume = bars["volume"].groupby(tenth).mean()
    assert min(volume[0], volume[9]) > 1.3 * volume[4]
    spread = ((bars["ask"] - bars["bid"]) / bars["close"]).groupby(tenth).mean()
    assert spread[0] > 1.2 * spread[5]


def test_volatility_comes_in_clusters_and_nights_leave_gaps():
    bars = generate(recipe(days=60))
    day = bars["timestamp"].dt.date
    sizes = np.log(bars["close"] / bars["open"]).abs()
    usual = sizes.groupby(bars.groupby(day).cumcount()).transform("mean")  # of that minute
    calm = (sizes / usual).groupby(np.arange(len(sizes)) // 15).mean()
    assert calm.autocorr() > 0.3
    nights = np.log(bars["open"] / bars["close"].shift()).abs()[day != day.shift()].dropna()
    assert nights.median() > 5 * np.log(bars["open"] / bars["close"].shift()).abs().median()


def test_prices_are_in_cents_and_stamps_are_opens_of_the_session():
    bars = generate(ACME)
    for name in ("open", "high", "low", "close", "bid", "ask"):
        assert np.array_equal(np.round(bars[name], 2), bars[name])
    assert bars["timestamp"].iloc[0] == pd.Timestamp("2024-03-04T14:30Z")
    assert bars["timestamp"].iloc[-1] == pd.Timestamp("2024-03-15T19:59Z")  # clocks went forward
    assert len(bars) == 10 * 390 - BARS_MISSING


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"start": "04.03.2024"}, "--start '04.03.2024' is not a day"),
        ({"start": "1890-01-01"}, "--start 1890-01-01: years 1990 to 2100"),
        ({"symbols": ("A", "A")}, "--symbols A,A"),
        ({"symbols": ("",)}, "--symbols"),
        ({"market_hours": "XNYX"}, "--market-hours XNYX: .*nearest: XNYS"),
        ({"period_s": 86_400}, "shorter --period"),
    ],
)
def test_what_cannot_be_made_is_refused(changes, part):
    with pytest.raises(UsageError, match=part):
        generate(recipe(**changes))


def test_other_file_is_not_written_over_unless_forced(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.csv exists; .*--force"):
        write(ACME, path)
    assert path.read_text() == "mine"
    rows = write(ACME, path, force=True)
    assert write(ACME, path) == rows  # the same bytes are no loss
    with pytest.raises(UsageError, match=r"must end in \.csv, \.csv\.gz, \.parquet"):
        write(ACME, tmp_path / "a.xlsx")
