"""`feed.adjustments` from the config to the run folder, and the same in backtest, paper, replay."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import config_demo
from tests.engine.test_replay import trader
from tests.replay_kit import RecordedRun
from trader.core.schema import CashflowKind
from trader.engine.replay import replay

pytestmark = pytest.mark.process

RUN = "20240101T000000Z-paper-demo"
CONFIG = config_demo.demo(
    ("data/acme.csv", "bars.csv"),
    ("tick_size: 0.01, lot_size: 1", "lot_size: 0.000001"),
    ("period: 10", "period: 3"),
    ("period: 30", "period: 8"),
    ("sma_fast > sma_slow", "sma_fast > sma_slow and close > 0.9 * sma_slow"),
    ("{mode: target, base_size: 100, allow_short: false}", "{mode: percent_equity, percent: 0.3}"),
    ("max_position_size: 1000", "max_position_size: none"),
    ("max_order_size: 500", "max_order_size: none"),
    ("max_volume_participation: 0.1", "max_volume_participation: none"),
    ("max_spread_bps: 50", "max_spread_bps: none"),
    ("max_order_size: 500", "max_order_size: none"),
    ("max_daily_loss: 1000", "max_daily_loss: none\n  price_collar: 0.2"),
)


def bars_csv(path: Path, ratio: float = 1.0, at: int = 60) -> None:
    """120 minutes of a wave; from bar `at` on as a split of `ratio` leaves prices and volumes."""
    prices = 100.0 + 2.0 * np.sin(np.arange(121) / 5.0)
    new = np.where(np.arange(120) >= at, ratio, 1.0)
    opens, closes = prices[:-1] / new, prices[1:] / new
    stamps = pd.date_range("2024-03-04", periods=120, freq="min", tz="UTC").strftime("%FT%TZ")
    pd.DataFrame(
        {
            "timestamp": stamps,
            "open": opens,
            "high": np.maximum(opens, closes),
            "low": np.minimum(opens, closes),
            "close": closes,
            "volume": 1_000.0 * new,
        }
    ).to_csv(path, index=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    config_demo.write(tmp_path, CONFIG)
    return tmp_path


def backtest(capsys, out: str, *overrides: str, engine: str = "batch") -> Path:
    sets = [word for override in overrides for word in ("--set", override)]
    code, told, err = trader(
        capsys, "backtest", "-c", "run.yaml", "--out", out, "--engine", engine, *sets
    )
    assert code == 0, told + err
    return next(Path(out).iterdir())


@pytest.mark.parametrize("ratio", [2.0, 0.1, 1.5])
def test_a_split_changes_no_equity_no_signal_and_no_profit(home, capsys, ratio) -> None:
    bars_csv(home / "bars.csv")
    whole = backtest(capsys, "whole")
    bars_csv(home / "bars.csv", ratio)
    (home / "s.csv").write_text(
        f"timestamp,symbol,kind,value\n2024-03-04T01:00:00Z,ACME,split,{ratio}\n"
    )
    split = backtest(capsys, "split", "feed.adjustments=s.csv")
    looped = backtest(capsys, "looped", "feed.adjustments=s.csv", engine="loop")
    equity = [pd.read_parquet(run / "equity.parquet")["equity"] for run in (whole, split)]
    np.testing.assert_allclose(equity[1], equity[0], rtol=1e-9)
    actions = [pd.read_parquet(run / "decisions.parquet")["action"] for run in (whole, split)]
    assert actions[0].tolist() == actions[1].tolist()
    trips = [pd.read_csv(run / "trades.csv") for run in (whole, split)]
    assert len(trips[0]) > 2
    np.testing.assert_allclose(trips[1]["pnl"], trips[0]["pnl"], rtol=1e-4)  # lots
    manifests = [json.loads((run / "manifest.json").read_text()) for run in (split, looped)]
    assert manifests[0]["digest"] == manifests[1]["digest"]
    assert "s.csv" in [source["path"] for source in manifests[0]["data"]]


def test_dividends_stand_in_cashflows_csv(home, capsys) -> None:
    bars_csv(home / "bars.csv")
    (home / "s.csv").write_text(
        "timestamp,symbol,kind,value\n2024-03-04T01:10:00Z,ACME,dividend,0.5\n"
        "2024-03-04T01:40:00Z,ACME,delist,\n2024-03-04T01:20:00Z,OTHER,split,7\n"
    )
    run = backtest(capsys, "paid", "feed.adjustments=s.csv")
    paid = pd.read_csv(run / "cashflows.csv")
    fills = pd.read_csv(run / "fills.csv")
    earlier = fills[fills["timestamp"] < "2024-03-04T01:10:00Z"]
    held = np.where(earlier["side"] == "BUY", earlier["qty"], -earlier["qty"]).sum()
    assert paid.columns.tolist() == ["timestamp", "symbol", "kind", "amount"]
    assert paid.values.tolist() == [
        ["2024-03-04T01:10:00Z", "ACME", "DIVIDEND", pytest.approx(0.5 * held)]
    ]
    assert fills["kind"].iloc[-1] == "DELISTED"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("2024-03-04T01:00:00Z,ACME,splitt,2", "line 2: kind 'splitt' is none of split"),
        ("2024-03-04T01:00:00Z,ACME,split,0", "line 2: value '0' of a split must be"),
        ("2024-03-04T01:00:00Z,ACME,dividend,x", "line 2: value 'x' is not a number"),
        ("yesterday,ACME,split,2", "line 2: timestamp 'yesterday' is not an ISO-8601 time"),
        ("2024-03-04T01:00:00Z,OTHER,split,2", "no row is of ACME; it has OTHER"),
    ],
)
def test_a_row_that_is_not_understood_is_named(home, capsys, row, told) -> None:
    bars_csv(home / "bars.csv")
    (home / "s.csv").write_text(f"timestamp,symbol,kind,value\n{row}\n")
    code, _, err = trader(
        capsys, "backtest", "-c", "run.yaml", "--set", "feed.adjustments=s.csv", "--out", "runs"
    )
    assert (code, told in " ".join(err.split())) == (4, True), err


def test_a_file_that_is_not_there_is_a_config_error(home, capsys) -> None:
    bars_csv(home / "bars.csv")
    code, _, err = trader(
        capsys, "backtest", "-c", "run.yaml", "--set", "feed.adjustments=no.csv", "--out", "runs"
    )
    assert (code, "no.csv cannot be read" in err) == (3, True), err


def test_replay_parity_and_verify_take_a_run_with_corporate_actions(home, capsys) -> None:
    rows = [
        f"2018-03-10T00:{minute}:30Z,{symbol},{kind}"
        for minute in range(20, 60, 4)
        for symbol in ("ACME", "BTC/USD")
        for kind in ("split,101:100", "dividend,0.01")
    ]
    rows += [f"2018-03-10T01:{minute}:00Z,BTC/USD,delist,99" for minute in range(20, 59)]
    rows += ["2018-03-10T01:00:00Z,ACME,delist,"]
    (home / "s.csv").write_text("\n".join(["timestamp,symbol,kind,value", *rows]) + "\n")
    settings = f"feed.adjustments={home / 's.csv'}", "risk.max_daily_loss=none"
    run = RecordedRun(home / "runs" / RUN, *settings).trade()
    run.snapshot()
    run.end()
    kinds = np.concatenate(run.moved)["kind"].tolist()
    assert {CashflowKind.SPLIT, CashflowKind.DIVIDEND, CashflowKind.DELISTED} <= set(kinds)
    (home / "s.csv").unlink()  # the journal holds what it said
    assert replay(run.path).ok, replay(run.path).divergence
    for command in (("parity", "--json"), ("replay", "--json")):
        code, out, err = trader(capsys, *command)
        assert code == 0, out + err
    code, out, err = trader(capsys, "audit", "verify", RUN)
    assert code == 0, out + err
