"""The real ccxt against loopback servers of Bybit and OKX: spot and contracts in one feed."""

import asyncio
import contextlib

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue import bybit, okx
from tests.venue.kit import is_whole, listening, truth, until, with_spread, write_config
from tests.venue.market import Market
from trader.errors import ConfigError
from trader.feeds.ccxt_source import CcxtSource
from trader.feeds.source import Remedy, Row, SourceError, SourceTerms

pytestmark = pytest.mark.process

VENUES = {"bybit": (bybit.Bybit, bybit.options), "okx": (okx.Okx, okx.options)}
SYMBOLS = ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT")
both = pytest.mark.parametrize("name", VENUES)


def run(name, test, **market):
    async def whole():
        venue = await VENUES[name][0](Market(17, **market)).start()
        try:
            return await test(venue)
        finally:
            await venue.stop()

    return asyncio.run(whole())


def config(tmp_path, name, venue, symbols=SYMBOLS):
    names = ", ".join(f"'{symbol}'" for symbol in symbols)
    return write_config(tmp_path, VENUES[name][1](venue.port), symbols=names, exchange=name)


@contextlib.asynccontextmanager
async def source_of(name, venue, *symbols, period_s=1, **more):
    options = {**VENUES[name][1](venue.port), **more}
    terms = SourceTerms(symbols, period_s * 10**9, name, options, wants_quotes=True)
    source = CcxtSource(terms)
    await source.open()
    try:
        yield source
    finally:
        await source.close()


def require_true(venue, got, symbols=4):
    for symbol, of_venue in list(enumerate(venue.symbols))[:symbols]:
        values = got.values(symbol)
        assert is_whole(values)
        assert values == truth(venue.market, of_venue, values)


def steps(fact):
    return str(fact.tick_size), str(fact.lot_size), str(fact.min_qty), str(fact.min_notional)


@both
def test_spot_and_contracts_come_by_flag_after_their_history(tmp_path, name):
    async def test(venue):
        async with listening(with_spread(config(tmp_path, name, venue))) as got:
            for symbol in range(4):
                await until(got, lambda s=symbol: got.live(s) and got.live(s)[-1]["bid"] > 0)
                await until(got, lambda s=symbol: "FLAG" in got.proofs(s))
            require_true(venue, got)
            for symbol, of_venue in enumerate(venue.symbols):
                assert got.proofs(symbol)[0] == "REST"
                bar = got.live(symbol)[-1]
                open_s, shown = int(bar["ts_ns"]) // 10**9 - 1, venue.shown_quotes
                quotes = [one for at in range(3) for one in shown.get((of_venue, open_s + at), ())]
                assert (float(bar["bid"]), float(bar["ask"])) in quotes
            assert {"FEED_DOWN", "FEED_GAP"}.isdisjoint(got.kinds())
            spot, _, contract, small = map(steps, got.feed.facts)
            if name == "bybit":
                assert spot == ("0.01", "0.000001", "0.000048", "5.0")
                assert contract == ("0.1", "0.001", "0.001", "5.0")
            else:  # sizes of swaps are contracts of 0.01 BTC, of 0.1 ETH
                assert spot == ("0.01", "1E-8", "0.00001", "None")
                assert contract == ("0.1", "0.0001", "0.0001", "None")
                assert small == ("0.1", "0.001", "0.001", "None")

    run(name, test)


@both
def test_one_symbol_that_is_refused_takes_no_other_from_the_line(name):
    async def test(venue):
        venue.faults.set("refused", venue.symbols[1])
        async with source_of(name, venue, *SYMBOLS[:2]) as source, asyncio.timeout(60):
            async for event in source.events():
                assert not isinstance(event, Row) or event.symbol == 0
                if (
                    isinstance(event, Row)
                    and event.is_closed
                    and source.quotes.since(0, 0.0)[0] > 0
                ):
                    return

    run(name, test)


@pytest.mark.trials
@both
def test_beside_one_that_is_refused_the_others_are_flagged(tmp_path, name):
    async def test(venue):
        venue.faults.set("refused", venue.symbols[1])
        async with listening(config(tmp_path, name, venue, SYMBOLS[:2])) as got:
            await until(got, lambda: len(got.live(0)) >= 3 and len(got.bars.get(1, ())) >= 7)
            await until(got, lambda: got.proofs(0).count("FLAG") >= 2)
            require_true(venue, got, 2)
            assert set(got.proofs(1)) == {"REST"}

    run(name, test)


@both
def test_a_symbol_that_is_delisted_is_gone(name):
    async def test(venue):
        async with source_of(name, venue, "ETH/USDT:USDT") as source:
            await venue.do("delist", venue.symbols[3])
            now_ns = await source.venue_ns()
            with pytest.raises(SourceError) as refused:
                await source.history(0, now_ns - 5 * 10**9, now_ns)
        assert refused.value.remedy == Remedy.GONE

    run(name, test)


def test_a_refusal_for_too_many_questions_is_waited_for():
    """Bybit says it with HTTP 200."""

    async def test(venue):
        async with source_of("bybit", venue, "BTC/USDT") as source:
            venue.faults.set("10006")
            with pytest.raises(SourceError, match="Too many visits") as refused:
                await source.history(0, 10**9, 10**10)
        assert (refused.value.remedy, refused.value.after_s) == (Remedy.WAIT, 30.0)

    run("bybit", test)


def test_the_time_is_asked_for_without_a_wait_that_would_count_as_its_way():
    async def test(venue):
        async with source_of("okx", venue, "BTC/USDT", rateLimit=3_600_000) as source:
            async with asyncio.timeout(60):  # each request after the first waits an hour
                for _ in range(5):
                    await source.venue_ns()
            asking = asyncio.ensure_future(source.history(0, 0, 10**9))
            assert await asyncio.wait({asking}, timeout=0.1) == (set(), {asking})
            asking.cancel()
            await asyncio.wait({asking})

    run("okx", test)


def test_history_goes_on_after_pages_without_a_bar():
    """OKX looks no further than a page from where it is asked."""

    async def test(venue):
        venue.listed_s = int(venue.market.now_s()) - 90
        async with source_of("okx", venue, "BTC/USDT") as source:
            now_ns = await source.venue_ns()
            bars = await source.history(0, now_ns - 1000 * 10**9, now_ns)
        opens = [bar.open_ns // 10**9 for bar in bars]
        assert opens == list(range(venue.listed_s, opens[-1] + 1))
        assert opens[-1] >= now_ns // 10**9 - 1  # whose newest is there a moment later

    run("okx", test)


def test_long_bars_of_okx_begin_at_the_same_time_in_history_and_stream():
    async def test(venue):
        async with source_of("okx", venue, "BTC/USDT", period_s=21_600) as source:
            now_ns = await source.venue_ns()
            period_ns = 21_600 * 10**9
            bars = await source.history(0, now_ns - 2 * period_ns, now_ns)
            assert {bar.open_ns % period_ns for bar in bars} == {0}
            reading = asyncio.ensure_future(anext(source.events()))
            while not any(line.wanted for line in venue.lines):
                await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.wait({reading})

    run("okx", test, period_s=21_600)


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("BTC/USD:BTC", r"does not gain in proportion .* settled in BTC\): take spot, or"),
        ("BTC/USTD:USDT", "has no market BTC/USTD:USDT; did you mean BTC/USDT:USDT"),
    ],
)
@both
def test_what_cannot_be_traded_by_quantity_is_refused(tmp_path, name, symbol, message):
    async def test(venue):
        async with listening(config(tmp_path, name, venue, [symbol])) as got:
            with pytest.raises(ConfigError, match=message):
                await got.reading

    run(name, test)


@pytest.mark.trials
@both
def test_a_hole_and_a_mute_line_are_filled_by_rest(tmp_path, name):
    async def test(venue):
        async with listening(config(tmp_path, name, venue)) as got:
            await until(got, lambda: all(got.live(symbol) for symbol in range(4)))
            await venue.do("maintenance")
            down_s = venue.market.now_s()
            await asyncio.sleep(2.5)
            await venue.do("maintenance", False)
            up_s, count = venue.market.now_s(), len(got.live(3))
            await until(got, lambda: len(got.live(3)) >= count + 2)
            closes = [int(bar["ts_ns"]) / 1e9 for bar in got.live(3)]
            assert [at for at in closes if down_s < at <= up_s] == []
            assert {"FEED_DOWN", "FEED_UP"} <= set(got.kinds())
            await venue.do("mute")
            await until(got, lambda: "FEED_MUTE" in got.kinds())
            await venue.do("mute", False)
            count = len(got.bars[3])
            await until(got, lambda: len(got.bars[3]) > count and got.proofs(3)[-1] == "FLAG")
            require_true(venue, got)

    run(name, test)


@pytest.mark.trials
@both
def test_the_others_go_on_when_one_is_delisted_and_the_line_breaks(tmp_path, name):
    async def test(venue):
        async with listening(config(tmp_path, name, venue)) as got:
            await until(got, lambda: all(got.live(symbol) for symbol in range(4)))
            await venue.do("delist", venue.symbols[1])
            await venue.do("drop")
            await until(got, lambda: "SYMBOL_GONE" in got.kinds())
            count = len(got.bars[0])
            await until(got, lambda: "FLAG" in got.proofs(0)[count + 2 :])
            require_true(venue, got)

    run(name, test)
