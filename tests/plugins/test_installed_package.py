"""An installed package adds a type of model and of feed through its entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process

MODULE = """
import numpy as np
from typing import Literal
from pydantic import BaseModel, ConfigDict


class EveryNth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["every_nth"]
    n: int


class Model:
    def __init__(self, section, names, symbols):
        self.feature_names, self.symbols, self.n = tuple(names), tuple(symbols), section.n

    def predict(self, bars, features):
        minutes = bars["ts_ns"] // 60_000_000_000
        return np.where(minutes % self.n == 0, 1, 2).astype(np.int8)

    def check_history(self, bars):
        assert len(bars)


def make_half(config, names, symbols, search_paths):
    return object()


def make(config, names, symbols, search_paths):
    return Model(config.model, names, symbols)


MODEL = (EveryNth, make)
BROKEN = ("no section", make)
HALF = (EveryNth, make_half)
"""
ENTRY_POINTS = """\
[trader.models]
every_nth = trader_plug_in:MODEL
broken = trader_plug_in:BROKEN
half = trader_plug_in:HALF

[trader.feeds]
broken_feed = trader_plug_in:BROKEN
"""


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """What an installer leaves of a package: its module and its metadata."""
    site = tmp_path / "site"
    info = site / "trader_plug_in-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "trader_plug_in.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trader-plug-in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


def trader(plug_in: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trader", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{plug_in}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_model_trades_in_a_backtest(plug_in: Path, tmp_path: Path):
    words = ["backtest", "-c", "configs/demo.yaml", "--json", "--out", str(tmp_path / "runs")]
    done = trader(plug_in, *words, "--set", "model={type: every_nth, n: 30}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fills"] > 50
    wrong = trader(plug_in, *words, "--set", "model={type: every_nth, m: 30}")
    assert wrong.returncode == 3, wrong.stderr
    assert "n" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model={type: broken}"], "is no pair of section and factory"),
        (["model={type: half, n: 3}"], "every_nth"),
        (["feed.type=broken_feed", "feed.path=none"], "is no pair of section and factory"),
    ],
    ids=["model", "half a model", "feed"],
)
def test_what_a_package_gets_wrong_is_told(plug_in: Path, overrides: list[str], told: str):
    words = [word for override in overrides for word in ("--set", override)]
    command = "paper" if "feed.path=none" in overrides else "backtest"
    done = trader(plug_in, command, "-c", "configs/demo.yaml", *words)
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
