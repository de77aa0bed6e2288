"""`trader paper` on linear contracts of loopback Bybit and OKX: whole from history to parity."""

import json
import signal

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue import bybit, okx
from tests.venue.kit import SECRETS, ask, with_spread, write_config
from tests.venue.test_download import iso, trader, venue_process
from tests.venue.test_paper import Runner, live_slices
from trader.core.schema import BAR_PROOF_BITS, BarProof
from trader.journal.store import read_records

pytestmark = [pytest.mark.process, pytest.mark.trials, pytest.mark.timeout(1800)]
SYMBOLS = "'BTC/USDT:USDT', 'ETH/USDT:USDT'"
CASES = {
    "bybit": (bybit.options, "linear.BTCUSDT", "linear.ETHUSDT", (0.001, 0.001)),
    "okx": (okx.options, "BTC-USDT-SWAP", "ETH-USDT-SWAP", (0.0001, 0.001)),
}


@pytest.mark.parametrize("name", CASES)
def test_contracts_are_traded_in_units_of_the_base(tmp_path, monkeypatch, name):
    options, *of_venue, lots = CASES[name]
    for key, value in SECRETS.items():
        monkeypatch.setenv(key, value)
    with venue_process(name=name) as port:
        keys = {"apiKey": "${VENUE_KEY}", "secret": "${VENUE_SECRET}"}
        path = write_config(tmp_path, {**options(port), **keys}, symbols=SYMBOLS, exchange=name)
        with_spread(path)

        run = Runner(tmp_path, "first")
        run.until(lambda: run.events("order_filled"))
        ask(port, "/_fault", {"name": "drop"})
        count = len(run.events("bar"))
        run.until(lambda: len(run.events("bar")) > count + 8)
        run.process.send_signal(signal.SIGINT)
        run.end(130)
        (journal,) = (tmp_path / "runs").glob("*/journal.sqlite")
        slices = live_slices(journal)
        first_s = int(slices[0][0][0]["ts_ns"]) // 10**9 - 1
        last_s = int(slices[-1][0][0]["ts_ns"]) // 10**9
        for index, symbol in enumerate(of_venue):
            true = ask(port, f"/_truth?symbol={symbol}&start={first_s}&end={last_s}")
            rows = [row for bars, _ in slices for row in bars if row["symbol"] == index]
            assert [[int(row["ts_ns"]) // 10**9 - 1, *row.item()[1:6]] for row in rows] == true
            assert int(rows[-1]["flags"]) & BAR_PROOF_BITS == BarProof.FLAG
        trader("data", "download", "-c", "live.yaml", "--from", iso(first_s), "--to", iso(last_s),
               cwd=tmp_path)  # fmt: skip
    start = next(iter(read_records(journal, types=("RUN_START",))))
    steps = start.data["rules"]["instruments"]
    found = [dict(zip(steps["fields"], row, strict=True)) for row in steps["rows"]]
    assert tuple(one["lot_size"] for one in found) == lots
    trader("audit", "verify", journal.parent.name, cwd=tmp_path)
    trader("replay", journal.parent.name, cwd=tmp_path)
    held = trader("parity", journal.parent.name, "--history", f"data/{name}", "--json",
                  cwd=tmp_path)  # fmt: skip
    market = json.loads(held.stdout)["market"]
    assert (market["changed"], market["not_in_history"]) == (0, 0)
    assert market["compared"] == sum(len(bars) for bars, _ in slices)
