"""Splits, dividends and delistings in the core: every number counted by hand."""

import math

import numpy as np
import pytest

from tests.core_kit import MINUTE, START, Run, always_open, flat_bars, make_inputs, make_rules
from trader.core.schema import (
    ADJUSTMENT,
    AdjustmentKind,
    CashflowKind,
    ExitType,
    OrderKind,
    OrderType,
    Reason,
    SizingMode,
    TradingState,
)
from trader.report.roundtrips import round_trips, with_splits

SPLIT, DIVIDEND, DELIST = AdjustmentKind.SPLIT, AdjustmentKind.DIVIDEND, AdjustmentKind.DELIST


def played(prices, actions, *adjustments, bars=None, **changes):
    """A run with (bar number from 0, kind, value) adjustments, in force as that bar opens."""
    bars = flat_bars(prices) if bars is None else bars
    rules = make_rules(always_open(START, int(bars["ts_ns"][-1])), 1, **changes)
    rows = [(START + at * MINUTE, value, 0, kind) for at, kind, value in adjustments]
    return Run(rules._replace(adjustments=np.array(rows, ADJUSTMENT)), make_inputs(bars, actions))


def flows(run):
    return [
        (CashflowKind(int(row["kind"])).name, row["amount"], row["qty"])
        for row in run.record.cashflows
    ]


@pytest.mark.parametrize(("ratio", "qty"), [(2.0, 20.0), (10.0, 100.0), (0.1, 1.0)])
def test_a_split_changes_quantity_and_price_and_no_equity(ratio, qty):
    run = played([100, 100, 100 / ratio, 110 / ratio], "B...", (2, SPLIT, ratio))
    assert run.positions[0]["qty"] == qty
    assert run.positions[0]["avg_price"] == 100 / ratio
    assert run.equity["equity"].tolist() == pytest.approx([100_000.0] * 3 + [100_100.0])
    assert flows(run) == [("SPLIT", 0.0, qty - 10.0)]


@pytest.mark.parametrize("at", [1, 3], ids=["before the fill", "while it is held"])
def test_what_a_split_makes_of_a_position_is_no_breach_and_opens_nothing_more(at):
    prices = [100.0] * at + [25.0] * (7 - at)
    changes = {"max_position_size": 15.0, "allow_short": 0, "base_size": 10.0}
    run = played(prices, "B....S.", (at, SPLIT, 4.0), **changes)
    assert run.account["trading_state"] == TradingState.ACTIVE
    assert run.fills["qty"].tolist() == [10.0 * (4.0 if at == 1 else 1.0), -40.0]
    assert run.account["equity"] == 100_000.0
    more = played(prices, "B..B...", (at, SPLIT, 4.0), **(changes | {"mode": SizingMode.INCREMENT}))
    assert more.decisions["reason"][3] == Reason.POSITION_LIMIT
    assert (more.account["trading_state"], len(more.fills)) == (TradingState.ACTIVE, 1)


def test_an_odd_ratio_pays_the_part_of_a_lot_at_the_last_close():
    run = played([100, 100, 80, 80, 80], "B..C.", (2, SPLIT, 1.25))  # 10 → 12.5: 12 and 0.5 × 80
    assert flows(run) == [("SPLIT", 0.0, 2.0), ("CASH_IN_LIEU", 40.0, 0.0)]
    assert run.equity["equity"].tolist() == [100_000.0] * 5
    assert run.account["realized_pnl"] == 0.0
    splits = run.record.cashflows[run.record.cashflows["kind"] == CashflowKind.SPLIT]
    trips = round_trips(with_splits(run.fills, splits), np.ones(1))
    assert (len(trips.closed), trips.open_count) == (1, 0)
    assert trips.closed[0]["pnl"] == 0.0
    assert trips.closed[0]["entry_price"] == trips.closed[0]["exit_price"] == 80.0


def test_a_short_pays_for_its_part_of_a_lot_what_it_is_worth():
    run = played([100, 100, 110, 88, 88], "S..C.", (3, SPLIT, 1.25))
    assert flows(run) == [("SPLIT", 0.0, -2.0), ("CASH_IN_LIEU", -44.0, 0.0)]
    assert run.equity["equity"].tolist() == pytest.approx([100_000.0] * 2 + [99_900.0] * 3)
    assert run.account["realized_pnl"] == pytest.approx(-100.0)
    splits = run.record.cashflows[run.record.cashflows["kind"] == CashflowKind.SPLIT]
    trip = round_trips(with_splits(run.fills, splits), np.ones(1)).closed[0]
    assert trip["pnl"] == pytest.approx(-100.0)


def test_a_reverse_split_below_one_lot_leaves_nothing_but_money():
    run = played([100, 100, 2_000, 2_000], "B...", (2, SPLIT, 0.05))
    assert run.positions[0]["qty"] == 0.0
    assert flows(run) == [("SPLIT", 0.0, -10.0), ("CASH_IN_LIEU", 1_000.0, 0.0)]
    assert run.equity["equity"].tolist() == [100_000.0] * 4


def test_resting_exits_are_split_with_the_position():
    changes = {"stop_type": ExitType.PERCENT, "stop_value": 10.0}
    run = played([100, 100, 50, 46, 44], "B....", (2, SPLIT, 2.0), **changes)
    stop = run.orders[run.orders["type"] == OrderType.STOP][0]
    assert stop["stop_price"] == 45.0
    assert (run.fills[-1]["qty"], run.fills[-1]["price"]) == (-20.0, 44.0)
    assert run.fills[-1]["kind"] == OrderKind.STOP_LOSS
    assert run.positions[0]["qty"] == 0.0


def test_an_order_that_waits_over_a_split_fills_in_new_units():
    run = played([100, 100, 50, 50], ".B..", (2, SPLIT, 2.0), price_collar=0.2)
    assert (run.fills[0]["qty"], run.fills[0]["price"]) == (20.0, 50.0)
    assert run.equity["equity"].tolist() == [100_000.0] * 4


def test_limits_and_windows_see_no_jump():
    prices = [100, 101, 100, 101, 50, 50.5, 50, 50.5]
    changes = {"kill_volatility": 0.05, "price_collar": 0.2, "max_drawdown_frac": 0.01}
    run = played(prices, ".B......", (4, SPLIT, 2.0), **changes)
    assert not len(run.events)
    whole = played([100, 101, 100, 101, 100, 101, 100, 101], ".B......", **changes)
    np.testing.assert_array_equal(run.equity["equity"], whole.equity["equity"])


def test_a_long_position_receives_a_dividend_and_a_short_one_pays_it():
    run = played([100, 100, 98, 98], "B...", (2, DIVIDEND, 2.0))
    assert flows(run) == [("DIVIDEND", 20.0, 0.0)]
    assert run.equity["equity"].tolist() == [100_000.0] * 4
    assert run.record.cashflows[0]["ts_ns"] == START + 2 * MINUTE
    run = played([100, 100, 98, 98], "S...", (2, DIVIDEND, 2.0))
    assert flows(run) == [("DIVIDEND", -20.0, 0.0)]
    assert run.equity["equity"].tolist() == [100_000.0] * 4


def test_who_buys_on_the_ex_date_gets_none():
    assert flows(played([100, 98, 98], "B..", (1, DIVIDEND, 2.0))) == []


def test_adjustments_of_one_instant_are_taken_in_the_order_of_the_file():
    run = played([100, 100, 49, 49], "B...", (2, SPLIT, 2.0), (2, DIVIDEND, 1.0))
    assert flows(run) == [("SPLIT", 0.0, 10.0), ("DIVIDEND", 20.0, 0.0)]


@pytest.mark.parametrize(("value", "price"), [(math.nan, 90.0), (30.0, 30.0), (0.0, 0.0)])
def test_a_delisting_closes_at_its_price_or_the_last_and_nothing_opens_any_more(value, price):
    run = played([100, 100, 90, 90, 90], "B...B", (3, DELIST, value), commission_value=5.0)
    fill = run.fills[-1]
    assert (fill["qty"], fill["price"], fill["commission"]) == (-10.0, price, 0.0)
    assert fill["kind"] == OrderKind.DELISTED
    assert fill["realized_pnl"] == 10.0 * (price - 100.0)
    assert run.reasons()[-1] == "DELISTED"
    assert run.positions[0]["qty"] == 0.0
    assert run.equity["equity"][-1] == run.account["cash"]


def test_a_delisting_ends_what_works():
    run = played([100, 100, 100], "B..", (1, DELIST, math.nan))
    assert not len(run.fills)
    assert run.orders["filled_qty"].tolist() == [0.0]


def test_adjustments_before_the_first_bar_change_nothing():
    run = played([100, 100, 100], "B..", (0, SPLIT, 2.0))
    plain = played([100, 100, 100], "B..")
    assert run.record.digest == plain.record.digest
