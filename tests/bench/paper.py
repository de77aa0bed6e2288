"""How fast the execution loop is: history through it, and 500 symbols that close together.

    python tests/bench/paper.py [--slices 200] [--dir FOLDER]

    loop     `--engine loop`: real bars, rule model, thread isolation, no journal; target 5,000/s
    close    500 symbols close together, a scikit-learn model in its child process, the durable
             journal in FOLDER: from the bars to the last outcome on disk; target p99 ≤ 250 ms

Law: the real loop, streams, model process, gate and journal; only the feed is made up.
"""

import argparse
import asyncio
import functools
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.run import CONFIG, best_of, hardware, missed, prepared, say, write_bars
from tests.model_kit import make_bars
from trader.config.load import load_config
from trader.engine.answers import LiveSignals
from trader.engine.batch import RowKeeper
from trader.engine.loop import ExecutionLoop, run_history_with_loop
from trader.engine.ruleset import build_rules
from trader.engine.sliceengine import SliceEngine, warm_up
from trader.engine.slices import Portion, Slice
from trader.feeds.sessions import session_table
from trader.models.model import load_model
from trader.models.worker import ModelWorker
from trader.wiring import build_features

LOOP_ROWS = 100_000
SYMBOLS = 500
WARM_SLICES = 40


def bench_loop(folder: Path) -> None:
    """History through the loop, slice by slice."""
    config = folder / "loop.yaml"
    config.write_text(CONFIG.format(path=write_bars(folder, LOOP_ROWS)))
    _, run = prepared(config)
    rows = len(run.inputs.bars)
    digests = set()

    def once() -> None:
        keeper = RowKeeper(rows)
        record = run_history_with_loop(run.rules, run.inputs, run.features, run.model, keeper)
        digests.add(record.digest)

    once()
    rate = rows / best_of(3, once)
    assert len(digests) == 1, "one history, one digest"
    value = f"{rate:,.0f} slices/s, {digests.pop()[:12]}"
    say(f"--engine loop, {rows:,} real bars", value, "≥ 5,000 slices/s", rate >= 5_000)


def bench_close(folder: Path, slices: int) -> None:
    """Many symbols, one close: decided and on disk."""
    times = asyncio.run(_closes(folder, slices))
    p50, p99 = (float(np.percentile(times, rank)) * 1e3 for rank in (50, 99))
    value = f"p50 {p50:.0f}, p99 {p99:.0f}, max {max(times) * 1e3:.0f} ms"
    say(f"{SYMBOLS} symbols, journaled, {slices} closes", value, "p99 ≤ 250 ms", p99 <= 250)


async def _closes(folder: Path, slices: int) -> list[float]:
    from tests.paper_desk import Desk, new_journal  # the journal as `trader paper` makes it
    from trader.engine.journaled import JournaledSlices

    bars = make_bars(SYMBOLS * (slices + WARM_SLICES), SYMBOLS)
    path = folder / "close.yaml"
    names = ", ".join(f"S{number}" for number in range(SYMBOLS))
    text = CONFIG.format(path="none.parquet").replace("{symbol: BTCUSD, tick_size: 0.00001,", "")
    text = text.replace("[ lot_size: 1}]", f"[{names}]").replace("cash: 1000000", "cash: 1e9")
    text = text.replace("max_position_concentration: 0.9", "max_position_concentration: none")
    rule = "model: {type: rule, buy: sma_fast > sma_slow, sell: sma_fast <= sma_slow}"
    path.write_text(text.replace(rule, _model(folder)))
    config = load_config([path], environ={}).config
    hours = session_table("24x7", int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    rules = build_rules(config, hours)
    warm_up(rules)
    features = build_features(config, hours, ())
    load = functools.partial(load_model, config, features.names, config.symbols, ())
    times: list[float] = []

    async def portions() -> AsyncIterator[Portion]:
        for start in range(0, len(bars), SYMBOLS):
            began = time.perf_counter()
            yield Portion([Slice(bars[start : start + SYMBOLS])])
            if start >= WARM_SLICES * SYMBOLS:
                times.append(time.perf_counter() - began)

    journal = new_journal(folder / "journal.sqlite", rules, config.symbols)
    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(1) as disk:
        model = ModelWorker(load, 10.0, pool)
        await model.start()
        try:
            taker = JournaledSlices(
                SliceEngine(rules, RowKeeper(0)), journal, Desk(config.symbols, disk)
            )
            signals = LiveSignals(features.stream(), model, pool, time.monotonic_ns)
            await ExecutionLoop(taker, signals).run(portions())
        finally:
            model.close()
    assert taker.engine.book.account[0]["next_order_id"] > SYMBOLS, "orders were sent"
    return times


def _model(folder: Path) -> str:
    """A scaled logistic regression in a skops file, as a section of the config."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from trader.models.skops_file import dump_skops

    chance = np.random.default_rng(3)
    rows = chance.normal(100.0, 1.0, (4_000, 2))
    fitted = make_pipeline(StandardScaler(), LogisticRegression())
    fitted.fit(rows, np.where(rows[:, 0] > rows[:, 1], 1, 2))
    data = dump_skops(fitted)
    path = folder / "model.skops"
    path.write_bytes(data)
    sha = hashlib.sha256(data).hexdigest()
    return f"model: {{type: sklearn, path: {path}, sha256: {sha}}}"


def main() -> int:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--dir", type=Path, default=None, help="where the journal is written")
    arguments = parser.parse_args()
    print(hardware())
    folder = Path(tempfile.mkdtemp(prefix="trader-bench-", dir=arguments.dir))
    try:
        bench_loop(folder)
        bench_close(folder, arguments.slices)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
