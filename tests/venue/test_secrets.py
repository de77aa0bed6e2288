"""No key of `feed.options` is printed, logged, journaled, recorded or reported, whatever fails."""

import asyncio
import threading

import pytest

from tests.extras import require

require("ccxt", "alpaca", "aiohttp")

from tests.venue import alpaca, binance
from tests.venue.kit import SECRETS, forms, shown, write_config
from tests.venue.market import Market
from trader.cli import app
from trader.feeds.source import redacted

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore:websockets.legacy:DeprecationWarning"),
]


class Beside:
    """A venue in a thread of its own, for commands that have a loop of their own."""

    def __init__(self, make):
        self.loop, ready = asyncio.new_event_loop(), threading.Event()
        self.venue = make(Market(11, 1))
        self.thread = threading.Thread(target=self._live, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def _live(self, ready):
        self.loop.run_until_complete(self.venue.start())
        ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self.venue.stop())

    def __enter__(self):
        return self.venue

    def __exit__(self, *what):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def told(options, port):
    """Options with the keys by name, as a user writes them."""
    return {**options(port), "apiKey": "${VENUE_KEY}", "secret": "${VENUE_SECRET}"}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADER_HOME", str(tmp_path / "home"))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    def command(*words):
        code = app.run(list(words))
        out, err = capsys.readouterr()
        for secret in SECRETS.values():
            for form in forms(secret):
                assert form not in out + err, words
                assert form.encode() not in shown(tmp_path), words
        return code

    return command


@pytest.mark.trials
def test_of_an_exchange(tmp_path, run):
    with Beside(binance.Binance) as venue:
        write_config(tmp_path, told(binance.options, venue.port), symbols="BTC/USDT")
        assert run("validate", "-c", "live.yaml") in (0, 3)
        assert run("config", "show", "-c", "live.yaml") == 0
        assert run("feed", "check", "-c", "live.yaml", "--minutes", "0.04", "--out", "r.json") == 0
        assert run("feed", "record", "x.jsonl", "-c", "live.yaml", "--minutes", "0.04") == 0
        assert run("feed", "replay", "x.jsonl", "--out", "again") == 0
        assert '"lot_size": 0.0001' in (tmp_path / "again/binance/history.yaml").read_text()
        start = str(int(venue.market.now_s()) - 100)
        assert run("data", "download", "-c", "live.yaml", "--from", start) in (0, 2)
        port = venue.port
        assert not any("sapi" in path or "signature" in path for path in venue.counts)
    # nobody listens any more
    assert run("feed", "check", "-c", "live.yaml", "--minutes", "0.04") == 4
    wrong = {**told(binance.options, port), "urls": "${VENUE_SECRET}"}
    write_config(tmp_path, wrong, symbols="BTC/USDT")
    assert run("feed", "check", "-c", "live.yaml", "--minutes", "0.04") != 0


def test_of_alpaca(tmp_path, run):
    with Beside(alpaca.Alpaca) as venue:
        given = {**alpaca.options(venue.port), "api_key": "${VENUE_KEY}",
                 "secret_key": "${VENUE_SECRET}"}  # fmt: skip
        write_config(tmp_path, given, symbols="AAPL", exchange="none", type="alpaca", period=60)
        assert run("feed", "check", "-c", "live.yaml", "--minutes", "0.04") == 4  # not its keys
        assert run("data", "download", "-c", "live.yaml") == 4
        write_config(tmp_path, {**given, "feed": "${VENUE_SECRET}"}, symbols="AAPL",
                     exchange="none", type="alpaca", period=60)  # fmt: skip
        assert run("feed", "check", "-c", "live.yaml", "--minutes", "0.04") == 3


def test_what_was_signed_with_a_key_is_left_out_of_a_message():
    text = "GET https://x/y?timestamp=1&signature=abc123&recvWindow=1: no"
    assert redacted(text, ()) == "GET https://x/y?timestamp=1&signature=***&recvWindow=1: no"


@pytest.mark.parametrize("spelled", [
    "a/b+c=&\u00e9", "a\\/b+c=&\u00e9", "a%2Fb%2Bc%3D%26%C3%A9", "a%2fb%2bc%3d%26%c3%a9",
    r"a\u002Fb+c=\u0026\u00e9", "a/b+c=&amp;&#233;", "a&#x2F;b&#43;c=&#38;&#xe9;",
])  # fmt: skip
def test_a_key_is_left_out_however_a_server_spells_it_back(spelled):
    assert redacted(f"no such key: <{spelled}>", ("a/b+c=&\u00e9",)) == "no such key: <***>"
