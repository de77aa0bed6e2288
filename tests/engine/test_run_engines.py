"""`--engine loop` and the batch engine: other paths to features and actions, one digest."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import always_open, make_rules, random_bars
from tests.tiers import cases
from trader.config.load import load_config
from trader.core.book import Inputs
from trader.engine.batch import RowKeeper, run_history
from trader.engine.loop import run_history_with_loop
from trader.features.feature_set import FeatureSet
from trader.jobs.backtest import Order, backtest
from trader.models.model import load_model, predict_actions

ROOT = Path(__file__).resolve().parents[2]
FEATURES = {
    "fast": {"type": "ema", "period": 3},
    "slow": {"type": "sma", "period": 9},
    "heat": {"type": "zscore", "window": 5},
    "gap": {"type": "vwap_distance"},
}


@settings(max_examples=cases(20), deadline=None)  # 200 more in test_loop_parity
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 4), short=st.booleans())
def test_one_digest_on_made_up_markets(seed, symbols, short):
    config = load_config(ROOT / "configs" / "demo.yaml", [
        "model.buy=fast > slow and heat < 2", "model.sell=fast < slow or gap > 0.01",
        "features={sma_fast: {type: sma, period: 2}, sma_slow: {type: sma, period: 2}}",
    ], environ={}).config  # fmt: skip
    names = [f"S{number}" for number in range(symbols)]
    bars = random_bars(seed, 70, symbols)
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    features = FeatureSet(FEATURES, symbols, sessions, 60 * 10**9, symbols=names)
    model = load_model(config, features.names, names)
    rules = make_rules(
        sessions, symbols, allow_short=int(short), max_daily_loss=40.0, max_spread_bps=15.0,
        max_volume_participation=0.2, commission_value=1.0, max_fill_participation=0.1,
    )  # fmt: skip
    actions, reasons, _ = predict_actions(model, bars, features.batch(bars))
    batch = run_history(rules, Inputs(bars, actions, reasons), RowKeeper(len(bars)))
    inputs = Inputs(bars, actions, reasons)
    by_slice = run_history_with_loop(rules, inputs, features, model, RowKeeper(len(bars)))
    assert by_slice.digest == batch.digest
    assert by_slice.equity.tobytes() == batch.equity.tobytes()
    assert by_slice.fills.tobytes() == batch.fills.tobytes()


def digest(engine: str, files: list[Path], out: Path, overrides: list[str]) -> str:
    loaded = load_config(files, overrides, environ={})
    finished = backtest(Order(loaded, files, engine, out, ("test",)))
    return finished.result.digest


def test_one_digest_on_the_demo_from_config_to_folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "configs" / "demo.yaml"]
    batch = digest("batch", files, tmp_path / "runs", [])
    assert digest("loop", files, tmp_path / "runs", []) == batch


REAL = [
    ("BITFINEX_BTCUSD_1m.parquet", "parquet", "2014-03-01", "2014-03-08"),
    ("BITFINEX_BTCUSD_1m.parquet", "parquet", "2013-04-10", "2013-04-14"),
    ("BITFINEX_BTCUSD_1m.parquet", "parquet", "2016-07-30", "2016-08-14"),
    ("BITFINEX_XRPUSD_1m.parquet", "parquet", "2017-07-01", "2017-07-08"),
    ("BITFINEX_IOTUSD_1m.parquet", "parquet", "2017-07-01", "2017-07-08"),
    ("BITFINEX_EOSUSD_1m.parquet", "parquet", "2017-08-01", "2017-08-08"),
    ("COINBASE_BTCUSD_1m.csv", "csv", "2017-09-01", "2018-12-01"),
    ("USDJPY_1m_bidask.csv", "csv", "2013-02-01", "2013-02-08"),
    ("EURUSD_1h_bidask.csv", "csv", "2008-01-01", "2008-12-31"),
    ("US24_1m_2019-02-11_15_panel.csv", "csv", "2019-02-11", "2019-02-13"),
]


def real_overrides(folder: Path, name: str, kind: str, between: tuple[str, str]) -> list[str]:
    """The demo's config on a stretch of a real file."""
    symbols = "[AAPL, AMZN, XLP]" if name.startswith("US24") else "[X]"
    return [
        f"instruments={symbols}",
        f"feed={{type: {kind}, path: {folder / name}, start: {between[0]}, end: {between[1]}}}",
        f"bar_period_seconds={3600 if '1h' in name else 60}",
        f"risk.market_hours={'XNYS' if name.startswith('US24') else '24x7'}",
        "throttle={max_volume_participation: none, max_spread_bps: none, max_volatility: 0.05, "
        "max_order_size: 500}",
        "risk.max_position_concentration=none",
        "risk.allow_margin=true",
        "broker.slippage={type: bps, value: 1}",
        "position_sizing={mode: target, base_size: 10, allow_short: true}",
    ]


@pytest.mark.parametrize(("name", "kind", "start", "end"), REAL)
@pytest.mark.long
def test_one_digest_on_real_slices(real_data, tmp_path, name, kind, start, end):
    overrides = real_overrides(real_data, name, kind, (start, end))
    files = [ROOT / "configs" / "demo.yaml"]
    batch = digest("batch", files, tmp_path / "runs", overrides)
    assert digest("loop", files, tmp_path / "runs", overrides) == batch
