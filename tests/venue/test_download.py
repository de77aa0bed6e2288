"""`trader data download` against a loopback venue, as a process of its own."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.harness import warm
from tests.venue.binance import options
from tests.venue.kit import with_spread, write_config

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]


@contextmanager
def venue_process(*args, name="binance"):
    """A venue as a program; yields its port."""
    command = [sys.executable, "-m", f"tests.venue.{name}", *args]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as venue:
        try:
            yield json.loads(venue.stdout.readline())["port"]
        finally:
            venue.stdin.close()
            venue.wait(30)


def trader(*args, cwd, code=0):
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TRADER_HOME": str(cwd / "home")}
    done = warm.run(args, cwd=cwd, env=environ)
    assert done.returncode == code, done.stderr
    return done


def iso(ts_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ts_s))


@pytest.mark.timeout(600)  # a first backtest compiles
def test_what_is_downloaded_is_what_the_exchange_has_and_a_backtest_runs_on_it(tmp_path):
    with venue_process("--period", "60") as port:
        config = write_config(tmp_path, options(port), period=60)
        end_s = int(time.time()) // 60 * 60 - 3600
        start_s = end_s - 3000 * 60
        half_s = end_s - 1500 * 60
        first = trader(
            "data", "download", "-c", config.name, "--from", iso(start_s), "--to", iso(half_s),
            "--json", cwd=tmp_path,
        )  # fmt: skip
        assert json.loads(first.stdout)["fetched"] == 2 * 1500
        again = trader(
            "data", "download", "-c", config.name, "--from", iso(start_s), "--to", iso(end_s),
            "--json", cwd=tmp_path,
        )  # fmt: skip
    told = json.loads(again.stdout)
    assert told["fetched"] == 2 * 1500  # the first half is there
    assert told["rows"] == {"BTC/USDT": 3000, "ETH/USDT": 3000}

    import pyarrow.parquet as pq

    from tests.venue.market import Market

    parts = sorted((tmp_path / "data/binance/BTC/USDT/60s").glob("*.parquet"))
    stamps = np.concatenate(
        [pq.read_table(part)["timestamp"].to_numpy().astype("int64") for part in parts]
    )
    closes = np.concatenate([pq.read_table(part)["close"].to_numpy() for part in parts])
    assert stamps.tolist() == [at * 10**9 for at in range(start_s, end_s, 60)]
    market = Market(7, 60)
    for index in range(0, 3000, 100):
        assert closes[index] == market.bar("BTCUSDT", start_s + index * 60)[3]

    run = trader("backtest", "-c", config.name, "-c", told["config"], "--json", cwd=tmp_path)
    summary = json.loads(run.stdout)
    assert summary["bars"] == 6000
    assert summary["orders"] > 0  # 0.5 of a lot of 1 would be none: the steps came along
    small = trader("backtest", "-c", config.name, "-c", told["config"], "--json",
                   "--set", "position_sizing.base_size=0.04", cwd=tmp_path)  # fmt: skip
    assert json.loads(small.stdout)["orders"] == 0  # of 5 USDT or more, as Binance says


def test_a_feed_that_is_no_market_has_nothing_to_download(tmp_path):
    config = write_config(tmp_path, {})
    text = config.read_text().replace("type: ccxt", "type: csv\n  path: x.csv")
    config.write_text(text)
    done = trader("data", "download", "-c", config.name, cwd=tmp_path, code=3)
    assert "feed.type: csv is not a market to download from" in done.stderr


def test_a_backtest_on_a_market_says_how_to_get_its_history(tmp_path):
    config = write_config(tmp_path, {})
    done = trader("backtest", "-c", config.name, cwd=tmp_path, code=3)
    assert "trader data download" in done.stderr


@pytest.mark.trials
def test_a_market_is_watched_and_its_frames_are_kept(tmp_path):
    with venue_process() as port:
        config = with_spread(write_config(tmp_path, options(port), symbols="BTC/USDT"))
        told = trader(
            "feed", "check", "-c", config.name, "--minutes", "0.07", "--out", "report.json",
            "--json", cwd=tmp_path,
        )  # fmt: skip
        trader("feed", "record", "x.jsonl", "-c", config.name, "--minutes", "0.03", cwd=tmp_path)
        again = trader("feed", "record", "x.jsonl", "-c", config.name, cwd=tmp_path, code=1)
    report = json.loads(told.stdout)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["bars"] > 0
    assert report["rest"]["compared"] == report["bars"]
    assert report["rest"]["different"] == []
    assert report["closed_known_by"].get("FLAG", 0) > 0
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert {line["direction"] for line in lines} == {"in"}
    frames = [line["raw"] for line in lines if isinstance(line["raw"], dict)]
    assert any(frame.get("e") == "kline" for frame in frames)
    assert "exists already" in again.stderr
    replayed = json.loads(
        trader("feed", "replay", "x.jsonl", "--out", "again", "--json", cwd=tmp_path).stdout
    )
    assert replayed["bars_with_bid_and_ask"] > 0
    layers = ("-c", config.name, "-c", replayed["config"])
    run = trader("backtest", *layers, "--json", cwd=tmp_path)
    assert json.loads(run.stdout)["bars"] == replayed["bars"]["BTC/USDT"]
