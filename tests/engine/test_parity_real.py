"""Ten slices of real markets: bar by bar, replayed, and as a backtest: one digest."""

from pathlib import Path

import numpy as np
import pytest

from tests import config_demo
from tests.replay_kit import RecordedRun
from trader.config.load import LoadedConfig
from trader.engine.batch import RowKeeper, run_history
from trader.jobs.verify import parity_run, replay_run
from trader.wiring import Timing, prepare

pytestmark = pytest.mark.process

SLICES = [
    ("COINBASE_BTCUSD_1m.csv", "2016-10-07", "2016-10-07T06:00", 60),
    ("COINBASE_BTCUSD_1m.csv", "2016-10-08", "2016-10-08T06:00", 60),
    ("BITFINEX_BTCUSD_1m.parquet", "2013-04-11T12:00", "2013-04-11T20:00", 60),  # flash prints
    ("BITFINEX_BTCUSD_1m.parquet", "2016-08-02T06:00", "2016-08-10T12:00", 60),  # closed for a week
    ("US24_1m_2019-02-11_15_panel.csv", "2019-02-12T14:00", "2019-02-12T18:00", 60),
    ("BITFINEX_XRPUSD_1m.parquet", "2017-06-01", "2017-06-01T06:00", 60),
    ("BITFINEX_EOSUSD_1m.parquet", "2017-09-01", "2017-09-01T06:00", 60),
    ("BITFINEX_IOTUSD_1m.parquet", "2017-09-01", "2017-09-01T06:00", 60),
    ("EURUSD_1h_bidask.csv", "2008-09-01", "2008-10-01", 3600),
    ("USDJPY_1m_bidask.csv", "2013-02-04", "2013-02-04T06:00", 60),
]


def config_of(
    folder: Path, data: Path, name: str, start: str, end: str, period: int
) -> LoadedConfig:
    instruments = ["AAPL", "BAC", "MSFT"] if "panel" in name else ["{symbol: X, lot_size: 0.001}"]
    text = config_demo.demo(
        ("path: data/acme.csv", f"path: {data / name}"),
        ("{symbol: ACME, tick_size: 0.01, lot_size: 1}", "\n  - ".join(instruments)),
        ("bar_period_seconds: 60", f"bar_period_seconds: {period}"),
        ("period: 10", "period: 5"),
        ("period: 30", "period: 13"),
        ("base_size: 100", "base_size: 10"),
        ("allow_short: false", "allow_short: true"),
        ("min_order_size: 1", "min_order_size: 0.001"),
        ("max_volume_participation: 0.1", "max_volume_participation: none"),
        ("max_spread_bps: 50", "max_spread_bps: none"),
    )
    kinds = "duplicate", "revised", "disorder", "ohlc", "price", "volume"
    return config_demo.load(
        config_demo.write(folder, text, "real.yaml"),
        f"feed.type={'parquet' if name.endswith('parquet') else 'csv'}",
        f"feed.start={start}",
        f"feed.end={end}",
        *(f"feed.quality.{kind}=drop" for kind in kinds),
    )


@pytest.mark.parametrize("case", SLICES, ids=[f"{name[:-8]}-{day}" for name, day, _, _ in SLICES])
def test_paper_replay_and_backtest_have_one_digest(
    tmp_path: Path, real_data: Path, case: tuple[str, str, str, int]
) -> None:
    name, start, end, period = case
    loaded = config_of(tmp_path, real_data, name, start, end, period)
    prepared = prepare(loaded, [tmp_path / "real.yaml"], Timing())
    assert len(prepared.inputs.bars) > 100
    batch = run_history(prepared.rules, prepared.inputs, RowKeeper(len(prepared.inputs.bars)))
    assert len(batch.fills) > 0
    folder = tmp_path / "runs" / "20240101T000000Z-paper-real"
    text = (tmp_path / "real.yaml").read_text()
    overrides = [f"feed.start={start}", f"feed.end={end}"]
    run = RecordedRun(folder, *overrides, text=text, bars=np.array(prepared.inputs.bars)).trade()
    run.end()
    replayed = replay_run("latest", tmp_path / "runs")
    compared = parity_run("latest", tmp_path / "runs")
    assert (replayed["verdict"], compared["verdict"]) == ("pass", "pass")
    assert replayed["digest"] == compared["digest"] == batch.digest
