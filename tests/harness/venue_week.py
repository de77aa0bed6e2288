"""A week of minutes from a loopback exchange in made-up time, in one process: is memory flat?

    python tests/harness/venue_week.py [--venue binance|kraken] [--days 7] [--seed N] [--calm 1800]

The real client and the real feed, with faults by seed; prints the memory at each day's end. Exit 1
where a bar is missing, comes twice or out of order, or memory grows after the first day.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness import venue_virtual as made_up
from tests.harness.venue_hour import resident_mb
from tests.harness.virtualtime import VirtualLoop
from tests.venue.faults import SWITCHES, play, script
from tests.venue.kit import Clock, write_config
from tests.venue.market import Market
from trader.config.load import load_config
from trader.core.schema import BAR_HISTORY
from trader.feeds import ccxt_source, venue_feed
from trader.feeds.live import LiveBar, RevisedBar, open_feed

DAY_S = 86_400
TICK_S = 1.0  # ten turns of the loop fewer: time is made up
GROWTH_MB = 16.0


class Week:
    """What came, and how much memory there was."""

    def __init__(self):
        self.newest, self.bars, self.live, self.missing, self.again = {}, 0, 0, 0, 0
        self.memory, self.began = [], time.monotonic()

    def take(self, item):
        """One thing from the feed."""
        self.again += isinstance(item, RevisedBar)
        if not isinstance(item, LiveBar):
            return
        symbol, ts_s = int(item.bar["symbol"]), int(item.bar["ts_ns"]) // 10**9
        last_s = self.newest.get(symbol, ts_s - made_up.PERIOD_S)
        if ts_s <= last_s:  # it came after its gap
            self.again += 1
            return
        self.missing += (ts_s - last_s) // made_up.PERIOD_S - 1
        self.newest[symbol] = ts_s
        self.bars += 1
        self.live += not item.bar["flags"] & BAR_HISTORY


async def week(told, folder):
    """One feed, for days."""
    make, options, symbols = made_up.VENUES[told.venue]
    venue = await make(Market(told.seed, made_up.PERIOD_S)).start()
    venue.life_s = ccxt_source.LIVES_S.get(told.venue)  # as the exchange itself does
    given = {**options(venue.port), "enableRateLimit": False}
    path = write_config(
        folder, given, symbols=symbols, exchange=told.venue, period=made_up.PERIOD_S
    )
    feed, seen = open_feed(load_config(path).config, Clock(), None), Week()

    async def read():
        async for item in feed:
            seen.take(item)

    faults = (*SWITCHES, *made_up.MOMENTS)
    steps = script(told.seed, told.days * DAY_S, faults, told.calm)
    reading, playing = asyncio.ensure_future(read()), asyncio.ensure_future(play(steps, venue.do))
    for day in range(told.days):
        await asyncio.wait({reading}, timeout=DAY_S)
        seen.memory.append(round(resident_mb("self"), 1))
        print(f"day {day + 1}: {seen.bars} bars, {seen.memory[-1]} MiB", flush=True)
        if reading.done():
            reading.result()
            break
        venue.faults.log.clear()
        venue.market.revised.clear()
    playing.cancel()
    reading.cancel()
    await asyncio.wait({reading, playing})
    await feed.aclose()
    await venue.stop()
    return seen, len(steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--venue", choices=("binance", "kraken"), default="binance")
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calm", type=float, default=1800.0, help="seconds between two faults")
    told = parser.parse_args()
    venue_feed.TICK_S = TICK_S
    random.seed(told.seed)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    made_up.MADE_UP.loop = loop
    with tempfile.TemporaryDirectory() as folder:
        seen, faults = loop.run_until_complete(week(told, Path(folder)))
    growth_mb = round(seen.memory[-1] - seen.memory[0], 1)
    print(json.dumps({"venue": told.venue, "seed": told.seed, "bars": seen.bars, "live": seen.live,
                      "missing": seen.missing, "corrections": seen.again, "faults": faults,
                      "memory_mb": seen.memory, "growth_mb": growth_mb}))  # fmt: skip
    expected = told.days * DAY_S // made_up.PERIOD_S * 2
    is_whole = seen.bars + seen.missing >= expected - 100 and len(seen.memory) == told.days
    return 0 if is_whole and growth_mb <= GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(main())
