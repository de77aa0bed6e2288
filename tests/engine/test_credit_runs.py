"""Credit and renames from the command line: config, files, exit codes, a restart of paper."""

import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import config_demo
from tests.engine.test_corporate_actions import bars_csv
from tests.engine.test_replay import trader
from tests.paper_kit import Paper, bar

pytestmark = pytest.mark.process

CONFIG = config_demo.demo(
    ("data/acme.csv", "bars.csv"),
    ("sma_fast > sma_slow", "close < 99"),
    ("sma_fast <= sma_slow", "close > 101"),
    ("{mode: target, base_size: 100, allow_short: false}", "{mode: target, base_size: 30}"),
    ("max_position_size: 1000", "max_position_size: none\n  allow_margin: true"),
    ("max_position_concentration: 0.5", "max_position_concentration: none"),
    ("max_volume_participation: 0.1", "max_volume_participation: none"),
    ("max_spread_bps: 50", "max_spread_bps: none"),
    ("max_volatility: 0.02", "max_volatility: none"),
    ("max_daily_loss: 1000", "max_daily_loss: none"),
    ("cash: 100000", "cash: 1500"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    config_demo.write(tmp_path, CONFIG)
    return tmp_path


def backtest(capsys, *overrides: str, engine: str = "batch") -> tuple[int, dict, Path | None, str]:
    """Exit code, JSON result, run folder and stderr."""
    sets = [word for override in overrides for word in ("--set", override)]
    out = f"runs-{engine}"
    code, told, err = trader(
        capsys, "backtest", "-c", "run.yaml", "--out", out, "--engine", engine, "--json", *sets
    )
    folders = sorted(Path(out).iterdir()) if Path(out).exists() else [None]
    return code, json.loads(told) if told.startswith("{") else {}, folders[-1], err


def crash(path: Path) -> None:
    """Prices around 100, and from bar 80 on around 40."""
    bars_csv(path)
    frame = pd.read_csv(path)
    fallen = frame.index >= 80
    frame.loc[fallen, ["open", "high", "low", "close"]] *= 0.4
    frame.to_csv(path, index=False)


def test_credit_costs_what_cashflows_csv_says_and_both_engines_agree(home, capsys) -> None:
    bars_csv(home / "bars.csv")
    frame = pd.read_csv(home / "bars.csv")
    later = pd.to_datetime(frame["timestamp"]) + pd.Timedelta("23h")
    frame["timestamp"] = later.dt.strftime("%FT%TZ")
    frame.to_csv(home / "bars.csv", index=False)
    (home / "f.csv").write_text(
        "timestamp,symbol,rate\n2024-03-05T00:10:00Z,ACME,0.001\n2024-03-05T00:20:00Z,OTHER,1e-4\n"
    )
    words = (
        "broker.margin={initial: 0.5, maintenance: 0.25}",
        "broker.interest_rate=0.5",
        "broker.funding=f.csv",
        "model.sell=close < 0",
    )
    code, result, run, err = backtest(capsys, *words)
    assert code == 0, err
    paid = pd.read_csv(run / "cashflows.csv")
    assert paid["kind"].tolist() == ["MARGIN_INTEREST", "FUNDING"]
    assert paid["timestamp"].tolist()[1] == "2024-03-05T00:10:00Z"
    assert (paid["amount"] < 0).all()
    equity = pd.read_parquet(run / "equity.parquet")
    fills = pd.read_csv(run / "fills.csv")
    assert len(fills) == 1
    spent = fills["qty"][0] * fills["price"][0] + fills["commission"][0]
    assert equity["cash"].iloc[-1] == pytest.approx(1_500.0 - spent + paid["amount"].sum())
    manifest = json.loads((run / "manifest.json").read_text())
    assert "f.csv" in [source["path"] for source in manifest["data"]]
    assert result["risk"]["fees_due"] > 0.0  # from midnight to the end
    code, looped, _, err = backtest(capsys, *words, engine="loop")
    assert code == 0, err
    assert looped["digest"] == result["digest"]


@pytest.mark.parametrize("engine", ["batch", "loop"])
def test_equity_below_zero_ends_the_run_as_bankrupt_with_exit_6(home, capsys, engine) -> None:
    crash(home / "bars.csv")
    code, result, run, err = backtest(capsys, "model.sell=close < 0", engine=engine)
    assert code == 6, err
    assert result["risk"]["trading_state"] == "BANKRUPT"
    assert result["risk"]["state_reason"] == "BANKRUPT"
    equity = pd.read_parquet(run / "equity.parquet")
    assert len(equity) == 81
    assert equity["equity"].iloc[-1] < 0.0 < equity["equity"].iloc[-2]
    code, table, err = trader(
        capsys, "backtest", "-c", "run.yaml", "--set", "model.sell=close < 0", "--engine", engine
    )
    assert (code, "BANKRUPT" in table + err) == (6, True)


def test_a_fall_below_the_maintenance_margin_liquidates(home, capsys) -> None:
    crash(home / "bars.csv")
    frame = pd.read_csv(home / "bars.csv")
    fallen = frame.index >= 80
    frame.loc[fallen, ["open", "high", "low", "close"]] *= 1.5  # to 60
    frame.to_csv(home / "bars.csv", index=False)
    margin = "broker.margin={initial: 0.5, maintenance: 0.4}"
    code, _, run, err = backtest(capsys, "model.sell=close < 0", "model.buy=close > 99", margin)
    assert code == 0, err
    fills = pd.read_csv(run / "fills.csv")
    assert fills["kind"].tolist() == ["ENTRY", "LIQUIDATION"]
    assert pd.read_csv(run / "trades.csv")["exit_reason"].tolist() == ["LIQUIDATION"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("broker.margin={initial: 0.2, maintenance: 0.3}",), 3, "is above broker.margin.initial"),
        (("broker.margin={initial: 0.2}",), 3, "broker.margin.maintenance"),
        (("broker.borrow_rate=3",), 3, "must not be greater than 2"),
        (("broker.funding=no.csv",), 3, "no.csv cannot be read"),
        (("broker.funding=bad.csv",), 4, "line 2: rate '1.5' is a fraction of the notional"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(home, capsys, words, code, told) -> None:
    bars_csv(home / "bars.csv")
    (home / "bad.csv").write_text("timestamp,symbol,rate\n2024-03-04T01:00:00Z,ACME,1.5\n")
    found, _, _, err = backtest(capsys, *words)
    assert (found, told in " ".join(err.split())) == (code, True), err


@pytest.mark.parametrize("name", ["OLD", "NEW"])
def test_a_position_outlives_a_change_of_symbol(home, capsys, name) -> None:
    bars_csv(home / "bars.csv")
    code, whole, _, err = backtest(capsys)
    assert code == 0, err
    frame = pd.read_csv(home / "bars.csv")
    frame["symbol"] = np.where(frame.index < 60, "OLD", "NEW")
    frame.to_csv(home / "bars.csv", index=False)
    (home / "s.csv").write_text(
        "timestamp,symbol,kind,value\n2024-03-04T00:55:00Z,OLD,dividend,0.1\n"
        "2024-03-04T01:00:00Z,OLD,rename,NEW\n2024-03-04T01:37:00Z,NEW,dividend,0.5\n"
    )
    mine = frame.assign(symbol=np.where(frame["symbol"] == name, name, frame["symbol"]))
    mine.to_csv(home / "bars.csv", index=False)
    words = (
        f"instruments=[{{symbol: {name}, tick_size: 0.01, lot_size: 1}}]",
        "feed.adjustments=s.csv",
    )
    code, renamed, run, err = backtest(capsys, *words)
    assert code == 0, err
    assert renamed["orders"] == whole["orders"] > 3
    fills = pd.read_csv(run / "fills.csv")
    assert set(fills["symbol"]) == {name}
    paid = pd.read_csv(run / "cashflows.csv")
    assert paid["timestamp"].tolist() == ["2024-03-04T00:55:00Z", "2024-03-04T01:37:00Z"]


def test_both_names_of_one_instrument_are_refused(home, capsys) -> None:
    bars_csv(home / "bars.csv")
    (home / "s.csv").write_text(
        "timestamp,symbol,kind,value\n2024-03-04T01:00:00Z,ACME,rename,NEW\n"
    )
    code, _, _, err = backtest(
        capsys, "instruments=[ACME, NEW]", "feed.adjustments=s.csv", "model.sell=close < 0"
    )
    assert (code, "ACME became NEW: that is one instrument" in " ".join(err.split())) == (3, True)


def test_fees_survive_a_crash_of_a_paper_run(tmp_path: Path) -> None:
    paper = Paper(
        tmp_path / "run",
        ("allow_short: false", "allow_short: true"),
        ("cash: 100000", "cash: 100000\n  borrow_rate: 1.0"),
        ("type: stdin,", "type: stdin, adjustments: s.csv,"),
    )
    (paper.folder / "s.csv").write_text(
        "timestamp,symbol,kind,value\n2024-03-04T10:33:30Z,ACME,rename,NEW\n"
    )
    paper.start().send(
        *(bar(minute, 40, "ACME" if minute < 5 else "NEW") for minute in range(1, 7))
    )
    paper.until("ACTION", 6).signal(signal.SIGKILL)
    assert paper.process is not None
    paper.process.communicate(timeout=60)
    night = 24 * 60
    code, _, err = paper.start().send(bar(night, 40, "NEW"), bar(night + 1, 40, "NEW")).end()
    assert code == 0, err
    (moved,) = [data["rows"] for kind, data in paper.records() if kind == "CASHFLOW"]
    years = (night - 3) / (365 * 24 * 60)  # short since the open of the third bar
    assert [row[1] for row in moved] == [pytest.approx(-10 * 40 * years)]
    for command in ("replay", "parity"):
        done = paper.run(command)
        assert done.returncode == 0, done.stdout + done.stderr
    done = paper.run("audit", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_paper_run_is_liquidated_and_then_bankrupt_with_exit_6(tmp_path: Path) -> None:
    margin = "cash: 1000\n  margin: {initial: 0.5, maintenance: 0.25}"
    paper = Paper(
        tmp_path / "run",
        ("cash: 100000", margin),
        ("base_size: 10", "base_size: 15"),
        ("max_daily_loss: none", "max_daily_loss: none\n  allow_margin: true"),
    )
    prices = [100, 100, 100, 40, 30, 30, 30]
    paper.start().send(*(bar(minute, price) for minute, price in enumerate(prices, 1)))
    code, lines, err = paper.end()
    assert code == 6, err
    breaches = [line for line in lines if line.get("event") == "limit_breach"]
    assert [(line["reason"], line["policy"]) for line in breaches] == [
        ("MARGIN_CALL", "liquidation"),
        ("BANKRUPT", "kill"),
    ]
    assert lines[-1]["risk"]["trading_state"] == "BANKRUPT"
    assert (lines[-1]["slices"], lines[-1]["fills"]) == (5, 2)
    for words in (("replay",), ("parity",), ("audit", "verify", paper.run_dir.name)):
        done = paper.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
