"""`trader backtest` and `trader validate` as a user runs them: files, JSON, exit codes."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.harness import warm

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
FILLS = ("timestamp", "symbol", "side", "qty", "price", "commission", "slippage")
FILLS += ("realized_pnl", "order_id", "leg", "kind")
DECISIONS = ("timestamp", "symbol", "action", "requested_qty", "approved_qty", "reason")
DECISIONS += ("throttle", "observed", "limit")
DOCUMENT = ("run_id", "run_dir", "digest", "bars", "slices", "orders", "fills", "denied")
DOCUMENT += ("throttled", "start_equity", "final_equity", "metrics", "risk", "timing", "engine")
TIMING = ["load_s", "features_s", "model_s", "core_s", "report_s", "total_s"]
CONFIG = "configs/demo.yaml"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A user's folder with the example in it, as the working directory."""
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trader(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return warm.run([*map(str, words)], env={**os.environ, **environment})


def run(*sets: str, config: str = CONFIG) -> dict:
    done = trader("backtest", "-c", config, "--json", *(w for s in sets for w in ("--set", s)))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_json_document_and_run_folder_keep_the_contract(place):
    document = run()
    assert tuple(document) == DOCUMENT
    assert list(document["timing"])[:6] == TIMING
    assert {"denied_by_reason", "throttled_by_reason", "trading_state", "worst_daily_loss"} <= set(
        document["risk"]
    )
    folder = Path(document["run_dir"])
    assert folder.parent == place / "runs"
    assert folder.name.endswith("-backtest-demo")
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", "config.resolved.yaml", "fills.csv", "trades.csv", "equity.parquet",
        "decisions.parquet", "metrics.json", "data_quality.json", "orders.parquet", "report.html",
        "cashflows.csv",
    }  # fmt: skip
    with (folder / "fills.csv").open() as lines:
        rows = list(csv.reader(lines))
    assert tuple(rows[0]) == FILLS
    assert len(rows) - 1 == document["fills"] > 100
    decisions = pd.read_parquet(folder / "decisions.parquet")
    assert tuple(decisions.columns) == DECISIONS
    assert len(decisions) == document["bars"]
    equity = pd.read_parquet(folder / "equity.parquet")
    assert equity["equity"].iloc[-1] == document["final_equity"]
    assert json.loads((folder / "manifest.json").read_text())["digest"] == document["digest"]


def test_cash_and_positions_follow_from_fills_csv(place):
    document = run()
    folder = Path(document["run_dir"])
    fills = pd.read_csv(folder / "fills.csv")
    sign = fills["side"].map({"BUY": 1, "SELL": -1})
    cash = 100_000 - (sign * fills["qty"] * fills["price"]).sum() - fills["commission"].sum()
    held = (sign * fills["qty"]).sum()
    last = pd.read_csv(place / "data" / "acme.csv")["close"].iloc[-1]
    assert cash + held * last == pytest.approx(document["final_equity"], abs=1e-6)


def test_the_same_config_twice_gives_one_digest_and_two_folders(place):
    first, second = run(), run()
    assert first["digest"] == second["digest"]
    assert first["run_dir"] != second["run_dir"]
    listed = trader("runs", "list", "--json")
    assert listed.returncode == 0
    assert first["run_id"] in listed.stdout
    compared = trader("runs", "compare", first["run_id"], second["run_id"])
    assert compared.returncode == 0, compared.stderr


def test_set_and_environment_change_the_run(place):
    before = run()["digest"]
    assert run("position_sizing.base_size=50")["digest"] != before
    done = trader("backtest", "-c", CONFIG, "--json", TRADER__POSITION_SIZING__BASE_SIZE="50")
    assert json.loads(done.stdout)["digest"] == run("position_sizing.base_size=50")["digest"]


def test_trained_example_runs_and_validates(place):
    document = run(config="configs/demo_sklearn.yaml")
    assert document["fills"] > 50
    done = trader("validate", "-c", "configs/demo_sklearn.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "sklearn"


def test_result_goes_to_stdout_and_everything_else_to_stderr(place):
    done = trader("backtest", "-c", CONFIG)
    assert done.returncode == 0
    assert "Final equity" in done.stdout
    assert "data: " in done.stderr
    assert "data: " not in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr


CHATTY = """import os, subprocess
print("said at import")
def decide(features):
    print("said by Python")
    os.write(1, b"said to the descriptor\\n")
    subprocess.run(["echo", "said by a child"], check=True)
    return ["BUY"] * len(features)
"""


@pytest.mark.parametrize("command", ["backtest", "validate"])
def test_what_a_model_prints_goes_to_stderr(place, command):
    (place / "chatty.py").write_text(CHATTY)
    words = ("--set", "model={type: python, target: 'chatty:decide'}", "--json")
    done = trader(command, "-c", CONFIG, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    said = {line for line in done.stderr.splitlines() if line.startswith("said")}
    parts = ("at import", "by Python", "to the descriptor", "by a child")
    assert said == {f"said {part}" for part in parts}


MODELS = """
import numpy as np
def raises(features): raise ValueError("the disk of the model is gone")
def short(features): return [1]
def nan(features): return np.full(len(features), np.nan)
def label(features): return ["LONG"] * len(features)
def good(features): return ["buy"] * len(features)
"""


MISTAKES = [
    (3, ["risk.max_daily_los=3"], ["max_daily_los", "max_daily_loss"]),
    (3, ["feed.path=data/none.csv"], ["feed.path", "data/none.csv", "does not exist"]),
    (3, ["features.sma_fast.type=smaa"], ["smaa", "sma"]),
    (3, ["model.buy=sma_fast > sma_slo"], ["model.buy", "sma_slo", "sma_slow"]),
    (3, ["risk.market_hours=XNYX"], ["risk.market_hours", "XNYX", "XNYS"]),
    (5, ["model={type: python, target: models:raises}"], ["the disk of the model is gone"]),
    (5, ["model={type: python, target: models:short}"], ["1"]),
    (5, ["model={type: python, target: models:nan}"], ["15:00:00Z", "nan"]),
    (5, ["model={type: python, target: models:label}"], ["LONG", "ACME"]),
    (3, ["model={type: python, target: models:absent}"], ["model.target", "absent"]),
    (5, [f"model={{type: sklearn, path: data/demo_model.skops, sha256: {'0' * 64}}}"],
     ["sha256"]),
]  # fmt: skip
# `validate` asks the model what `backtest` does: one of its mistakes is enough, all in trials
VALIDATED = [
    pytest.param("validate", *one, marks=[pytest.mark.trials] if number > 5 else [])
    for number, one in enumerate(MISTAKES)
]


@pytest.mark.parametrize(
    ("command", "code", "sets", "parts"), [*(("backtest", *one) for one in MISTAKES), *VALIDATED]
)
def test_mistakes_end_with_their_code_and_name_the_place(place, command, code, sets, parts):
    (place / "models.py").write_text(MODELS)
    done = trader(command, "-c", CONFIG, *(word for one in sets for word in ("--set", one)))
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part.lower() in done.stderr.lower(), done.stderr
    assert not (place / "runs").exists() or not list((place / "runs").iterdir())


def test_missing_limit_names_the_key(place):
    text = (place / CONFIG).read_text().replace("  max_daily_loss: 1000 ", "  # ")
    (place / CONFIG).write_text(text)
    done = trader("backtest", "-c", CONFIG)
    assert done.returncode == 3
    assert "risk.max_daily_loss" in done.stderr
    assert f"{CONFIG}:" in done.stderr


def without(place: Path, *columns: str) -> None:
    frame = pd.read_csv(place / "data" / "acme.csv")
    frame.drop(columns=list(columns)).to_csv(place / "data" / "acme.csv", index=False)


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        (["broker.slippage={type: bps, value: 1}"], "throttle.max_spread_bps"),
        (["throttle.max_spread_bps=none"], "broker.slippage.type"),
    ],
)
def test_a_driver_that_the_feed_lacks_is_a_config_error(place, sets, key):
    without(place, "bid", "ask")
    done = trader("backtest", "-c", CONFIG, *(word for one in sets for word in ("--set", one)))
    assert done.returncode == 3
    assert f" {key}: " in done.stderr
    assert "bid and ask" in done.stderr
    assert done.stderr.count("\n") == 1


def test_all_drivers_that_the_feed_lacks_are_told_at_once(place):
    without(place, "bid", "ask")
    frame = pd.read_csv(place / "data" / "acme.csv")
    frame.assign(volume=0).to_csv(place / "data" / "acme.csv", index=False)
    done = trader("validate", "-c", CONFIG, "--set", "broker.max_fill_participation=0.5")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert lines[0] == "error: 4 problems in the config:"
    keys = ("throttle.max_spread_bps", "broker.slippage.type", "throttle.max_volume_participation")
    for line, key in zip(lines[1:], (*keys, "broker.max_fill_participation"), strict=True):
        assert f": {key}: " in line
        assert line.startswith(("  --set: ", f"  {CONFIG}:"))


def test_the_signals_example_of_the_docs_trades(place):
    text = (ROOT / "docs" / "models.md").read_text()
    rows = text[text.index("timestamp,symbol,action") :].partition("```")[0]
    (place / "data" / "signals.csv").write_text(rows)
    section = text[text.index("{type: signals, path") :].partition("}")[0] + "}"
    done = trader("backtest", "-c", "configs/demo.yaml", "--set", f"model={section}", "--json")
    assert done.returncode == 0, done.stderr
    assert "signals" not in done.stderr
    assert json.loads(done.stdout)["fills"] == rows.count("ACME") == 2


def test_signals_before_the_features_are_warm_are_told(place):
    rows = "timestamp,symbol,action\n2024-03-04T14:30:00Z,ACME,BUY\n2024-03-04T16:30:00Z,ACME,BUY\n"
    (place / "signals.csv").write_text(rows)
    model = "model={type: signals, path: signals.csv}"
    for command in ("backtest", "validate"):
        done = trader(command, "-c", CONFIG, "--set", model)
        assert done.returncode == 0
        assert "warning: signals.csv: 1 of 2 signals fall on bars whose features" in done.stderr


def test_volume_throttle_on_a_feed_without_volume_is_a_config_error(place):
    frame = pd.read_csv(place / "data" / "acme.csv")
    frame.assign(volume=0).to_csv(place / "data" / "acme.csv", index=False)
    done = trader("backtest", "-c", CONFIG)
    assert done.returncode == 3
    assert "throttle.max_volume_participation" in done.stderr


def test_bad_data_is_exit_4_with_its_line(place):
    lines = (place / "data" / "acme.csv").read_text().splitlines()
    lines[10] = lines[9]
    (place / "data" / "acme.csv").write_text("\n".join(lines) + "\n")
    done = trader("backtest", "-c", CONFIG)
    assert done.returncode == 4
    assert "line 11" in done.stderr
    assert "duplicate" in done.stderr


def test_kill_on_daily_loss_is_exit_6_with_results(place):
    done = trader(
        "backtest", "-c", CONFIG, "--json", "--set", "risk.max_daily_loss=50",
        "--set", "risk.on_daily_loss=kill",
    )  # fmt: skip
    assert done.returncode == 6
    document = json.loads(done.stdout)
    assert document["risk"]["trading_state"] == "HALTED"
    assert document["risk"]["state_reason"] == "DAILY_LOSS_LIMIT"
    assert (Path(document["run_dir"]) / "manifest.json").exists()


def test_no_trades_say_why(place):
    done = trader("backtest", "-c", CONFIG, "--set", "risk.max_position_size=5")
    assert done.returncode == 0
    assert "POSITION_LIMIT" in done.stdout
    assert "risk.max_position_size" in done.stdout


def test_same_close_is_flagged(place):
    done = trader("backtest", "-c", CONFIG, "--set", "broker.fill=same_close")
    assert "WARNING: broker.fill is same_close" in done.stdout


def test_an_out_folder_that_is_a_file_is_a_usage_error(place):
    done = trader("backtest", "-c", CONFIG, "--out", place / CONFIG)
    assert done.returncode == 2
    assert "--out" in done.stderr


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_asked_to_end_is_130_and_leaves_no_half_run(place, asked):
    (place / "models.py").write_text(
        "import time, pathlib\ndef slow(features):\n"
        "    pathlib.Path('started').touch()\n    time.sleep(60)\n    return [0] * len(features)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "trader", "backtest", "-c", CONFIG,
         "--set", "model={type: python, target: models:slow}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # a shell's `&` ignores SIGINT, and children inherit that
        preexec_fn=lambda: signal.signal(asked, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )  # fmt: skip
    while not (place / "started").exists():
        time.sleep(0.05)
    process.send_signal(asked)
    assert process.wait(timeout=30) == 130
    assert not (place / "runs").exists() or not list((place / "runs").iterdir())


def test_several_symbols_with_different_listing_dates(place):
    generated = trader(
        "data", "generate", "--out", "data/two.csv", "--symbols", "AAA,BRK.B", "--days", "4",
        "--seed", "3",
    )  # fmt: skip
    assert generated.returncode == 0, generated.stderr
    frame = pd.read_csv(place / "data" / "two.csv")
    late = (frame["symbol"] == "BRK.B") & (frame["timestamp"] < "2024-03-06")
    frame[~late].to_csv(place / "data" / "two.csv", index=False)
    document = run("feed.path=data/two.csv", "instruments=[AAA, BRK.B]")
    decisions = pd.read_parquet(Path(document["run_dir"]) / "decisions.parquet")
    first = decisions.groupby("symbol")["timestamp"].min()
    assert first["BRK.B"] > first["AAA"]
    assert len(decisions) == document["bars"] > document["slices"]


def test_the_panel_of_24_symbols_runs(place, real_data):
    path = real_data / "US24_1m_2019-02-11_15_panel.csv"
    with path.open() as lines:
        next(lines)
        symbols = sorted({line.split(",")[1] for line in lines})
    document = run(
        f"feed.path={path}", f"instruments=[{', '.join(symbols)}]", "throttle.max_spread_bps=none",
        "broker.slippage={type: bps, value: 1}", "position_sizing.base_size=1",
    )  # fmt: skip
    assert document["bars"] == 43_164
    assert len(set(pd.read_csv(Path(document["run_dir"]) / "fills.csv")["symbol"])) > 20
