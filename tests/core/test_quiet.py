"""A stretch in which nothing happens leaves what slice after slice leaves, bit for bit; with a
trace in place of rows, too.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import MINUTE, START, always_open, make_rules
from tests.tiers import cases
from trader.books import new_book, new_out, snapshot
from trader.core.apply import on_slice
from trader.core.book import CASHFLOWS, DECISIONS, EQUITIES, FILLS, Inputs
from trader.core.schema import (
    BAR,
    CASHFLOW,
    DECISION,
    EQUITY,
    EVENT,
    FILL,
    ORDER,
    THROTTLE,
    OnBreach,
    Reason,
)
from trader.core.tradingstate import is_bankrupt
from trader.engine.compiled_loop import run_slices, submit_intents
from trader.engine.digest import RunDigest
from trader.engine.quiet import end_of_session, run_length, take_quiet
from trader.engine.trial import NO_TRACE, REQUESTED, TRACED, VALUED, new_trace, seen_of
from trader.extremes import extremes

KINDS = (DECISION, EQUITY, FILL, THROTTLE, EVENT, ORDER, CASHFLOW)


def market(seed: int, count: int, step: float) -> Inputs:
    """A walk with gaps, some quotes, and actions that last for a while."""
    rng = np.random.default_rng(seed)
    bars = np.zeros(count, BAR)
    gaps = rng.choice([1, 1, 1, 1, 1, 700], count)
    bars["ts_ns"] = START + np.cumsum(gaps) * MINUTE
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, step, count)))
    bars["close"], bars["open"] = close, close * (1.0 + rng.normal(0.0, step, count))
    bars["high"] = np.maximum(close, bars["open"]) * (1.0 + step)
    bars["low"] = np.minimum(close, bars["open"]) * (1.0 - step)
    bars["volume"] = rng.integers(0, 500, count)
    is_quoted = rng.random(count) < 0.3
    bars["bid"] = np.where(is_quoted, close * 0.999, np.nan)
    bars["ask"] = np.where(is_quoted, close * 1.001, np.nan)
    lengths = rng.integers(1, 60, count)
    actions = np.repeat(rng.integers(0, 4, count), lengths)[:count].astype(np.int8)
    reasons = np.where((actions == 0) & (rng.random(count) < 0.2), int(Reason.WARMUP), 0)
    return Inputs(bars, actions, reasons.astype(np.int16))


def by_stretches(rules, inputs, slices):
    """Rows and state of the batch loop, its buffers `slices` long."""
    book, rows, start = new_book(rules), [], 0
    out = new_out(1, slices)
    while start < len(inputs.bars):
        out.counts[:] = 0
        after = run_slices(book, rules, inputs, start, out, NO_TRACE)
        assert after > start
        start = after
        rows.append(taken(out))
    return book, joined(rows)


def by_slices(rules, inputs):
    """The same, every bar asked."""
    book, rows = new_book(rules), []
    out = new_out(1, 1)
    for index in range(len(inputs.bars)):
        out.counts[:] = 0
        on_slice(book, rules, inputs, index, index + 1, out)
        submit_intents(book, 0)
        rows.append(taken(out))
        if is_bankrupt(book.account[0]):
            break
    return book, joined(rows)


def by_trace(rules, inputs, requests):
    """What a trial leaves, its requests taken away `requests` at a time."""
    book, out = new_book(rules), new_out(1, 40)
    trace = new_trace(len(inputs.bars), requests)
    closes, spreads = seen_of(inputs.bars)
    trace = trace._replace(closes=closes, spreads=spreads)
    asked, fills, flows, start = [], [], [], 0
    while start < len(inputs.bars):
        after = run_slices(book, rules, inputs, start, out, trace)
        assert after > start
        start = after
        asked.append(trace.requests[: trace.counts[REQUESTED]].copy())
        fills.append(out.fills[: out.counts[FILLS]].copy())
        flows.append(out.cashflows[: out.counts[CASHFLOWS]].copy())
        out.counts[:] = 0
        trace.counts[REQUESTED] = 0
    outcomes = trace.outcomes[: trace.counts[TRACED]]
    equity = trace.equity[: trace.counts[VALUED]]
    digest = RunDigest(is_threaded=False)
    digest.add_requests(np.concatenate(asked))
    digest.add_trace(outcomes, np.concatenate(fills), equity)
    return book, digest.hexdigest(), np.concatenate(flows).tobytes(), equity


def taken(out):
    return [array[:count].tobytes() for array, count in zip(out[:-1], out.counts, strict=True)]


def joined(rows):
    return [b"".join(parts) for parts in zip(*rows, strict=True)]


@settings(max_examples=cases(25))
@given(
    seed=st.integers(0, 10**6),
    step=st.sampled_from([0.0005, 0.005, 0.03]),
    rules=st.fixed_dictionaries(
        {},
        optional={
            "max_daily_loss": st.sampled_from([20.0, 200.0]),
            "max_drawdown_frac": st.sampled_from([0.002, 0.02]),
            "on_daily_loss": st.sampled_from([int(kind) for kind in OnBreach]),
            "on_drawdown": st.sampled_from([int(kind) for kind in OnBreach]),
            "allow_short": st.sampled_from([0, 1]),
            "base_size": st.sampled_from([10.0, 0.5, 900.0]),
            "future": st.sampled_from([0, 1]),
            "mode": st.sampled_from([0, 1, 2, 3]),
            "percent": st.just(0.5),
            "target_volatility": st.just(0.01),
            "max_position_size": st.sampled_from([5.0, 50.0]),
            "max_executions_without_review": st.sampled_from([3.0, 20.0]),
            "max_fill_participation": st.sampled_from([0.01, 0.2]),
            "max_volume_participation": st.sampled_from([0.05]),
            "kill_volatility": st.sampled_from([0.002, 0.01, 0.5]),
            "time_in_force": st.sampled_from([0, 1, 2]),
            "commission_value": st.just(2.0),
            "cash": st.sampled_from([1_000.0, 100_000.0]),
            "borrow_rate": st.just(0.4),
            "interest_rate": st.just(0.3),
            "initial_margin": st.sampled_from([0.3, 0.5]),
            "maintenance_margin": st.sampled_from([0.2, 0.3]),
            "volatility_window": st.sampled_from([2, 20]),
        },
    ),
    slices=st.sampled_from([1, 7, 64, 1000]),
)
def test_stretches_leave_what_slices_leave(seed, step, rules, slices):
    inputs = market(seed, 300, step)
    sessions = always_open(int(inputs.bars["ts_ns"][0]), int(inputs.bars["ts_ns"][-1]))
    made = make_rules(sessions, **rules)
    fast, fast_rows = by_stretches(made, inputs, slices)
    slow, slow_rows = by_slices(made, inputs)
    assert fast_rows == slow_rows
    assert snapshot(fast) == snapshot(slow)
    lean, digest, flows, equity = by_trace(made, inputs, min(slices, 50))
    rows = [np.frombuffer(rows, kind) for rows, kind in zip(slow_rows, KINDS, strict=True)]
    plain = RunDigest(is_threaded=False)
    plain.add(rows[DECISIONS], rows[FILLS], rows[EQUITIES])
    assert snapshot(lean) == snapshot(slow)
    assert (digest, flows) == (plain.hexdigest(), slow_rows[CASHFLOWS])
    assert equity.tobytes() == rows[EQUITIES]["equity"].tobytes()


@pytest.mark.parametrize("held", [0.0, 10.0])
def test_a_stretch_takes_all_that_is_quiet_and_stops_before_what_is_not(held):
    inputs = market(1, 200, 0.001)
    inputs.actions[:] = 0
    inputs.actions[100:] = 1
    inputs.bars["ts_ns"] = START + np.arange(1, 201) * MINUTE
    sessions = always_open(START, START + 200 * MINUTE)
    rules = make_rules(sessions)
    book, out = new_book(rules), new_out(1, 300)
    on_slice(book, rules, inputs, 0, 1, out)
    book.positions[0]["qty"] = held
    after = taken_quietly(book, rules, inputs, out)
    assert after == 100
    assert out.counts[0] == out.counts[1] == 100
    if held:
        assert taken_quietly(book, rules, inputs, out, 100) == 200
        worth = held * inputs.bars["close"][199]
        assert math.isclose(book.account[0]["gross_exposure"], worth)


def taken_quietly(book, rules, inputs, out, start=1):
    """`take_quiet` alone; compiled code calls it inside of `run_slices`."""
    span = start, end_of_session(book, rules, inputs.bars, start)
    return take_quiet(book, rules, inputs, span, out, NO_TRACE)


@settings(max_examples=cases(60))
@given(
    minutes=st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True).map(sorted),
    hours=st.tuples(st.integers(0, 200), st.integers(201, 400)),
    number=st.integers(0, 39),
)
def test_the_end_of_the_session_is_the_first_bar_that_closes_after_it(minutes, hours, number):
    start = number % len(minutes)
    bars = np.zeros(len(minutes), BAR)
    bars["ts_ns"] = START + np.array(minutes) * MINUTE
    sessions = always_open(START, START)[:1].copy()
    sessions["open_ns"], sessions["close_ns"] = (START + minute * MINUTE for minute in hours)
    rules = make_rules(sessions)
    book = new_book(rules)
    book.account["session"] = sessions[0]["session"]
    is_inside = (bars["ts_ns"] >= sessions["open_ns"] + MINUTE) & (
        bars["ts_ns"] <= sessions["close_ns"]
    )
    outside = [index for index in range(start, len(bars)) if not is_inside[index]]
    assert end_of_session(book, rules, bars, start) == (outside or [len(bars)])[0]
    book.account["session"] += 1
    assert end_of_session(book, rules, bars, start) == start


@given(st.lists(st.floats(-1e9, 1e9) | st.just(math.nan), min_size=1, max_size=20))
def test_extremes_are_those_of_all_values_and_a_nan_is_told(values):
    low, high, is_known = extremes(np.array(values))
    assert is_known == (not any(map(math.isnan, values)))
    if is_known:
        assert (low, high) == (min(values), max(values))


@given(st.lists(st.integers(0, 2), max_size=80), st.integers(0, 2))
def test_a_run_of_an_action_ends_before_the_first_other(actions, action):
    others = [place for place, other in enumerate(actions) if other != action]
    assert run_length(np.array(actions, np.int8), action) == (others or [len(actions)])[0]
