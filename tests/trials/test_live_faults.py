"""Loopback exchanges that misbehave by seed, and what of it reaches a run.

LIVE_SECONDS=3600 python -m pytest -m trials tests/trials/test_live_faults.py -s
"""

import asyncio
import json
import os
import random

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue import binance, kraken
from tests.venue.faults import SWITCHES, play, script
from tests.venue.kit import listening, truth, until, write_config
from tests.venue.market import Market

pytestmark = [pytest.mark.trials, pytest.mark.process, pytest.mark.timeout(0)]
ALL = (*SWITCHES, "drop", "close", "revise", "half")
SECONDS = float(os.environ.get("LIVE_SECONDS", "120"))
VENUES = {
    "binance": (binance.Binance, binance.options, "BTC/USDT, ETH/USDT", 0.0),
    "kraken": (kraken.Kraken, kraken.options, "BTC/USD, ETH/USD", 0.2),
}
# Without a flag a line that loses frames and goes on, or tells of a bar after the next, cannot be
# told from one that is whole (docs/live.md): not asked of Kraken.
UNSEEN = {"kraken": ("mute", "reorder")}


@pytest.mark.parametrize("name", sorted(VENUES))
def test_an_hour_of_faults_gives_the_exchange_s_own_bars(tmp_path, name):
    seed = random.randrange(2**32)
    make, options, symbols, empty = VENUES[name]
    print(f"seed {seed}")

    async def whole():
        venue = await make(Market(seed, empty=empty)).start()
        path = write_config(tmp_path, options(venue.port), symbols=symbols, exchange=name)
        down = []  # [from, to] in which no bar may be live

        async def do(fault, value):
            if fault == "maintenance":
                now_s = venue.market.now_s()
                if value:
                    down.append([now_s, now_s])
                elif down:
                    down[-1][1] = now_s
            await venue.do(fault, value)

        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 1)
            faults = [one for one in ALL if one not in UNSEEN.get(name, ())]
            await play(script(seed, SECONDS, faults), do)
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 3, 180)
            report = judged(venue, got, down)
        await venue.stop()
        print(json.dumps({"venue": name, "seed": seed, "seconds": SECONDS, **report}))

    asyncio.run(whole())


def judged(venue, got, down):
    """Fails where a bar is not the venue's, comes twice, or was live though the line was down."""
    report = {"faults": len(venue.faults.log), "notices": len(got.notices), "again": len(got.again)}
    revised = venue.market.revised
    for index, symbol in enumerate(venue.symbols[:2]):
        values = got.values(index)
        true = truth(venue.market, symbol, values)
        wrong = [
            (ours, theirs)
            for ours, theirs in zip(values, true, strict=True)
            if ours != theirs and (symbol, ours[0]) not in revised
        ]
        assert wrong == []
        opens = {row[0] for row in values}
        wanted = {
            at
            for at in range(values[0][0], values[-1][0] + 1)
            if venue.market.has_trades(symbol, at) or venue.name == "binance"
        }
        assert opens == wanted
        live = [int(bar["ts_ns"]) / 1e9 for bar in got.live(index)]
        assert [at for at in live for since, to in down if since < at <= to] == []
        report[symbol] = {"bars": len(values), "live": len(live)}
    return {**report, "proofs": got.feed.proofs, "gaps": got.feed.gaps}
