"""What a paced replay says of long waits."""

import asyncio
from pathlib import Path

import pytest

from tests.feeds.test_contract import CLOSES, VirtualClock, config_of, csv_feed
from trader.feeds.live import ResumePoint, open_feed
from trader.feeds.replay_source import LongWaits, duration

SECOND = 10**9
MINUTE = 60 * SECOND


def test_each_hole_is_told_and_waits_of_every_bar_once():
    told: list[str] = []
    waits = LongWaits(told.append, MINUTE)
    ts_ns = 1_709_649_060 * SECOND  # 2024-03-05T14:31:00Z
    waits.look(ts_ns, MINUTE, 60 * SECOND)  # no longer than a minute
    assert told == []
    for _ in range(3):
        waits.look(ts_ns, MINUTE, 200 * SECOND)
    assert told == ["next bar 2024-03-05T14:31:00Z in 3 min 20 s"]
    waits.look(ts_ns, 3 * MINUTE, 61 * SECOND)
    waits.look(ts_ns, 3 * MINUTE, 59 * SECOND)
    assert told[1:] == ["next bar 2024-03-05T14:31:00Z in 1 min 1 s"]


@pytest.mark.parametrize(("pace", "lines"), [(1.0, 0), (0.5, 1), (None, 0)])
def test_a_replay_tells_of_its_waits(tmp_path: Path, pace: float | None, lines: int):
    clock = VirtualClock()
    csv_feed(tmp_path, clock, None)  # writes the file
    path = next(tmp_path.rglob("*.csv*"))
    told: list[str] = []
    feed = open_feed(config_of(tmp_path, "csv", path), clock, pace, ResumePoint(), told.append)

    async def count() -> int:
        return len([item async for item in feed])

    assert asyncio.run(count()) == 2 * len(CLOSES) - 1
    assert len(told) == lines
    assert all(line.endswith("in 2 min") for line in told)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(61, "1 min 1 s"), (200, "3 min 20 s"), (3_600, "1 h"), (3_605, "1 h"),
     (62_100, "17 h 15 min"), (86_400 * 365, "365 d"), (90_000, "1 d 1 h"), (0, "0 s")],
)  # fmt: skip
def test_a_duration_is_told_in_its_two_largest_units(seconds: int, text: str):
    assert duration(seconds) == text
