"""An installed package adds types of model, feature and feed through its entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trader.cli.app import run
from trader.config import registry

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process

MODULE = """
import math
import time
import numpy as np
from typing import Literal
from pydantic import BaseModel, ConfigDict
from trader.feeds.source import Abilities, Finality, InstrumentFacts, RawBar


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


class Stride(BaseModel):
    model_config = ConfigDict(extra="forbid")
    period: int = 1


class StrideFeature:
    def __init__(self, period):
        self.closes, self.period = [], period

    def update(self, bar):
        self.closes.append(bar.close)
        return bar.close - self.closes[-1 - self.period] if len(self.closes) > self.period else None


class WaveOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    height: float = 1.0


class WaveSource:
    # a market whose prices are a wave; it streams nothing

    name, tap, can = "wave", None, Abilities(Finality.POLL)

    def __init__(self, terms):
        self.terms, self.height = terms, terms.options.get("height", 1.0)

    async def open(self):
        pass

    async def facts(self, is_fresh=False):
        return [InstrumentFacts(symbol) for symbol in self.terms.symbols]

    async def venue_ns(self):
        return time.time_ns()

    async def history(self, symbol, start_ns, end_ns):
        step = self.terms.period_ns
        opens = range(-(-start_ns // step) * step, end_ns, step)
        prices = [(at, 100 + self.height * math.sin(at // step / 20)) for at in opens]
        return [RawBar(at, price, price, price, price, 5000.0) for at, price in prices]

    async def close(self):
        pass


FEATURE = (Stride, lambda section: StrideFeature(section.period))
NO_UPDATE = (Stride, lambda section: section)
FEED = (WaveOptions, WaveSource)
MODEL = (EveryNth, make)
BROKEN = ("no section", make)


def section(name, *lacking):
    keys = {"type": str, "n": int}
    for key in lacking:
        del keys[key]
    return type(name, (BaseModel,), {"__annotations__": keys})


def raising(*words):
    raise OSError("no licence")


LOOSE = (section("Loose"), make)  # takes keys that it does not know
HALF = (section("Half"), make_half)
RAISING = (section("Raising"), raising)
NOTHING = (section("Nothing"), lambda *words: None)
NO_TYPE = (section("NoType", "type"), make)
TRIPLE = (section("Triple"), make, 3)
FEATURE_RAISING = (Stride, raising)
FEATURE_NOTHING = (Stride, lambda *words: None)
MARKET_RAISING = (WaveOptions, raising)
MARKET_NOTHING = (WaveOptions, lambda *words: None)
BROKER_NOTHING = (WaveOptions, lambda *words: None)


class Bug:
    def __init__(self, *words):
        raise RuntimeError("no key")


BROKER_RAISING = (WaveOptions, Bug)
"""
ENTRY_POINTS = """\
[trader.models]
every_nth = trader_plug_in:MODEL
broken = trader_plug_in:BROKEN
half = trader_plug_in:HALF
loose = trader_plug_in:LOOSE
raising = trader_plug_in:RAISING
nothing = trader_plug_in:NOTHING
no_type = trader_plug_in:NO_TYPE
triple = trader_plug_in:TRIPLE
nameless = trader_plug_in TRIPLE

[trader.feeds]
broken_feed = trader_plug_in:BROKEN
wave = trader_plug_in:FEED
raising = trader_plug_in:MARKET_RAISING
nothing = trader_plug_in:MARKET_NOTHING

[trader.brokers]
raising = trader_plug_in:BROKER_RAISING
nothing = trader_plug_in:BROKER_NOTHING
gone = no_such_module:BROKER

[trader.features]
stride = trader_plug_in:FEATURE
no_update = trader_plug_in:NO_UPDATE
raising = trader_plug_in:FEATURE_RAISING
nothing = trader_plug_in:FEATURE_NOTHING
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


@pytest.fixture
def found_here(plug_in: Path, monkeypatch):
    """The package, installed for this process and forgotten after it."""
    monkeypatch.syspath_prepend(str(plug_in))
    monkeypatch.setattr(registry, "_used", {})
    monkeypatch.chdir(ROOT)
    registry.installed.cache_clear()
    yield
    registry.installed.cache_clear()


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


def test_its_feature_is_one_like_any_other(plug_in: Path, tmp_path: Path):
    words = ["backtest", "-c", "configs/demo.yaml", "--json", "--out", str(tmp_path / "runs")]
    rule = ["--set", "model.buy=step > 0", "--set", "model.sell=step < 0"]
    done = trader(plug_in, *words, *rule, "--set", "features.step={type: stride, period: 3}")
    assert done.returncode == 0, done.stderr
    own = trader(plug_in, *words, *rule, "--set", "features.step={type: MOM, timeperiod: 3}")
    assert json.loads(done.stdout)["digest"] == json.loads(own.stdout)["digest"]
    manifest = Path(json.loads(done.stdout)["run_dir"]) / "manifest.json"
    assert json.loads(manifest.read_text())["versions"]["trader-plug-in"] == "1.0"


def test_its_market_is_downloaded_and_traded(plug_in: Path, tmp_path: Path):
    config = [str(ROOT / "configs/demo.yaml"), "--set", "risk.market_hours=24x7"]
    feed = ["--set", "feed={type: wave, path: none, options: {height: 3}}"]
    span = ["--from", "2025-03-03", "--to", "2025-03-04", "--out", str(tmp_path / "history")]
    done = trader(plug_in, "data", "download", "-c", *config, *feed, *span, "--json")
    assert done.returncode == 0, done.stderr
    layer = json.loads(done.stdout)["config"]
    words = ["--set", "throttle.max_spread_bps=none", "--set", "broker.slippage.type=bps"]
    run = trader(plug_in, "backtest", "-c", *config, "-c", layer, *words, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["bars"] == 1440
    assert json.loads(run.stdout)["fills"] > 10


MARKET = ["feed.path=none", "risk.market_hours=24x7"]
OF = "trader-plug-in"
NOT_MADE = [
    (["model={type: broken}"], f"BROKEN of {OF} is not a pair of section and factory"),
    (["model={type: triple, n: 3}"], f"TRIPLE of {OF} is not a pair of section and factory"),
    (["model={type: nameless, n: 3}"], "an entry point is module:NAME"),
    (["model={type: no_type, n: 3}"], f"NO_TYPE of {OF}: its section NoType has no key type"),
    (
        ["model={type: half, n: 3}"],
        f"HALF of {OF}: what its factory made (object) has no feature_names",
    ),
    (["model={type: raising, n: 3}"], f"RAISING of {OF}: its factory raised OSError: no licence"),
    (
        ["model={type: nothing, n: 3}"],
        f"NOTHING of {OF}: what its factory made (None) has no feature_names",
    ),
    (["model={type: loose}"], "model.n: is required and missing"),
    (["model={type: loose, n: 3, m: 4}"], "model.m: unknown key in model"),
    (["model={type: loose, n: a}"], "model.n: must be a whole number"),
    (["feed.type=broken_feed", *MARKET], "is not a pair of section and factory"),
    (["feed.type=raising", *MARKET], f"MARKET_RAISING of {OF}: its factory raised OSError"),
    (
        ["feed.type=nothing", *MARKET],
        f"MARKET_NOTHING of {OF}: what its factory made (None) has no can",
    ),
    (["features.x={type: stride, perod: 3}"], "features.x.perod: stride takes period"),
    (["features.x={type: stride, period: a}"], "features.x.period: must be a whole number"),
    (
        ["features.x={type: no_update}"],
        f"NO_UPDATE of {OF}: what its factory made (Stride) has no up",
    ),
    (["features.x={type: raising}"], f"FEATURE_RAISING of {OF}: its factory raised OSError: no"),
    (["features.x={type: nothing}"], f"FEATURE_NOTHING of {OF}: what its factory made (None) has"),
    (["broker.type=gone"], f"no_such_module:BROKER of {OF} cannot be loaded"),
    (["broker.type=raising"], f"BROKER_RAISING of {OF}: its factory raised RuntimeError: no key"),
    (
        ["broker.type=nothing"],
        f"BROKER_NOTHING of {OF}: what its factory made (None) has no submit",
    ),
    (["broker.options.height=3"], "broker.options: has no meaning for type simulated"),
    (["broker.type=nothing", "broker.options.hight=3"], "broker.options takes height"),
]
OF_PAPER = ("feed.path=none", "broker.type=raising", "broker.type=nothing")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # console.own_stdout
@pytest.mark.parametrize(("overrides", "told"), NOT_MADE)
def test_what_a_package_gets_wrong_is_told(
    found_here: None, tmp_path: Path, capsys, overrides: list[str], told: str
):
    words = [word for override in overrides for word in ("--set", override)]
    command = "paper" if set(OF_PAPER) & set(overrides) else "backtest"
    code = run([command, "-c", "configs/demo.yaml", "--out", str(tmp_path), *words])
    said = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert code == 3, said
    assert len(said) == 1
    assert told in said[0]


@pytest.mark.parametrize("command", ["backtest", "paper", "validate"])
def test_a_broker_that_cannot_be_loaded_is_told_by_every_command(plug_in: Path, command: str):
    done = trader(plug_in, command, "-c", "configs/demo.yaml", "--set", "broker.type=gone")
    assert done.returncode == 3, done.stderr
    assert "broker.type: trader.brokers 'gone'" in done.stderr


def test_a_loose_section_trades_as_one_that_forbids(plug_in: Path, tmp_path: Path):
    words = ["backtest", "-c", "configs/demo.yaml", "--json", "--out", str(tmp_path / "runs")]
    done = [
        trader(plug_in, *words, "--set", f"model={{type: {kind}, n: 30}}")
        for kind in ("every_nth", "loose")
    ]
    assert [one.returncode for one in done] == [0, 0], done[1].stderr
    first, second = (json.loads(one.stdout) for one in done)
    assert first["digest"] == second["digest"]
    assert "Warning" not in done[0].stderr + done[1].stderr
    kept = Path(second["run_dir"]) / "config.resolved.yaml"
    assert "n: 30" in kept.read_text()
