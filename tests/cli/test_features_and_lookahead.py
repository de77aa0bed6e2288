"""`trader features` and `trader lookahead`, and a pandas function from backtest to paper."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trader as api
from tests.harness import warm

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
FUNCTION = """
import pandas as pd
from indicators import trend


def make(df):
    out = pd.DataFrame(index=df.index)
    out["up"] = trend(df["close"])
    out["vol"] = df["close"].pct_change().rolling(30).std()
    return out
"""
LEAKS = {
    "centred": "df.close.rolling(5, center=True).mean()",
    "scaler": "(df.close - df.close.mean()) / df.close.std()",
    "label": "df.close.shift(-1) / df.close - 1",
    "left": "df.close.resample('1h').mean().reindex(df.index, method='ffill')",
    "filled": "df.close.rolling(20).mean().bfill()",
}
RULE = "model={type: rule, buy: rsi > 50, sell: rsi < 50}"  # starts no process for a file
CONFIG = """
features:
  mine: {type: frame, target: "my_features:make", window: 200}
model: {type: rule, buy: up > 0, sell: up < 0}
feed: {end: 2024-03-05T17:30}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The example with a pandas function beside it, as the working directory."""
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    demo = Path("configs/demo.yaml").read_text("utf-8")
    kept = demo[: demo.index("features:")] + demo[demo.index("position_sizing:") :]
    Path("own.yaml").write_text(kept)
    Path("layer.yaml").write_text(CONFIG)
    Path("my_features.py").write_text(FUNCTION)
    Path("indicators.py").write_text(
        "def trend(close):\n    return close.rolling(10).mean() / close.rolling(60).mean() - 1\n"
    )
    return tmp_path


def trader(*words: object) -> subprocess.CompletedProcess[str]:
    command, *rest = map(str, words)
    configs = [] if command in ("parity", "replay") else ["-c", "own.yaml", "-c", "layer.yaml"]
    return warm.run([command, *configs, *rest], env=dict(os.environ))


def document(*words: object, code: int = 0) -> dict:
    done = trader(*words, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1] if words[0] == "paper" else done.stdout)


def test_a_pandas_function_trades_the_same_in_backtest_loop_paper_and_parity(place):
    batch = document("backtest")
    assert batch["fills"] > 0
    assert document("backtest", "--engine", "loop")["digest"] == batch["digest"]
    done = trader("paper", "--pace", "max", "--json")
    assert done.returncode == 0, done.stderr
    (folder,) = Path("runs").glob("*paper*")
    assert document("parity", folder.name)["verdict"] == "pass"
    assert document("replay", folder.name)["digest"] == batch["digest"]
    manifest = json.loads((Path(batch["run_dir"]) / "manifest.json").read_text())
    hashed = set(manifest["model"]["code_sha256"].values())
    for file in ("my_features.py", "indicators.py"):
        assert hashlib.sha256(Path(file).read_bytes()).hexdigest() in hashed


def test_history_and_window_that_differ_end_every_command_with_5(place):
    Path("my_features.py").write_text(FUNCTION.replace("rolling(30)", "rolling(31, center=True)"))
    for words in (("backtest",), ("validate",), ("paper", "--pace", "max")):
        done = trader(*words)
        assert done.returncode == 5, done.stderr
        assert "column vol of ACME" in done.stderr
        assert "The future was used" in done.stderr
        assert "Traceback" not in done.stderr


def test_lookahead_passes_what_is_clean_and_says_what_it_did(place):
    proof = document("lookahead")
    assert (proof["verdict"], proof["leaks"], proof["in_sample"]) == ("pass", [], None)
    assert proof["columns"] == ["up", "vol", "action", "score"]
    assert len(proof["cuts"]) >= 24
    told = trader("lookahead")
    assert told.returncode == 0
    assert "verdict    pass" in told.stdout


@pytest.mark.parametrize("expression", LEAKS.values(), ids=LEAKS)
def test_lookahead_names_column_and_time_of_a_leak(place, expression):
    body = f"def make(df):\n    return ({expression}).rename('up')\n"
    Path("my_features.py").write_text(body)
    proof = document("lookahead", code=8)
    leak = next(one for one in proof["leaks"] if one["column"] == "up")
    assert leak["symbol"] == "ACME"
    assert leak["time"] <= leak["cut"]
    assert leak["whole"] != leak["prefix"]
    if expression != LEAKS["label"]:
        return
    told = trader("lookahead")
    assert told.returncode == 8
    assert f"up of ACME, bar closing {leak['time']}" in told.stdout


def test_a_window_too_short_is_no_leak_and_ends_with_5(place):
    Path("my_features.py").write_text("def make(df):\n    return df.close.cumsum().rename('up')\n")
    done = trader("lookahead")
    assert done.returncode == 5
    assert "The window is too short" in done.stderr


def test_a_model_that_looks_at_the_whole_chunk_is_caught(place):
    Path("own_model.py").write_text(
        "import numpy as np\ndef model(features):\n"
        "    return np.where(features[:, 0] > features[:, 0].mean(), 1, 2)\n"
    )
    Path("layer.yaml").write_text(
        'features: {mine: {type: frame, target: "my_features:make", window: 200}}\n'
        'model: {type: python, target: "own_model:model"}\nfeed: {end: 2024-03-06}\n'
    )
    proof = document("lookahead", code=8)
    assert {leak["column"] for leak in proof["leaks"]} == {"action"}


def test_the_share_in_the_training_span_is_told_and_strict_refuses_it(place):
    shutil.copy("configs/demo_sklearn.yaml", "own.yaml")
    Path("layer.yaml").write_text("feed: {end: 2024-03-14}\n")
    seen = document("backtest", "--strict", code=8)["in_sample"]
    assert 0 < seen["share"] < 1
    assert seen["trained_to"] == "2024-03-11T20:00:00Z"
    told = trader("lookahead", "--strict", "--cuts", 2)
    assert told.returncode == 8
    assert f"in-sample  {seen['share']:.1%} of the bars" in told.stdout
    Path("layer.yaml").write_text("feed: {start: 2024-03-13, end: 2024-03-14}\n")
    assert document("backtest", "--strict")["in_sample"]["share"] == 0.0


def test_features_writes_the_matrix_that_the_model_sees(place):
    shutil.copy("configs/demo_sklearn.yaml", "own.yaml")
    Path("layer.yaml").write_text("feed: {end: 2024-03-14}\n")
    told = document("features", "--out", "x.parquet")
    frame = pd.read_parquet("x.parquet")
    names = list(told["features"])
    assert list(frame.columns) == ["timestamp", "symbol", *names, "warm", "label"]
    assert str(frame["timestamp"].dt.tz) == "UTC"
    assert len(frame) == told["rows"] == document("backtest", "--set", RULE)["bars"]
    assert (frame["warm"] == frame[names].notna().all(axis=1)).all()
    assert frame["label"].notna().sum() == told["labelled"]
    assert frame["label"].dropna().isin([0, 1, 2]).all()
    assert frame["label"].tail(15).isna().all()  # beyond train.end
    here = api.features(["own.yaml", "layer.yaml"])
    pd.testing.assert_frame_equal(here, frame)
    bars = pd.read_csv("data/acme.csv")
    bars = bars[bars["timestamp"] < "2024-03-13T23:00"]
    given = api.features(["own.yaml", "layer.yaml"], bars=bars)
    assert np.array_equal(given[names].to_numpy(), frame[names].to_numpy(), equal_nan=True)
    assert trader("features", "--out", "x.csv").returncode == 0
    assert len(pd.read_csv("x.csv")) == len(frame)
    assert trader("features", "--out", "x.txt").returncode == 2
