"""A venue in the test's own loop, a feed on it, and what the feed gave."""

import asyncio
import contextlib
import json
import time
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

from trader.config.load import load_config
from trader.core.schema import BAR_HISTORY, BAR_PROOF_BITS, BarProof
from trader.feeds.live import FeedNotice, LiveBar, NoTrade, ResumePoint, RevisedBar, open_feed

CONFIG = """
name: live
instruments: [{symbols}]
feed:
  type: {type}
  exchange: {exchange}
  warmup_bars: 5
  max_age_bars: 30
  options: {options}
bar_period_seconds: {period}
features:
  fast: {{type: sma, period: 2}}
  slow: {{type: sma, period: 4}}
model: {{type: rule, buy: fast > slow, sell: fast < slow}}
position_sizing: {{mode: target, base_size: 0.5, allow_short: true}}
risk:
  max_position_size: 10
  max_order_size: 10
  min_order_size: 0
  max_daily_loss: none
  max_position_concentration: none
  market_hours: {hours}
throttle:
  max_volume_participation: none
  max_spread_bps: none
  max_volatility: none
  max_order_size: none
broker: {{cash: 100000}}
execution: {{model_isolation: thread}}
kill: {{cancel_timeout_seconds: 60, connectivity_after_seconds: 600}}
watchdog: {{soft_s: 60, hard_s: 120}}
"""


SECRETS = {"VENUE_KEY": "key/with+signs=12345", "VENUE_SECRET": "my%secret-of-67890"}


def shown(folder):
    """Every byte that a command left in the folder."""
    return b"\n".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def forms(secret):
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}


def ask(port, place, document=None):
    """What a venue that is a program says at one of its control pages."""
    data = None if document is None else json.dumps(document).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}{place}", data), timeout=60) as answer:
        return json.load(answer)


class Clock:
    """The machine's."""

    def now_ns(self):
        return time.time_ns()

    latest_ns = now_ns

    async def sleep_until_ns(self, ts_ns):
        await asyncio.sleep(max(ts_ns - time.time_ns(), 0) / 1e9)


def write_config(folder: Path, options, symbols="BTC/USDT, ETH/USDT", exchange="binance", **more):
    """The path of a config of that venue."""
    terms = {"type": "ccxt", "period": 1, "hours": "24x7", **more}
    text = CONFIG.format(symbols=symbols, exchange=exchange, options=json.dumps(options), **terms)
    path = folder / "live.yaml"
    path.write_text(text)
    return path


def with_spread(path):
    """That config, with a throttle that needs quotes."""
    text = path.read_text()
    assert "max_spread_bps: none" in text
    path.write_text(text.replace("max_spread_bps: none", "max_spread_bps: 5"))
    return path


class Got:
    """What a feed gave, by symbol."""

    def __init__(self):
        self.bars, self.notices, self.flags = {}, [], {}
        self.quiet = 0  # times that nothing had been traded
        self.again = []  # late or revised
        self.oldest_live_s = 0.0  # of the bars that may be decided on, when they came
        self.live_ages_s = {}  # of those, by symbol

    def take(self, item):
        if isinstance(item, FeedNotice):
            self.notices.append(item)
        elif isinstance(item, RevisedBar):
            self.again.append(item.bar)
        elif isinstance(item, LiveBar):
            bar = item.bar
            rows = self.bars.setdefault(int(bar["symbol"]), [])
            if rows and bar["ts_ns"] <= rows[-1]["ts_ns"]:
                self.again.append(bar)
                return
            rows.append(bar.copy())
            if not bar["flags"] & BAR_HISTORY:
                age_s = (item.received_ns - item.due_ns) / 1e9
                self.oldest_live_s = max(self.oldest_live_s, age_s)
                self.live_ages_s.setdefault(int(bar["symbol"]), []).append(age_s)
        else:
            assert isinstance(item, NoTrade)
            self.quiet += 1

    def kinds(self):
        return [notice.kind for notice in self.notices]

    def values(self, symbol=0, period_s=1):
        """[(open_s, open, high, low, close, volume)] of a symbol."""
        return [
            (int(bar["ts_ns"]) // 10**9 - period_s, *(float(bar[name]) for name in NAMES))
            for bar in self.bars.get(symbol, [])
        ]

    def proofs(self, symbol=0):
        return [BarProof(int(bar["flags"]) & BAR_PROOF_BITS).name for bar in self.bars[symbol]]

    def live(self, symbol=0):
        """Bars that may be decided on."""
        return [bar for bar in self.bars.get(symbol, []) if not bar["flags"] & BAR_HISTORY]


NAMES = ("open", "high", "low", "close", "volume")


@contextlib.asynccontextmanager
async def listening(path, after_ns=None):
    """A feed of a config, read in the background: gives what it gave so far."""
    feed = open_feed(load_config(path).config, Clock(), None, ResumePoint(after_ns))
    got = Got()

    async def read():
        async for item in feed:
            got.take(item)

    reading = asyncio.ensure_future(read())
    got.feed, got.reading = feed, reading
    try:
        yield got
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        await feed.aclose()


async def until(got, condition, seconds=60.0):
    """Return when `condition()` holds; fail when the feed ended or it takes a minute."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        if got.reading.done():
            got.reading.result()
            raise AssertionError("the feed ended")
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited for ever; notices: {got.notices}")


def truth(market, symbol, values):
    """The venue's own bars of the same opens."""
    return [(row[0], *market.bar(symbol, row[0])) for row in values]


def is_whole(values, period_s=1):
    """Whether no bar is missing between the first and the last."""
    opens = [row[0] for row in values]
    return opens == list(range(opens[0], opens[-1] + period_s, period_s))
