"""`feed.period_seconds`: a feed of short bars as one of long bars, in a history and as it comes."""

import asyncio
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import trader
from tests import config_demo
from tests.loop_kit import ListFeed
from tests.paper_kit import START_NS, Paper, bar
from trader.core.schema import BAR, NS_PER_SECOND
from trader.errors import ConfigError
from trader.feeds.feed import frame_history
from trader.feeds.live import BadBar, FeedNotice, LiveBar, RevisedBar
from trader.feeds.resampled_feed import ResampledFeed
from trader.hours.bar_sessions import bar_opens

MINUTE = 60 * NS_PER_SECOND
VALUES = ("ts_ns", "open", "high", "low", "close", "volume", "flags", "symbol")


def frame_of(stamps, seed=1, symbol=None):
    """Bars that open at `stamps`."""
    chance = np.random.default_rng(seed)
    close = 100 + chance.normal(0, 0.1, len(stamps)).cumsum()
    opened = np.append(100.0, close[:-1])
    frame = pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) + 0.05,
            "low": np.minimum(opened, close) - 0.05,
            "close": close,
            "volume": chance.integers(1, 1000, len(stamps)).astype(float),
        },
        index=pd.DatetimeIndex(stamps),
    )
    return frame if symbol is None else frame.assign(symbol=symbol)


def config_of(tmp_path, *more, source=60, period=300, hours="24x7", symbols="[ACME]"):
    text = config_demo.demo(
        (
            "instruments:\n  - {symbol: ACME, tick_size: 0.01, lot_size: 1}",
            f"instruments: {symbols}",
        ),
        ("type: csv\n  path: data/acme.csv", f"type: frame\n  period_seconds: {source}"),
        ("bar_period_seconds: 60", f"bar_period_seconds: {period}"),
        ("market_hours: 24x7", f"market_hours: {hours}"),
        ("max_spread_bps: 50", "max_spread_bps: none"),
    )
    return config_demo.load(config_demo.write(tmp_path, text), *more)


def history(tmp_path, frame, *more, **kinds):
    return frame_history(config_of(tmp_path, *more, **kinds).config, frame)


def one_by_one(config, bars):
    """What a live feed of `bars` gives."""
    items = [LiveBar(bar, int(bar["ts_ns"]), int(bar["ts_ns"])) for bar in bars]

    async def run():
        return [item async for item in ResampledFeed(config, ListFeed(items))]

    return asyncio.run(run())


def source_bars(tmp_path, frame, **kinds):
    kinds |= {"period": kinds.get("source", 60)}
    return frame_history(config_of(tmp_path, **kinds).config, frame).bars


def test_long_bars_are_those_of_pandas_and_the_last_one_has_closed(tmp_path):
    stamps = pd.date_range("2024-03-04T09:00Z", periods=403, freq="min")
    frame = frame_of(stamps)
    found = history(tmp_path, frame)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    expected = frame.resample("5min").agg(how)[:80]
    assert len(found.bars) == 80
    assert (bar_opens(found.bars, 5 * MINUTE) == expected.index.as_unit("ns").asi8).all()
    for name in how:
        assert (found.bars[name] == expected[name].to_numpy()).all()
    told = found.quality.to_dict()["resampled"]
    assert (told["lacking"], told["not_closed"]) == (0, 3)
    assert "the last 3 bars of the feed" in "\n".join(found.quality.warnings)


@pytest.mark.parametrize(("source", "period"), [(60, 300), (60, 3600), (300, 5400)])
def test_a_history_and_a_live_feed_give_the_same_bits(tmp_path, source, period):
    """New York, two symbols, holes: 16:00 ends a bar of any length, and nothing crosses a night."""
    kinds = {"source": source, "hours": "XNYS", "symbols": "[ACME, BETA]"}
    days = [
        pd.date_range(f"2024-03-{day}T09:30", f"2024-03-{day}T15:59", freq=f"{source}s")
        for day in ("07", "08", "11")  # the clocks change on the 10th
    ]
    stamps = days[0].append(days[1:]).tz_localize("America/New_York")
    chance = np.random.default_rng(3)
    parts = [
        frame_of(stamps[chance.random(len(stamps)) > 0.1], seed, name)
        for seed, name in enumerate(("ACME", "BETA"))
    ]
    frame = pd.concat(parts)
    frame = frame.iloc[frame.index.argsort(kind="stable")]
    whole = history(tmp_path, frame, period=period, **kinds)
    given = one_by_one(
        config_of(tmp_path, period=period, **kinds).config, source_bars(tmp_path, frame, **kinds)
    )
    bars = np.array([item.bar for item in given if isinstance(item, LiveBar)], BAR)
    assert not [item for item in given if isinstance(item, BadBar)]
    stamps_given = bars["ts_ns"]
    assert (np.diff(stamps_given) >= 0).all()
    bars = bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]
    for name in VALUES:
        assert (bars[name] == whole.bars[name]).all(), name
    local = pd.DatetimeIndex(whole.bars["ts_ns"], tz="UTC").tz_convert("America/New_York")
    opens = pd.DatetimeIndex(bar_opens(whole.bars, period * NS_PER_SECOND), tz="UTC")
    assert (local.date == opens.tz_convert("America/New_York").date).all()
    assert local.strftime("%H:%M").max() == "16:00"
    told = [item.text for item in given if isinstance(item, FeedNotice)]
    assert len(told) == whole.quality.resampled["lacking"] > 0
    assert set(whole.quality.resampled["examples"]) <= set(told)


def test_a_day_is_made_of_its_session_and_of_nothing_beside_it(tmp_path):
    stamps = pd.date_range("2024-03-04T08:00", "2024-03-06T18:00", freq="30min")
    stamps = stamps.tz_localize("America/New_York")
    found = history(
        tmp_path,
        frame_of(stamps),
        source=1800,
        period="day",
        hours="XNYS",
    )
    local = pd.DatetimeIndex(found.bars["ts_ns"], tz="UTC").tz_convert("America/New_York")
    assert [str(at) for at in local.strftime("%d %H:%M")] == ["04 16:00", "05 16:00", "06 16:00"]
    day = frame_of(stamps)["2024-03-05 09:30":"2024-03-05 15:59"]
    assert found.bars["volume"][1] == day["volume"].sum()
    assert "in no session" in "\n".join(found.quality.warnings)


def test_a_bar_that_comes_after_its_long_bar_has_closed_is_refused_and_told(tmp_path):
    kinds = {"symbols": "[ACME, BETA]"}
    frame = pd.concat(
        frame_of(pd.date_range("2024-03-04T09:00Z", periods=11, freq="min"), seed, name)
        for seed, name in enumerate(("ACME", "BETA"))
    )
    bars = source_bars(tmp_path, frame, **kinds)
    late = (bars["symbol"] == 1) & (bars["ts_ns"] == bars["ts_ns"][0] + 4 * MINUTE)
    moved = np.concatenate([bars[:14][~late[:14]], bars[late], bars[14:]])
    given = one_by_one(config_of(tmp_path, **kinds).config, moved)
    (told,) = [item for item in given if not isinstance(item, LiveBar) and item.kind != "FEED_GAP"]
    assert (told.kind, told.symbol) == ("FEED_OUT_OF_ORDER", 1)
    assert "BETA 2024-03-04T09:05" in told.text
    closes = [int(item.bar["ts_ns"]) for item in given if isinstance(item, LiveBar)]
    assert len(closes) == 4
    assert closes == sorted(closes)


def test_short_bars_that_come_again_are_told_and_hold_nobody_up(tmp_path):
    """A feed that repeats or corrects itself sends no bad bars."""
    bars = source_bars(
        tmp_path, frame_of(pd.date_range("2024-03-04T09:00Z", periods=11, freq="min"))
    )
    items = [LiveBar(one, int(one["ts_ns"]), int(one["ts_ns"])) for one in bars]
    newest, older = bars[6].copy(), bars[3].copy()
    newest["close"], older["close"] = newest["high"], older["high"]
    again = [replace(items[6], bar=one) for one in (newest, older)]
    changed = RevisedBar(older, "ACME 09:04: close changed")
    config = config_of(tmp_path).config

    async def run(given):
        return [item async for item in ResampledFeed(config, ListFeed(given))]

    told = asyncio.run(run([*items[:7], items[6], *again, changed, *items[7:]]))
    plain = asyncio.run(run(items))
    given, expected = (
        [one.bar.tobytes() for one in found if isinstance(one, LiveBar)] for found in (told, plain)
    )
    assert given == expected
    notices = [(one.kind, one.symbol) for one in told if not isinstance(one, LiveBar)]
    kinds = ["DATA_REVISED", "FEED_OUT_OF_ORDER", "DATA_REVISED"]
    assert notices == [(kind, 0) for kind in kinds]


@pytest.mark.parametrize(("source", "said"), [(120, "not a multiple"), (600, "longer than")])
def test_periods_that_do_not_fit_are_refused(tmp_path, source, said):
    with pytest.raises(ConfigError, match=said) as told:
        config_of(tmp_path, source=source)
    assert "period_seconds" in str(told.value)


def test_a_backtest_on_minutes_is_that_on_the_five_minutes_made_of_them(tmp_path):
    frame = frame_of(pd.date_range("2024-03-04T09:00Z", periods=3_000, freq="min"))
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    config_of(tmp_path)
    path = tmp_path / "run.yaml"
    from_minutes = trader.backtest(path, bars=frame)
    five = frame.resample("5min").agg(how)
    direct = trader.backtest(path, bars=five, set={"feed.period_seconds": None})
    assert from_minutes.digest == direct.digest
    assert len(from_minutes.equity) == 600


@pytest.mark.process
def test_a_pipe_of_minutes_is_traded_on_in_two_minutes(tmp_path):
    """Nine minutes through stdin: four bars in the journal, the forming one never; it replays."""
    change = ("feed: {type: stdin,", "feed: {type: stdin, period_seconds: 60,")
    period = ("bar_period_seconds: 60", "bar_period_seconds: 120")
    paper = Paper(tmp_path / "run", change, period).start()
    paper.send(*(bar(minute, 40 + 3 * minute % 20) for minute in range(1, 10)))
    code, _, err = paper.end()
    assert code == 0, err
    closes = [str(row) for kind, data in paper.records() if kind == "BAR" for row in data["rows"]]
    wanted = [START_NS + minute * MINUTE for minute in (2, 4, 6, 8)]
    assert [str(close) in row for close, row in zip(wanted, closes, strict=True)] == [True] * 4
    paper.assert_sound()
