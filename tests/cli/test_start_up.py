"""What a backtest of a rule model loads, and what it leaves alone: its start is what it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_NEEDED = {
    "pandas",
    "scipy.linalg",
    "sklearn",
    "empyrical",
    "exchange_calendars",
    "skops",
    "asyncio",
}
SWEEPS = "trader.jobs.sweep"

OWN_CODE = """
import sys
from trader.user_code import pandas_later
from trader.user_code.targets import load_target
pandas_later.leave_pandas_out()
import numpy as np, pyarrow as pa, talib, talib.abstract, talib.stream
bars = np.arange(50.0)
alone = talib.SMA(bars, 3)
pa.array(bars), pa.array(["text"])
assert "pandas" not in sys.modules
load_target("os:getcwd", "features.own.target")
import pandas as pd
series = pd.Series(bars)
assert talib.SMA(series, 3).equals(pd.Series(alone))
assert talib.abstract.SMA(pd.DataFrame({"close": bars}), timeperiod=3).equals(pd.Series(alone))
assert talib.stream.SMA(bars, timeperiod=3).value == alone[-1]
assert pa.array(pd.Series([1.0, None])).null_count == 1
assert pa.table({"a": [1]}).to_pandas().shape == (1, 1)
"""


@pytest.mark.process
def test_a_rule_model_over_a_csv_loads_no_library_it_has_no_use_for(tmp_path):
    words = ["backtest", "-c", "configs/demo.yaml", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trader", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.rsplit("|", 1) for line in done.stderr.splitlines() if line.count("|") == 2]
    loaded = {name.strip() for times, name in lines if "import time" in times}
    assert "trader.jobs.backtest" in loaded
    assert not any(name.startswith(SWEEPS) for name in loaded)
    # an import that is tried and refused has a line too, but loads nothing below it
    assert {name for name in NOT_NEEDED if any(n.startswith(f"{name}.") for n in loaded)} == set()


@pytest.mark.process
def test_own_code_finds_ta_lib_and_pyarrow_as_they_are_where_pandas_is():
    done = subprocess.run(
        [sys.executable, "-c", OWN_CODE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_ctrl_c_inside_code_made_from_text_ends_with_130_and_not_by_the_signal(tmp_path):
    (tmp_path / "own.py").write_text('exec("raise KeyboardInterrupt")\n')
    config = (ROOT / "configs" / "demo.yaml").read_text()
    config = config.replace("{type: sma, period: 10}", '{type: python, target: "own:make"}')
    (tmp_path / "demo.yaml").write_text(config)
    (tmp_path / "data").symlink_to(ROOT / "data")
    done = subprocess.run(
        [sys.executable, "-m", "trader", "backtest", "-c", "demo.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
