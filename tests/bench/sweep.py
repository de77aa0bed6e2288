"""`make bench`: a sweep of 200 SMA pairs beside RaptorBT and vectorbt, on the same arrays.

    ours        trader.sweep: features, rule, core with its limits, digest, statistics of each
    RaptorBT    batch_single_backtest (Rust), signals given, no limits
    vectorbt    from_signals, signals given, 50 columns at once; final value, Sharpe, drawdown

Law: ns are wall time a bar and combination; what the others are given ready (their signals) is not
counted for them, and is for us. Each is a process of its own; best of several, in turns. RaptorBT
and vectorbt are not among our dependencies: where one is not installed, its line says so.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
REAL = Path(os.environ.get("TRADER_REAL_DATA", ROOT.parent / "shared" / "data"))
FAST, SLOW = range(5, 25, 2), range(30, 130, 5)
ROWS, FEES, CASH = 100_000, 1e-4, 100_000.0
COLUMNS = 50  # of vectorbt at once: 200 need gigabytes
PAIRS = [(fast, slow) for fast in FAST for slow in SLOW]
VARIED = {"features.fast.period": FAST, "features.slow.period": SLOW}


def frame() -> pd.DataFrame:
    """Real minutes where they are at hand, a seeded walk otherwise."""
    path = REAL / "BITFINEX_BTCUSD_1m.parquet"
    if path.exists():
        return pd.read_parquet(path).iloc[600_000 : 600_000 + ROWS].reset_index(drop=True)
    rng = np.random.default_rng(1)
    close = 250.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-3, ROWS)))
    first = np.append(close[0], close[:-1])
    stamps = pd.date_range("2015-07-01", periods=ROWS, freq="min", tz="UTC")
    columns = {"open": first, "high": np.maximum(first, close), "low": np.minimum(first, close)}
    return pd.DataFrame({"timestamp": stamps, **columns, "close": close, "volume": 10.0})


CONFIG = {
    "name": "bench",
    "instruments": [{"symbol": "BTC", "lot_size": 0.001}],
    "bar_period_seconds": 60,
    "features": {"fast": {"type": "sma", "period": 10}, "slow": {"type": "sma", "period": 50}},
    "model": {"type": "rule", "buy": "fast > slow", "sell": "fast <= slow"},
    "position_sizing": {"mode": "target", "base_size": 1.0},
    "risk": {
        "max_position_size": 10,
        "max_order_size": 5,
        "max_daily_loss": 50_000,
        "max_position_concentration": 0.9,
        "max_drawdown_frac": 0.9,
        "market_hours": "24x7",
    },
    "throttle": {
        "max_volume_participation": None,
        "max_spread_bps": None,
        "max_volatility": None,
        "max_order_size": 5,
    },
    "broker": {"cash": CASH, "commission": {"type": "bps", "value": FEES * 1e4}},
}


def signals(bars: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """(entries, exits) of each pair, at the bar they are decided on."""
    import talib

    close = bars["close"].to_numpy(float)
    made = {period: talib.SMA(close, period) for period in {*FAST, *SLOW}}
    found = []
    for fast, slow in PAIRS:
        is_warm = ~np.isnan(made[slow]) & ~np.isnan(made[fast])
        above = is_warm & (made[fast] > made[slow])
        below = is_warm & ~above
        entries = above & ~np.append(False, above[:-1])
        found.append((entries, below & np.append(False, above[:-1])))
    return found


def ours(jobs: int, times: int) -> dict:
    import trader

    bars = frame()
    best, table = np.inf, None
    for _ in range(times):
        table = trader.sweep(CONFIG, VARIED, bars=bars, jobs=jobs)
        best = min(best, table.attrs["sweep"]["timing"]["trials_s"])
    return {"seconds": best, "combinations": len(PAIRS), "final": list(table["final_equity"])}


def raptorbt(times: int) -> dict:
    import raptorbt

    bars = frame()
    arrays = [bars[name].to_numpy(float) for name in ("open", "high", "low", "close", "volume")]
    stamps = bars["timestamp"].astype("int64").to_numpy()
    config = raptorbt.BacktestConfig(initial_capital=CASH, fees=FEES)
    items = [
        raptorbt.BatchSingleItem(str(number), entries, exits)
        for number, (entries, exits) in enumerate(signals(bars))
    ]
    best = np.inf
    for _ in range(times):
        began = time.perf_counter()
        found = raptorbt.batch_single_backtest(stamps, *arrays, items, config)
        best = min(best, time.perf_counter() - began)
    assert len(found) == len(items)
    return {"seconds": best, "combinations": len(items)}


def vectorbt(times: int) -> dict:
    import vectorbt as vbt

    bars = frame()
    made = signals(bars)[:COLUMNS]
    entries, exits = (
        np.array([one[place] for one in made]).T for place in (0, 1)
    )  # decided on a close, filled at the next open, as ours
    later = np.zeros((1, entries.shape[1]), bool)
    entries, exits = (np.vstack([later, side[:-1]]) for side in (entries, exits))
    index = pd.DatetimeIndex(bars["timestamp"])
    close = bars["close"].set_axis(index)
    price = np.repeat(bars["open"].to_numpy(float)[:, None], entries.shape[1], axis=1)
    best = np.inf
    for _ in range(times + 1):  # the first compiles
        began = time.perf_counter()
        portfolio = vbt.Portfolio.from_signals(
            close, entries, exits, price=price, size=1.0, fees=FEES, init_cash=CASH, freq="1min"
        )
        final = portfolio.final_value()
        portfolio.sharpe_ratio()
        portfolio.max_drawdown()
        best = min(best, time.perf_counter() - began)
    return {"seconds": best, "combinations": entries.shape[1], "final": final.tolist()}


def apart(*words: str, **environment: str) -> dict:
    """What a process of its own measures, and its peak memory."""
    line = [sys.executable, __file__, *words]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        return {"missing": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def line(name: str, found: dict, target: str = "") -> float:
    """Print one measurement; ns a bar and combination."""
    if "missing" in found:
        print(f"{name:<40} not measured: {found['missing']}", flush=True)
        return float("nan")
    each = found["seconds"] / found["combinations"] / ROWS * 1e9
    shown = f"{each:7.1f} ns   {found['peak_mib']:6.0f} MiB peak"
    print(f"{name:<40} {shown}   {target}", flush=True)
    return each


CONTENDERS = (
    ("trader sweep, 1 worker", ("ours",), {}),
    ("trader sweep, 2 workers", ("ours", "--jobs", "2"), {}),
    ("RaptorBT, 1 thread", ("raptorbt",), {"RAYON_NUM_THREADS": "1"}),
    ("RaptorBT, 2 threads", ("raptorbt",), {"RAYON_NUM_THREADS": "2"}),
    (f"vectorbt, {COLUMNS} columns", ("vectorbt",), {}),
)


def interleaved(rounds: int) -> dict[str, dict]:
    """The best of each, measured in turns: whatever else the machine does meets all of them."""
    found: dict[str, dict] = {}
    for _ in range(rounds):
        for name, words, environment in CONTENDERS:
            if "missing" in found.get(name, {}):
                continue
            once = apart("--part", *words, "--times", "2", **environment)
            if name not in found or "missing" in once or once["seconds"] < found[name]["seconds"]:
                found[name] = once
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--part")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    if asked.part:
        parts = {
            "ours": lambda: ours(asked.jobs, asked.times),
            "raptorbt": lambda: raptorbt(asked.times),
            "vectorbt": lambda: vectorbt(asked.times),
        }
        found = parts[asked.part]()
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return
    print(f"sweep of {len(PAIRS)} SMA pairs over {ROWS:,} bars, wall ns a bar and combination")
    if os.getloadavg()[0] > 1.0:
        print("the machine is busy with something else: what takes two cores cannot be judged")
    found = interleaved(asked.times)
    one, two, raptor_1, raptor_2, vector = (line(name, found[name]) for name, _, _ in CONTENDERS)
    mine, other = found[CONTENDERS[0][0]], found[CONTENDERS[-1][0]]
    for name, ratio, target in (
        ("RaptorBT / trader, 1 worker", raptor_1 / one, 3.0),
        ("RaptorBT / trader, 2 workers", raptor_2 / two, 3.0),
        ("vectorbt / trader, 1 worker", vector / one, 10.0),
        ("2 workers against 1", one / two, 1.8),
    ):
        mark = "ok" if ratio >= target else "MISSED"
        print(f"{name:<40} {ratio:7.2f} x    at least {target}   {mark}")
    if "final" in other and "final" in mine:
        off = np.abs(np.array(other["final"]) - np.array(mine["final"][: len(other["final"])]))
        print(
            f"{'final equity, largest difference':<40} {off.max():.2e}   at most 1e-06 of vectorbt"
        )


if __name__ == "__main__":
    main()
