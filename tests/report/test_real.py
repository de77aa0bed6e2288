"""Results of a run over real bars, against pandas and empyrical on the files it wrote."""

import json

import numpy as np
import pandas as pd
import pytest

import trader
from trader.feeds.sessions import sessions_per_year

SYMBOLS = ["AAPL", "MSFT", "SPY"]
PANEL = "US24_1m_2019-02-11_15_panel.csv"
CONFIG = {
    "name": "real",
    "instruments": SYMBOLS,
    "feed": {"type": "csv", "path": "", "timestamp": "open", "timezone": "UTC"},
    "bar_period_seconds": 60,
    "features": {"fast": {"type": "sma", "period": 5}, "slow": {"type": "sma", "period": 20}},
    "model": {"type": "rule", "buy": "fast > slow", "sell": "fast <= slow"},
    "position_sizing": {"mode": "target", "base_size": 100, "allow_short": True},
    "risk": {
        "max_position_size": 1000,
        "max_order_size": 500,
        "max_daily_loss": 400,
        "max_position_concentration": 0.9,
        "market_hours": "XNYS",
    },
    "throttle": {
        "max_volume_participation": 0.5,
        "max_spread_bps": "none",
        "max_volatility": 0.0006,
        "max_order_size": 500,
    },
    "broker": {"cash": 100000, "commission": {"type": "bps", "value": 0.5}},
}


@pytest.fixture(scope="module")
def folder(real_data, tmp_path_factory):
    """The run folder of a backtest of three real stocks over one real week."""
    home = tmp_path_factory.mktemp("real")
    config = CONFIG | {"feed": CONFIG["feed"] | {"path": str(real_data / PANEL)}}
    return trader.backtest(config, set={"report": False}, save=home).path


@pytest.mark.long
def test_ratios_equal_empyrical_on_daily_closes_of_the_equity_file(folder):
    import empyrical

    metrics = json.loads((folder / "metrics.json").read_text())
    equity = pd.read_parquet(folder / "equity.parquet").set_index("timestamp")["equity"]
    days = equity.groupby(equity.index.tz_convert("America/New_York").date).last()
    returns = days.pct_change().fillna(days.iloc[0] / 100_000.0 - 1.0)
    year = sessions_per_year("XNYS")
    assert 250.0 < year < 253.0
    assert metrics["trading_days"] == len(days) == 5
    assert metrics["sharpe"] == pytest.approx(empyrical.sharpe_ratio(returns, annualization=year))
    assert metrics["sortino"] == pytest.approx(empyrical.sortino_ratio(returns, annualization=year))
    assert metrics["cagr"] == pytest.approx(empyrical.cagr(returns, annualization=year))
    volatility = empyrical.annual_volatility(returns, annualization=year)
    assert metrics["volatility"] == pytest.approx(volatility)


def test_drawdown_and_exposure_equal_the_equity_file(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    frame = pd.read_parquet(folder / "equity.parquet")
    peaks = frame["equity"].cummax().clip(lower=100_000.0)
    assert metrics["max_drawdown"] == pytest.approx((1.0 - frame["equity"] / peaks).max())
    assert metrics["max_drawdown"] == frame["drawdown_frac"].max()
    assert metrics["exposure"] == (frame["gross_exposure"] > 0).mean()
    assert metrics["final_equity"] == frame["equity"].iloc[-1]


def test_fills_and_trades_files_add_up_to_the_profit(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    fills, trades = pd.read_csv(folder / "fills.csv"), pd.read_csv(folder / "trades.csv")
    signed = fills["qty"] * np.where(fills["side"] == "BUY", 1.0, -1.0)
    cash = 100_000.0 - (signed * fills["price"]).sum() - fills["commission"].sum()
    frame = pd.read_parquet(folder / "equity.parquet")
    assert frame["cash"].iloc[-1] == pytest.approx(cash, abs=1e-6)
    assert metrics["trades"] == len(trades) > 100
    assert metrics["win_rate"] == pytest.approx((trades["pnl"] > 0).mean())
    wins, losses = trades["pnl"].clip(lower=0).sum(), -trades["pnl"].clip(upper=0).sum()
    assert metrics["profit_factor"] == pytest.approx(wins / losses)
    held = signed.groupby(fills["symbol"]).sum()
    assert metrics["open_trades"] == (held.abs() > 1e-9).sum()
    flat = held.index[held.abs() < 1e-9]
    by_symbol = trades.groupby("symbol")["gross_pnl"].sum()
    cash_made = (-signed * fills["price"]).groupby(fills["symbol"]).sum()
    assert by_symbol[flat].to_numpy() == pytest.approx(cash_made[flat].to_numpy(), abs=1e-6)


def test_counts_can_be_recomputed_from_the_decisions_file(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    frame = pd.read_parquet(folder / "decisions.parquet")
    denied = frame[(frame["requested_qty"] != 0) & (frame["approved_qty"] == 0)]
    assert denied["reason"].value_counts().to_dict() == manifest["risk"]["denied_by_reason"]
    assert (frame["throttle"] != "").sum() == manifest["counts"]["throttled"] > 0
    assert len(frame) == manifest["counts"]["decisions"] == manifest["counts"]["bars"]
    assert (frame["approved_qty"] != 0).sum() == manifest["counts"]["orders"]
