"""Hours beside the loopback exchanges in made-up time: the real clients, the real feed.

    python tests/harness/venue_virtual.py [--hours 500] [--minutes 15] [--first SEED] [--calm]

One hour a seed, with bars of a minute and faults by that seed; each tenth has an hour of
maintenance. All but Alpaca end each line after a quarter of an hour, as Binance does after a
day. Server, client and feed share one event loop whose time is made up. Of each hour:
every bar leaves once and in order; it has the venue's values, or these are told later as a
correction (REST is asked each eighth bar here, so that an hour shows it); none is missing; no bar
of a hole is live, and no bar that is too old. Without faults (`--calm`) nothing is told and every
bar is live, though every line ends. Exit 1 where one does not hold.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from aiohttp import web  # noqa: E402

from tests.harness.virtualtime import VirtualLoop  # noqa: E402

REAL_TIME = time.time
START_S = 1_795_000_020.0
PERIOD_S, HOUR_S, CALM_S = 60, 3600.0, 150.0
LIFE_S, AHEAD_S = 900.0, 600.0  # of a line; before its end the next one is made
OFF_S = 0.5  # by which a venue's clock, by which bars close, may be off ours
REMEMBERED, CHECKED_EVERY = 16, 8  # bars of the finaliser
TICK_S = 0.5  # of the feed; each turn of its loop costs as much as in real time


class MadeUpTime:
    """What `time.time` says while an hour runs."""

    def __init__(self):
        self.loop = None

    def time(self):
        return REAL_TIME() if self.loop is None else START_S + self.loop.time()

    def time_ns(self):
        return round(self.time() * 1e9)


MADE_UP = MadeUpTime()
time.time, time.time_ns = MADE_UP.time, MADE_UP.time_ns  # before ccxt takes them

from tests.venue import alpaca, binance, bybit, kraken, okx  # noqa: E402
from tests.venue.faults import FREEZE, SWITCHES, play, script  # noqa: E402
from tests.venue.kit import NAMES, listening, truth, write_config  # noqa: E402
from tests.venue.market import Market  # noqa: E402
from trader.feeds import ccxt_source, final_bars, venue_feed  # noqa: E402

CONTRACTS = "BTC/USDT, ETH/USDT, 'BTC/USDT:USDT', 'ETH/USDT:USDT'"
VENUES = {
    "binance": (binance.Binance, binance.options, "BTC/USDT, ETH/USDT"),
    "kraken": (kraken.Kraken, kraken.options, "BTC/USD, ETH/USD"),
    "alpaca": (alpaca.Alpaca, alpaca.options, "AAPL, MSFT"),
    "bybit": (bybit.Bybit, bybit.options, CONTRACTS),
    "okx": (okx.Okx, okx.options, CONTRACTS),
}
KEYS = {"ALPACA_KEY": "key-id", "ALPACA_SECRET": "key-secret"}
OLDEST_S = 5 * PERIOD_S  # execution.queue_max_age_seconds: what is older is history
LINES = ("/ws/0", "/v2", "/stream", "/v5/public/linear", "/ws/v5/business")
MOST_LINES = 200  # an hour of refusals: about one a minute
MOMENTS = ("drop", "close", "revise", "half")


def steps_of(name, seed):
    """([(at_s, fault, value)], how long it goes)."""
    if seed % 10 == 0:
        return [(400.0, "maintenance", True), (400.0 + HOUR_S, "maintenance", False)], 1.5 * HOUR_S
    more = () if name == "alpaca" else (FREEZE,)  # which a blocking client would wait for
    steps = script(seed, HOUR_S, (*SWITCHES, *MOMENTS, *more), CALM_S)
    chance = random.Random(seed)
    steps += [(at_s, "clock", chance.uniform(-OFF_S, OFF_S)) for at_s in (900.0, 2700.0)]
    if seed % 7 == 0:
        steps.append((0.6 * HOUR_S, "delist", VENUES[name][0].delistable))
    return sorted(steps), HOUR_S


class RestThread:
    """Pages of a venue served from another thread: a client that blocks stops the loop's time."""

    def __init__(self, venue):
        self._venue, self._loop = venue, asyncio.new_event_loop()
        self.port = 0
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def _serve(self, ready):
        async def begin():
            runner = web.AppRunner(self._venue.application(), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
            return runner

        runner = self._loop.run_until_complete(begin())
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def hour(name, seed, folder, is_calm):
    """What one feed gave in one hour, beside its venue."""
    make, options, symbols = VENUES[name]
    venue = await make(Market(seed, PERIOD_S)).start()
    if name != "alpaca":
        venue.life_s = ccxt_source.LIVES_S[name] = LIFE_S
    given, more, rest = {**options(venue.port), "enableRateLimit": False}, {}, None
    if name == "alpaca":
        rest, more = RestThread(venue), {"type": "alpaca"}
        given = {**options(venue.port), "url_override": f"http://127.0.0.1:{rest.port}"}
    path = write_config(folder, given, symbols=symbols, exchange=name, period=PERIOD_S, **more)
    steps, length_s = ([], HOUR_S) if is_calm else steps_of(name, seed)
    try:
        async with listening(path) as got:
            playing = asyncio.ensure_future(play(steps, venue.do))
            await asyncio.wait({got.reading}, timeout=length_s)
            await playing
            wrong = judged(got, venue) + (disturbed(got, venue) if is_calm else [])
    finally:
        await venue.stop()
        if rest is not None:
            rest.stop()
    return got, wrong


def judged(got, venue):
    """What is wrong with what came."""
    wrong = []
    if got.reading.done():
        wrong.append(f"the feed ended: {got.reading.exception()!r}")
    if got.oldest_live_s > OLDEST_S:
        wrong.append(f"a bar was live {got.oldest_live_s:.1f} s after its close")
    lines = sum(venue.counts[path] for path in LINES)
    if lines > MOST_LINES:
        wrong.append(f"{lines} lines were asked for")
    corrected = {(int(bar["symbol"]), int(bar["ts_ns"])): bar for bar in got.again}
    for symbol, name in enumerate(venue.symbols):
        mine = got.values(symbol, PERIOD_S)
        if len(mine) < 20 or not (name in venue.delisted or is_whole_hour(mine, venue)):
            wrong.append(f"{name}: only {len(mine)} bars")
            continue
        opens = [row[0] for row in mine]
        missing = sorted(set(range(opens[0], opens[-1], PERIOD_S)) - set(opens))
        missing = [at for at in missing if (symbol, (at + PERIOD_S) * 10**9) not in corrected]
        if missing:
            wrong.append(f"{name}: {len(missing)} bars missing, the first opens at {missing[0]}")
        proofs = got.proofs(symbol)[:-REMEMBERED]  # the last ones may not have been asked for again
        for row, true, proof in zip(mine, truth(venue.market, name, mine), proofs, strict=False):
            told = corrected.get((symbol, (row[0] + PERIOD_S) * 10**9))
            if row != true and (told is None or (row[0], *values(told)) != true):
                wrong.append(f"{name}: {row} by {proof}, but the venue has {true}")
        live = [int(bar["ts_ns"]) / 1e9 for bar in got.live(symbol)]
        gone = [(down_s + OFF_S, up_s - OFF_S - 0.2) for down_s, up_s in holes(venue)]
        late = [at for at in live for down_s, up_s in gone if down_s < at < up_s]
        if late:
            wrong.append(f"{name}: bars of a hole are live: {late[:3]}")
    return wrong


def values(bar):
    """Open, high, low, close and volume of a BAR."""
    return [float(bar[name]) for name in NAMES]


def disturbed(got, venue):
    """What is wrong with an hour in which nothing but lives of lines ended."""
    wrong = [f"told: {notice}" for notice in got.notices]
    wrong += [f"the venue ended a line at {at_s}" for _, _, at_s in venue.faults.log]
    for symbol, bars in got.bars.items():
        first_ns = got.live(symbol)[0]["ts_ns"]
        lost = sum(bar["ts_ns"] >= first_ns for bar in bars) - len(got.live(symbol))
        wrong += [f"{lost} bars of {venue.symbols[symbol]} are history"] if lost else []
    if venue.life_s and venue.opened < HOUR_S / LIFE_S:
        wrong.append(f"only {venue.opened} lines were opened")
    return wrong


def is_whole_hour(mine, venue):
    """Whether the newest bar is of the end of the time: nothing stands still for ever."""
    is_down = any("maintenance" in one for one in venue.faults.on if venue.faults.on[one])
    return is_down or venue.market.now_s() - mine[-1][0] < 6 * PERIOD_S


def holes(venue):
    """[(from_s, to_s)] of maintenance."""
    found, began_s = [], None
    for name, value, at_s in venue.faults.log:
        if name == "maintenance" and value:
            began_s = at_s
        elif name == "maintenance" and began_s is not None:
            found.append((began_s, at_s))
            began_s = None
    return found


def run_hour(name, seed, folder, is_calm):
    """One hour in made-up time."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    MADE_UP.loop = loop
    random.seed(seed)
    try:
        return loop.run_until_complete(hour(name, seed, folder, is_calm))
    finally:
        left = asyncio.all_tasks(loop)  # requests that are never answered
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        MADE_UP.loop = None
        asyncio.set_event_loop(None)
        loop.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--hours", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=15.0, help="of real time, at most")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--venues", default=",".join(VENUES))
    parser.add_argument("--calm", action="store_true", help="no faults but lines that end")
    told = parser.parse_args()
    os.environ.update(KEYS)
    venue_feed.TICK_S, ccxt_source.AHEAD_S = TICK_S, AHEAD_S
    final_bars.REMEMBERED, final_bars.CHECKED_EVERY = REMEMBERED, CHECKED_EVERY
    names, until_s = told.venues.split(","), time.monotonic() + told.minutes * 60
    totals, faulty, done, memory = Counter(), [], 0, []
    for seed in range(told.first, told.first + told.hours):
        if time.monotonic() > until_s:
            break
        name = names[seed % len(names)]
        with tempfile.TemporaryDirectory() as folder:
            got, wrong = run_hour(name, seed, Path(folder), told.calm)
        done += 1
        totals["bars"] += sum(len(rows) for rows in got.bars.values())
        totals["live"] += sum(len(got.live(symbol)) for symbol in got.bars)
        totals["corrections"] += len(got.again)
        totals.update(dict.fromkeys(set(got.kinds()), 1))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        faulty += [f"seed {seed}, {name}: {one}" for one in wrong]
        for one in wrong:
            print(f"WRONG seed {seed}, {name}: {one}", flush=True)
    quarter_mb = memory[len(memory) // 4 :][:1]
    print(json.dumps({"hours": done, "wrong": len(faulty), **totals,
                      "peak_mb": memory[-1:], "peak_mb_at_a_quarter": quarter_mb,
                      }))  # fmt: skip
    return 1 if faulty or not done else 0


if __name__ == "__main__":
    sys.exit(main())
