"""The real ccxt against a loopback Coinbase, which streams no bars: they are asked for by REST."""

import asyncio
import json
import signal
import time

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue import coinbase_advanced
from tests.venue.coinbase import MOST, Coinbase, options
from tests.venue.kit import Clock, ask, is_whole, listening, truth, until, with_spread, write_config
from tests.venue.market import Market
from tests.venue.server import many
from tests.venue.test_download import iso, trader, venue_process
from tests.venue.test_paper import Runner, live_slices
from trader.core.schema import BAR_HISTORY, BAR_PROOF_BITS, NS_PER_SECOND, BarProof
from trader.feeds.ccxt_source import CcxtSource
from trader.feeds.source import Remedy, SourceError, SourceTerms
from trader.feeds.venue_clock import VenueClock

pytestmark = pytest.mark.process

NAMES = {0: "BTC-USD", 1: "ETH-USD"}


OPTIONS = {"coinbaseexchange": options, "coinbase": coinbase_advanced.options}
BOTH = pytest.mark.parametrize("make", [Coinbase, coinbase_advanced.CoinbaseAdvanced])


def run(test, period_s=1, symbols=("BTC-USD", "ETH-USD"), make=Coinbase, **market):
    async def whole():
        venue = await make(Market(13, period_s, **market), symbols=symbols).start()
        try:
            return await test(venue)
        finally:
            await venue.stop()

    return asyncio.run(whole())


def config(tmp_path, venue, symbols="BTC/USD, ETH/USD", grace_s=0.2):
    given = OPTIONS[venue.name](venue.port)
    path = write_config(tmp_path, given, symbols=symbols, exchange=venue.name)
    text = path.read_text().replace(
        "warmup_bars: 5", f"warmup_bars: 5\n  close_grace_seconds: {grace_s}"
    )
    path.write_text(text)
    return path


def source(venue):
    names, given = ("BTC/USD", "ETH/USD"), OPTIONS[venue.name](venue.port)
    return CcxtSource(SourceTerms(names, 60 * NS_PER_SECOND, venue.name, given))


@BOTH
def test_history_of_many_pages_has_what_comes_after_hours_without_a_trade(make):
    async def test(venue):
        end_s = int(time.time()) // 60 * 60
        begin_s = end_s - 2000 * 60
        venue.quiet = (end_s - 1500 * 60, end_s - 700 * 60)  # begins and ends within pages
        asking = source(venue)
        await asking.open()
        try:
            bars = await asking.history(0, begin_s * NS_PER_SECOND, end_s * NS_PER_SECOND)
        finally:
            await asking.close()
        opens = [at for at in range(begin_s, end_s, 60) if venue.trades("BTC-USD", at)]
        assert [bar.open_ns // NS_PER_SECOND for bar in bars] == opens
        for bar in bars[:: len(bars) // 20]:
            assert bar[1:] == venue.market.bar("BTC-USD", bar.open_ns // NS_PER_SECOND)
        spans = [(end - start) / 60 for _, _, start, end in venue.asked]
        assert max(spans) <= MOST
        assert len(spans) < 15

    run(test, period_s=60, make=make, empty=0.2)


def test_a_bar_is_asked_for_after_its_close_and_traded_once_and_a_hole_is_not(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue)) as got:
            await until(got, lambda: len(got.live(0)) >= 2 and len(got.live(1)) >= 2)
            await venue.do("503")
            away_s = venue.market.now_s()
            await asyncio.sleep(3.0)
            back_s = venue.market.now_s()
            await venue.do("503", False)
            await until(
                got, lambda: all(got.bars[i][-1]["ts_ns"] > (back_s + 1) * 1e9 for i in NAMES)
            )
            for symbol, name in NAMES.items():
                values = got.values(symbol)
                assert is_whole(values)
                assert values == truth(venue.market, name, values)
                assert set(got.proofs(symbol)) == {"REST"}
                decided = [int(bar["ts_ns"]) / 1e9 for bar in got.live(symbol)]
                assert [at for at in decided if away_s <= at < back_s - 1.2] == []
            assert got.again == []
            assert "FEED_REFUSES" in got.kinds()
            assert {"FEED_MUTE", "FEED_DOWN", "FEED_GAP"}.isdisjoint(got.kinds())

    run(test)


def test_a_clock_that_tells_whole_seconds_is_not_taken_for_one_that_is_off():
    async def test(venue):
        venue.time_digits = 0
        asking = source(venue)
        await asking.open()
        clock = VenueClock(asking, Clock())
        try:
            await asyncio.sleep((0.7 - venue.market.now_s()) % 1.0)  # far from what it tells
            await clock.measure()
            assert clock.alert() == ""
            clock.require_close()
        finally:
            await asking.close()

    run(test)


@BOTH
def test_a_product_that_is_gone_is_asked_for_no_more(make):
    async def test(venue):
        asking = source(venue)
        await asking.open()
        await venue.do("delist", "ETH-USD")
        now_ns = time.time_ns()
        try:
            with pytest.raises(SourceError) as told:
                await asking.history(1, now_ns - 10 * 60 * NS_PER_SECOND, now_ns)
        finally:
            await asking.close()
        assert told.value.remedy == Remedy.GONE

    run(test, period_s=60, make=make)


@pytest.mark.trials
def test_quotes_whose_line_cannot_be_had_are_told_and_bars_come(tmp_path):
    async def test(venue):
        path = with_spread(config(tmp_path, venue, "BTC/USD"))
        line = f"ws://127.0.0.1:{venue.port}/nothing"
        api = json.dumps({"public": f"http://127.0.0.1:{venue.port}", "ws": line})
        text = path.read_text()
        assert json.dumps(options(venue.port)["urls"]["api"]) in text
        path.write_text(text.replace(json.dumps(options(venue.port)["urls"]["api"]), api))
        async with listening(path) as got:
            await until(got, lambda: "NO_QUOTES" in got.kinds() and len(got.live(0)) >= 2)
            assert is_whole(got.values(0))

    run(test)


@pytest.mark.trials
def test_seconds_without_a_trade_are_gaps_and_few_questions(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue)) as got:
            await until(got, lambda: len(got.live(0)) >= 10 and len(got.live(1)) >= 10)
            for symbol, name in NAMES.items():
                values = got.values(symbol)
                assert values == truth(venue.market, name, values)
                opens = range(values[0][0], values[-1][0] + 1)
                assert [row[0] for row in values] == [
                    at for at in opens if venue.market.has_trades(name, at)
                ]
                lasted_s = venue.asked[-1][0] - venue.asked[0][0]
                asked = sum(one[1] == name for one in venue.asked)
                assert asked < 3 * lasted_s + 5
            assert "FEED_GAP" in got.kinds()
            assert venue.refused == 0

    run(test, empty=0.4)


@pytest.mark.trials
def test_bars_of_coinbase_advanced_come_once_and_as_they_are(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue)) as got:
            await until(got, lambda: len(got.live(0)) >= 5 and len(got.live(1)) >= 5)
            for symbol, name in NAMES.items():
                values = got.values(symbol)
                assert values == truth(venue.market, name, values)
                assert is_whole(values)
            assert got.kinds() == []
            assert venue.refused == 0

    run(test, make=coinbase_advanced.CoinbaseAdvanced)


@pytest.mark.trials
def test_an_exchange_that_asks_for_quiet_gets_it(tmp_path):
    async def test(venue):
        async with listening(config(tmp_path, venue)) as got:
            await until(got, lambda: len(got.live(0)) >= 2)
            await venue.do("429")  # with Retry-After: 2
            await asyncio.sleep(0.5)
            before, at_s = sum(venue.counts.values()), venue.market.now_s()
            await asyncio.sleep(6.0)
            asked = sum(venue.counts.values()) - before
            await venue.do("429", False)
            assert asked <= 2 * 2 * (venue.market.now_s() - at_s) / 2  # two symbols, each 2 s
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 2)
            assert is_whole(got.values(0))

    run(test)


@pytest.mark.trials
def test_a_bar_that_rest_had_too_early_is_told_as_revised(tmp_path, monkeypatch):
    from trader.feeds import final_bars

    monkeypatch.setattr(final_bars, "CHECKED_EVERY", 4)

    async def test(venue):
        venue.lag_s = 0.6  # REST has all of a bar later than it is asked
        async with listening(config(tmp_path, venue, "BTC/USD")) as got:
            await until(got, lambda: len(got.again) >= 3)
            for bar in got.again:
                at = int(bar["ts_ns"]) // NS_PER_SECOND - 1
                assert float(bar["volume"]) == venue.market.bar("BTC-USD", at)[4]

    run(test)


@pytest.mark.trials
@pytest.mark.timeout(1800)
def test_a_paper_run_goes_on_after_ctrl_c_and_its_download_is_the_same(tmp_path):
    with venue_process("--empty", "0.2", name="coinbase") as port:
        write_config(tmp_path, options(port), "BTC/USD", "coinbaseexchange")
        for name in ("first", "second"):
            run = Runner(tmp_path, name)
            run.until(lambda run=run: len(run.events("bar")) > 9)
            run.process.send_signal(signal.SIGINT)
            run.end(130)
            time.sleep(3.0)  # a hole
        (journal,) = (tmp_path / "runs").glob("*/journal.sqlite")
        slices = live_slices(journal)
        first_s = int(slices[0][0][0]["ts_ns"]) // 10**9 - 1
        last_s = int(slices[-1][0][0]["ts_ns"]) // 10**9
        told = ask(port, f"/_truth?symbol=BTC-USD&start={first_s}&end={last_s}")
        true = [row for row in told if row[5] > 0.0]  # something traded
        rows = [row for bars, _ in slices for row in bars]
        assert [[int(row["ts_ns"]) // 10**9 - 1, *row.item()[1:6]] for row in rows] == true
        assert {int(row["flags"]) & BAR_PROOF_BITS for row in rows} == {BarProof.REST}
        trader("data", "download", "-c", "live.yaml", "--from", iso(first_s), "--to", iso(last_s),
               cwd=tmp_path)  # fmt: skip
    told = trader("parity", journal.parent.name, "--history", "data/coinbaseexchange", "--json",
                  cwd=tmp_path)  # fmt: skip
    market = json.loads(told.stdout)["market"]
    assert (market["changed"], market["told"], market["not_in_history"]) == (0, 0, 0)


@pytest.mark.trials
@pytest.mark.timeout(600)
def test_twenty_symbols_of_minutes_stay_within_the_rate_limit(tmp_path):
    names = many(20)

    async def test(venue):
        ours = ", ".join(name.replace("-", "/") for name in venue.symbols)
        path = config(tmp_path, venue, ours, 1.0)
        path.write_text(path.read_text().replace("period_seconds: 1", "period_seconds: 60"))
        async with listening(path) as got:
            await until(got, lambda: all(len(got.live(i)) >= 2 for i in range(20)), 200.0)
            late_s = [age_s for ages in got.live_ages_s.values() for age_s in ages]
            print(f"\nafter their closes: {min(late_s):.2f} to {max(late_s):.2f} s")
            assert venue.refused == 0
            assert not any(
                bar["flags"] & BAR_HISTORY for i in range(20) for bar in got.bars[i][-2:]
            )

    run(test, period_s=60, symbols=names)
