"""A machine whose clock is off, as the bars of a pipe show it."""

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest

from tests.feeds.test_contract import VirtualClock, config_of
from trader.errors import DataError
from trader.feeds.live import LiveBar
from trader.feeds.pipe_clock import ClockNotice, ClockTerms, PipeClock
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.stdin_source import StdinFeed

S = 10**9
MINUTE, HOUR = 60 * S, 3_600 * S
START = 1_709_562_600_000_000_000


def doubts(lags_s, period_ns=MINUTE, max_age_bars=2.0, waits_s=None, is_judged=True):
    """What is said of bars in a row with these lags; they arrive as they close unless `waits_s`."""
    age_s = max_age_bars * period_ns / S
    clock = PipeClock(ClockTerms(period_ns, 2.0, age_s, is_judged))
    found, received = [], START
    for index, lag_s in enumerate(lags_s):
        close = START + index * period_ns
        wait = 0 if waits_s is None else round(waits_s * S)
        received = received + wait if waits_s is not None else close + round(lag_s * S)
        doubt = clock.came(close, received)
        found.append("" if doubt is None else ("proof" if doubt.is_proof else "told"))
    return found


@pytest.mark.parametrize(
    ("lags_s", "found"),
    [
        ([3600, 3600.8, 3600.2, 3601], ["", "told", "proof", "proof"]),  # ahead by an hour
        ([-3600, -3599.5, -3600], ["", "told", "proof"]),  # behind by an hour
        ([-30, -30, -30], ["", "told", "proof"]),  # half a period behind, nothing ever closed
        ([0.4, 1.9, 0.2, 55, 3], [""] * 5),  # in time, one of them late
        ([90, 90.5], ["", "told"]),  # delayed, and young enough to be traded
        ([90, 90, 90, 90], ["", "told", "", ""]),
        ([7200, 3600, 0.5, 0.5], [""] * 4),  # catching up
        ([3600, 3600, 0.5, 0.5], ["", "told", "", ""]),  # the clock was set
        ([86_400 * 40] * 4, [""] * 4),  # a recording at its own pace
    ],
)
def test_a_steady_lag_or_lead_is_told_at_once_and_the_second_time_is_proof(lags_s, found):
    assert doubts(lags_s) == found


def test_an_hour_ahead_of_hourly_bars_is_told_and_bars_young_enough_go_on():
    assert doubts([3600] * 4, HOUR) == ["", "told", "", ""]
    assert doubts([3600] * 4, HOUR, max_age_bars=0.5) == ["", "told", "proof", "proof"]
    assert doubts([-3600] * 4, HOUR) == ["", "told", "proof", "proof"]


@pytest.mark.parametrize("wait_s", [0.0, 0.001, 1.0, 20.0])
def test_warm_up_comes_faster_than_it_closed_and_says_nothing(wait_s):
    assert set(doubts(range(500, 0, -1), waits_s=wait_s)) == {""}


def test_where_age_means_nothing_nothing_is_said():
    assert set(doubts([3600] * 5, is_judged=False)) == {""}


def test_a_forming_bar_that_comes_again_closed_is_no_lead():
    clock = PipeClock(ClockTerms(MINUTE, 2.0, 120.0))
    for index in range(6):
        close = START + index * MINUTE
        for received in (close - 50 * S, close - 20 * S, close + S):
            assert clock.came(close, received) is None


def pumped(folder: Path, lag_s: float):
    """Items of a feed whose bars come as they close by a clock that is off, and the feed."""
    clock = VirtualClock(START + MINUTE)
    others = set(threading.enumerate())
    reader, end = os.pipe()
    writer = os.fdopen(end, "wb", buffering=0)
    feed = StdinFeed(config_of(folder, "stdin", None), clock, reader)
    items = []

    async def run() -> None:
        async def take() -> None:
            items.extend([item async for item in feed])

        task = asyncio.create_task(take())
        price = dict.fromkeys(("open", "high", "low", "close"), 100.0)
        for index in range(5):
            clock.time_ns = START + (index + 1) * MINUTE
            opens_ns = clock.time_ns - round(lag_s * S) - MINUTE
            line = {"timestamp": opens_ns, "symbol": "ACME", **price, "volume": 1.0}
            before = feed._lines_read
            try:
                writer.write(json.dumps(line).encode() + b"\n")
            except BrokenPipeError:
                break
            while feed._lines_read == before and not task.done():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        writer.close()
        await task

    async def to_the_end() -> None:
        try:
            await asyncio.wait_for(run(), 60)
        finally:
            await feed.aclose()

    try:
        asyncio.run(to_the_end())
    finally:
        writer.close()
        for thread in set(threading.enumerate()) - others:
            thread.join(30)  # else it may read what the next test's pipe gets
        os.close(reader)
    return items, feed


def test_a_feed_an_hour_behind_the_clock_ends_resumable_with_the_doubt_on_record(tmp_path):
    items, feed = pumped(tmp_path, 3600.0)
    notices = [item for item in items if isinstance(item, ClockNotice)]
    assert [one.is_proof for one in notices] == [False, True]
    assert {one.kind for one in notices} == {"CLOCK_OFFSET"}
    assert "3,600 s after it closed by this machine's clock" in notices[0].text
    assert feed.end == FeedEnd.CLOCK
    assert sum(isinstance(item, LiveBar) for item in items) == 2


def test_a_clock_an_hour_behind_is_refused_before_the_first_bar(tmp_path):
    with pytest.raises(DataError, match="3,600 s before they close by this machine's clock"):
        pumped(tmp_path, -3600.0)


def test_a_clock_that_agrees_says_nothing(tmp_path):
    items, feed = pumped(tmp_path, 0.25)
    assert [type(item) for item in items] == [LiveBar] * 5
    assert feed.end == FeedEnd.LOST
