"""A run against a benchmark: the formulas against empyrical and quantstats, files and symbols."""

import warnings

import numpy as np
import pandas as pd
import pytest

import trader
from trader.report.comparative import Benchmark, against

YEAR = 252.0
CONFIG = {
    "name": "compared",
    "instruments": ["ACME", "OTHER"],
    "feed": {"type": "frame", "timestamp": "open"},
    "bar_period_seconds": 3600,
    "features": {"fast": {"type": "sma", "period": 3}, "slow": {"type": "sma", "period": 9}},
    "model": {"type": "rule", "buy": "fast > slow", "sell": "fast <= slow"},
    "position_sizing": {"mode": "target", "base_size": 100, "allow_short": True},
    "risk": {
        "max_position_size": "none",
        "max_order_size": "none",
        "max_daily_loss": "none",
        "max_position_concentration": "none",
        "market_hours": "24x7",
    },
    "throttle": {
        "max_volume_participation": 0.9,
        "max_spread_bps": "none",
        "max_volatility": "none",
        "max_order_size": "none",
    },
    "broker": {"cash": 100_000},
}


def pair(seed, count=200):
    rng = np.random.default_rng(seed)
    other = rng.normal(0.0003, 0.012, count)
    return 0.6 * other + rng.normal(0.0002, 0.008, count), other


def benchmark_of(other):
    dates = np.arange(len(other)) + 18_000
    return Benchmark("B", dates, 50.0 * np.cumprod(1.0 + other), 50.0), dates


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_figures_are_those_of_empyrical_and_quantstats(seed):
    import empyrical

    ours, other = pair(seed)
    benchmark, dates = benchmark_of(other)
    found = against(benchmark, dates, ours, YEAR)
    assert found["undefined"] == {}
    assert found["sessions"] == 200
    assert found["beta"] == pytest.approx(empyrical.beta(ours, other))
    assert found["information_ratio"] == pytest.approx(
        empyrical.excess_sharpe(ours, other) * np.sqrt(YEAR)
    )
    assert found["total_return"] == pytest.approx(empyrical.cum_returns_final(other))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import quantstats.stats as theirs

        days = pd.bdate_range("2019-01-01", periods=200)
        mine, market = pd.Series(ours, days), pd.Series(other, days)
        greeks = theirs.greeks(mine, market, YEAR, prepare_returns=False)
        assert found["alpha"] == pytest.approx(greeks["alpha"])
        assert found["correlation"] == pytest.approx(mine.corr(market))


def test_what_is_not_defined_says_why():
    ours, other = pair(1, 20)
    benchmark, dates = benchmark_of(other)
    few = against(benchmark, dates[:1], ours[:1], YEAR)
    assert few["alpha"] is None
    assert "2 trading days" in few["undefined"]["alpha"]
    flat = against(benchmark_of(np.zeros(20))[0], dates, ours, YEAR)
    assert set(flat["undefined"]) == {"alpha", "beta", "correlation"}
    same = against(benchmark, dates, other, YEAR)
    assert same["beta"] == pytest.approx(1.0)
    assert same["correlation"] == pytest.approx(1.0)


def hours(days=30, seed=4):
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2024-01-01", periods=days * 24, freq="h", tz="UTC")
    parts = []
    for symbol in ("ACME", "OTHER"):
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, len(stamps))))
        first = np.append(100.0, close[:-1])
        sides = {"high": np.maximum(first, close), "low": np.minimum(first, close)}
        columns = {"timestamp": stamps, "symbol": symbol, "open": first, **sides}
        parts.append(pd.DataFrame({**columns, "close": close, "volume": 1e6}))
    return pd.concat(parts).sort_values(["timestamp", "symbol"], ignore_index=True)


@pytest.fixture(scope="module")
def bars():
    return hours()


def daily_closes(bars):
    closes = bars[bars["symbol"] == "OTHER"].set_index("timestamp")["close"]
    return closes.groupby(closes.index.date).last()


@pytest.mark.long
def test_a_symbol_and_a_file_of_its_days_and_of_its_hours_say_the_same(bars, tmp_path):
    import empyrical

    closes = daily_closes(bars)
    days = pd.DataFrame({"Date": closes.index, "Open": 100.0, "High": closes, "Low": closes})
    days.assign(Close=closes.to_numpy()).to_csv(tmp_path / "days.csv", index=False)
    other = bars[bars["symbol"] == "OTHER"].drop(columns=["symbol", "volume"])
    other.to_csv(tmp_path / "hours.csv", index=False)
    found = {}
    for name in ("OTHER", "days.csv", "hours.csv"):
        named = name if name == "OTHER" else str(tmp_path / name)
        run = trader.backtest(CONFIG, bars=bars, set={"benchmark": named})
        found[name] = run.metrics["benchmark"]
    whole = found["OTHER"]
    assert whole["sessions"] == 30
    assert whole["total_return"] == pytest.approx(closes.iloc[-1] / 100.0 - 1.0)
    equity = run.equity["equity"]
    daily = equity[equity.index.hour == 0]  # the slices that end a session
    ours = daily.pct_change().fillna(daily.iloc[0] / 100_000.0 - 1.0).to_numpy()
    theirs = (closes / np.append(100.0, closes.to_numpy()[:-1]) - 1.0).to_numpy()
    assert whole["beta"] == pytest.approx(empyrical.beta(ours, theirs))
    for name in ("days.csv", "hours.csv"):
        told = {
            key: value
            for key, value in found[name].items()
            if key in whole and key not in ("name", "undefined")
        }
        assert told == pytest.approx({key: whole[key] for key in told}), name
        assert found[name]["sha256"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_times_and_closes_are_enough(bars, tmp_path, kind):
    closes = daily_closes(bars).rename("Close").rename_axis("Date").to_frame()
    path = tmp_path / f"spy.{kind}"
    closes.to_csv(path) if kind == "csv" else closes.to_parquet(path)
    found = trader.backtest(CONFIG, bars=bars, set={"benchmark": str(path)}).metrics["benchmark"]
    assert found["sessions"] == 30
    first, *_, last = closes["Close"]
    assert found["total_return"] == pytest.approx(last / first - 1.0)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, trader.ConfigError, "no file"),
        ("Date,Open,High,Low,Close\n", trader.DataError, "no "),
        ("Date,Symbol,Open,High,Low,Close\n2024-01-02,A,1,1,1,1\n2024-01-02,B,1,1,1,1\n",
         trader.DataError, "several symbols"),
    ],
)  # fmt: skip
def test_a_benchmark_that_is_none_is_refused(bars, tmp_path, content, error, words):
    path = tmp_path / "spy.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=words):
        trader.backtest(CONFIG, bars=bars, set={"benchmark": str(path)})
