"""The six steps of `trader.core.risk`, one by one, at each limit and a hair beyond it.

A desk of two symbols with nothing wrong; each test says what is different. The expected values
are worked out by hand in the tables. Interpreted and compiled, the source is the same.
"""

import math

import numpy as np
import pytest

from tests.core_kit import DAY, make_rules
from trader.books import new_book
from trader.core import exposure, risk
from trader.core.schema import (
    MAX_WORKING_ORDERS,
    NS_PER_SECOND,
    SESSION,
    CommissionType,
    Reason,
    SlippageType,
    TradingState,
)
from trader.risk import sum_exposure

NOW = 20_000 * DAY + 3_600 * NS_PER_SECOND
OPENS, CLOSES = NOW - 600, NOW + 600
NAN, INF = math.nan, math.inf
PASSED = (Reason.NONE, 0.0, 0.0)


def desk(position=None, other=None, account=None, sessions=((OPENS, CLOSES),), **changes):
    """(book, rules): 100,000 in cash, both symbols flat at 100, now in the middle of a session."""
    table = np.zeros(len(sessions), SESSION)
    for row, (opens, closes) in zip(table, sessions, strict=True):
        row["open_ns"], row["close_ns"] = opens, closes
        row["session"] = (opens - NOW + DAY // 2) // DAY
    rules = make_rules(table, 2, **changes)
    book = new_book(rules)
    book.account[0]["ts_ns"] = NOW
    for place in book.positions:
        place["mark"] = place["reference"] = 100.0
        place["bid"], place["ask"], place["spread"] = 99.99, 100.01, 0.02
    for record, values in (
        (book.positions[0], position), (book.positions[1], other), (book.account[0], account),
    ):  # fmt: skip
        for name, value in (values or {}).items():
            record[name] = value
    sum_exposure(book)
    return book, rules


def told(verdict):
    """A verdict with its reason by name, so that a failed test can be read."""
    return (Reason(int(verdict[0])), *(float(value) for value in verdict[1:]))


def judged(qty, closing=0.0, **different):
    """(approved qty, reason, observed, limit) of the whole check for symbol 0."""
    book, rules = desk(**different)
    approved, *verdict = risk.pre_trade(book, rules, 0, qty, closing)
    return (float(approved), *told(verdict))


# --- what is measured ---


def test_loss_is_what_the_equity_has_lost_since_the_session_opened():
    book, _ = desk(account={"session_open_equity": 100_000.0, "equity": 98_500.0})
    assert risk.daily_loss(book.account[0]) == 1_500.0


@pytest.mark.parametrize(
    ("peak", "equity", "lost"),
    [(200.0, 150.0, 0.25), (2.0, 2.0, 0.0), (0.5, 0.25, 0.5), (0.0, 5.0, 1.0), (-1.0, 1.0, 1.0)],
)
def test_drawdown_is_a_fraction_of_the_peak_and_all_of_it_without_one(peak, equity, lost):
    book, _ = desk(account={"peak_equity": peak, "equity": equity})
    assert risk.drawdown_frac(book.account[0]) == lost


@pytest.mark.parametrize(
    ("peak", "equity", "most", "within"),
    [
        (1_000.0, 900.0, 0.1, True),
        (1_000.0, 899.99, 0.1, False),
        (1_000.0, NAN, 0.1, False),
        (NAN, 900.0, 0.1, False),
        (0.0, 0.0, 0.1, False),
        (-5.0, -5.0, 0.1, False),
        (0.5, 0.5, 0.1, True),
        (0.0, 0.0, INF, True),
        (NAN, NAN, INF, True),
        (10.0, 9.0, NAN, False),
    ],
)
def test_drawdown_limit_passes_at_the_limit_and_denies_beyond_and_the_unknown(
    peak, equity, most, within
):
    assert bool(risk.is_fall_within(equity, peak, most)) is within


def test_worst_case_counts_the_working_orders_of_the_same_side_only():
    book, _ = desk(position={"qty": 5.0, "working_buy": 20.0, "working_sell": 300.0})
    assert risk.worst_qty(book.positions[0], 0.5) == 25.5
    assert risk.worst_qty(book.positions[0], 1_000.0) == 1_025.0
    assert risk.worst_qty(book.positions[0], -1.0) == -296.0


def test_exposure_of_others_takes_the_worse_side_of_each_at_its_own_price():
    other = {"qty": -30.0, "working_buy": 100.0, "working_sell": 20.0, "mark": 7.0}
    book, _ = desk(position={"qty": 50.0}, other=other)
    assert exposure.exposure_of_others(book, 0) == 70.0 * 7.0
    assert exposure.exposure_of_others(book, 1) == 5_000.0
    book, _ = desk(other={"qty": -30.0, "working_sell": 60.0, "mark": 7.0})
    assert exposure.exposure_of_others(book, 0) == 90.0 * 7.0
    book, _ = desk(other={"qty": NAN})
    assert math.isnan(exposure.exposure_of_others(book, 0))


def test_exposure_of_others_adds_every_symbol_up():
    rules = make_rules(np.zeros(1, SESSION), 4)
    book = new_book(rules)
    for index, place in enumerate(book.positions):
        place["qty"], place["mark"] = 10.0, 10.0**index
    sum_exposure(book)
    assert exposure.exposure_of_others(book, 1) == 10.0 + 1_000.0 + 10_000.0


# --- step 0: trading state ---

REDUCING, HALTED = int(TradingState.REDUCING), int(TradingState.HALTED)


@pytest.mark.parametrize(
    ("state", "cause", "verdict"),
    [
        (0, Reason.KILLED, PASSED),
        (HALTED, Reason.KILLED, (Reason.KILLED, float(Reason.KILLED), 0.0)),
        (HALTED, Reason.POSITIONS_UNKNOWN,
         (Reason.HALTED, float(Reason.POSITIONS_UNKNOWN), 0.0)),
        (HALTED, Reason.DAILY_LOSS_LIMIT, (Reason.HALTED, float(Reason.DAILY_LOSS_LIMIT), 0.0)),
        (REDUCING, Reason.DAILY_LOSS_LIMIT, (Reason.DAILY_LOSS_LIMIT, 1_000.0, 750.0)),
        (REDUCING, Reason.DRAWDOWN_LIMIT, (Reason.DRAWDOWN_LIMIT, 0.5, 0.125)),
        (REDUCING, Reason.WARMUP, (Reason.REDUCE_ONLY, float(Reason.WARMUP), 0.0)),
        (REDUCING, Reason.KILLED, (Reason.REDUCE_ONLY, float(Reason.KILLED), 0.0)),
        (REDUCING, Reason.NONE, (Reason.REDUCE_ONLY, 0.0, 0.0)),
    ],
)  # fmt: skip
def test_state_answers_with_its_cause_and_what_it_saw(state, cause, verdict):
    account = {
        "trading_state": state, "state_reason": int(cause), "equity": 4_000.0,
        "session_open_equity": 5_000.0, "peak_equity": 8_000.0,
    }  # fmt: skip
    different = {"account": account, "max_daily_loss": 750.0, "max_drawdown_frac": 0.125}
    book, rules = desk(**different)
    assert told(risk.check_state(book.account[0], rules.limits[0])) == verdict
    passes = state == 0
    # The loss of the account would deny at step 4 as well: what answers is step 0.
    assert judged(10.0, **different | {"max_daily_loss": INF, "max_drawdown_frac": INF})[0] == (
        10.0 if passes else 0.0
    )


def test_halted_passes_not_even_what_closes_and_reducing_does():
    held = {"position": {"qty": 10.0}}
    halted = {"trading_state": HALTED, "state_reason": int(Reason.KILLED)}
    reducing = {"trading_state": REDUCING, "state_reason": int(Reason.WARMUP)}
    assert judged(-10.0, -10.0, **held, account=halted) == (0.0, Reason.KILLED, 11.0, 0.0)
    assert judged(-10.0, -10.0, **held, account=reducing) == (-10.0, *PASSED)
    assert judged(-15.0, -10.0, **held, account=reducing) == (-10.0, Reason.REDUCE_ONLY, 1.0, 0.0)


# --- step 1: parameters ---


@pytest.mark.parametrize(
    ("qty", "different", "verdict"),
    [
        (10.0, {}, PASSED),
        (-1.0, {}, PASSED),
        (0.5, {"lot_size": 0.5}, PASSED),
        (0.0, {}, (Reason.PARAM_QTY, 0.0, 0.0)),
        (INF, {}, (Reason.PARAM_QTY, INF, 0.0)),
        (-INF, {}, (Reason.PARAM_QTY, -INF, 0.0)),
        (1.5, {}, (Reason.PARAM_LOT, 1.5, 1.0)),
        (30.0, {"lot_size": 20.0}, (Reason.PARAM_LOT, 30.0, 20.0)),
        (10.0, {"position": {"mark": 0.0}}, (Reason.PARAM_PRICE, 0.0, 0.0)),
        (10.0, {"position": {"mark": -1.0}}, (Reason.PARAM_PRICE, -1.0, 0.0)),
        (10.0, {"position": {"mark": INF}}, (Reason.PARAM_PRICE, INF, 0.0)),
        (10.0, {"position": {"mark": 0.5}}, PASSED),
        (10.0, {"position": {"reference": 0.0}}, PASSED),
        (10.0, {"price_collar": 0.125, "position": {"mark": 112.5}}, PASSED),
        (10.0, {"price_collar": 0.125, "position": {"mark": 87.5}}, PASSED),
        (10.0, {"price_collar": 0.125, "position": {"mark": 125.0}},
         (Reason.PRICE_COLLAR, 0.25, 0.125)),
        (10.0, {"price_collar": 0.125, "position": {"mark": 75.0}},
         (Reason.PRICE_COLLAR, 0.25, 0.125)),
        (10.0, {"price_collar": 0.125, "position": {"reference": 0.0}},
         (Reason.NO_REFERENCE_PRICE, 0.0, 0.125)),
        (10.0, {"price_collar": 0.125, "position": {"reference": -9.0}},
         (Reason.NO_REFERENCE_PRICE, 0.0, 0.125)),
        (10.0, {"price_collar": 0.125, "position": {"reference": NAN}},
         (Reason.NO_REFERENCE_PRICE, 0.0, 0.125)),
        (10.0, {"price_collar": 0.125, "position": {"reference": 0.5, "mark": 0.5}}, PASSED),
        (10.0, {"position": {"working_orders": MAX_WORKING_ORDERS - 1}}, PASSED),
        (10.0, {"position": {"working_orders": MAX_WORKING_ORDERS}},
         (Reason.WORKING_ORDERS_FULL, float(MAX_WORKING_ORDERS), float(MAX_WORKING_ORDERS))),
        (10.0, {"position": {"working_orders": MAX_WORKING_ORDERS + 1}},
         (Reason.WORKING_ORDERS_FULL, MAX_WORKING_ORDERS + 1.0, float(MAX_WORKING_ORDERS))),
        (10.0, {"position": {"spread": NAN}}, PASSED),
        (10.0, {"position": {"spread": NAN}, "slippage_type": int(SlippageType.HALF_SPREAD)},
         (Reason.NO_QUOTE, 0.0, 0.0)),
        (10.0, {"position": {"spread": -0.5}, "slippage_type": int(SlippageType.HALF_SPREAD)},
         (Reason.NO_QUOTE, 0.0, 0.0)),
        (10.0, {"position": {"spread": 0.0}, "slippage_type": int(SlippageType.HALF_SPREAD)},
         PASSED),
        (10.0, {"slippage_type": int(SlippageType.HALF_SPREAD)}, PASSED),
        (10.0, {"position": {"unit_value": 0.0}}, (Reason.NO_RATE, 0.0, 0.0)),
        (10.0, {"position": {"unit_value": NAN}}, (Reason.NO_RATE, 0.0, 0.0)),
        (10.0, {"position": {"mark": -1.0}, "allow_negative_prices": 1}, PASSED),
        (10.0, {"position": {"mark": 0.0}, "allow_negative_prices": 1}, PASSED),
        (10.0, {"position": {"mark": INF}, "allow_negative_prices": 1},
         (Reason.PARAM_PRICE, INF, 0.0)),
        (10.0, {"position": {"mark": -INF}, "allow_negative_prices": 1},
         (Reason.PARAM_PRICE, -INF, 0.0)),
    ],
)  # fmt: skip
def test_parameters_of_the_whole_order(qty, different, verdict):
    book, rules = desk(**different)
    assert told(risk.check_parameters(book.positions[0], qty, rules, 0)) == verdict
    passes = verdict is PASSED
    # Closing orders are judged by this step, too.
    assert judged(qty, qty, **different)[:2] == ((qty if passes else 0.0), verdict[0])


def test_order_without_a_size_is_denied():
    approved, reason, observed, limit = judged(NAN)
    assert (approved, reason, limit) == (0.0, Reason.PARAM_QTY, 0.0)
    assert math.isnan(observed)


@pytest.mark.parametrize("name", ["mark", "reference"])
def test_price_that_is_not_known_is_denied(name):
    assert judged(10.0, position={name: NAN}, price_collar=0.1)[0] == 0.0


@pytest.mark.parametrize(
    "name",
    [
        "max_position_size", "max_position_notional", "max_order_size", "max_order_notional",
        "price_collar", "max_daily_loss", "max_drawdown_frac", "max_position_concentration",
        "max_gross_exposure", "max_orders_per_second", "max_orders_per_bar", "max_orders_per_day",
    ],
)  # fmt: skip
def test_limit_that_is_no_number_denies(name):
    assert judged(10.0)[0] == 10.0
    assert judged(10.0, **{name: NAN})[0] == 0.0


def test_lot_is_that_of_the_orders_own_symbol():
    book, rules = desk()
    rules.instruments[1]["lot_size"] = 7.0
    assert told(risk.check_parameters(book.positions[1], 10.0, rules, 1))[0] is Reason.PARAM_LOT
    assert told(risk.check_parameters(book.positions[0], 10.0, rules, 0)) == PASSED


# --- step 1: permission ---

SECOND = NOW // NS_PER_SECOND


@pytest.mark.parametrize(
    ("different", "verdict"),
    [
        ({}, PASSED),
        ({"restricted": 1}, (Reason.RESTRICTED, 1.0, 0.0)),
        ({"restricted": 2}, (Reason.RESTRICTED, 1.0, 0.0)),
        ({"max_orders_per_second": 1.0}, PASSED),
        ({"max_orders_per_second": 0.5}, (Reason.ORDER_RATE_LIMIT, 1.0, 0.5)),
        ({"max_orders_per_second": 3.0, "account": {"second": SECOND, "orders_this_second": 2}},
         PASSED),
        ({"max_orders_per_second": 3.0, "account": {"second": SECOND, "orders_this_second": 3}},
         (Reason.ORDER_RATE_LIMIT, 4.0, 3.0)),
        ({"max_orders_per_second": 3.0, "account": {"second": SECOND - 1, "orders_this_second": 9}},
         PASSED),
        ({"max_orders_per_second": 3.0, "account": {"second": SECOND + 1, "orders_this_second": 9}},
         PASSED),
        ({"max_orders_per_bar": 1.0}, PASSED),
        ({"max_orders_per_bar": 0.5}, (Reason.ORDER_RATE_LIMIT, 1.0, 0.5)),
        ({"max_orders_per_bar": 2.0, "position": {"orders_ns": NOW, "orders_this_bar": 1}},
         PASSED),
        ({"max_orders_per_bar": 2.0, "position": {"orders_ns": NOW, "orders_this_bar": 2}},
         (Reason.ORDER_RATE_LIMIT, 3.0, 2.0)),
        ({"max_orders_per_bar": 2.0, "position": {"orders_ns": NOW - 1, "orders_this_bar": 9}},
         PASSED),
        ({"max_orders_per_day": 4.0, "account": {"orders_this_session": 3}}, PASSED),
        ({"max_orders_per_day": 4.0, "account": {"orders_this_session": 4}},
         (Reason.ORDER_RATE_LIMIT, 5.0, 4.0)),
        ({"max_orders_per_second": NAN}, None),
        ({"max_orders_per_bar": NAN}, None),
        ({"max_orders_per_day": NAN}, None),
    ],
)  # fmt: skip
def test_permission_to_open(different, verdict):
    book, rules = desk(**different)
    found = risk.check_permission(
        book.account[0], book.positions[0], rules.instruments[0], rules.limits[0]
    )
    if verdict is None:
        assert told(found)[0] is Reason.ORDER_RATE_LIMIT, "an unknown limit denies"
    else:
        assert told(found) == verdict
    denied = told(found)[0]
    assert judged(10.0, **different)[1] is denied
    assert judged(10.0, 10.0, **different)[:2] == (10.0, Reason.NONE), "closing is not judged"


# --- step 2 and 3: sizes ---


@pytest.mark.parametrize(
    ("qty", "different", "verdict"),
    [
        (50.0, {"max_position_size": 50.0}, PASSED),
        (-50.0, {"max_position_size": 50.0}, PASSED),
        (51.0, {"max_position_size": 50.0}, (Reason.POSITION_LIMIT, 51.0, 50.0)),
        (-51.0, {"max_position_size": 50.0}, (Reason.POSITION_LIMIT, 51.0, 50.0)),
        (1.0, {"max_position_size": NAN}, None),
        (50.0, {"max_position_notional": 5_000.0}, PASSED),
        (51.0, {"max_position_notional": 5_000.0},
         (Reason.POSITION_NOTIONAL_LIMIT, 5_100.0, 5_000.0)),
        (-51.0, {"max_position_notional": 5_000.0, "position": {"qty": -9.0}},
         (Reason.POSITION_NOTIONAL_LIMIT, 6_000.0, 5_000.0)),
        (1.0, {"position": {"qty": NAN}}, None),
    ],
)  # fmt: skip
def test_position_size(qty, different, verdict):
    book, rules = desk(**different)
    found = told(risk.check_position_size(book.positions[0], qty, rules.limits[0]))
    assert found[0] is Reason.POSITION_LIMIT if verdict is None else found == verdict
    assert judged(qty, **different)[1] is found[0]


@pytest.mark.parametrize(
    ("qty", "different", "verdict"),
    [
        (50.0, {"max_order_size": 50.0}, PASSED),
        (51.0, {"max_order_size": 50.0}, (Reason.ORDER_SIZE_LIMIT, 51.0, 50.0)),
        (-51.0, {"max_order_size": 50.0}, (Reason.ORDER_SIZE_LIMIT, 51.0, 50.0)),
        (1.0, {"max_order_size": 0.5}, (Reason.ORDER_SIZE_LIMIT, 1.0, 0.5)),
        # the offer at 128 is what a buyer must expect, the close at 100 what a seller must
        (10.0, {"max_order_notional": 1_280.0, "position": {"ask": 128.0}}, PASSED),
        (10.0, {"max_order_notional": 1_279.0, "position": {"ask": 128.0}},
         (Reason.ORDER_NOTIONAL_LIMIT, 1_280.0, 1_279.0)),
        (-10.0, {"max_order_notional": 1_000.0, "position": {"ask": 128.0}}, PASSED),
        (-10.0, {"max_order_notional": 999.0, "position": {"ask": 128.0}},
         (Reason.ORDER_NOTIONAL_LIMIT, 1_000.0, 999.0)),
        # whatever the collar and the slippage would still let it cost
        (-49.0, {"max_order_notional": 4_900.0, "price_collar": 0.25, "slippage_value": 50.0},
         PASSED),
        (-3.0, {"max_order_notional": 0.3, "position": {"mark": 0.1}}, PASSED),
        (-1.0, {"max_order_notional": 99.99}, (Reason.ORDER_NOTIONAL_LIMIT, 100.0, 99.99)),
    ],
)  # fmt: skip
def test_order_size(qty, different, verdict):
    book, rules = desk(**different)
    found = risk.check_order_size(book.positions[0], qty, rules.limits[0])
    assert told(found) == verdict
    approved = qty if verdict is PASSED else 0.0
    assert judged(qty, **different)[:2] == (approved, verdict[0])
    assert judged(qty, qty, **different) == (approved, *verdict), "what closes is judged, too"


# --- step 4: losses ---


@pytest.mark.parametrize(
    ("equity", "different", "verdict"),
    [
        (900.0, {"max_daily_loss": 100.0}, PASSED),
        (899.0, {"max_daily_loss": 100.0}, (Reason.DAILY_LOSS_LIMIT, 101.0, 100.0)),
        (1_500.0, {"max_daily_loss": 0.0}, PASSED),
        (900.0, {"max_drawdown_frac": 0.55}, PASSED),
        (500.0, {"max_drawdown_frac": 0.5}, (Reason.DRAWDOWN_LIMIT, 0.75, 0.5)),
        (900.0, {}, PASSED),
    ],
)
def test_losses(equity, different, verdict):
    account = {"equity": equity, "session_open_equity": 1_000.0, "peak_equity": 2_000.0}
    book, rules = desk(account=account, **different)
    assert told(risk.check_losses(book.account[0], rules.limits[0])) == verdict
    approved = 1.0 if verdict is PASSED else 0.0
    assert judged(1.0, account=account, **different)[:2] == (approved, verdict[0])
    assert judged(1.0, 1.0, account=account, **different) == (1.0, *PASSED)


# --- step 5: concentration, exposure, buying power ---

POOR = {"equity": 10_000.0}


@pytest.mark.parametrize(
    ("qty", "different", "verdict"),
    [
        (25.0, {"max_position_concentration": 0.25}, PASSED),
        (26.0, {"max_position_concentration": 0.25}, (Reason.CONCENTRATION_LIMIT, 0.26, 0.25)),
        (-26.0, {"max_position_concentration": 0.25}, (Reason.CONCENTRATION_LIMIT, 0.26, 0.25)),
        (1.0, {"account": {"equity": 0.0}}, (Reason.CONCENTRATION_LIMIT, INF, INF)),
        (1.0, {"account": {"equity": -5.0}}, (Reason.CONCENTRATION_LIMIT, INF, INF)),
        (1.0, {"account": {"equity": 0.5}}, PASSED),
        (1.0, {"account": {"equity": 0.5}, "max_position_concentration": 100.0},
         (Reason.CONCENTRATION_LIMIT, 200.0, 100.0)),
        # 25 × 100 here and 50 × 100 there
        (25.0, {"max_gross_exposure": 0.75, "other": {"qty": -50.0}}, PASSED),
        (26.0, {"max_gross_exposure": 0.75, "other": {"qty": -50.0}},
         (Reason.GROSS_EXPOSURE_LIMIT, 0.76, 0.75)),
        (26.0, {"max_gross_exposure": 0.75, "other": {"qty": -50.0}, "allow_margin": 0},
         (Reason.GROSS_EXPOSURE_LIMIT, 0.76, 0.75)),
        (25.0, {"max_gross_exposure": 0.75, "other": {"qty": -50.0}, "allow_margin": 0}, PASSED),
        (100.0, {"max_gross_exposure": 5.0}, PASSED),
        (200.0, {"max_gross_exposure": 5.0}, PASSED),
        (200.0, {}, PASSED),
        # without margin everything together must be paid for
        (1.0, {"max_gross_exposure": 1.0, "other": {"mark": NAN}}, None),
        (-100.0, {"allow_margin": 0}, PASSED),
        (-101.0, {"allow_margin": 0}, (Reason.BUYING_POWER, 10_100.0, 10_000.0)),
        (-51.0, {"allow_margin": 0, "other": {"qty": 50.0}},
         (Reason.BUYING_POWER, 10_100.0, 10_000.0)),
        (50.0, {"allow_margin": 0, "position": {"ask": 200.0}}, PASSED),
        (51.0, {"allow_margin": 0, "position": {"ask": 200.0}},
         (Reason.BUYING_POWER, 10_200.0, 10_000.0)),
        (-100.0, {"allow_margin": 0, "commission_value": 1.0,
                  "commission_type": int(CommissionType.PER_SHARE)},
         (Reason.BUYING_POWER, 10_100.0, 10_000.0)),
        (-100.0, {"allow_margin": 0, "commission_value": 100.0},
         (Reason.BUYING_POWER, 10_100.0, 10_000.0)),
        (-99.0, {"allow_margin": 0, "commission_value": 100.0}, PASSED),
    ],
)  # fmt: skip
def test_concentration_exposure_and_buying_power(qty, different, verdict):
    different = {"account": POOR, **different}
    book, rules = desk(**different)
    found = told(risk.check_concentration(book, rules, 0, qty))
    if verdict is None:
        assert found[0] is Reason.GROSS_EXPOSURE_LIMIT, "an unknown exposure denies"
    else:
        assert found == (verdict[0], pytest.approx(verdict[1]), verdict[2])
    assert judged(qty, **different)[1] is found[0]
    assert judged(qty, qty, **different)[:2] == (qty, Reason.NONE), "closing is not judged"


def test_equity_that_is_not_known_is_no_equity():
    book, rules = desk(account={"equity": NAN})
    found = told(risk.check_concentration(book, rules, 0, 1.0))
    assert found == (Reason.CONCENTRATION_LIMIT, INF, INF)


def test_working_orders_and_the_position_count_for_the_symbol_itself():
    different = {"account": POOR, "position": {"qty": 10.0, "working_buy": 10.0}}
    found = judged(10.0, max_position_concentration=0.25, **different)
    assert found[1:] == (Reason.CONCENTRATION_LIMIT, pytest.approx(0.3), 0.25)


# --- step 6: market hours ---

DAYS = tuple((NOW + day * DAY, NOW + (day + 1) * DAY) for day in (-1, 0, 1))
SPLIT = ((NOW - 900, NOW - 300), (NOW + 300, NOW + 900))


@pytest.mark.parametrize(
    ("minute", "cursor", "different", "reason"),
    [
        (-601, 0, {}, Reason.CALENDAR_UNKNOWN),  # before the first session there is
        (-600, 0, {}, Reason.NONE),
        (599, 0, {}, Reason.NONE),
        (600, 0, {}, Reason.MARKET_CLOSED),
        (600, 1, {}, Reason.CALENDAR_UNKNOWN),  # after the last
        (0, 1, {}, Reason.CALENDAR_UNKNOWN),
        (0, 2, {}, Reason.CALENDAR_UNKNOWN),
        (-501, 0, {"open_guard_ns": 100}, Reason.MARKET_CLOSED),
        (-500, 0, {"open_guard_ns": 100}, Reason.NONE),
        (499, 0, {"close_guard_ns": 100}, Reason.NONE),
        (500, 0, {"close_guard_ns": 100}, Reason.MARKET_CLOSED),
        (0, 0, {"sessions": DAYS}, Reason.NONE),  # a day ends as the next begins
        (0, 1, {"sessions": DAYS}, Reason.NONE),
        (0, 0, {"sessions": DAYS, "open_guard_ns": 1}, Reason.MARKET_CLOSED),
        (DAY, 1, {"sessions": DAYS}, Reason.NONE),
        (2 * DAY, 2, {"sessions": DAYS}, Reason.MARKET_CLOSED),  # and the last has no next
        (-300, 0, {"sessions": SPLIT}, Reason.MARKET_CLOSED),
        (-301, 0, {"sessions": SPLIT}, Reason.NONE),
        (0, 1, {"sessions": SPLIT}, Reason.MARKET_CLOSED),
        (300, 1, {"sessions": SPLIT}, Reason.NONE),
        (-301, 0, {"sessions": SPLIT, "close_guard_ns": 100}, Reason.NONE),  # lunch is no close
        (300, 1, {"sessions": SPLIT, "open_guard_ns": 100}, Reason.NONE),
        (899, 1, {"sessions": SPLIT, "close_guard_ns": 100}, Reason.MARKET_CLOSED),
        (-400, 0, {"sessions": SPLIT, "period_ns": DAY}, Reason.NONE),  # of a day: the next open
        (0, 1, {"sessions": SPLIT, "period_ns": DAY, "open_guard_ns": 10**12}, Reason.NONE),
        (900, 1, {"sessions": SPLIT, "period_ns": DAY}, Reason.CALENDAR_UNKNOWN),  # there is none
    ],
)
def test_market_hours(minute, cursor, different, reason):
    account = {"ts_ns": NOW + minute, "session_cursor": cursor}
    different = {"account": account, **different}
    book, rules = desk(**different)
    limits, period_ns = rules.limits[0], rules.broker[0]["period_ns"]
    found = told(risk.check_market_hours(book.account[0], rules.sessions, limits, period_ns))
    assert found == (reason, 0.0, 0.0)
    approved = 10.0 if reason is Reason.NONE else 0.0
    assert judged(10.0, **different) == (approved, *found)
    assert judged(10.0, 10.0, **different) == (approved, *found), "what closes waits, too"


# --- all of it ---


def test_steps_answer_in_their_order():
    """With everything wrong at once the first step answers; mended, the next one does."""
    wrong = {
        "account": {
            "trading_state": REDUCING, "state_reason": int(Reason.WARMUP), "equity": 1_000.0,
            "session_open_equity": 9_000.0,
        },
        "restricted": 1, "max_position_size": 1.0, "max_order_size": 1.0, "max_daily_loss": 1.0,
        "max_position_concentration": 0.001,
    }  # fmt: skip
    seen = []
    for mended in ("trading_state", "restricted", "max_position_size", "max_order_size",
                   "max_daily_loss", "max_position_concentration"):  # fmt: skip
        seen.append(judged(10.0, **wrong)[1].name)
        wrong.pop(mended, None)
        wrong["account"].pop(mended, None)
    assert seen == [
        "REDUCE_ONLY",
        "RESTRICTED",
        "POSITION_LIMIT",
        "ORDER_SIZE_LIMIT",
        "DAILY_LOSS_LIMIT",
        "CONCENTRATION_LIMIT",
    ]
    assert judged(10.0, **wrong) == (10.0, *PASSED)


def test_closing_part_of_a_refused_reversal_is_judged_by_its_own_size_and_by_the_hours():
    held = {"position": {"qty": 40.0}, "max_position_size": 50.0}
    refused = (Reason.POSITION_LIMIT, 60.0, 50.0)
    assert judged(-100.0, -40.0, **held) == (-40.0, *refused)
    assert judged(-100.0, -40.0, **held, max_order_size=40.0) == (-40.0, *refused)
    assert judged(-100.0, -40.0, **held, max_order_size=39.0) == (
        (0.0, Reason.ORDER_SIZE_LIMIT, 40.0, 39.0)
    )
    closed = {"ts_ns": CLOSES}
    assert judged(-100.0, -40.0, **held, account=closed)[:2] == (0.0, Reason.MARKET_CLOSED)
    # Nothing is left of an order that only opens, so no later step has anything to say of it.
    assert judged(-60.0, 0.0, max_position_size=50.0, account=closed)[1] is Reason.POSITION_LIMIT


def test_order_of_another_symbol_is_judged_by_that_symbols_position():
    book, rules = desk(position={"qty": 1_000.0}, max_position_size=50.0)
    rules.instruments[0]["restricted"] = 1
    approved, reason, _, _ = risk.pre_trade(book, rules, 1, 50.0, 0.0)
    assert (approved, Reason(int(reason))) == (50.0, Reason.NONE)
