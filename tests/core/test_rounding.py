"""The one tolerance for what binary floats do to money, against `Decimal` from 1e-12 to 1e12."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.core_kit import flat_bars, make_rules, run
from tests.tiers import cases
from trader import rounding
from trader.books import new_book
from trader.core import ledger
from trader.core.schema import SESSION

COUNTS = st.one_of(st.integers(1, 100), st.integers(1, 10**6), st.integers(1, 10**12))
UNITS = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.sampled_from([1, 2, 3, 5, 7, 25, 125]),
    st.integers(-12, 4),
)
CENT = Decimal("0.01")


@st.composite
def amounts(draw):
    """A number of at most 12 digits between 1e-12 and 1e12, as people write it."""
    digits = draw(st.integers(1, 10 ** draw(st.integers(1, 12)) - 1))
    return Decimal(digits).scaleb(draw(st.integers(-12, 0)))


@settings(max_examples=cases(400), deadline=None)
@given(count=COUNTS, unit=UNITS)
def test_whole_lots_and_ticks_are_the_numbers_people_write(count, unit):
    exact = count * unit
    assume(exact <= Decimal("1e12"))
    written, step = float(exact), float(unit)
    assert rounding.lots_down(written, step) == pytest.approx(written, rel=1e-15, abs=0.0)
    assert rounding.is_lot_multiple(written, step)
    for qty in (1.0, -1.0):
        price = rounding.tick_against(written, qty, step)
        assert price == pytest.approx(written, rel=1e-15, abs=0.0)
    if unit.as_tuple().digits == (1,):  # 0.01 and the like: to the last bit
        assert rounding.multiple(float(count), step) == written
        assert rounding.nearest_lot(-written, step) == -written


@settings(max_examples=cases(400), deadline=None)
@given(count=COUNTS, unit=UNITS, part=st.integers(1, 9_999))
def test_what_is_beside_a_lot_or_tick_is_rounded_as_decimal_rounds_it(count, unit, part):
    exact = (count + Decimal(part) / 10_000) * unit
    assume(exact <= Decimal("1e12"))
    noise = Decimal(2) ** -47 * count  # what a float of that many ticks can hold
    assume(noise < Decimal(part) / 10_000 < 1 - noise)
    value, step = float(exact), float(unit)
    for sign, direction in ((1.0, ROUND_CEILING), (-1.0, ROUND_FLOOR)):
        ticks = (exact / unit).to_integral_value(direction)
        assert rounding.tick_against(value, sign, step) == rounding.multiple(float(ticks), step)
    assert rounding.lots_down(-value, step) == -rounding.multiple(float(count), step)
    assert not rounding.is_lot_multiple(value, step)


@settings(max_examples=cases(500), deadline=None)
@given(count=st.integers(1, 10**6), lot=UNITS, price=amounts())
def test_an_order_worth_exactly_the_limit_passes_and_one_worth_a_cent_more_does_not(
    count, lot, price
):
    size, worth = count * lot, count * lot * price
    assume(Decimal("1e-12") <= worth <= Decimal("1e12"))
    assert rounding.is_money_within(float(size) * float(price), float(worth))
    least = max(worth * Decimal("1.1e-12"), worth * Decimal(2) ** -47)
    for over in (CENT, least):
        if over >= least:
            assert not rounding.is_money_within(float(worth + over), float(worth))
    assert rounding.is_size_within(float(size), float(size))
    assert not rounding.is_size_within(float(size + lot), float(size))


@settings(max_examples=cases(300), deadline=None)
@given(parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=8), unit=UNITS)
def test_a_sum_of_lots_is_at_most_their_sum(parts, unit):
    total = 0.0
    for part in parts:
        total = rounding.nearest_lot(total + float(part * unit), float(unit))
    assert rounding.is_size_within(total, float(sum(parts) * unit))
    assert total == pytest.approx(float(sum(parts) * unit), rel=1e-15, abs=0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_unknown_or_infinite_is_within_nothing(value):
    assert not rounding.is_money_within(value, 1e12)
    assert not rounding.is_size_within(value, 1e12)
    assert not rounding.is_price_within(value, 100.0, 0.1)
    for limit in (1.0, math.inf):
        assert rounding.is_money_within(1.0, limit)
        assert rounding.is_size_within(1.0, limit)
    assert not rounding.is_money_within(1.0, math.nan)
    assert not rounding.is_size_within(1.0, math.nan)
    assert not rounding.is_money_within(1e-300, 0.0), "a limit of 0 lets nothing through"


def test_tolerance_of_money_is_the_same_for_one_and_for_many():
    amounts = np.array([0.0, 1e-12, 3.3, -1e5, 1e8, 1e12, math.inf])
    assert rounding.money_noises(amounts).tolist() == [
        float(rounding.money_noise(amount)) for amount in amounts
    ]
    assert rounding.money_noise(1e12) < 0.01, "a cent is a cent up to 1e12"
    assert rounding.money_noise(1e9) == 1e-4, "and a hundredth of it where floats can hold it"


@settings(max_examples=cases(200), deadline=None)
@given(
    lots=st.lists(st.integers(1, 1_000), min_size=1, max_size=6),
    lot=st.sampled_from(["1", "0.1", "0.001", "1e-8"]),
    price=amounts(),
)
def test_a_trade_at_one_price_makes_exactly_nothing(lots, lot, price):
    lot_size, unit = float(Decimal(lot)), Decimal(lot)
    book = new_book(make_rules(np.zeros(1, SESSION), cash=1e6))
    account, position = book.account[0], book.positions[0]
    for sign in (1, -1):
        for count in lots:
            qty = float(sign * count * unit)
            ledger.apply_fill(account, position, qty, float(price), 0.0, lot_size)
            if position["qty"] != 0.0:
                assert position["avg_price"] == float(price)
    assert position["qty"] == 0.0
    assert position["realized_pnl"] == 0.0
    spent = float(sum(lots) * unit * price)  # a float holds no more than its last places
    assert account["cash"] == pytest.approx(1e6, rel=1e-12, abs=spent * rounding.LAST_PLACES)


@settings(max_examples=cases(200), deadline=None)
@given(
    lots=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5_000)), min_size=2, max_size=4),
    least=st.integers(1, 10**6),
    tick=st.sampled_from(["0.01", "0.0001", "1000"]),
)
def test_a_trade_sold_at_its_average_made_nothing_and_a_tick_more_is_a_profit(lots, least, tick):
    step = Decimal(tick)
    size = sum(count for count, _ in lots)
    bought = [(count, least + size * above) for count, above in lots]  # their average is a tick
    spent = sum(count * ticks for count, ticks in bought)
    for ticks, profit in ((spent // size, 0), (spent // size + 1, size * step)):
        book = new_book(make_rules(np.zeros(1, SESSION), cash=1e6))
        account, position = book.account[0], book.positions[0]
        for count, at in bought:
            ledger.apply_fill(account, position, float(count), float(at * step), 0.0, 1.0)
        ledger.apply_fill(account, position, float(-size), float(ticks * step), 0.0, 1.0)
        assert position["realized_pnl"] == pytest.approx(float(profit), rel=1e-6, abs=0.0)


def test_collar_of_a_tenth_lets_a_tenth_through():
    bars = flat_bars([1.0, 1.1, 1.1])
    result = run(bars, ".B.", price_collar=0.1)  # 1.1 − 1 is 0.10000000000000009
    assert result.decisions[1]["approved_qty"] == 10.0
    assert run(flat_bars([1.0, 1.11, 1.11]), ".B.", price_collar=0.1).reasons()[1] == "PRICE_COLLAR"


def test_loss_and_drawdown_exactly_at_the_limit_break_none():
    bars = flat_bars([100.0, 100.0, 99.97, 99.97])
    for limits in ({"max_daily_loss": 0.3}, {"max_drawdown_frac": 0.000003}):
        result = run(bars, "B...", **limits)
        assert result.account["trading_state"] == 0, limits
    assert run(bars, "B...", max_daily_loss=0.29).account["trading_state"] == 1


def test_spread_exactly_at_the_limit_cuts_nothing():
    bars = flat_bars([100.0, 100.0])
    bars["bid"], bars["ask"] = 99.99, 100.01  # 2.0000000000000284 bps
    assert run(bars, "B.", base_size=1e6, cash=1e9, max_spread_bps=2.0).throttles.size == 0


def test_no_execution_more_than_may_go_without_a_review_is_made():
    bars = np.concatenate([flat_bars([100.0] * 3, symbol=symbol) for symbol in range(4)])
    bars = bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]
    result = run(bars, "BBBB" + "." * 8, max_executions_without_review=3.0)
    assert len(result.fills) == 3
    assert result.account["trading_state"] == 2
    assert run(bars, "BBBB" + "." * 8, max_executions_without_review=5.0).fills.size == 4
