"""Multipliers, limits of one symbol, and the sum of exposures that runs along."""

import math

import numpy as np
import pytest

from tests.core_kit import (
    Run,
    always_open,
    bars_from,
    flat_bars,
    make_inputs,
    make_rules,
    random_bars,
    run,
)
from trader.books import new_book
from trader.core.schema import LIMITS, REQUEST, CommissionType, Reason, SizingMode
from trader.risk import sum_exposure

LONG_SHORT = bars_from([(100, 101, 99, 100, 1e6), (101, 104, 100, 103, 1e6), (98, 99, 95, 96, 1e6)])


def two_symbols(prices=(100.0, 100.0, 100.0)):
    bars = np.concatenate([flat_bars(list(prices)), flat_bars(list(prices), symbol=1)])
    return bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]


def with_own(rules, **own):
    """Rules with a row of limits for every symbol; `own` has a value per symbol."""
    limits = np.repeat(rules.limits, 1 + len(rules.instruments))
    for name, values in own.items():
        limits[name][1:] = values
    return rules._replace(limits=limits)


# --- a multiplier ---


def test_a_contract_is_its_price_times_its_multiplier_everywhere():
    costs = {"commission_value": 10.0, "slippage_value": 10.0}
    one = run(LONG_SHORT, "BS.", base_size=100.0, **costs)
    fifty = run(LONG_SHORT, "BS.", base_size=2.0, multiplier=50.0, **costs)
    assert fifty.account["realized_pnl"] != 0.0
    for name in ("cash", "equity", "realized_pnl", "commission", "gross_exposure"):
        assert fifty.account[name] == pytest.approx(one.account[name], rel=1e-12), name
    for name in ("price", "commission", "slippage", "realized_pnl"):
        assert fifty.fills[name] == pytest.approx(one.fills[name], rel=1e-12), name
    assert fifty.equity["equity"] == pytest.approx(one.equity["equity"], rel=1e-12)


def test_a_commission_per_unit_is_per_contract():
    found = run(
        flat_bars([100.0, 100.0]), "B.", base_size=3.0, multiplier=50.0, commission_value=2.5,
        commission_type=CommissionType.PER_SHARE,
    )  # fmt: skip
    assert found.fills["commission"].tolist() == [7.5]


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_order_notional": 9_999.0}, Reason.ORDER_NOTIONAL_LIMIT),
        ({"max_position_notional": 9_999.0}, Reason.POSITION_NOTIONAL_LIMIT),
        ({"max_position_concentration": 0.0999}, Reason.CONCENTRATION_LIMIT),
        ({"max_gross_exposure": 0.0999}, Reason.GROSS_EXPOSURE_LIMIT),
        ({"allow_margin": 0, "cash": 9_999.0}, Reason.BUYING_POWER),
    ],
)
def test_money_limits_see_the_multiplier(limit, reason):
    bars = flat_bars([100.0, 100.0])
    assert run(bars, "B.", base_size=2.0, **limit).reasons()[0] == "NONE"
    found = run(bars, "B.", base_size=2.0, multiplier=50.0, **limit)
    assert found.reasons()[0] == reason.name
    assert len(found.fills) == 0


def test_a_share_of_equity_buys_as_many_contracts_as_it_pays_for():
    found = run(
        flat_bars([100.0, 100.0]),
        "B.",
        multiplier=50.0,
        mode=SizingMode.PERCENT_EQUITY,
        percent=0.5,
    )
    assert found.positions[0]["qty"] == 10.0  # 50,000 of 100,000 at 5,000 a contract


# --- limits of one symbol ---


def test_a_symbol_with_its_own_limit_is_judged_by_it_and_the_others_are_not():
    bars = two_symbols()
    rules = make_rules(
        always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])), 2, base_size=10.0
    )
    rules = with_own(rules, max_order_size=(9.0, math.inf))
    found = Run(rules, make_inputs(bars, "BB...."))
    assert found.reasons()[:2] == ["ORDER_SIZE_LIMIT", "NONE"]
    assert found.decisions[0]["limit"] == 9.0
    assert found.positions["qty"].tolist() == [0.0, 10.0]


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"max_position_size": (9.0, 10.0)}, "POSITION_LIMIT"),
        ({"max_position_notional": (999.0, 1_000.0)}, "POSITION_NOTIONAL_LIMIT"),
        ({"max_order_notional": (999.0, 1_000.0)}, "ORDER_NOTIONAL_LIMIT"),
        ({"min_order_size": (11.0, 10.0)}, "BELOW_MIN_SIZE"),
    ],
)
def test_every_own_limit_overrules_that_of_all(own, reason):
    bars = two_symbols()
    rules = make_rules(
        always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])), 2, base_size=10.0
    )
    assert set(own) <= set(LIMITS.names)
    found = Run(with_own(rules, **own), make_inputs(bars, "BB...."))
    assert found.reasons()[:2] == [reason, "NONE"]


# --- the sum that runs along ---


def test_the_running_exposure_is_the_sum_over_all_symbols():
    bars = random_bars(5, 300, symbols=6)
    chance = np.random.default_rng(5)
    rules = make_rules(
        always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])), 6, base_size=40.0,
        max_fill_participation=0.05, allow_margin=0, multiplier=7.0, lot_size=1.0,
    )  # fmt: skip
    found = Run(rules, make_inputs(bars, chance.integers(0, 4, len(bars)).astype(np.int8)))
    book = found.record.book
    kept = book.account[0]["worst_exposure"]
    each = book.positions["exposure"].copy()
    sum_exposure(book)
    assert len(found.fills) > 50
    assert kept == pytest.approx(book.account[0]["worst_exposure"], rel=1e-12)
    assert each == pytest.approx(book.positions["exposure"], rel=1e-12)


def test_a_new_book_values_a_unit_by_its_multiplier():
    rules = make_rules(always_open(0, 1), 2, multiplier=(1_000.0, 0.01))
    assert new_book(rules).positions["unit_value"].tolist() == [1_000.0, 0.01]


# --- another currency ---


def yen(closes, actions, **changes):
    """USDJPY held by an account in dollars: its own close is its rate, turned round."""
    return run(flat_bars(closes), actions, rate=-1, converts=1, base_size=1_000.0, **changes)


def test_profit_in_yen_reaches_a_dollar_account_at_the_rate_of_its_instant():
    found = yen([100.0, 100.0, 125.0, 125.0, 125.0], "B.S..", allow_short=0)
    assert found.fills["realized_pnl"].tolist() == [0.0, 1_000.0 * 25.0 / 125.0]
    assert found.equity["equity"].tolist() == [
        100_000.0,
        100_000.0,
        100_200.0,
        100_200.0,
        100_200.0,
    ]
    assert found.account["cash"] == found.account["equity"] == 100_200.0
    assert found.equity["gross_exposure"][2] == 1_000.0  # dollars, whatever the yen does


def test_commission_and_limits_in_yen_are_in_dollars():
    assert yen([100.0, 100.0], "B.", commission_value=10.0).fills["commission"].tolist() == [1.0]
    assert yen([100.0, 100.0], "B.", max_order_notional=1_000.0).reasons()[0] == "NONE"
    assert (
        yen([100.0, 100.0], "B.", max_order_notional=999.0).reasons()[0] == "ORDER_NOTIONAL_LIMIT"
    )


def test_a_symbol_without_its_rate_yet_is_not_traded():
    stock = flat_bars([50.0, 50.0, 50.0])
    rate = flat_bars([2.0, 2.0, 2.0], symbol=1)[1:]
    bars = np.concatenate([stock, rate])
    bars = bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]
    found = run(bars, "BB.B.", rate=(2, 0), converts=1)
    assert found.reasons() == ["NO_RATE", "NONE", "NONE", "AT_TARGET", "NONE"]
    assert found.account["gross_exposure"] == 10.0 * 50.0 * 2.0


# --- sizes by score ---


def test_the_score_scales_the_size_between_the_floor_and_all_of_it():
    requests = np.zeros(5, REQUEST)
    for name in REQUEST.names:
        requests[name] = math.nan
    requests["score"] = (math.nan, 0.0, 0.5, -1.0, 7.0)
    found = run(
        flat_bars([10.0] * 5), "BBCBB", requests=requests, mode=SizingMode.SCORE, floor=0.2,
        base_size=100.0, rebalance_threshold=0.0,
    )  # fmt: skip
    assert found.reasons() == ["NO_SCORE", "NONE", "NONE", "NONE", "AT_TARGET"]
    assert found.decisions["requested_qty"].tolist() == [0.0, 20.0, -20.0, 100.0, 0.0]
