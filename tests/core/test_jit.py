"""Compiled, JIT off and Numba absent give one digest; an edited source starts a new cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
if "absent" in sys.argv:
    sys.modules["numba"] = None
import numpy as np
from tests.core_kit import MINUTE, START, random_bars, random_detail, run
from trader import jit
assert jit.COMPILED == ("compiled" in sys.argv), sys.argv
digests = []
for seed, changes in enumerate([
    {},
    {"mode": 1, "base_size": 30.0, "max_position_size": 90.0, "max_daily_loss": 40.0},
    {"mode": 2, "percent": 0.9, "allow_margin": 0, "commission_value": 1.5, "tick_size": 0.01},
    {"mode": 3, "target_volatility": 0.001, "max_volatility": 0.002, "slippage_type": 2,
     "slippage_value": 0.1, "max_volume_participation": 0.2, "max_spread_bps": 9.0},
    {"max_fill_participation": 0.05, "time_in_force": 1, "price_collar": 0.004, "fill": 1},
    {"stop_type": 1, "stop_value": 0.2, "target_type": 2, "target_value": 1.5, "target_period": 5,
     "trail_type": 1, "trail_value": 0.15, "activate_at": 0.1, "max_holding_bars": 12,
     "tick_size": 0.01, "max_fill_participation": 0.1},
    {"entry_type": 3, "entry_offset_bps": 1.0, "entry_limit_offset_bps": 5.0, "entry_bars": 3,
     "entry_time_in_force": 4, "stop_type": 3, "stop_value": 0.2, "intrabar": 1, "limit_fill": 1,
     "cooldown_bars": 2},
    {"cash": 3_000.0, "mode": 2, "percent": 0.9, "initial_margin": 0.3, "borrow_rate": 0.5,
     "maintenance_margin": 0.38, "interest_rate": 0.4, "period_ns": 3_600 * 10**9},
]):
    bars = random_bars(seed, 250, 3)
    if "period_ns" in changes:  # of an hour: sessions roll
        bars["ts_ns"] = START + (bars["ts_ns"] - START) * 60
    actions = np.random.default_rng(seed).integers(0, 4 if seed > 4 else 3, len(bars))
    result = run(bars, actions, **changes)
    assert len(result.fills) > 5
    digests.append(result.record.digest)
assert {4, 5} == set(result.record.cashflows["kind"].tolist())
assert 6 in result.fills["kind"]
digests.append(result.record.cashflows.tobytes().hex()[:4_000])
bars, detail = random_detail(3, 120)
actions = np.random.default_rng(4).choice([0, 0, 1, 2], len(bars))
result = run(bars, actions, detail=detail, intrabar=2, detail_period_ns=MINUTE // 4, stop_type=1,
             stop_value=0.2, target_type=1, target_value=0.3, trail_type=1, trail_value=0.25)
assert {2, 3, 4} <= set(result.fills["kind"].tolist())
digests.append(result.record.digest)
print(*digests)
"""


def digests(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_modes_give_one_digest():
    compiled = digests("compiled")
    assert len(compiled.split()) == 10
    assert digests("off", NUMBA_DISABLE_JIT="1") == compiled
    assert digests("absent") == compiled


CALLER = """
from trader.core.callee import twice
from trader.jit import jit


@jit
def answer(number):
    return twice(number)
"""
CALLEE = """
from trader.jit import inlined


@inlined
def twice(number):
    return number * 2
"""
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import trader
assert Path(trader.__file__).parents[1] == Path(sys.argv[1]), trader.__file__
from trader.core.caller import answer
print(answer(5), sum(answer.stats.cache_hits.values()))
"""


def test_an_edit_in_a_called_file_alone_is_not_run_from_the_old_cache(tmp_path):
    """Numba's own cache goes on with the old rule here: it looks at the caller's file only."""
    pytest.importorskip("numba")
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "trader", copy / "trader", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "trader" / "core" / "caller.py").write_text(CALLER)
    callee = copy / "trader" / "core" / "callee.py"
    callee.write_text(CALLEE)
    environment = {**os.environ, "TRADER_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ""}

    def answer_and_hits() -> str:
        done = subprocess.run(
            [sys.executable, "-c", ASK, str(copy)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert answer_and_hits() == "10 0"
    assert answer_and_hits() == "10 1"  # from the cache
    callee.write_text(CALLEE.replace("number * 2", "number * 3"))
    assert answer_and_hits() == "15 0"


def test_cache_folder_falls_back_when_the_first_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    program = "from trader import jit; print(jit.CACHE_FOLDER)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(blocked), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path / "trader-cache-"))
