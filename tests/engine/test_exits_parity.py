"""Order types and exits through every path: batch, slice by slice with a journal, replay, audit.

Law: every way of sending an entry and every exit is in one of the cases, and something of it fills.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core_kit import random_bars
from tests.engine.test_replay import spoiled
from tests.journal_kit import slices
from tests.replay_kit import RecordedRun
from trader.core.book import NO_REQUESTS, Inputs
from trader.core.schema import FILL, FillFlag, OrderKind, TradingAction
from trader.engine.batch import RowKeeper, RunRecord, run_history
from trader.engine.replay import replay
from trader.journal.audit.verify import verify_here
from trader.journal.store import read_records
from trader.models.prediction import no_requests

LEVELS = (
    "exits.stop_loss={type: percent, value: 0.15}",
    "exits.take_profit={type: percent, value: 0.2}",
)
CASES: dict[str, tuple[tuple[str, ...], set[OrderKind]]] = {
    "bracket": (LEVELS, {OrderKind.STOP_LOSS, OrderKind.TAKE_PROFIT}),
    "trailing": (
        (
            "exits.trailing_stop={type: percent, value: 0.15, activate_at: 0.05}",
            "exits.cooldown_bars=2",
            "position_sizing.mode=increment",
            "position_sizing.base_size=30",
        ),
        {OrderKind.TRAILING_STOP, OrderKind.SIGNAL},
    ),
    "atr": (
        (
            "exits.stop_loss={type: atr, value: 1.5, period: 5}",
            "exits.take_profit={type: price, value: 0.3}",
            "exits.max_holding_bars=6",
            "broker.intrabar=ohlc",
            "broker.limit_fill=touch",
        ),
        {OrderKind.STOP_LOSS, OrderKind.TAKE_PROFIT, OrderKind.MAX_HOLDING},
    ),
    "limit": (
        ("orders.entry={type: limit, offset_bps: 3, expire_after_bars: 3}", *LEVELS),
        {OrderKind.ENTRY, OrderKind.SIGNAL},
    ),
    "stop-limit": (
        ("orders.entry={type: stop_limit, offset_bps: 1, limit_offset_bps: 4}", *LEVELS),
        {OrderKind.ENTRY},
    ),
    "partial": (
        (
            "broker.max_fill_participation=0.02",
            "position_sizing.mode=increment",
            "position_sizing.base_size=40",
            "risk.max_order_size=45",
            *LEVELS,
        ),
        {OrderKind.STOP_LOSS},
    ),
}


def wide_bars(seed: int) -> np.ndarray:
    """Random bars with ranges that levels lie in."""
    bars = random_bars(seed, 160, 2)
    chance = np.random.default_rng(seed + 1)
    bars["high"] = np.round(bars["high"] + chance.uniform(0.0, 0.3, len(bars)), 2)
    bars["low"] = np.round(bars["low"] - chance.uniform(0.0, 0.3, len(bars)), 2)
    return bars


def as_batch(run: RecordedRun, inputs: Inputs) -> RunRecord:
    return run_history(run.rules, inputs, RowKeeper(len(inputs.bars)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.long
def test_every_path_gives_the_fills_and_the_digest_of_the_batch(tmp_path: Path, name: str) -> None:
    overrides, kinds = CASES[name]
    bars = wide_bars(7)
    run = RecordedRun(tmp_path / name, *overrides, bars=bars)
    said = []
    for part in slices(bars):
        said.append(run.answers(part))
        run.feed(part, *said[-1])
    run.snapshot()
    run.end()
    actions = np.concatenate([one.actions for one in said])
    reasons = np.concatenate([one.reasons for one in said])
    batch = as_batch(run, Inputs(bars, actions, reasons))
    found = {OrderKind(int(kind)) for kind in batch.fills["kind"]}
    assert kinds <= found, found
    report = replay(run.path)
    assert report.ok, report.divergence
    assert report.digest == batch.digest
    assert report.fills == len(batch.fills)
    checked = verify_here(run.path)
    assert checked.ok, checked.problems


def test_what_comes_beside_an_action_goes_the_same_way(tmp_path: Path) -> None:
    """Prices and sizes of each row, as a signals file or a model of Python gives them."""
    bars = wide_bars(8)
    chance = np.random.default_rng(3)
    run = RecordedRun(tmp_path / "rows", bars=bars)
    actions = chance.choice([0, 1, 2, TradingAction.CLOSE], len(bars)).astype(np.int8)
    requests = no_requests(len(bars))
    sign = np.where(actions == TradingAction.BUY, 1.0, -1.0)
    requests["score"] = chance.random(len(bars))
    requests["size"] = np.where(chance.random(len(bars)) < 0.5, chance.integers(1, 40), np.nan)
    requests["stop_loss"] = np.round(bars["close"] - sign * 0.2, 2)
    requests["take_profit"] = np.round(bars["close"] + sign * 0.3, 2)
    limit = np.round(bars["close"] - sign * 0.05, 2)
    requests["limit_price"] = np.where(chance.random(len(bars)) < 0.3, limit, np.nan)
    reasons = np.zeros(len(bars), np.int16)
    start = 0
    for part in slices(bars):
        rows = slice(start, start + len(part))
        run.feed(part, actions[rows], reasons[rows], requests[rows])
        start = rows.stop
    run.end()
    batch = as_batch(run, Inputs(bars, actions, reasons, requests))
    assert {OrderKind.STOP_LOSS, OrderKind.TAKE_PROFIT} <= {*batch.fills["kind"].tolist()}
    plain = as_batch(run, Inputs(bars, actions, reasons, NO_REQUESTS))
    assert plain.digest != batch.digest
    report = replay(run.path)
    assert report.ok, report.divergence
    assert report.digest == batch.digest
    checked = verify_here(run.path)
    assert checked.ok, checked.problems


def test_an_exit_that_fills_more_than_is_held_is_found_by_the_audit(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path / "forged", *LEVELS, bars=wide_bars(7)).trade()
    run.end()

    def enlarge(data: dict[str, Any]) -> None:
        data["qty"] *= 3.0

    fills = [record for record in read_records(run.path) if record.type == "FILL"]
    kind = (FILL.names or ()).index("kind")
    which = [record.data["fill"][kind] for record in fills].index(OrderKind.STOP_LOSS)
    spoiled(run.path, "FILL", enlarge, which)
    checked = verify_here(run.path)
    assert not checked.ok
    assert "exit" in str(checked.problems), checked.problems


def test_ambiguous_fills_name_what_the_kindest_order_of_prices_gave(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path / "doubt", *LEVELS, bars=wide_bars(7))
    said = [run.answers(part) for part in slices(run.bars)]
    inputs = Inputs(
        run.bars,
        np.concatenate([one.actions for one in said]),
        np.concatenate([one.reasons for one in said]),
    )
    fills = as_batch(run, inputs).fills
    doubtful = fills[(fills["flags"] & FillFlag.AMBIGUOUS) != 0]
    assert len(doubtful)
    gain = (doubtful["price"] - doubtful["best_price"]) * doubtful["qty"]
    assert np.all(gain > 0.0), "worst is never better than best"
