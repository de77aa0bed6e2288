"""The real ccxt against a loopback Binance: what is traded on is what the venue closed."""

import asyncio
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.extras import require
from tests.venue.kit import (
    NAMES,
    Clock,
    is_whole,
    listening,
    truth,
    until,
    with_spread,
    write_config,
)

require("ccxt", "aiohttp")

from tests.venue.binance import Binance, options
from tests.venue.market import Market
from trader.config.load import load_config
from trader.errors import ConfigError, DataError
from trader.feeds import market_watch
from trader.feeds.ccxt_markets import raw_bar
from trader.feeds.live import ResumePoint, open_feed
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.source import RawBar
from trader.jobs.feed_check import FrameFile
from trader.jobs.feed_replay import replay

pytestmark = pytest.mark.process


def run(test, **market):
    """Run `test(venue, …)` beside a venue."""

    async def whole():
        venue = await Binance(Market(11, **market)).start()
        try:
            return await test(venue)
        finally:
            await venue.stop()

    return asyncio.run(whole())


def test_history_and_stream_are_one_without_a_hole_or_an_overlap(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port))
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 3 and len(got.live(1)) >= 3)
            for symbol, name in ((0, "BTCUSDT"), (1, "ETHUSDT")):
                values = got.values(symbol)
                assert is_whole(values)
                assert values == truth(venue.market, name, values)
                assert got.proofs(symbol)[-1] == "FLAG"
                assert got.proofs(symbol)[0] == "REST"
            fact = got.feed.facts[0]
            assert (str(fact.tick_size), str(fact.lot_size)) == ("0.01", "0.0001")

    run(test)


@pytest.mark.trials
def test_a_dropped_line_is_filled_from_rest_and_nothing_of_the_hole_is_live(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port))
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 1)
            venue.faults.set("maintenance")  # REST and line are both away
            await venue.do("drop")
            down_s = venue.market.now_s()
            await asyncio.sleep(2.5)
            venue.faults.set("maintenance", False)
            up_s = venue.market.now_s()
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 2)
            values = got.values(0)
            assert is_whole(values)
            assert values == truth(venue.market, "BTCUSDT", values)
            closes = [int(bar["ts_ns"]) / 1e9 for bar in got.live(0)]
            assert [at for at in closes if down_s < at <= up_s] == []
            assert {"FEED_DOWN", "FEED_UP"} <= set(got.kinds())

    run(test)


@pytest.mark.trials
def test_a_mute_line_is_noticed_by_what_it_owes(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 1)
            venue.faults.set("mute")
            await until(got, lambda: "FEED_MUTE" in got.kinds())
            venue.faults.set("mute", False)
            await until(got, lambda: got.proofs(0)[-1] == "FLAG")
            values = got.values(0)
            assert is_whole(values)
            assert values == truth(venue.market, "BTCUSDT", values)

    run(test)


@pytest.mark.trials
def test_a_close_that_is_never_flagged_is_asked_for(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        venue.faults.set("never_final")
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 2)
            assert set(got.proofs(0)) == {"REST"}
            assert got.values(0) == truth(venue.market, "BTCUSDT", got.values(0))

    run(test)


def test_an_answer_that_was_cut_off_makes_no_gap(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 2)
            venue.faults.set("never_final")
            venue.faults.set("garbled", '[[1764424800000,"100.00","101')  # ccxt makes rows of it
            await asyncio.sleep(2.5)
            venue.faults.set("never_final", False)
            await asyncio.sleep(2.0)  # the next bar is flagged: only REST knows the ones before
            venue.faults.set("garbled", False)
            count = len(got.bars[0])
            await until(got, lambda: len(got.bars[0]) >= count + 5)
            assert "FEED_GAP" not in got.kinds()
            assert got.values(0) == truth(venue.market, "BTCUSDT", got.values(0))
            assert is_whole(got.values(0))

    run(test)


def test_a_row_without_a_price_is_no_bar():
    assert raw_bar([1000, 1, 2, 0.5, 1.5, None]) == RawBar(10**9, 1.0, 2.0, 0.5, 1.5, 0.0)
    for row in ([1000, 1, 2, None, 1.5, 3], [None, 1, 2, 0.5, 1.5, 3]):
        with pytest.raises(ValueError, match="what is no bar"):
            raw_bar(row)


def test_time_that_is_behind_the_market_is_asked_for_before_its_bars_are_judged(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        async with listening(path) as got:  # a bad bar would fail it
            await until(got, lambda: len(got.live(0)) >= 2)
            venue.market.offset_s = 40.0  # as if the machine had slept
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 3)
            values = got.values(0)
            assert is_whole(values)
            assert values[-1][0] - values[0][0] >= 40
            assert len(got.live(0)) < 20

    run(test)


def test_repeated_disordered_and_revised_frames_change_nothing_that_was_traded(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 2)
            before = got.values(0)
            venue.faults.set("duplicate")
            venue.faults.set("reorder")
            await venue.do("revise")
            await until(got, lambda: len(got.again) >= 1)
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 2)
            assert is_whole(got.values(0))
            assert got.values(0)[: len(before)] == before
            revised = next(value[1] for name, value, _ in venue.faults.log if name == "revise")
            assert {int(bar["ts_ns"]) // 10**9 - 1 for bar in got.again} == {revised}
            assert got.again[0]["close"] == venue.market.revised["BTCUSDT", revised]

    run(test)


@pytest.mark.trials
def test_a_request_for_quiet_is_kept(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 1)
            venue.faults.set("429")
            venue.faults.set("never_final")
            await until(got, lambda: "FEED_REFUSES" in got.kinds())
            asked = venue.counts["/api/v3/klines"]
            await asyncio.sleep(1.5)  # Retry-After says 2
            assert venue.counts["/api/v3/klines"] - asked <= 1
            venue.faults.set("429", False)
            venue.faults.set("never_final", False)
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 2)
            assert is_whole(got.values(0))

    run(test)


@pytest.mark.trials
def test_a_delisted_symbol_holds_up_nobody(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port))
        async with listening(path) as got:
            await until(got, lambda: len(got.live(1)) >= 1)
            await venue.do("delist", "ETHUSDT")
            await until(got, lambda: "SYMBOL_GONE" in got.kinds())
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 2)

    run(test)


def test_a_recording_replays_to_the_bars_that_came(tmp_path):
    name = "frames.jsonl.gz"

    async def test(venue):
        path = with_spread(write_config(tmp_path, options(venue.port), symbols="BTC/USDT"))
        frames = FrameFile(tmp_path / name)
        async with listening(path) as got:
            frames.hear(load_config(path).config, got.feed)
            await until(got, lambda: got.live(0) and got.live(0)[-1]["bid"] > 0)
            await venue.do("drop")
            count = len(got.live(0))
            await until(got, lambda: len(got.live(0)) >= count + 1)
        for bar in got.bars[0]:
            frames.keep_quote(bar, 10**9)
        frames.close()
        return got

    got = run(test)
    told = replay(tmp_path / name, tmp_path / "again")
    count = len(got.bars[0])
    table = pq.read_table(next((tmp_path / "again").rglob("*.parquet")))
    opens = table["timestamp"].cast("int64").to_pylist()
    columns = [table[name].to_pylist() for name in NAMES]
    rows = [(at // 10**9, *row) for at, *row in zip(opens, *columns, strict=True)]
    assert rows[:count] == got.values(0)
    for side in ("bid", "ask"):
        quotes = [None if math.isnan(bar[side]) else float(bar[side]) for bar in got.bars[0]]
        assert table[side].to_pylist()[:count] == quotes
        assert None in quotes
    assert told["bars_with_bid_and_ask"] == count - quotes.count(None) > 0
    assert told["bars"]["BTC/USDT"] - count in (0, 1)  # the last one may not have left
    assert "feed:" in Path(told["config"]).read_text()


def test_what_is_no_recording_is_told(tmp_path):
    for text, why in (("{}\n", "is not a recording"), ("x\n", "line 1: no JSON")):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(DataError, match=why):
            replay(tmp_path / "x.jsonl")


def test_a_tick_size_that_changes_ends_the_feed(tmp_path, monkeypatch):
    monkeypatch.setattr(market_watch, "FACTS_EVERY_S", 0.3)

    async def test(venue):
        path = write_config(tmp_path, options(venue.port), symbols="BTC/USDT")
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 1)
            venue.faults.set("tick", "0.10000000")
            await got.reading
            assert got.kinds()[-1] == "FEED_REFUSED"
            assert "tick_size of BTC/USDT was 0.01 and is 0.1 now" in got.notices[-1].text
            assert got.feed.end == FeedEnd.REFUSED

    run(test)


def test_a_clock_that_is_off_by_minutes_is_refused(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port))
        async with listening(path) as got:
            with pytest.raises(DataError, match=r"is 120\.\d+ s behind that of binance"):
                await got.reading

    run(test, offset_s=120.0)


def test_a_clock_that_is_off_a_little_is_told(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port))
        async with listening(path) as got:
            await until(got, lambda: len(got.live(0)) >= 1)
            assert got.kinds()[0] == "CLOCK_OFFSET"

    run(test, offset_s=-0.6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": "BTC/USDX"}, "binance has no market BTC/USDX; did you mean BTC/USDT"),
        ({"symbols": "btc/usdt"}, "has no market btc/usdt; did you mean BTC/USDT"),
        ({"symbols": "AAPL"}, "has no market AAPL; it is written BASE/QUOTE.*feed.type alpaca"),
        ({"exchange": "bitflyer"}, "ccxt has no bars of bitflyer"),
        ({"exchange": "binanze"}, "ccxt has no exchange binanze; did you mean binance"),
        ({"period": 7}, "binance has no bars of 7 s; it has 1, 60, 180"),
    ],
)
def test_what_the_exchange_has_not_is_told(tmp_path, change, message):
    async def test(venue):
        path = write_config(tmp_path, options(venue.port), **change)
        async with listening(path) as got:
            with pytest.raises(ConfigError, match=message):
                await got.reading

    run(test)


def test_an_exchange_that_does_not_answer_is_told(tmp_path):
    async def test(venue):
        path = write_config(tmp_path, {**options(venue.port), "timeout": 500})
        venue.faults.set("503")
        async with listening(path) as got:
            with pytest.raises(DataError, match=r"^binance: (GET )?http.*503|^binance: 503"):
                await got.reading

    run(test)


def test_a_secret_comes_from_the_environment_and_stands_in_no_message(tmp_path, monkeypatch):
    async def test(venue):
        given = {**options(venue.port), "apiKey": "${VENUE_KEY}", "timeout": 500}
        path = write_config(tmp_path, given)
        monkeypatch.setenv("VENUE_KEY", "very-secret-key")
        venue.faults.set("503")
        async with listening(path) as got:
            with pytest.raises(DataError) as caught:
                await got.reading
        assert "very-secret-key" not in str(caught.value)
        assert "very-secret-key" not in path.read_text()

    run(test)
    monkeypatch.delenv("VENUE_KEY")
    from trader.config.load import load_config
    from trader.feeds.registry import open_source

    with pytest.raises(ConfigError, match="the environment has no VENUE_KEY"):
        open_source(load_config(tmp_path / "live.yaml").config)


def test_a_secret_that_is_written_out_is_refused_and_not_shown(tmp_path):
    from trader.config.load import load_config

    for given in ({"apiKey": "abcdef"}, {"options": {"token": "abcdef"}}):
        path = write_config(tmp_path, given)
        text = path.read_text()
        with pytest.raises(ConfigError, match="write \\$\\{NAME\\}") as told:
            load_config(path)
        assert "abcdef" not in str(told.value)
    for key in ("apiKey", "api_key", "secret", "password"):
        path.write_text(text.replace("feed:", f"feed:\n  {key}: abcdef"))
        with pytest.raises(ConfigError, match="unknown key") as told:
            load_config(path)
        assert "abcdef" not in str(told.value)


@pytest.mark.parametrize("turns", range(5))
def test_a_cancellation_is_not_lost_to_an_event_that_comes_with_it(tmp_path, turns):
    async def test():
        feed = open_feed(
            load_config(write_config(tmp_path, {})).config, Clock(), None, ResumePoint()
        )
        try:
            feed._ticks_at_s = asyncio.get_running_loop().time() + 60
            waiting = asyncio.ensure_future(feed._event())
            await asyncio.sleep(0.01)
            feed._queue.put_nowait("an event")
            for _ in range(turns):
                await asyncio.sleep(0)
            is_asked = waiting.cancel()
            await asyncio.wait({waiting})
            assert waiting.cancelled() is is_asked
            assert feed._queue.empty() is not is_asked
        finally:
            await feed.aclose()

    asyncio.run(test())
