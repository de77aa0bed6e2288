"""docs/examples/five_models.py: the notebook of a stranger, run as it stands there."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "five_models.py"
FILE = "BITFINEX_BTCUSD_1m.parquet"


def run_script(folder: Path, *words: str) -> list[list[str]]:
    """The rows of its table."""
    environ = {**os.environ, "TRADER_HOME": str(folder / "home")}
    command = [sys.executable, str(SCRIPT), *words, "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines()[1:]]


@pytest.mark.process
@pytest.mark.timeout(400)
def test_a_model_of_the_script_trades_alike_in_backtest_and_paper(real_data, tmp_path):
    """One of the five on six weeks of it; all of both as a trial."""
    table = pd.read_parquet(real_data / FILE)
    stamps = pd.to_datetime(table["timestamp"], utc=True)
    inside = (stamps >= "2016-10-01") & (stamps < "2016-11-10")
    table[inside].to_parquet(tmp_path / "btc.parquet")
    (row,) = run_script(tmp_path, str(tmp_path / "btc.parquet"), "--models", "lightgbm")
    assert row[0] == "lightgbm"
    assert row[-1] == "True"
    assert int(row[4]) > 20, "fills"


@pytest.mark.trials
@pytest.mark.timeout(7200)
def test_all_of_the_script_on_the_whole_file(real_data, tmp_path):
    rows = run_script(tmp_path, str(real_data / FILE))
    assert [row[0] for row in rows][:4] == ["sklearn", "lightgbm", "xgboost", "onnx"]
    assert {row[-1] for row in rows} == {"True"}
    assert len({row[-2] for row in rows}) == len(rows), "each trades in its own way"
