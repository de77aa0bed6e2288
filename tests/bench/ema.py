"""`make bench`: double-EMA crosses over a year of minutes beside a plain C loop (`cc -O2`).

The C loop does the same accounting and nothing else; ours has limits, throttles, digest and
statistics. 400 pairs of 40 averages stand for the grid of 10,000 of 200: each average is computed
once for every pair that has it, so that few pairs of many averages would measure those.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.bench.sweep import CASH, CONFIG, FEES, REAL  # noqa: E402

ROWS, ROUNDS, LIMIT = 525_600, 2, 3.0
FAST, SLOW = list(range(5, 65, 3)), list(range(70, 1_070, 50))


def frame() -> pd.DataFrame:
    """A year of minutes without a gap: real prices where they are at hand."""
    path = REAL / "BITFINEX_BTCUSD_1m.parquet"
    if path.exists():
        bars = pd.read_parquet(path).iloc[500_000 : 500_000 + ROWS].reset_index(drop=True)
    else:
        close = 250.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0.0, 1e-3, ROWS)))
        bars = pd.DataFrame({"open": np.append(close[0], close[:-1]), "close": close})
        bars["high"], bars["low"] = bars.max(axis=1), bars.min(axis=1)
        bars["volume"] = 10.0
    bars["timestamp"] = pd.date_range("2015-01-01", periods=ROWS, freq="min", tz="UTC")
    return bars


def plain(compiler: str, bars: pd.DataFrame) -> tuple[float, list[float]]:
    """Seconds of the C loop over all pairs, and the final equities."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "ema.so"
        source = str(Path(__file__).with_suffix(".c"))
        line = [compiler, "-O2", "-shared", "-fPIC", source, "-lm", "-o", str(library)]
        subprocess.run(line, check=True)
        run = ctypes.CDLL(str(library)).run
    opens, closes = (np.ascontiguousarray(bars[name], np.float64) for name in ("open", "close"))
    out = (ctypes.c_double * 4)()
    given = [array.ctypes.data_as(ctypes.c_void_p) for array in (opens, closes)]
    money = (ctypes.c_double(CASH), ctypes.c_double(FEES))
    finals = []
    began = time.process_time()
    for fast in FAST:
        for slow in SLOW:
            run(*given, ctypes.c_long(ROWS), fast, slow, *money, out)
            finals.append(out[0])
    return time.process_time() - began, finals


def main() -> None:
    import trader
    from trader.jobs.sweep import run as sweeps

    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("double-EMA grid beside C: no C compiler here")
        return
    bars, spent, theirs = frame(), [], []
    run_all = sweeps._run_all

    def timed(*given: object) -> None:
        began = time.process_time()  # of this process, which runs all trials
        run_all(*given)
        spent.append(time.process_time() - began)

    sweeps._run_all = timed  # the trials alone, as of the C loop
    names = {"fast": {"type": "ema", "period": 5}, "slow": {"type": "ema", "period": 60}}
    config = {**CONFIG, "features": names}
    varied = {"features.fast.period": FAST, "features.slow.period": SLOW}
    for _ in range(ROUNDS):
        table = trader.sweep(config, varied, bars=bars, jobs=1)
        seconds, finals = plain(compiler, bars)
        theirs.append(seconds)
    pairs = len(FAST) * len(SLOW)
    ours, c = (min(found) / pairs / ROWS * 1e9 for found in (spent, theirs))
    off = np.abs(np.array(finals) - table["final_equity"].to_numpy()).max()
    mark = "ok" if ours / c <= LIMIT else "MISSED"
    print(f"double-EMA cross, {ROWS:,} bars, processor time a bar and pair")
    print(f"  trader sweep, 1 worker {ours:7.1f} ns     plain C -O2 {c:7.1f} ns")
    print(f"  trader / C {ours / c:19.1f} x      at most {LIMIT} x   {mark}")
    print(f"  final equity, largest difference {off:.2e}")


if __name__ == "__main__":
    main()
