"""Long bars of a market's short ones: the real ccxt against a loopback Binance."""

import asyncio
import json
import signal

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue.binance import Binance, options
from tests.venue.kit import is_whole, listening, until, write_config
from tests.venue.market import Market
from tests.venue.test_download import trader, venue_process
from tests.venue.test_paper import Runner, live_slices

pytestmark = pytest.mark.process
LONG_S = 4


def long_truth(market, symbol, open_s):
    """(open_s, open, high, low, close, volume) of a long bar, out of the venue's own short ones."""
    rows = [market.bar(symbol, open_s + second) for second in range(LONG_S)]
    opens, highs, lows, closes, volumes = zip(*rows, strict=True)
    return (open_s, opens[0], max(highs), min(lows), closes[-1], sum(volumes))


def test_long_bars_are_whole_from_the_first_and_so_is_the_warm_up(tmp_path):
    async def test():
        venue = await Binance(Market(11)).start()
        try:
            terms = {"type": "ccxt\n  period_seconds: 1", "period": LONG_S}
            path = write_config(tmp_path, options(venue.port), **terms)
            async with listening(path) as got:
                await until(got, lambda: all(len(got.live(symbol)) >= 2 for symbol in (0, 1)))
                for symbol, name in ((0, "BTCUSDT"), (1, "ETHUSDT")):
                    values = got.values(symbol, LONG_S)
                    assert is_whole(values, LONG_S)
                    assert values == [
                        pytest.approx(long_truth(venue.market, name, row[0])) for row in values
                    ]
                    assert len(values) - len(got.live(symbol)) >= 5, "warmup_bars are long bars"
                    assert "UNPROVEN" not in got.proofs(symbol)
                assert not got.kinds()
        finally:
            await venue.stop()

    asyncio.run(test())


@pytest.mark.trials
@pytest.mark.timeout(600)
def test_paper_on_long_bars_resumes_and_its_journal_is_whole(tmp_path):
    with venue_process() as port:
        terms = {"type": "ccxt\n  period_seconds: 1", "period": LONG_S}
        write_config(tmp_path, options(port), **terms)
        for name in ("first", "second"):
            run = Runner(tmp_path, name)
            run.until(lambda run=run: len(run.events("bar")) > 16)
            run.process.send_signal(signal.SIGINT)
            run.end(130)
    (journal,) = (tmp_path / "runs").glob("*/journal.sqlite")
    slices = live_slices(journal)
    ends = sorted({int(row["ts_ns"]) // 10**9 for bars, _ in slices for row in bars})
    assert ends == list(range(ends[0], ends[-1] + LONG_S, LONG_S))
    assert all(len(bars) == 2 for bars, _ in slices)
    for words in (("audit", "verify"), ("replay",), ("parity",)):
        done = trader(*words, journal.parent.name, "--json", cwd=tmp_path)
        assert json.loads(done.stdout)
