"""The real alpaca-py against a loopback Alpaca, whose minutes last a second."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from tests.extras import require

require("alpaca", "aiohttp")

from tests.venue.alpaca import Alpaca, options
from tests.venue.kit import Clock, Got, is_whole, truth, until, write_config
from tests.venue.market import Market
from trader.config.load import load_config
from trader.errors import ConfigError, DataError
from trader.feeds import alpaca_source, market_watch
from trader.feeds.alpaca_source import AlpacaSource
from trader.feeds.corporate_actions import CorporateAction
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.registry import open_source
from trader.feeds.source import Remedy
from trader.feeds.venue_feed import VenueFeed

# alpaca-py still imports it
pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore:websockets.legacy:DeprecationWarning"),
]


class OfSeconds(AlpacaSource):
    """Alpaca's adapter where a bar of the stream is one second long."""

    streamed_s = 1


@contextlib.asynccontextmanager
async def listening(path, environ):
    config = load_config(path).config
    terms = open_source(config, environ)._terms
    feed, got = VenueFeed(config, OfSeconds(terms), Clock()), Got()

    async def read():
        async for item in feed:
            got.take(item)

    got.feed, got.reading = feed, asyncio.ensure_future(read())
    try:
        yield got
    finally:
        got.reading.cancel()
        await asyncio.wait({got.reading})
        await feed.aclose()


KEYS = {"ALPACA_KEY": "key-id", "ALPACA_SECRET": "key-secret"}


def run(tmp_path, test, keys=KEYS, before=lambda venue: None, **market):
    async def whole():
        venue = await Alpaca(Market(17, **market)).start()
        before(venue)
        path = write_config(tmp_path, options(venue.port), symbols="AAPL, MSFT", exchange="none",
                            type="alpaca")  # fmt: skip
        try:
            async with listening(path, keys) as got:
                await test(venue, got)
        finally:
            await venue.stop()

    asyncio.run(whole())


def test_bars_that_are_stated_join_the_history(tmp_path):
    async def test(venue, got):
        await until(got, lambda: len(got.live(0)) >= 3 and len(got.live(1)) >= 3)
        for symbol, name in enumerate(venue.symbols):
            values = got.values(symbol)
            assert is_whole(values)
            assert values == truth(venue.market, name, values)
            assert "STATED" in got.proofs(symbol)

    run(tmp_path, test)


def test_a_dropped_line_is_filled_and_a_correction_is_told(tmp_path):
    async def test(venue, got):
        await until(got, lambda: len(got.live(0)) >= 2)
        await venue.do("drop")
        count = len(got.live(0))
        await until(got, lambda: len(got.live(0)) >= count + 2)
        await venue.do("revise")
        await until(got, lambda: got.again)
        values = got.values(0)
        assert is_whole(values)
        revised = {at for _, at in venue.market.revised}
        assert {int(bar["ts_ns"]) // 10**9 - 1 for bar in got.again} == revised
        assert {"FEED_DOWN", "FEED_UP"} <= set(got.kinds())

    run(tmp_path, test)


def test_a_split_is_known_at_the_start_and_one_that_is_announced_later_ends_the_feed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(market_watch, "FACTS_EVERY_S", 0.3)
    today = datetime.now(UTC).date()
    days = [(today + timedelta(ahead)).isoformat() for ahead in (1, 2, 90)]

    async def test(venue, got):
        await until(got, lambda: len(got.live(0)) >= 1)
        assert got.feed.actions == [CorporateAction(days[0], "AAPL", "split", "4:1")]
        venue.split("MSFT", days[2], 3)  # beyond what matters yet
        await asyncio.sleep(0.5)
        assert not got.reading.done()
        venue.split("MSFT", days[1], 1, 10)
        await got.reading
        assert got.kinds()[-1] == "FEED_RESTARTS"
        assert got.notices[-1].text == f"alpaca: new: MSFT: split of 1:10 on {days[1]}"
        assert got.feed.end == FeedEnd.LOST

    run(tmp_path, test, before=lambda venue: venue.split("AAPL", days[0], 4))


def test_a_request_that_is_never_answered_is_given_up_and_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(alpaca_source, "ANSWER_S", 0.5)

    async def test(venue, got):
        await until(got, lambda: len(got.live(0)) >= 2)
        for fault in ("freeze", "never_final"):  # the stream owes a bar: REST is asked
            venue.faults.set(fault)
        await until(got, lambda: "FEED_REFUSES" in got.kinds())
        for fault in ("freeze", "never_final"):
            venue.faults.set(fault, False)
        count = len(got.live(0))
        await until(got, lambda: len(got.live(0)) >= count + 2)
        assert is_whole(got.values(0))

    run(tmp_path, test)


def test_an_answer_that_cannot_be_read_is_asked_for_again(tmp_path):
    async def test(venue, got):
        await until(got, lambda: len(got.live(0)) >= 2)
        venue.faults.set("garbled", '{"bars": {"AAPL": [{"t": null}], "MSFT": [null]}}')
        venue.faults.set("never_final")
        await until(got, lambda: "FEED_REFUSES" in got.kinds())
        for fault in ("garbled", "never_final"):
            venue.faults.set(fault, False)
        count = len(got.bars[0])
        await until(got, lambda: len(got.bars[0]) >= count + 2)
        assert is_whole(got.values(0))

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("status", "text", "remedy"),
    [
        (502, "<html><meta name=author>", Remedy.RETRY),
        (None, "auth timeout", Remedy.RETRY),
        (None, "auth failed", Remedy.NEVER),
        (403, "forbidden", Remedy.NEVER),
    ],
)
def test_only_a_refusal_of_the_keys_ends_the_feed(tmp_path, status, text, remedy):
    path = write_config(tmp_path, options(1), exchange="none", type="alpaca", symbols="AAPL")
    error = RuntimeError(text)
    error.status_code = status  # as alpaca-py's have it
    assert open_source(load_config(path).config, KEYS)._error(error).remedy == remedy


def test_keys_that_are_wrong_are_told_and_not_shown(tmp_path):
    async def test(venue, got):
        with pytest.raises(DataError, match="refuses the keys") as caught:
            await got.reading
        assert "wrong-secret" not in str(caught.value)

    run(tmp_path, test, {**KEYS, "ALPACA_SECRET": "wrong-secret"})


def test_keys_that_are_revoked_end_the_feed_and_are_tried_no_more(tmp_path):
    async def test(venue, got):
        await until(got, lambda: len(got.live(0)) >= 1)
        venue.faults.set("revoked")
        await venue.do("drop")
        await got.reading
        asked = sum(venue.counts.values())
        assert got.kinds()[-1] == "FEED_REFUSED"
        assert "refuses the keys" in got.notices[-1].text
        assert got.feed.end == FeedEnd.REFUSED
        await asyncio.sleep(1.0)
        assert sum(venue.counts.values()) == asked

    run(tmp_path, test)


def test_bars_of_a_length_alpaca_has_not_are_refused(tmp_path):
    path = write_config(tmp_path, options(1), exchange="none", type="alpaca", symbols="AAPL")

    async def whole():
        config = load_config(path).config
        await open_source(config, KEYS).open()

    with pytest.raises(ConfigError, match="alpaca has bars of 60"):
        asyncio.run(whole())


def test_an_option_it_has_not_is_refused(tmp_path):
    given = {**options(1), "apikey": "${ALPACA_KEY}"}
    path = write_config(tmp_path, given, exchange="none", type="alpaca", symbols="AAPL")
    with pytest.raises(ConfigError, match=r"feed\.options takes") as caught:
        open_source(load_config(path).config, KEYS)
    assert caught.value.key == "feed.options.apikey"
