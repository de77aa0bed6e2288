"""Golden runs: what trading came out of known configs, to the bit. Rewritten by `make golden` only.

A change here is a change of the trading. It belongs into the CHANGELOG with its reason.
"""

import json
from pathlib import Path

import pytest

from trader.config.load import load_config
from trader.jobs.backtest import Order, backtest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parents[1] / "golden" / "runs.json"
SHORT = "position_sizing.allow_short=true"
RUNS: dict[str, tuple[str, list[str]]] = {
    "demo": ("demo.yaml", []),
    "trained": ("demo_sklearn.yaml", []),
    "short-increments": (
        "demo.yaml",
        [SHORT, "position_sizing.mode=increment", "position_sizing.base_size=40"],
    ),
    "percent-of-equity": (
        "demo.yaml",
        ["position_sizing={mode: percent_equity, percent: 0.4, rebalance_threshold: 0.05}"],
    ),
    "volatility-target": (
        "demo.yaml",
        [
            "position_sizing={mode: volatility_target, target_volatility: 0.1, max_leverage: 0.4}",
            "throttle.max_spread_bps=9",
            "throttle.max_volatility=0.0008",
        ],
    ),
    "same-close-partial": (
        "demo.yaml",
        [
            "broker.fill=same_close",
            "broker.max_fill_participation=0.03",
            "broker.time_in_force=day",
            "broker.slippage={type: volume_share, value: 0.1}",
            "broker.commission={type: per_share, value: 0.01, minimum: 1}",
        ],
    ),
    "credit": (
        "demo.yaml",
        [
            SHORT,
            "risk.allow_margin=true",
            "risk.max_position_concentration=none",
            "position_sizing={mode: percent_equity, percent: 4}",
            "throttle.max_volume_participation=none",
            "broker.cash=10000",
            "broker.margin={initial: 0.25, maintenance: 0.24}",
            "broker.borrow_rate=0.1",
            "broker.interest_rate=0.2",
        ],
    ),
    "killed": ("demo.yaml", ["risk.max_daily_loss=60", "risk.on_daily_loss=kill"]),
    "flattened": ("demo.yaml", ["risk.max_daily_loss=60", "risk.on_daily_loss=flatten"]),
}


def outcome(name: str, out: Path) -> dict[str, object]:
    file, overrides = RUNS[name]
    files = [ROOT / "configs" / file]
    loaded = load_config(files, overrides, environ={})
    result = backtest(Order(loaded, files, "batch", out, ("golden",))).result
    return {
        "digest": result.digest,
        "fills": len(result.fills),
        "denied": result.tally.denied,
        "throttled": result.tally.throttled,
        "final_equity": float(result.account["equity"]),
        "trading_state": int(result.account["trading_state"]),
    }


@pytest.mark.parametrize("name", RUNS)
def test_golden_run(name, tmp_path, monkeypatch, golden_rewrite):
    monkeypatch.chdir(ROOT)
    found = outcome(name, tmp_path)
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if golden_rewrite:
        golden[name] = found
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")
    assert found == golden[name]
