"""Margin, liquidation, fees, interest, funding: counted by hand, and against the Decimal twin."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.core_kit import (
    DAY,
    MINUTE,
    START,
    Run,
    always_open,
    flat_bars,
    make_inputs,
    make_rules,
    random_bars,
)
from tests.naive import Terms, number
from tests.naive_financing import Credit, run_credit
from tests.tiers import cases
from trader.core.schema import (
    ADJUSTMENT,
    AdjustmentKind,
    CashflowKind,
    ExitType,
    OrderKind,
    Reason,
    SizingMode,
    TradingState,
)

MARGIN = {"initial_margin": 0.5, "maintenance_margin": 0.25}


def played(bars, actions, adjustments=(), **changes):
    """A run over `bars`, or over flat minute bars at prices; (bar from 0, kind, value) rows."""
    bars = bars if isinstance(bars, np.ndarray) else flat_bars(bars)
    ends = int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])
    rules = make_rules(always_open(*ends), int(bars["symbol"].max()) + 1, **changes)
    rows = [(START + at * MINUTE, value, 0, kind) for at, kind, value in adjustments]
    rules = rules._replace(adjustments=np.array(rows, ADJUSTMENT))
    return Run(rules, make_inputs(bars, actions))


def flows(run):
    return [
        (CashflowKind(int(row["kind"])).name, int(row["symbol"]), float(row["amount"]))
        for row in run.record.cashflows
    ]


def sold(run):
    """(kind, symbol, qty, price) of each fill after the first."""
    names = [OrderKind(int(kind)).name for kind in run.fills["kind"]]
    rows = zip(names, run.fills["symbol"], run.fills["qty"], run.fills["price"], strict=True)
    return [(kind, int(symbol), float(qty), float(price)) for kind, symbol, qty, price in rows]


def test_below_the_maintenance_margin_the_position_is_closed_at_the_next_open():
    run = played([100, 100, 70, 60, 55, 50], "B.....", cash=1_000.0, base_size=20.0, **MARGIN)
    assert sold(run)[1:] == [("LIQUIDATION", 0, -20.0, 55.0)]  # 200 of 300 at 60
    assert run.reasons()[3] == "MARGIN_CALL"
    assert [(e["reason"], e["value"], e["limit"]) for e in run.events] == [
        (Reason.MARGIN_CALL, 200.0, 300.0)
    ]
    assert run.equity["equity"].tolist() == [1_000.0, 1_000.0, 400.0, 200.0, 100.0, 100.0]


def test_exactly_at_the_margin_nothing_is_closed():
    run = played([100, 100, 200 / 3], "B..", cash=1_000.0, base_size=20.0, **MARGIN)
    assert len(run.fills) == 1
    assert not len(run.events)


def test_the_largest_position_is_closed_first_and_no_more_than_is_needed():
    small, large = flat_bars([100, 100, 60, 60, 60]), flat_bars([100, 100, 60, 60, 60])
    large["symbol"] = 1
    bars = np.stack([small, large], axis=1).ravel()
    actions = np.array([1, 1, *[0] * 8], np.int8)
    requests = np.full(10, np.nan, [(name, "<f8") for name in REQUEST_FIELDS])
    requests["size"][:2] = 5.0, 15.0
    rules = make_rules(always_open(START, START), 2, cash=1_000.0, **MARGIN)
    inputs = make_inputs(bars, actions, requests)
    run = Run(rules, inputs)
    assert sold(run)[2:] == [("LIQUIDATION", 1, -15.0, 60.0)]
    assert run.positions["qty"].tolist() == [5.0, 0.0]


REQUEST_FIELDS = ("score", "limit_price", "stop_loss", "take_profit", "size")


def test_a_liquidation_asks_no_collar_no_throttle_and_no_order_size():
    limits = {"price_collar": 0.05, "throttle_max_order_size": 5.0, "max_order_size": 20.0}
    plain = {"cash": 1_000.0, "base_size": 5.0, "mode": SizingMode.INCREMENT, **MARGIN}
    run = played([100, 100, 100, 100, 100, 100, 60, 52], ".BBBB...", **plain, **limits)
    assert sold(run)[4:] == [("LIQUIDATION", 0, -20.0, 52.0)]


def test_who_is_liquidated_below_nothing_is_bankrupt():
    run = played([100, 100, 60, 40, 30], "B....", cash=1_000.0, base_size=20.0, **MARGIN)
    assert sold(run)[1:] == [("LIQUIDATION", 0, -20.0, 40.0)]
    assert run.equity["equity"].tolist() == [1_000.0, 1_000.0, 200.0, -200.0]
    assert run.account["state_reason"] == Reason.BANKRUPT


def test_what_opens_or_rests_at_a_price_ends_and_the_model_cannot_stop_it():
    changes = {"cash": 1_000.0, "base_size": 20.0, "max_fill_participation": 0.5, **MARGIN}
    bars = flat_bars([100, 100, 66, 66, 66, 66, 66], volume=40.0)
    bars["volume"][3:] = 16.0  # eight units a bar
    run = played(bars, "B.BBBBB", **changes)
    assert [row[:3] for row in sold(run)[1:4]] == [
        ("LIQUIDATION", 0, -8.0),
        ("LIQUIDATION", 0, -8.0),
        ("LIQUIDATION", 0, -4.0),
    ]


def test_a_stop_beside_a_liquidated_position_ends_with_it():
    changes = {"stop_type": ExitType.PERCENT, "stop_value": 60.0, "cash": 1_000.0}
    run = played([100, 100, 66, 66, 66], "B....", base_size=20.0, **changes, **MARGIN)
    assert [row[0] for row in sold(run)] == ["ENTRY", "LIQUIDATION"]
    assert run.orders["reason"].tolist()[1] == Reason.POSITION_CLOSED


def test_the_initial_margin_denies_what_it_does_not_carry():
    run = played([100, 100], "B.", cash=1_000.0, base_size=21.0, **MARGIN)
    assert run.reasons()[0] == "BUYING_POWER"
    assert (run.decisions[0]["observed"], run.decisions[0]["limit"]) == (1_050.0, 1_000.0)
    run = played([100, 100], "B.", cash=1_000.0, base_size=20.0, **MARGIN)
    assert run.fills["qty"].tolist() == [20.0]


def test_without_allow_margin_the_initial_margin_lends_nothing():
    run = played([100, 100], "B.", cash=1_000.0, base_size=11.0, allow_margin=0, **MARGIN)
    assert run.reasons()[0] == "BUYING_POWER"


def test_equity_below_zero_ends_the_run():
    run = played([100, 100, 40, 90, 95], "B....", cash=1_000.0, base_size=20.0)
    assert run.equity["equity"].tolist() == [1_000.0, 1_000.0, -200.0]
    assert run.account["trading_state"] == TradingState.HALTED
    assert run.account["state_reason"] == Reason.BANKRUPT


def test_bankrupt_takes_the_place_of_another_halt():
    changes = {"max_drawdown_frac": 0.1, "on_drawdown": 2}
    run = played([100, 100, 80, 40, 90], "B....", cash=1_000.0, base_size=20.0, **changes)
    assert len(run.equity) == 4
    assert run.account["state_reason"] == Reason.BANKRUPT
    assert run.account["state_since_ns"] == run.equity["ts_ns"][-1]


def days(prices):
    """Daily bars, each with the open of the one before it as its price."""
    bars = flat_bars(prices)
    bars["ts_ns"] = START + (1 + np.arange(len(prices))) * DAY
    return bars


def test_a_short_pays_its_fee_by_the_day_on_the_last_close():
    run = played(days([100, 100, 110, 110, 110]), "S...C", borrow_rate=0.365, period_ns=DAY)
    assert flows(run) == [
        ("BORROW_FEE", 0, pytest.approx(-1.0)),  # ten at 100, a thousandth a day
        ("BORROW_FEE", 0, pytest.approx(-1.1)),
        ("BORROW_FEE", 0, pytest.approx(-1.1)),
    ]
    assert run.account["cash"] == pytest.approx(101_000.0 - 3.2)
    assert run.equity["equity"][-1] == pytest.approx(99_900.0 - 3.2)


def test_borrowed_cash_pays_interest_and_what_is_left_pays_none():
    changes = {"interest_rate": 0.365, "period_ns": DAY, "cash": 1_000.0, "base_size": 20.0}
    run = played(days([100, 100, 100, 100, 100]), "B.C..", **changes)
    interest = -1.0, -1.001
    assert flows(run) == [("MARGIN_INTEREST", -1, pytest.approx(amount)) for amount in interest]
    assert run.account["cash"] == pytest.approx(1_000.0 + sum(interest))


@pytest.mark.parametrize("action", ["B", "S"])
def test_a_future_moves_no_cash_until_it_is_closed_and_costs_no_interest_and_no_fee(action):
    rates = {"interest_rate": 0.365, "borrow_rate": 0.365, "multiplier": 50.0, "future": 1}
    bars, changes = days([100, 100, 101, 101, 101]), {"period_ns": DAY, "cash": 9_000.0}
    run = played(bars, f"{action}.C..", base_size=2.0, **changes, **rates)
    profit = 100.0 if action == "B" else -100.0
    assert flows(run) == []
    assert run.equity["cash"].tolist() == [9_000.0] * 3 + [9_000.0 + profit] * 2
    assert run.equity["equity"].tolist() == [9_000.0] * 2 + [9_000.0 + profit] * 3


def test_fees_run_up_inside_a_session_and_are_paid_when_the_next_begins():
    bars = flat_bars([100.0] * 4)
    bars["ts_ns"] = START + np.array([6, 12, 24, 30]) * 60 * MINUTE
    run = played(bars, "S...", borrow_rate=0.365, period_ns=360 * MINUTE)
    assert flows(run) == [("BORROW_FEE", 0, pytest.approx(-0.75))]  # 12:00 to 30:00
    assert run.record.cashflows[0]["ts_ns"] == START + 30 * 60 * MINUTE


@pytest.mark.parametrize(("action", "sign"), [("B", -1.0), ("S", 1.0)])
def test_funding_is_paid_by_longs_on_the_last_close(action, sign):
    at = [(0, AdjustmentKind.FUNDING, 0.5), (3, AdjustmentKind.FUNDING, 0.001)]
    run = played([100, 100, 110, 120], f"{action}...", at)
    assert flows(run) == [("FUNDING", 0, pytest.approx(sign * 1.1))]
    assert run.record.cashflows[0]["ts_ns"] == START + 3 * MINUTE


@pytest.mark.parametrize(("action", "paid"), [("B", [20.0, -3.0]), ("S", [-20.0])])
def test_tax_is_withheld_of_dividends_received(action, paid):
    run = played(
        [100, 100, 98], f"{action}..", [(2, AdjustmentKind.DIVIDEND, 2.0)], dividend_tax=0.15
    )
    assert [amount for _, _, amount in flows(run)] == paid


def wild_bars(seed, count, symbols):
    """Six-hour bars that move by some per cent, some missing."""
    bars = random_bars(seed, count, symbols)
    bars["ts_ns"] = START + (bars["ts_ns"] - START) * 360
    for name in ("open", "close"):
        bars[name] = np.maximum(np.round(100.0 * (bars[name] / 100.0) ** 25, 2), 0.5)
    bars["high"] = np.maximum(bars["open"], bars["close"])
    bars["low"] = np.minimum(bars["open"], bars["close"])
    bars["bid"] = bars["ask"] = np.nan
    return bars


def timed_rows(seed, bars, symbols):
    """(when, symbol, kind, value) of funding and dividends between the bars."""
    chance = np.random.default_rng(seed)
    times = np.sort(chance.integers(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]), 12))
    rows = []
    for when in times.tolist():
        kind = chance.choice(["FUNDING", "DIVIDEND"])
        value = round(float(chance.normal(0, 0.01)), 4) if kind == "FUNDING" else 0.7
        rows.append((when, int(chance.integers(symbols)), str(kind), value))
    return rows


MARGIN_CALLS = 6  # a seed that has some


def same(found, wanted):
    return abs(Decimal(float(found)) - wanted) <= Decimal("1e-9") * max(abs(wanted), 1)


@settings(max_examples=cases(60), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    symbols=st.integers(1, 3),
    percent=st.sampled_from(["0.6", "1", "3"]),
    initial=st.sampled_from(["0.2", "0.5", "1"]),
    costs=st.sampled_from([("0", "0"), ("10", "5")]),
    rates=st.sampled_from([("0", "0"), ("0.3", "0"), ("0", "0.4"), ("1.5", "0.9")]),
    tax=st.sampled_from(["0", "0.25"]),
)
@example(
    seed=MARGIN_CALLS, symbols=2, percent="3", initial="0.2",
    costs=("10", "5"), rates=("1.5", "0.9"), tax="0.25",
)  # fmt: skip
def test_credit_equals_the_decimal_ledger(seed, symbols, percent, initial, costs, rates, tax):
    bars = wild_bars(seed, 40, symbols)
    actions = np.random.default_rng(seed + 1).choice([0, 0, 0, 1, 2], len(bars))
    rows = timed_rows(seed + 2, bars, symbols)
    maintenance = Decimal(initial) * Decimal("0.8")
    commission, slippage = map(Decimal, costs)
    terms = Terms(
        Decimal(0), True, commission, slippage, lot_size=Decimal("0.5"), percent=Decimal(percent)
    )
    credit = Credit(
        Decimal(initial), maintenance, *map(Decimal, rates), Decimal(tax),
        [(when, symbol, kind, number(value)) for when, symbol, kind, value in rows],
    )  # fmt: skip
    ledger = run_credit(bars, actions, 10_000.0, terms, credit)
    rules = make_rules(
        always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])),
        symbols,
        cash=10_000.0, mode=int(SizingMode.PERCENT_EQUITY), percent=float(percent), lot_size=0.5,
        commission_value=float(commission), slippage_value=float(slippage),
        initial_margin=float(initial), maintenance_margin=float(maintenance),
        borrow_rate=float(rates[0]), interest_rate=float(rates[1]), dividend_tax=float(tax),
        period_ns=360 * MINUTE,
    )  # fmt: skip
    timed = [(when, value, symbol, AdjustmentKind[kind]) for when, symbol, kind, value in rows]
    result = Run(
        rules._replace(adjustments=np.array(timed, ADJUSTMENT)), make_inputs(bars, actions)
    )
    fills = [(symbol, qty, price) for _, symbol, qty, price, _ in ledger.fills]
    assert len(result.fills) == len(fills)
    for fill, (symbol, qty, price) in zip(result.fills, fills, strict=True):
        assert fill["symbol"] == symbol
        assert same(fill["qty"], qty)
        assert same(fill["price"], price)
    paid = flows(result)
    assert [row[:2] for row in paid] == [row[:2] for row in ledger.flows]
    assert all(same(row[2], wanted[2]) for row, wanted in zip(paid, ledger.flows, strict=True))
    assert same(result.account["cash"], ledger.cash)
    assert same(result.account["equity"], ledger.equity)
    assert ledger.calls > 0 or seed != MARGIN_CALLS
