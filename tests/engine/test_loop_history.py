"""History through the execution loop: the batch engine's digest, whatever the bars."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import always_open, make_inputs, make_rules, random_bars
from tests.tiers import cases
from trader.config.load import load_config
from trader.core.book import Inputs, Rules
from trader.core.schema import DECISION, Reason
from trader.engine.answers import Answer
from trader.engine.batch import RowKeeper, RunRecord, run_history
from trader.engine.loop import ExecutionLoop, run_history_with_loop
from trader.engine.slice_takers import PlainSlices, numbered
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import Slice, history_portions
from trader.wiring import Timing, prepare


class RecordedSlices:
    """Signals that were decided before."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs, self._row = inputs, 0

    async def answers(self, slices: list[Slice]) -> list[Answer]:
        found = []
        for one in slices:
            bars = one.bars
            rows = slice(self._row, self._row + len(bars))
            found.append(Answer(self._inputs.actions[rows], self._inputs.reasons[rows]))
            self._row += len(bars)
            await asyncio.sleep(0)
        return found


def through_loop(rules: Rules, inputs: Inputs, gate=None) -> tuple[RunRecord, np.ndarray]:
    kept: list[np.ndarray] = [np.empty(0, DECISION)]
    keeper = RowKeeper(len(inputs.bars), (lambda rows: kept.append(rows.copy()),))
    taker = PlainSlices(SliceEngine(rules, keeper), numbered(rules), gate)
    loop = ExecutionLoop(taker, RecordedSlices(inputs))
    asyncio.run(loop.run(history_portions(inputs.bars)))
    return taker.engine.record(), np.concatenate(kept)


def random_inputs(seed: int, count: int, symbols: int) -> tuple[Rules, Inputs]:
    bars = random_bars(seed, count, symbols)
    chance = np.random.default_rng(seed)
    rules = make_rules(
        always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])),
        symbols,
        max_position_size=float(chance.integers(5, 200)),
        max_daily_loss=float(chance.choice([20.0, 500.0, 1e9])),
        max_fill_participation=0.01,
        commission_value=1.0,
        mode=int(chance.integers(0, 2)),
    )
    return rules, make_inputs(bars, chance.integers(0, 3, len(bars)))


@settings(max_examples=cases(60), deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 400), st.integers(1, 4))
def test_any_history_has_the_same_digest_and_rows_in_loop_and_batch(seed, count, symbols):
    rules, inputs = random_inputs(seed, count, symbols)
    batch = run_history(rules, inputs, RowKeeper(len(inputs.bars)))
    loop, decisions = through_loop(rules, inputs)
    assert loop.digest == batch.digest
    assert loop.fills.tobytes() == batch.fills.tobytes()
    assert loop.equity.tobytes() == batch.equity.tobytes()
    assert loop.events.tobytes() == batch.events.tobytes()
    assert len(decisions) == len(inputs.bars)


def test_an_order_the_gate_refuses_becomes_a_denial_and_never_fills():
    rules, inputs = random_inputs(3, 200, 2)
    record, decisions = through_loop(rules, inputs, lambda order: Reason.KILLED)
    refused = decisions[decisions["reason"] == Reason.KILLED]
    assert len(refused) > 0
    assert not refused["approved_qty"].any()
    assert len(record.fills) == 0
    assert record.book.account[0]["cash"] == record.book.account[0]["start_equity"]


def test_bars_that_are_no_slice_are_refused_before_any_state_is_touched():
    rules, inputs = random_inputs(1, 20, 1)
    engine = SliceEngine(rules, RowKeeper(20))
    before = engine.book.account.tobytes()
    with pytest.raises(ValueError, match="no slice"):
        engine.take(Inputs(inputs.bars[:2], inputs.actions[:2], inputs.reasons[:2]))
    assert engine.book.account.tobytes() == before


def test_a_snapshot_taken_while_trading_is_of_one_moment():
    rules, inputs = random_inputs(5, 600, 3)
    rules.limits["max_daily_loss"] = np.inf

    async def run() -> list[float]:
        taker = PlainSlices(SliceEngine(rules, RowKeeper(len(inputs.bars))), numbered(rules))
        loop = ExecutionLoop(taker, RecordedSlices(inputs))
        trading = asyncio.create_task(loop.run(history_portions(inputs.bars)))
        errors = []
        while not trading.done():
            book = loop.snapshot().book
            held = float((book.positions["qty"] * book.positions["mark"]).sum())
            errors.append(abs(book.account[0]["cash"] + held - book.account[0]["equity"]))
            await asyncio.sleep(0)
        await trading
        return errors

    errors = asyncio.run(run())
    assert len(errors) > 10
    assert max(errors) < 1e-6


@pytest.mark.process
def test_a_config_through_features_model_and_loop_gives_the_batch_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    from trader.cli.app import run

    assert run(["init", "demo"]) == 0
    monkeypatch.chdir(tmp_path / "demo")
    configs = [Path("configs/demo.yaml")]  # of the trained one: test_golden
    prepared = prepare(load_config(configs), configs, Timing())
    rows = len(prepared.inputs.bars)
    batch = run_history(prepared.rules, prepared.inputs, RowKeeper(rows))
    done: list[int] = []
    loop = run_history_with_loop(
        prepared.rules,
        prepared.inputs._replace(actions=np.zeros(rows, np.int8)),  # not what it goes by
        prepared.features,
        prepared.model,
        RowKeeper(rows),
        done.append,
    )
    assert len(batch.fills) > 0
    assert loop.digest == batch.digest
    assert done[-1] == rows
