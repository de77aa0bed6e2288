"""Drawdown, exposure, time in states and session ends, against hand counts and slow twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report_kit import DAY_NS, FIRST_DAY, MINUTE_NS, example_sessions
from trader.core.schema import EQUITY, SESSION, TradingState
from trader.report.curve import BLOCK, curve_facts, session_ends, session_equity

START_NS = FIRST_DAY * DAY_NS


def equity_rows(values, exposure=None, states=None, step_ns=MINUTE_NS):
    rows = np.zeros(len(values), EQUITY)
    rows["ts_ns"] = START_NS + step_ns * np.arange(1, len(values) + 1)
    rows["equity"] = values
    rows["gross_exposure"] = 0.0 if exposure is None else exposure
    rows["trading_state"] = 0 if states is None else states
    return rows


def naive_drawdown(values, start, ts_ns):
    """(deepest fraction, longest ns below a peak), slice by slice."""
    peak, peak_ns, below, worst, longest = start, int(ts_ns[0]), False, 0.0, 0
    for value, now in zip(values, ts_ns, strict=True):
        if value >= peak:
            if below:
                longest = max(longest, int(now) - peak_ns)
            peak, peak_ns, below = value, int(now), False
        else:
            below = True
            worst = max(worst, (peak - value) / peak)
    if below:
        longest = max(longest, int(ts_ns[-1]) - peak_ns)
    return worst, longest


def test_drawdown_of_a_curve_counted_by_hand():
    rows = equity_rows([100.0, 110.0, 99.0, 104.5, 110.0, 108.9])
    facts = curve_facts(rows, 100.0)
    assert facts.max_drawdown_frac == pytest.approx(0.1)
    assert facts.max_drawdown_ns == rows["ts_ns"][2]
    assert facts.longest_drawdown_ns == 3 * MINUTE_NS  # from 110 back to 110
    assert facts.final_equity == 108.9
    assert facts.mean_equity == pytest.approx(np.mean([100, 110, 99, 104.5, 110, 108.9]))


def test_loss_on_the_first_slice_is_measured_from_the_starting_equity():
    facts = curve_facts(equity_rows([95.0, 96.0]), 100.0)
    assert facts.max_drawdown_frac == pytest.approx(0.05)
    assert facts.longest_drawdown_ns == MINUTE_NS


def test_curve_that_only_rises_or_rests_has_no_drawdown():
    facts = curve_facts(equity_rows([100.0, 100.0, 100.0, 101.0, 101.0]), 100.0)
    assert facts.max_drawdown_frac == 0.0
    assert facts.longest_drawdown_ns == 0


def test_drawdown_that_never_recovers_lasts_to_the_end():
    facts = curve_facts(equity_rows([100.0, 120.0, 90.0, 91.0, 92.0]), 100.0)
    assert facts.longest_drawdown_ns == 3 * MINUTE_NS


def test_recovery_on_the_first_row_of_a_block_ends_the_drawdown():
    values = np.full(2 * BLOCK + 10, 100.0)
    values[BLOCK - 5 : BLOCK] = 90.0
    facts = curve_facts(equity_rows(values), 100.0)
    assert facts.longest_drawdown_ns == 6 * MINUTE_NS


@given(
    st.lists(st.sampled_from([90.0, 95.0, 100.0, 100.5, 101.0, 107.0]), min_size=1, max_size=40),
    st.integers(BLOCK - 20, BLOCK),
)
def test_drawdown_equals_the_slow_twin_across_block_edges(values, padding):
    rows = equity_rows(np.append(np.full(padding, 100.0), values))
    facts = curve_facts(rows, 100.0)
    worst, longest = naive_drawdown(rows["equity"].tolist(), 100.0, rows["ts_ns"])
    assert facts.max_drawdown_frac == pytest.approx(worst, abs=1e-15)
    assert facts.longest_drawdown_ns == longest


def test_exposure_counts_slices_that_close_with_a_position():
    facts = curve_facts(equity_rows([1.0] * 4, exposure=[0.0, 5.0, 5.0, 0.0]), 1.0)
    assert (facts.exposed_slices, facts.slices) == (2, 4)


@pytest.mark.parametrize("padding", [0, BLOCK - 2, BLOCK - 1, BLOCK])
def test_time_in_a_state_lasts_from_its_slice_to_the_next(padding):
    states = [TradingState.ACTIVE] * padding + [0, 1, 1, 0, 2, 2, 2]
    facts = curve_facts(equity_rows([1.0] * len(states), states=states), 1.0)
    active, reducing, halted = facts.state_ns
    assert reducing == 2 * MINUTE_NS
    assert halted == 2 * MINUTE_NS  # the last slice has no next one
    assert active + reducing + halted == facts.span_ns


def by_session(rows, sessions, period_ns):
    return session_equity(rows, session_ends(rows["ts_ns"], sessions, period_ns))


def test_session_equity_is_the_last_slice_of_each_session_lunch_break_or_not():
    rows = equity_rows([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    rows["ts_ns"] = START_NS + np.array(
        [
            MINUTE_NS,
            DAY_NS,
            DAY_NS + MINUTE_NS,
            DAY_NS + 30 * MINUTE_NS,
            2 * DAY_NS,
            2 * DAY_NS + MINUTE_NS,
        ]
    )  # the slice at DAY_NS closes with the first session
    assert by_session(rows, example_sessions(), MINUTE_NS).tolist() == [2.0, 5.0, 6.0]


def test_session_without_a_slice_repeats_the_equity_before_it():
    rows = equity_rows([1.0, 2.0])
    rows["ts_ns"] = START_NS + np.array([MINUTE_NS, 2 * DAY_NS + MINUTE_NS])
    assert by_session(rows, example_sessions(), MINUTE_NS).tolist() == [1.0, 1.0, 2.0]


def test_sessions_before_and_after_the_data_are_not_counted():
    rows = equity_rows([1.0, 2.0])
    rows["ts_ns"] = START_NS + DAY_NS + np.array([MINUTE_NS, 2 * MINUTE_NS])
    assert by_session(rows, example_sessions(), MINUTE_NS).tolist() == [2.0]


def test_slices_after_the_last_close_belong_to_the_last_session():
    sessions = np.array([(START_NS, START_NS + MINUTE_NS, FIRST_DAY)], SESSION)
    assert by_session(equity_rows([1.0, 2.0, 3.0]), sessions, MINUTE_NS).tolist() == [3.0]


def test_no_slices_give_no_session_equity():
    assert by_session(equity_rows([]), example_sessions(), MINUTE_NS).tolist() == []
