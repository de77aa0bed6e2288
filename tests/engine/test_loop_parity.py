"""Batch engine, journaled loop and journal replay: one digest, on real bars and on made-up ones.

The loop is the one of `trader paper`: streaming features, a model asked slice by slice, every step
in a journal on disk, intents past a gate. Replay reads nothing but that journal.
"""

import asyncio
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import always_open, make_rules, random_bars
from tests.engine.test_run_engines import FEATURES, REAL, ROOT, real_overrides
from tests.paper_desk import Desk, new_journal
from tests.tiers import cases
from trader.config.load import load_config
from trader.core.book import Inputs, Rules
from trader.engine.answers import LiveSignals
from trader.engine.batch import RowKeeper, run_history
from trader.engine.journaled import JournaledSlices
from trader.engine.loop import ExecutionLoop
from trader.engine.replay import replay
from trader.engine.ruleset import build_rules
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import history_portions
from trader.features.feature_set import FeatureSet
from trader.journal.audit.verify import verify_here
from trader.models.model import Model, load_model, predict_actions
from trader.models.thread_model import ThreadModel
from trader.wiring import Timing, build_features, prepare

MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None  # a disk would flush
REAL_BARS = 1_200


def three_digests(
    rules: Rules, bars: np.ndarray, features: FeatureSet, model: Model
) -> tuple[str, str, str]:
    """Of the batch engine, of the loop with a journal, and of that journal's replay."""
    actions, reasons, _ = predict_actions(model, bars, features.batch(bars))
    batch = run_history(rules, Inputs(bars, actions, reasons), RowKeeper(len(bars)))
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    try:
        path = folder / "journal.sqlite"
        loop = asyncio.run(_journaled(rules, bars, (features, model), path))
        assert verify_here(path).ok
        report = replay(path)
        assert report.divergence is None
        return batch.digest, loop, report.digest
    finally:
        shutil.rmtree(folder)


async def _journaled(
    rules: Rules, bars: np.ndarray, made_of: tuple[FeatureSet, Model], path: Path
) -> str:
    features, model = made_of
    symbols = tuple(f"S{number}" for number in range(len(rules.instruments)))
    journal = new_journal(path, rules, symbols)
    with ThreadPoolExecutor(2) as pool, ThreadPoolExecutor(1) as disk:
        taker = JournaledSlices(SliceEngine(rules, RowKeeper(0)), journal, Desk(symbols, disk))
        signals = LiveSignals(
            features.stream(), ThreadModel(model, 60.0, pool), pool, time.monotonic_ns
        )
        stopped = await ExecutionLoop(taker, signals).run(history_portions(bars))
        assert stopped.how == "end"
        digest = taker.engine.record().digest
    journal.close()
    return digest


@settings(max_examples=cases(200), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    symbols=st.integers(1, 4),
    short=st.booleans(),
    loss=st.sampled_from([5.0, 40.0, 1e9]),
    participation=st.sampled_from([0.001, 0.1, float("inf")]),
)
def test_one_digest_three_ways_on_made_up_markets(seed, symbols, short, loss, participation):
    config = load_config(ROOT / "configs" / "demo.yaml", [
        "model.buy=fast > slow and heat < 2", "model.sell=fast < slow or gap > 0.01",
        "features={sma_fast: {type: sma, period: 2}, sma_slow: {type: sma, period: 2}}",
    ], environ={}).config  # fmt: skip
    names = [f"S{number}" for number in range(symbols)]
    bars = random_bars(seed, 32, symbols)
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    features = FeatureSet(FEATURES, symbols, sessions, 60 * 10**9, symbols=names)
    model = load_model(config, features.names, names)
    rules = make_rules(
        sessions, symbols, allow_short=int(short), max_daily_loss=loss, max_spread_bps=15.0,
        max_volume_participation=0.2, commission_value=1.0, max_fill_participation=participation,
    )  # fmt: skip
    batch, loop, replayed = three_digests(rules, bars, features, model)
    assert batch == loop == replayed


@pytest.mark.parametrize(("name", "kind", "start", "end"), REAL)
@pytest.mark.long
def test_one_digest_three_ways_on_real_slices(real_data, name, kind, start, end):
    overrides = real_overrides(real_data, name, kind, (start, end))
    files = [ROOT / "configs" / "demo.yaml"]
    loaded = load_config(files, overrides, environ={})
    made = prepare(loaded, files, Timing())
    bars = made.inputs.bars[:REAL_BARS]
    bars = bars[bars["ts_ns"] < made.inputs.bars["ts_ns"][min(REAL_BARS, len(bars) - 1)]]
    features = build_features(loaded.config, made.history.sessions, ())
    rules = build_rules(loaded.config, made.history.sessions)
    batch, loop, replayed = three_digests(rules, bars, features, made.model)
    assert batch == loop == replayed
