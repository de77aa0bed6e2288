"""What must hold after anything: Hypothesis draws the market, the actions and the limits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import Run, always_open, make_inputs, make_rules, random_bars, run
from tests.tiers import cases
from trader.books import new_book, new_out, restore, snapshot
from trader.core import throttle
from trader.core.book import DECISIONS, Inputs
from trader.core.schema import OnBreach, SizingMode, TimeInForce, TradingState
from trader.engine.batch import RowKeeper, run_history
from trader.engine.compiled_loop import run_slices
from trader.engine.trial import NO_TRACE

COUNT = 80
NONE_OR = st.one_of(st.just(np.inf), st.floats(0.0, 1.0))


@st.composite
def limits(draw):
    """Random limits on the scale of the random bars (price 100, cash 100 000)."""
    return {
        "mode": draw(st.sampled_from([int(mode) for mode in SizingMode])),
        "base_size": draw(st.sampled_from([1.0, 30.0, 400.0])),
        "percent": draw(st.sampled_from([0.1, 0.9, 1.5])),
        "target_volatility": 0.001,
        "allow_short": draw(st.integers(0, 1)),
        "allow_margin": draw(st.integers(0, 1)),
        "max_position_size": draw(st.sampled_from([np.inf, 50.0, 500.0])),
        "max_order_size": draw(st.sampled_from([np.inf, 40.0, 300.0])),
        "max_daily_loss": draw(st.sampled_from([np.inf, 50.0, 500.0])),
        "max_drawdown_frac": draw(st.sampled_from([np.inf, 0.002, 0.02])),
        "max_position_concentration": draw(st.sampled_from([np.inf, 0.2, 0.8])),
        "max_gross_exposure": draw(st.sampled_from([np.inf, 0.5, 1.0])),
        "max_volume_participation": draw(st.sampled_from([np.inf, 0.01, 0.3])),
        "max_spread_bps": draw(st.sampled_from([np.inf, 10.0])),
        "max_volatility": draw(st.sampled_from([np.inf, 0.001])),
        "throttle_max_order_size": draw(st.sampled_from([np.inf, 35.0])),
        "price_collar": draw(st.sampled_from([np.inf, 0.003])),
        "max_orders_per_day": draw(st.sampled_from([np.inf, 5.0])),
        "max_executions_without_review": draw(st.sampled_from([np.inf, 9.0])),
        "on_daily_loss": draw(st.sampled_from([int(choice) for choice in OnBreach])),
        "on_drawdown": draw(st.sampled_from([int(choice) for choice in OnBreach])),
        "time_in_force": draw(st.sampled_from([int(choice) for choice in TimeInForce])),
        "max_fill_participation": draw(st.sampled_from([np.inf, 0.05])),
        "commission_value": draw(st.sampled_from([0.0, 2.0])),
        "slippage_value": draw(st.sampled_from([0.0, 3.0])),
    }


def market(seed: int, symbols: int) -> tuple[np.ndarray, np.ndarray]:
    bars = random_bars(seed, COUNT, symbols)
    return bars, np.random.default_rng(seed + 1).integers(0, 3, len(bars)).astype(np.int8)


@settings(max_examples=cases(150), deadline=None)
@given(seed=st.integers(0, 2**31), symbols=st.integers(1, 3), changes=limits())
def test_invariants_hold_after_anything(seed, symbols, changes):
    bars, actions = market(seed, symbols)
    result = run(bars, actions, symbols=symbols, **changes)
    check_money(result)
    check_states(result, bars)
    decisions = result.decisions
    assert len(decisions) == len(bars)
    assert np.all(np.abs(decisions["approved_qty"]) <= np.abs(decisions["requested_qty"]))
    assert np.all(decisions["approved_qty"] * decisions["requested_qty"] >= 0)
    assert np.all(np.abs(decisions["approved_qty"]) <= changes["max_order_size"])
    assert np.all(result.throttles["after"] < result.throttles["before"])
    assert not np.isnan(decisions["observed"]).any()


def check_money(result: Run) -> None:
    account, positions = result.account, result.positions
    value = float(np.sum(positions["qty"] * positions["mark"]))
    assert abs(account["cash"] + value - account["equity"]) < 1e-6
    fills = result.fills
    spent = float(np.sum(fills["qty"] * fills["price"]) + np.sum(fills["commission"]))
    assert abs(account["start_equity"] - spent - account["cash"]) < 1e-6
    assert np.all(fills["commission"] >= 0)
    assert np.all(fills["slippage"] >= 0)
    unrealized = positions["qty"] * (positions["mark"] - positions["avg_price"])
    profit = account["realized_pnl"] + float(np.sum(unrealized)) - account["commission"]
    assert abs(account["equity"] - account["start_equity"] - profit) < 1e-6
    assert len(np.unique(fills["fill_id"])) == len(fills)


def check_states(result: Run, bars: np.ndarray) -> None:
    """HALTED absorbs and fills nothing; REDUCING never grows or flips a position; limits hold."""
    states = dict(zip(result.equity["ts_ns"], result.equity["trading_state"], strict=True))
    halted = np.flatnonzero(result.equity["trading_state"] == TradingState.HALTED)
    if len(halted):
        assert np.all(result.equity["trading_state"][halted[0] :] == TradingState.HALTED)
        after = result.equity["ts_ns"][halted[0]]
        assert not np.any(result.fills["ts_ns"] >= after)
    held = np.zeros(len(result.positions))
    limit = float(result.rules.limits[0]["max_position_size"])
    period = int(result.rules.broker[0]["period_ns"])
    for fill in result.fills:
        before, symbol = held[fill["symbol"]], fill["symbol"]
        held[symbol] += fill["qty"]
        assert abs(held[symbol]) <= limit + 1e-9
        decided = result.equity["ts_ns"][
            np.searchsorted(result.equity["ts_ns"], fill["ts_ns"] + period) - 1
        ]
        if states[decided] == TradingState.REDUCING:
            assert abs(held[symbol]) < abs(before)
            assert held[symbol] * before >= 0


@settings(max_examples=cases(40), deadline=None)
@given(seed=st.integers(0, 2**31), cut=st.integers(1, COUNT), changes=limits())
def test_the_future_cannot_change_the_past(seed, cut, changes):
    bars, actions = market(seed, 2)
    end = int(np.searchsorted(bars["ts_ns"], bars["ts_ns"][cut], "right"))
    whole = run(bars, actions, symbols=2, **changes)
    short = run(bars[:end], actions[:end], symbols=2, **changes)
    assert whole.decisions[:end].tobytes() == short.decisions.tobytes()
    slices = len(short.equity)
    assert whole.equity[:slices].tobytes() == short.equity.tobytes()


@settings(max_examples=cases(40), deadline=None)
@given(seed=st.integers(0, 2**31), cut=st.integers(1, COUNT), changes=limits())
def test_a_restored_snapshot_goes_on_as_if_nothing_had_happened(seed, cut, changes):
    bars, actions = market(seed, 2)
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    rules, inputs = make_rules(sessions, 2, **changes), make_inputs(bars, actions)
    end = int(np.searchsorted(bars["ts_ns"], bars["ts_ns"][cut], "right"))
    book, out = new_book(rules), new_out(2, 10 * COUNT)
    first = Inputs(*(array[:end] for array in inputs))
    assert run_slices(book, rules, first, 0, out, NO_TRACE) == end
    again = new_book(rules)
    restore(again, snapshot(book))
    assert run_slices(again, rules, inputs, end, out, NO_TRACE) == len(bars)
    whole = Run(rules, inputs)
    assert snapshot(again) == snapshot(whole.record.book)
    assert out.decisions[: out.counts[DECISIONS]].tobytes() == whole.decisions.tobytes()


def test_digest_does_not_depend_on_the_chunks(monkeypatch):
    bars, actions = market(5, 3)
    rules = make_rules(always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])), 3)
    inputs = make_inputs(bars, actions)
    whole = run_history(rules, inputs, RowKeeper(len(bars)))
    monkeypatch.setattr("trader.engine.batch.ROWS_PER_CHUNK", 9)
    pieces = run_history(rules, inputs, RowKeeper(len(bars)))
    assert pieces.digest == whole.digest
    assert pieces.fills.tobytes() == whole.fills.tobytes()


def test_digest_changes_with_one_bit_of_one_action():
    bars, actions = market(6, 1)
    whole = run(bars, actions).record.digest
    actions[40] = 2 - actions[40] if actions[40] != 1 else 0
    assert run(bars, actions).record.digest != whole


@settings(max_examples=cases(300), deadline=None)
@given(
    size=st.integers(1, 1000),
    closing=st.integers(0, 1000),
    stage=st.integers(0, 3),
    driver=st.floats(allow_nan=True, allow_infinity=True),
    larger=st.floats(0, 1e6),
    limit=st.floats(1e-6, 1e6),
)
def test_throttle_never_enlarges_and_is_monotone(size, closing, stage, driver, larger, limit):
    closing = float(min(size, closing))
    after = throttle.stage_result(stage, float(size), closing, driver, (limit, 1.0))
    assert 0.0 <= after <= size
    if stage in (1, 2):
        assert after >= min(closing, size)
        if driver >= 0.0:
            worse = throttle.stage_result(
                stage, float(size), closing, driver + larger, (limit, 1.0)
            )
            assert worse <= after
    if stage == 0 and driver > 0.0:
        better = throttle.stage_result(stage, float(size), closing, driver + larger, (limit, 1.0))
        assert better >= after
    if stage == 3:
        again = throttle.stage_result(stage, after, closing, driver, (limit, 1.0))
        assert again == after
    if np.isnan(driver) and stage in (0, 1, 2):
        assert after == (closing if stage else 0.0)
