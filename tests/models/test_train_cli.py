"""`trader train` as a user runs it: real config, data file, features, and the model used after."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import config_demo
from tests.conftest import ROOT
from trader import wiring
from trader.cli import app
from trader.config.load import load_config
from trader.core.schema import Reason

ROWS = 1500
MODEL = """\
model:
  type: sklearn
  path: models/demo.skops
train:
  estimator: sklearn.linear_model.LogisticRegression
  params: {C: 0.5, max_iter: 200}
  end: 2024-01-02T00:00:00Z
  label: {horizon_bars: 5, threshold_bps: 2}
"""
RULE = """\
model:
  type: rule
  buy: sma_fast > sma_slow
  sell: sma_fast <= sma_slow
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a config and a day and an hour of minute bars."""
    rng = np.random.default_rng(2)
    wave = 0.01 * np.sin(np.arange(ROWS) / 20)  # which two averages can tell the phase of
    close = 100 * np.exp(wave + rng.normal(0, 0.0002, ROWS))
    opens = np.concatenate([[100.0], close[:-1]])
    times = np.datetime64("2024-01-01T00:00") + np.arange(ROWS)
    lines = [
        f"{time}:00Z,{o:.4f},{max(o, c) + 0.01:.4f},{min(o, c) - 0.01:.4f},{c:.4f},{100 + i % 7}"
        for i, (time, o, c) in enumerate(zip(times, opens, close, strict=True))
    ]
    (tmp_path / "data").mkdir()
    text = "timestamp,open,high,low,close,volume\n" + "\n".join(lines) + "\n"
    (tmp_path / "data" / "acme.csv").write_text(text)
    swaps = ((RULE, MODEL), ("max_spread_bps: 50", "max_spread_bps: none"))
    config_demo.write(tmp_path, config_demo.demo(*swaps))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return app.run(["train", "-c", "run.yaml", *map(str, arguments)])


@pytest.mark.process
def test_train_in_a_process_of_its_own_then_use_the_model(folder):
    done = subprocess.run(
        [sys.executable, "-m", "trader", "train", "-c", "run.yaml"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    path = Path("models/demo.skops")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"\n  sha256: {sha256}\n" in done.stdout + "\n"
    assert "in-sample  accuracy" in done.stdout
    text = Path("run.yaml").read_text()
    line = f"  path: models/demo.skops\n  sha256: {sha256}\n"
    Path("run.yaml").write_text(text.replace("  path: models/demo.skops\n", line))
    loaded = load_config("run.yaml")
    prepared = wiring.prepare(loaded, [Path("run.yaml")], wiring.Timing())
    assert len(prepared.inputs.actions) == ROWS
    assert np.bincount(prepared.inputs.actions[29:], minlength=3)[[1, 2]].min() > 400
    assert (prepared.inputs.reasons[:29] == Reason.WARMUP).all()
    assert (prepared.inputs.reasons[29:] == Reason.NONE).all()


def test_card_tells_span_rows_data_and_config(folder, capsys):
    assert run("--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["path"] == "models/demo.skops"
    assert {key: card[key] for key in card if key != "path"} == json.loads(
        Path("models/demo.skops.card.json").read_text()
    )
    data = Path("data/acme.csv").read_bytes()
    assert card["data"][0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["config_sha256"] == load_config("run.yaml").sha256
    assert card["features"] == ["sma_fast", "sma_slow"]
    assert card["feature_definitions"]["sma_slow"] == {"type": "sma", "period": 30}
    assert card["span"] == {
        "first_bar_opens": "2024-01-01T00:29:00Z",
        "last_bar_closes": "2024-01-02T00:00:00Z",
    }
    assert card["rows"] == {"in_span": 1440, "not_warm": 29, "beyond_horizon": 5, "used": 1406}


@pytest.mark.process
def test_training_twice_gives_the_same_file_in_any_process(folder, capsys):
    assert run("--out", "a.skops") == 0
    text = "from trader.cli import app; app.run('train -c run.yaml --out b.skops'.split())"
    subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        check=True,
        timeout=120,
    )
    assert Path("a.skops").read_bytes() == Path("b.skops").read_bytes()


def test_model_that_is_there_is_kept_unless_forced(folder, capsys):
    assert run() == 0
    before = Path("models/demo.skops").read_bytes()
    assert run("--set", "train.params.C=0.01") == 2
    assert "use --force to replace it" in capsys.readouterr().err
    assert Path("models/demo.skops").read_bytes() == before
    assert run("--set", "train.params.C=0.01", "--force") == 0
    assert Path("models/demo.skops").read_bytes() != before


def test_the_summary_says_what_is_still_to_be_written(folder, capsys):
    Path("sub").mkdir()
    assert run("--out", "sub/a.skops") == 0
    told = capsys.readouterr().out
    sha256 = hashlib.sha256(Path("sub/a.skops").read_bytes()).hexdigest()
    assert "wrote      sub/a.skops and sub/a.skops.card.json\n" in told
    lines = f"these lines under `model:` in the config:\n  path: sub/a.skops\n  sha256: {sha256}\n"
    assert lines in told
    pinned = ("--set", f"model.sha256={sha256}")
    assert run("--out", "sub/b.skops", *pinned) == 0  # equal bytes, another file
    assert "this line under `model:` in the config:\n  path: sub/b.skops\n" in (
        capsys.readouterr().out
    )
    assert run(*pinned) == 0
    assert "The config names this very file already." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("train.estimator=sklearn.cluster.KMeans", 3, "sklearn.cluster.KMeans is not a class"),
        ("train.estimator=xgboost.XGBClassifier", 3, "model.type to xgboost"),
        ("train.split.folds=2000", 3, "cannot be made of 1406 times"),
        ("train.split.embargo_bars=1100", 3, "fewer folds, a shorter embargo"),
        ("train.params.Cc=1", 3, "did you mean 'C'"),
        ("train.label.threshold_bps=5000", 3, "every one of the"),
        ("train.end=2020-01-01", 3, "no bar lies between"),
        ("feed.path=data/none.csv", 3, "does not exist"),
        ("features.sma_slow.period=5000", 3, "no feature is ever warm"),
    ],
)
def test_mistakes_end_with_their_exit_code_and_leave_nothing(
    folder, capsys, override, code, message
):
    assert run("--set", override) == code
    assert message in capsys.readouterr().err
    assert not Path("models").exists()


def test_error_points_at_the_line_of_the_config(folder, capsys):
    path = Path("run.yaml")
    path.write_text(path.read_text().replace("LogisticRegression", "LogisticRegresion"))
    assert run() == 3
    line = (
        path.read_text().splitlines().index("  estimator: sklearn.linear_model.LogisticRegresion")
    )
    assert f"run.yaml:{line + 1}:" in capsys.readouterr().err


@pytest.mark.process
def test_real_bars_train_and_predict(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    swaps = (
        (RULE, MODEL.replace("  end: 2024-01-02T00:00:00Z\n", "  end: 2019-02-14\n")),
        ("max_spread_bps: 50", "max_spread_bps: none"),
        ("data/acme.csv", str(real_data / "US24_1m_2019-02-11_15_panel.csv")),
        ("  - {symbol: ACME, tick_size: 0.01, lot_size: 1}", "  - SPY\n  - AAPL\n  - MSFT"),
        ("market_hours: 24x7", "market_hours: XNYS"),
    )
    config_demo.write(tmp_path, config_demo.demo(*swaps))
    assert run("--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["span"]["last_bar_closes"] == "2019-02-13T21:00:00Z"
    assert card["rows"]["beyond_horizon"] == 15  # five bars of each of three symbols
    loaded = load_config("run.yaml", [f"model.sha256={card['sha256']}"])
    prepared = wiring.prepare(loaded, [Path("run.yaml")], wiring.Timing())
    assert np.count_nonzero(prepared.inputs.reasons == Reason.WARMUP) == 3 * 29
