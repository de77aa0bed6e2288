"""`trader.risk`: the six steps and the four throttles as functions, and the actions they take."""

import copy
import dataclasses
import math
import pickle
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core_kit import flat_bars, run
from trader.core.schema import Reason, Side, TradingAction, TradingState
from trader.exact import real
from trader.feeds.sessions import session_table
from trader.risk import (
    Market,
    Order,
    Portfolio,
    RiskLimits,
    pre_trade_check,
    throttle_size,
)

CALM = Market(mean_volume=1e6, bid=99.99, ask=100.01, volatility=0.001)


def limits(**changes):
    values = {
        "max_position_size": 1_000.0,
        "max_order_size": 500.0,
        "max_daily_loss": 1_000.0,
        "max_position_concentration": 0.5,
        "max_volume_participation": 0.1,
        "max_spread_bps": 50.0,
        "max_volatility": 0.02,
        "throttle_max_order_size": 400.0,
    }
    return RiskLimits(**(values | changes))


def check(side="BUY", size=100.0, price=100.0, portfolio=None, is_share=False, **changes):
    order = Order("ACME", side, size, price, is_share=is_share)
    return pre_trade_check(order, limits(**changes), portfolio or Portfolio(cash=100_000.0))


# --- actions ---

ACCEPTED = [
    *[(value, TradingAction(value)) for value in (0, 1, 2, 3)],
    *[(kind(1), TradingAction.BUY) for kind in (np.int8, np.int64, np.uint8)],
    *[(name, TradingAction.SELL) for name in ("SELL", "sell", "Sell", " sell ")],
    *[(action, action) for action in TradingAction],
]
REFUSED = [4, -1, np.int64(7), True, np.bool_(True), 1.0, np.float64(1), math.nan, None]
REFUSED += [Decimal(1), Fraction(1), 1 + 0j, np.float32(0), False, np.False_]
REFUSED += ["LONG", "", "1", b"BUY", [1], (1,), object(), 2**70]


@pytest.mark.parametrize(("value", "action"), ACCEPTED)
def test_all_action_conversions(value, action):
    assert TradingAction.parse(value) is action


@pytest.mark.parametrize("value", REFUSED)
def test_action_type_conversion(value):
    """What is no action is refused, with the value in the message, and never guessed."""
    with pytest.raises(ValueError, match="not a trading action"):
        TradingAction.parse(value)
    with pytest.raises(ValueError, match="is not a valid TradingAction"):
        TradingAction(value)


def test_actions_survive_copies_and_pickles():
    for action in TradingAction:
        assert pickle.loads(pickle.dumps(action)) is action
        assert copy.deepcopy(action) is action is TradingAction[action.name]


def test_trading_action_enum_integration():
    """The numbers are frozen, names construct, and the core acts on exactly these codes."""
    assert [(action.name, int(action)) for action in TradingAction] == [
        ("HOLD", 0),
        ("BUY", 1),
        ("SELL", 2),
        ("CLOSE", 3),
    ]
    assert TradingAction("buy") is TradingAction.BUY
    actions = np.array([TradingAction.BUY, TradingAction.HOLD, TradingAction.SELL, 0], np.int8)
    result = run(flat_bars([100, 100, 100, 100]), actions, allow_short=0)
    assert result.fills["qty"].tolist() == [10.0, -10.0]
    with pytest.raises(ValueError, match="HOLD is not an order"):
        _ = Order("ACME", TradingAction.HOLD, 1.0, 1.0).sign


# --- the six steps ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": math.nan}, Reason.PARAM_QTY),
        ({"size": math.inf}, Reason.PARAM_QTY),
        ({"size": 0.0}, Reason.PARAM_QTY),
        ({"size": 10.5}, Reason.PARAM_LOT),
        ({"price": math.nan}, Reason.PARAM_PRICE),
        ({"price": 0.0}, Reason.PARAM_PRICE),
        ({"price": -5.0}, Reason.PARAM_PRICE),
        ({"price": math.inf}, Reason.PARAM_PRICE),
        ({"restricted": frozenset({"ACME"})}, Reason.RESTRICTED),
        ({"price_collar": 0.1}, Reason.NO_REFERENCE_PRICE),
        ({"max_position_size": 99.0}, Reason.POSITION_LIMIT),
        ({"max_order_size": 99.0}, Reason.ORDER_SIZE_LIMIT),
        ({"portfolio": Portfolio(99_000.0, session_open_equity=100_001.0)}, "DAILY_LOSS_LIMIT"),
        ({"max_position_concentration": 0.09}, Reason.CONCENTRATION_LIMIT),
        ({"max_gross_exposure": 0.09}, Reason.GROSS_EXPOSURE_LIMIT),
        ({"size": 400.0, "portfolio": Portfolio(39_999.0), "max_position_concentration": None},
         Reason.BUYING_POWER),
    ],
)  # fmt: skip
def test_comprehensive_pre_trade_check(changes, reason):
    verdict = check(**changes)
    assert not verdict.allowed
    assert verdict.approved_size == 0.0
    assert verdict.reason is (Reason[reason] if isinstance(reason, str) else reason)
    assert check().allowed


def test_risk_check_order_is_the_documented_one():
    """With everything broken at once, the first step answers; mended, the next one does."""
    broken = {
        "restricted": frozenset({"ACME"}),
        "max_position_size": 1.0,
        "max_order_size": 1.0,
        "max_position_concentration": 1e-6,
        "max_gross_exposure": 1e-6,
        "portfolio": Portfolio(99_000.0, session_open_equity=200_000.0),
    }
    seen = []
    for mended in ("restricted", "max_position_size", "max_order_size", "portfolio",
                   "max_position_concentration", "max_gross_exposure"):  # fmt: skip
        seen.append(check(**broken).reason.name)
        broken.pop(mended)
    assert seen == [
        "RESTRICTED",
        "POSITION_LIMIT",
        "ORDER_SIZE_LIMIT",
        "DAILY_LOSS_LIMIT",
        "CONCENTRATION_LIMIT",
        "GROSS_EXPOSURE_LIMIT",
    ]
    assert check(**broken).allowed


def test_daily_loss_limit_check():
    at_limit = Portfolio(99_000.0, session_open_equity=100_000.0)
    beyond = Portfolio(98_999.99, session_open_equity=100_000.0)
    assert check(portfolio=at_limit).allowed
    denied = check(portfolio=beyond)
    assert denied.reason is Reason.DAILY_LOSS_LIMIT
    assert (denied.observed, denied.limit) == (pytest.approx(1_000.01), 1_000.0)
    held = Portfolio(
        50_000.0, positions={"ACME": 100.0}, marks={"ACME": 100.0}, session_open_equity=70_000.0
    )
    assert check("SELL", 100.0, portfolio=held).allowed, "closing is never blocked by a loss"
    reversal = check("SELL", 150.0, portfolio=held)
    assert not reversal.allowed
    assert reversal.approved_size == 100.0, "the closing part goes on"
    unknown = Portfolio(50_000.0, positions={"OTHER": 10.0})
    assert check(portfolio=unknown).reason is Reason.DAILY_LOSS_LIMIT, "NaN equity denies"


def test_position_concentration_check():
    portfolio = Portfolio(
        60_000.0,
        positions={"ACME": 200.0, "OTHER": 200.0},
        marks={"OTHER": 100.0},
        working_buy={"ACME": 100.0},
    )
    assert check(size=200.0, portfolio=portfolio).allowed  # (200 + 100 + 200) × 100 / 100 000
    denied = check(size=201.0, portfolio=portfolio)
    assert denied.reason is Reason.CONCENTRATION_LIMIT
    assert denied.observed == pytest.approx(0.501)
    assert check(portfolio=Portfolio(-1.0)).reason is Reason.CONCENTRATION_LIMIT


def test_market_hours_step_knows_half_days_and_clock_changes():
    sessions = session_table("XNYS", *(int(t.timestamp()) * 10**9 for t in (
        datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC))))  # fmt: skip

    def reason(*moment):
        order = Order("ACME", "BUY", 10.0, 100.0)
        now = datetime(*moment, tzinfo=UTC)
        return pre_trade_check(
            order, limits(), Portfolio(1e5), now=now, sessions=sessions
        ).reason.name

    assert reason(2024, 3, 8, 14, 29) == "MARKET_CLOSED"  # winter time: opens 14:30 UTC
    assert reason(2024, 3, 8, 14, 30) == "NONE"
    assert reason(2024, 3, 11, 13, 30) == "NONE"  # summer time: opens 13:30 UTC
    assert reason(2024, 11, 29, 17, 59) == "NONE"  # the day after Thanksgiving closes at 13:00
    assert reason(2024, 11, 29, 18, 0) == "MARKET_CLOSED"
    assert reason(2024, 12, 25, 15, 0) == "MARKET_CLOSED"
    assert reason(2030, 1, 2, 15, 0) == "CALENDAR_UNKNOWN"


# --- what is no size and no price ---

NO_NUMBER = [
    None, True, False, np.True_, "100", b"100", "", [100], (100,), np.array(100.0), 100 + 0j,
    np.complex128(100), np.timedelta64(100, "s"), np.str_("100"), Fraction(100), Side.BUY,
    TradingAction.SELL, object(), 10**400, Decimal("NaN"), Decimal("sNaN"), math.nan,
    np.float32("nan"),
]  # fmt: skip
NOT_ABOVE_ZERO = [
    -5, -5.0, 0, 0.0, -0.0, np.int64(-5), Decimal(-5), Decimal(0), -math.inf, math.inf,
    Decimal("Infinity"), Decimal("1e400"), Decimal("1e-400"), np.float64("inf"), 2**63 * -1,
]  # fmt: skip
HUNDRED = [100, 100.0, np.int16(100), np.uint64(100), np.float32(100), np.float64(100),
           np.longdouble(100), Decimal(100), Decimal("100.0")]  # fmt: skip


def kind(value):
    return f"{type(value).__name__} {value!r:.20}"


@pytest.mark.parametrize("value", HUNDRED, ids=kind)
def test_real_numbers_of_every_kind_are_sizes_and_prices(value):
    assert (real(value), type(real(value))) == (100.0, float)
    assert check(size=value, price=value) == check(size=100.0, price=100.0)
    assert check(size=value, price=value).allowed
    order = throttle_size(Order("ACME", "BUY", value, value), limits(), CALM)
    assert (order.size, order.original_size, order.reasons) == (100.0, 100.0, ())


@pytest.mark.parametrize("value", NO_NUMBER, ids=kind)
def test_what_is_no_number_is_nan(value):
    assert math.isnan(real(value))


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("value", [*NO_NUMBER, *NOT_ABOVE_ZERO], ids=kind)
def test_size_that_is_none_is_denied_and_never_judged_as_another(value, side):
    held = Portfolio(1e6, {"ACME": 5.0 if side == "BUY" else -5.0})  # −5 would close it
    verdict = check(side, size=value, portfolio=held)
    assert (verdict.allowed, verdict.reason) == (False, Reason.PARAM_QTY)
    assert verdict.approved_size == 0.0
    assert verdict.observed == pytest.approx(real(value), nan_ok=True)
    order = throttle_size(Order("ACME", side, value, 100.0), limits(), CALM, position=5.0)
    assert (order.size, order.denied, order.steps) == (0.0, Reason.PARAM_QTY, ())
    assert order.reasons == (Reason.PARAM_QTY,)
    assert order.original_size == pytest.approx(real(value), nan_ok=True)


@pytest.mark.parametrize("value", [*NO_NUMBER, *NOT_ABOVE_ZERO], ids=kind)
def test_price_that_is_none_is_denied(value):
    verdict = check(price=value)
    assert (verdict.allowed, verdict.reason) == (False, Reason.PARAM_PRICE)
    assert verdict.observed == pytest.approx(real(value), nan_ok=True)
    order = throttle_size(Order("ACME", "BUY", 100.0, value), limits(), CALM)
    assert (order.size, order.denied, order.steps) == (0.0, Reason.PARAM_PRICE, ())
    assert order.original_size == 100.0


def test_size_is_judged_before_the_price_and_the_state_before_both():
    assert check(size=-5, price=-5).reason is Reason.PARAM_QTY
    assert throttle_size(Order("A", "BUY", -5, -5), limits(), CALM).denied is Reason.PARAM_QTY
    halted = Portfolio(1e6, trading_state=TradingState.HALTED, state_reason=Reason.KILLED)
    assert check(size=-5, portfolio=halted).reason is Reason.KILLED


@pytest.mark.parametrize("value", [True, "99", -99.0, 0, math.nan, Decimal("NaN")], ids=kind)
def test_reference_price_that_is_none_is_a_missing_one(value):
    order = Order("ACME", "BUY", 1.0, 100.0, value)
    verdict = pre_trade_check(order, limits(price_collar=0.1), Portfolio(1e6))
    assert verdict.reason is Reason.NO_REFERENCE_PRICE
    fine = dataclasses.replace(order, reference_price=Decimal(99))
    assert pre_trade_check(fine, limits(price_collar=0.1), Portfolio(1e6)).allowed


@pytest.mark.parametrize("value", [True, "1000000", None, Decimal("NaN")], ids=kind)
def test_portfolio_that_is_not_known_in_numbers_denies(value):
    known = {"cash": 1e6, "positions": {"ACME": 5.0, "B": 5.0}, "marks": {"B": 1.0},
             "working_buy": {"ACME": 1.0}, "working_sell": {"ACME": 1.0},
             "session_open_equity": 1e6, "peak_equity": 1e6}  # fmt: skip
    asked = {"max_drawdown_frac": 0.5, "size": 10.0}
    assert check(portfolio=Portfolio(**known), **asked).allowed
    wrong = [
        (name, value if not isinstance(whole, dict) else whole | {symbol: value})
        for name, whole in known.items() if name != "working_sell"
        for symbol in (whole if isinstance(whole, dict) else [""])
        if not (value is None and name in ("session_open_equity", "peak_equity"))  # left out
    ]  # fmt: skip
    for name, given_instead in wrong:
        verdict = check(portfolio=Portfolio(**known | {name: given_instead}), **asked)
        assert not verdict.allowed, (name, given_instead)


@pytest.mark.parametrize("value", [True, "3", None, Decimal("NaN"), -3.0], ids=kind)
def test_working_orders_that_are_unknown_leave_nothing_to_close(value):
    for side, held, name in (("SELL", 5.0, "working_sell"), ("BUY", -5.0, "working_buy")):
        known = Portfolio(1e6, {"ACME": held}, **{name: {"ACME": 0}})
        assert check(side, 5.0, portfolio=known, max_position_size=1.0).allowed
        unknown = Portfolio(1e6, {"ACME": held}, **{name: {"ACME": value}})
        verdict = check(side, 5.0, portfolio=unknown, max_position_size=None)
        assert (verdict.reason, verdict.approved_size) == (Reason.POSITION_LIMIT, 0.0)


def test_working_orders_of_the_closing_side_leave_the_rest_to_close():
    for side, held, name in (("SELL", 5.0, "working_sell"), ("BUY", -5.0, "working_buy")):
        partly = Portfolio(
            1e6, {"ACME": held}, trading_state=TradingState.REDUCING, **{name: {"ACME": 3.0}}
        )
        assert check(side, 2.0, portfolio=partly).allowed
        assert not check(side, 4.0, portfolio=partly).allowed


@pytest.mark.parametrize("value", [True, "1000000", None, Decimal("NaN")], ids=kind)
@pytest.mark.parametrize("name", ["mean_volume", "bid", "ask", "volatility"])
def test_driver_that_is_no_number_lets_nothing_through(name, value):
    market = dataclasses.replace(CALM, **{name: value})
    assert throttle_size(Order("ACME", "BUY", 1, 100), limits(), market).size == 0.0


@pytest.mark.parametrize("value", [True, "-100", None, math.nan, -math.inf, 0.0, 100], ids=kind)
def test_position_that_is_unknown_closes_nothing(value):
    wide = Market(mean_volume=1e6, bid=99.5, ask=100.5, volatility=0.001)  # twice the limit
    order = Order("ACME", "BUY", 100, 100.0)
    assert throttle_size(order, limits(), wide, position=value).size == 50.0
    assert throttle_size(order, limits(), wide, position=Decimal(-100)).size == 100.0


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", True, None], ids=kind)
def test_lot_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"^lot_size is .*: a lot is a number > 0$"):
        check(lot_size=value)
    with pytest.raises(ValueError, match="lot_size is"):
        throttle_size(Order("ACME", "BUY", 1, 1), limits(lot_size=value), CALM)


def test_limits_may_be_decimals_and_are_kept_exactly():
    exact = {"lot_size": Decimal("0.5"), "min_order_size": Decimal(2), "max_order_size": Decimal(9)}
    assert check(size=8.5, **exact).allowed
    assert check(size=8.75, **exact).reason is Reason.PARAM_LOT
    assert check(size=9.5, **exact).reason is Reason.ORDER_SIZE_LIMIT
    for size, left in ((1.5, 0.0), (2, 2.0)):
        assert throttle_size(Order("A", "BUY", size, 1), limits(**exact), CALM).size == left
    market = dataclasses.replace(CALM, mean_volume=Decimal("27.4"))
    assert throttle_size(Order("A", "BUY", 3, 1), limits(**exact), market).size == 2.5


# --- the throttles ---


def test_enhanced_throttle_size():
    wild = Market(mean_volume=3_000.0, bid=99.5, ask=100.5, volatility=0.04)
    order = throttle_size(Order("ACME", "BUY", 1_000.0, 100.0), limits(), wild)
    assert order.original_size == 1_000.0
    assert [(step.reason.name, step.before, step.after) for step in order.steps] == [
        ("VOLUME_PARTICIPATION", 1_000.0, 300.0),
        ("SPREAD", 300.0, 150.0),
        ("VOLATILITY", 150.0, 75.0),
    ]
    assert order.size == 75.0
    capped = throttle_size(Order("ACME", "BUY", 1_000.0, 100.0), limits(), CALM)
    assert [(step.reason, step.driver) for step in capped.steps] == [(Reason.ABSOLUTE_CAP, 0.0)]
    assert capped.size == 400.0
    assert throttle_size(Order("ACME", "BUY", 10.0, 100.0), limits(), CALM).reasons == ()


@pytest.mark.parametrize(
    ("mean_volume", "size"),
    [(5_000.0, 100.0), (999.0, 99.0), (10.0, 1.0), (9.0, 0.0), (0.0, 0.0), (None, 0.0)],
)
def test_volume_participation_throttling(mean_volume, size):
    market = Market(mean_volume=mean_volume, bid=99.99, ask=100.01, volatility=0.001)
    order = throttle_size(Order("ACME", "SELL", 100.0, 100.0), limits(), market)
    assert order.size == size
    if size == 0.0:
        assert order.denied is Reason.THROTTLED_TO_ZERO
        assert order.reasons == (Reason.VOLUME_PARTICIPATION, Reason.THROTTLED_TO_ZERO)


def test_closing_orders_are_cut_by_volume_and_cap_only():
    wild = Market(mean_volume=3_000.0, bid=90.0, ask=110.0, volatility=9.0)
    closing = throttle_size(Order("ACME", "SELL", 350.0, 100.0), limits(), wild, position=350.0)
    assert [step.reason for step in closing.steps] == [Reason.VOLUME_PARTICIPATION]
    assert closing.size == 300.0


def test_crossed_and_missing_quotes_let_nothing_through():
    crossed = Market(mean_volume=1e6, bid=101.0, ask=100.0, volatility=0.001)
    order = throttle_size(Order("ACME", "BUY", 10.0, 100.0), limits(), crossed)
    assert (order.size, order.steps[0].reason) == (0.0, Reason.CROSSED_BOOK)
    missing = Market(mean_volume=1e6, bid=None, ask=100.0, volatility=0.001)
    assert throttle_size(Order("ACME", "BUY", 10.0, 100.0), limits(), missing).size == 0.0


def test_below_min_size_is_denied():
    order = throttle_size(
        Order("ACME", "BUY", 100.0, 100.0), limits(min_order_size=60.0),
        Market(mean_volume=500.0, bid=99.99, ask=100.01, volatility=0.001),
    )  # fmt: skip
    assert (order.size, order.denied) == (0.0, Reason.BELOW_MIN_SIZE)


@given(
    size=st.integers(1, 5_000),
    volume=st.floats(0, 1e6),
    half=st.floats(0, 50),
    volatility=st.floats(0, 1),
    position=st.integers(-2_000, 2_000),
)
def test_throttled_size_never_exceeds_the_order_and_the_chain_is_unbroken(
    size, volume, half, volatility, position
):
    market = Market(volume, 100.0 - half, 100.0 + half, volatility)
    order = throttle_size(
        Order("ACME", Side.BUY, float(size), 100.0), limits(), market, position=float(position)
    )
    assert 0.0 <= order.size <= size
    before = float(size)
    for step in order.steps:
        assert step.before == before
        assert step.after < before
        before = step.after
    assert order.size in (before, 0.0)


def test_the_api_answers_as_a_run_does():
    """The same order in the core's loop and through the functions: same verdict, same sizes."""
    bars = flat_bars([100.0] * 6, volume=2_500.0)
    result = run(
        bars, "....B.", base_size=480.0, max_order_size=500.0, max_volume_participation=0.1,
        throttle_max_order_size=400.0,
    )  # fmt: skip
    market = Market(mean_volume=2_500.0)
    order = throttle_size(
        Order("ACME", "BUY", 480.0, 100.0),
        limits(max_spread_bps=None, max_volatility=None), market,
    )  # fmt: skip
    assert order.size == result.decisions[4]["approved_qty"] == 250.0


# --- what the functions are given ---


@pytest.mark.parametrize("name", ["max_order_notional", "price_collar", "max_drawdown_frac"])
@pytest.mark.parametrize("value", [math.nan, -1.0, "10", True, Decimal("NaN")], ids=kind)
def test_limit_that_is_no_number_or_negative_is_refused_and_never_taken_for_none(name, value):
    with pytest.raises(
        ValueError,
        match=rf"^{name} is {re.escape(repr(value))}: a limit is a "
        "number >= 0, or None for off$",
    ):
        check(**{name: value})


def test_limit_of_zero_is_a_limit_and_none_is_none():
    assert check(max_daily_loss=0.0).allowed
    assert check(max_order_size=0.0).reason is Reason.ORDER_SIZE_LIMIT
    off = dict.fromkeys(("max_position_size", "max_order_size", "max_daily_loss",
                         "max_position_concentration"))  # fmt: skip
    assert check(size=900.0, **off).allowed
    record = limits(**off).record()[0]
    assert record["max_position_size"] == math.inf
    assert (record["volume_window"], record["volatility_window"]) == (2, 2)
    assert (record["min_order_size"], record["allow_margin"]) == (0.0, 0)


def test_market_hours_need_both_a_time_with_a_zone_and_the_sessions():
    order, now = Order("ACME", "BUY", 1.0, 100.0), datetime(2024, 3, 8, 15, tzinfo=UTC)
    sessions = np.zeros(1, session_table("24x7", 0, 1).dtype)
    with pytest.raises(ValueError, match="market hours need both now and sessions"):
        pre_trade_check(order, limits(), Portfolio(1e5), now=now)
    with pytest.raises(ValueError, match="market hours need both now and sessions"):
        pre_trade_check(order, limits(), Portfolio(1e5), sessions=sessions)
    naive = now.replace(tzinfo=None)
    with pytest.raises(ValueError, match="now must carry a time zone"):
        pre_trade_check(order, limits(), Portfolio(1e5), now=naive, sessions=sessions)


def test_side_may_be_a_side_an_action_or_a_name():
    assert [Order("A", side, 1.0, 1.0).sign for side in (Side.BUY, "buy", 1)] == [1.0, 1.0, 1.0]
    assert [Order("A", side, 1.0, 1.0).sign for side in (Side.SELL, "SELL", 2)] == [-1.0] * 3
    for none in ("HOLD", 0, TradingAction.HOLD):
        with pytest.raises(ValueError, match="an order buys or sells; HOLD is not an order"):
            _ = Order("A", none, 1.0, 1.0).sign


def test_only_what_is_asked_for_is_approved_and_what_was_seen_is_told():
    held = Portfolio(50_000.0, positions={"ACME": 100.0}, session_open_equity=70_000.0)
    closing = check("SELL", 100.0, portfolio=held)
    assert closing == type(closing)(True, Reason.NONE, 0.0, 0.0, 100.0)
    reversal = check("SELL", 150.0, portfolio=held)
    assert reversal == type(reversal)(False, Reason.DAILY_LOSS_LIMIT, 10_000.0, 1_000.0, 100.0)


def test_working_orders_of_the_symbol_and_of_others_are_seen():
    working = Portfolio(1e6, working_buy={"ACME": 60.0}, working_sell={"ACME": 500.0})
    assert check(size=40.0, portfolio=working, max_position_size=100.0).allowed
    assert check(size=41.0, portfolio=working, max_position_size=100.0).observed == 101.0
    assert check("SELL", 1.0, portfolio=working, max_position_size=500.0).observed == 501.0
    elsewhere = Portfolio(1e6, marks={"OTHER": 50.0}, working_sell={"OTHER": 2_000.0})
    gross = check(portfolio=elsewhere, max_gross_exposure=0.1)
    assert (gross.reason, gross.observed) == (Reason.GROSS_EXPOSURE_LIMIT, pytest.approx(0.11))


def test_restriction_is_of_the_orders_own_symbol():
    held = Portfolio(1e6, positions={"OTHER": 1.0}, marks={"OTHER": 1.0})
    assert check(portfolio=held, restricted=frozenset({"OTHER"})).allowed
    assert check(portfolio=held, restricted=frozenset({"ACME"})).reason is Reason.RESTRICTED


def test_collar_is_about_the_close_before():
    def reason(reference):
        order = Order("ACME", "BUY", 1.0, 110.0, reference)
        return pre_trade_check(order, limits(price_collar=0.1), Portfolio(1e6)).reason

    assert reason(100.0) is Reason.NONE
    assert reason(99.0) is Reason.PRICE_COLLAR
    assert reason(None) is Reason.NO_REFERENCE_PRICE


def test_order_brings_the_mark_of_its_own_symbol():
    stale = Portfolio(1e6, positions={"ACME": 100.0}, marks={"ACME": 1.0}, peak_equity=1_020_000.0)
    assert check(portfolio=stale, max_drawdown_frac=0.01).allowed  # at 100 it has 1,010,000
    low = check(price=90.0, portfolio=stale, max_drawdown_frac=0.01)
    assert low.reason is Reason.DRAWDOWN_LIMIT
    assert low.observed == pytest.approx(11_000 / 1_020_000)


def test_without_a_peak_the_higher_of_now_and_the_open_is_the_peak():
    fallen = Portfolio(90_000.0, session_open_equity=100_000.0)
    free = {"max_daily_loss": None, "max_position_concentration": None}
    assert check(portfolio=fallen, max_drawdown_frac=0.1, **free).allowed
    seen = check(portfolio=fallen, max_drawdown_frac=0.09, **free)
    assert (seen.reason, seen.observed) == (Reason.DRAWDOWN_LIMIT, pytest.approx(0.1))


def test_trading_state_and_its_cause_are_those_of_the_portfolio():
    state = Portfolio(1e6, {"ACME": 5.0}, trading_state=TradingState.HALTED,
                      state_reason=Reason.KILLED)  # fmt: skip
    assert check("SELL", 5.0, portfolio=state).reason is Reason.KILLED
    state = Portfolio(1e6, {"ACME": 5.0}, trading_state=TradingState.REDUCING)
    assert check("SELL", 5.0, portfolio=state).allowed
    assert check("BUY", 5.0, portfolio=state).reason is Reason.REDUCE_ONLY


def test_a_share_of_the_money_is_trimmed_to_what_can_be_paid_as_in_a_run():
    poor = {"portfolio": Portfolio(40_000.0), "max_position_concentration": None}
    verdict = check(**poor, size=500.0, is_share=True)
    assert (verdict.allowed, verdict.reason) == (False, Reason.TRIMMED_TO_CASH)
    assert (verdict.approved_size, verdict.observed, verdict.limit) == (400.0, 50_000.0, 40_000.0)
    assert check(**poor, size=400.0, is_share=True).allowed
    nothing = {**poor, "portfolio": Portfolio(99.0)}
    assert check(**nothing, size=500.0, is_share=True).reason is Reason.BUYING_POWER
    reversal = {**poor, "max_order_size": None, "portfolio": Portfolio(30_000.0, {"ACME": 100.0})}
    trimmed = check("SELL", 700.0, **reversal, is_share=True)
    assert (trimmed.reason, trimmed.approved_size) == (Reason.TRIMMED_TO_CASH, 500.0)


def test_margin_is_off_until_it_is_allowed():
    poor = {"size": 500.0, "portfolio": Portfolio(40_000.0), "max_position_concentration": None}
    assert check(**poor).reason is Reason.BUYING_POWER
    assert check(**poor, allow_margin=True).allowed
    assert check(**poor, max_gross_exposure=1.0, allow_margin=True).observed == 1.25


def test_time_is_kept_to_the_microsecond_and_before_1970():
    sessions = np.zeros(2, session_table("24x7", 0, 1).dtype)
    sessions["open_ns"] = -(10**9), 5 * 10**9
    sessions["close_ns"] = -2_000, 6 * 10**9  # two microseconds before the epoch

    def reason(seconds, micros):
        now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micros)
        order = Order("ACME", "BUY", 1.0, 100.0)
        return pre_trade_check(order, limits(), Portfolio(1e6), now=now, sessions=sessions).reason

    assert reason(0, -3) is Reason.NONE
    assert reason(0, -2) is Reason.MARKET_CLOSED
    assert reason(-1, 0) is Reason.NONE
    assert reason(-1, -1) is Reason.CALENDAR_UNKNOWN
    assert reason(4, 999_999) is Reason.MARKET_CLOSED
    assert reason(5, 0) is Reason.NONE
    assert reason(6, 0) is Reason.MARKET_CLOSED
    assert reason(6, 1) is Reason.CALENDAR_UNKNOWN


def test_without_a_time_the_market_counts_as_open():
    assert check(size=1.0).allowed


# --- what a throttled order tells ---


def test_lots_of_a_symbol_round_what_is_left_down():
    market = Market(mean_volume=990.0, bid=99.99, ask=100.01, volatility=0.001)
    order = Order("ACME", "BUY", 100.0, 100.0)
    assert throttle_size(order, limits(lot_size=10.0), market).size == 90.0
    assert check(size=15.0, lot_size=10.0).reason is Reason.PARAM_LOT


def test_spread_does_not_cut_what_closes_and_cuts_what_opens():
    wide = Market(mean_volume=1e6, bid=99.5, ask=100.5, volatility=0.001)  # twice the limit
    sell = Order("ACME", "SELL", 100.0, 100.0)
    sizes = [throttle_size(sell, limits(), wide, position=held).size
             for held in (0.0, 60.0, 100.0, 500.0, -60.0)]  # fmt: skip
    assert sizes == [50.0, 80.0, 100.0, 100.0, 50.0]
    buy = Order("ACME", "BUY", 100.0, 100.0)
    sizes = [throttle_size(buy, limits(), wide, position=held).size for held in (60.0, -60.0)]
    assert sizes == [50.0, 80.0]


def test_step_tells_driver_and_limit():
    market = Market(mean_volume=500.0, bid=99.99, ask=100.01, volatility=0.001)
    (step,) = throttle_size(Order("ACME", "BUY", 100.0, 100.0), limits(), market).steps
    assert (step.driver, step.limit, step.after) == (500.0, 0.1, 50.0)


def test_smallest_size_is_not_asked_of_the_rest_of_a_position():
    market = Market(mean_volume=1e6, bid=99.99, ask=100.01, volatility=0.001)
    least = limits(min_order_size=60.0)

    def outcome(side, size, position):
        order = throttle_size(Order("ACME", side, size, 100.0), least, market, position=position)
        return order.size, order.denied

    assert outcome("BUY", 60.0, 0.0) == (60.0, Reason.NONE)
    assert outcome("BUY", 59.0, 0.0) == (0.0, Reason.BELOW_MIN_SIZE)
    assert outcome("SELL", 59.0, 59.0) == (59.0, Reason.NONE)
    assert outcome("BUY", 59.0, -59.0) == (59.0, Reason.NONE)
    assert outcome("SELL", 59.0, 100.0) == (0.0, Reason.BELOW_MIN_SIZE)
    assert outcome("BUY", 59.0, 59.0) == (0.0, Reason.BELOW_MIN_SIZE)


def test_limits_that_are_off_cut_nothing():
    off = dict.fromkeys(("max_volume_participation", "max_spread_bps", "max_volatility",
                         "throttle_max_order_size"))  # fmt: skip
    order = throttle_size(Order("ACME", "BUY", 1e5, 100.0), limits(**off), Market())
    assert (order.size, order.reasons) == (1e5, ())
    only_last = throttle_size(
        Order("ACME", "BUY", 1e5, 100.0), limits(**off | {"throttle_max_order_size": 7.0}), Market()
    )
    assert (only_last.size, only_last.reasons) == (7.0, (Reason.ABSOLUTE_CAP,))


PUBLIC = [
    "KillSwitchReason", "Market", "Order", "Portfolio", "Reason", "RiskDecision", "RiskLimits",
    "Side", "ThrottleStep", "ThrottledOrder", "TradingAction", "TradingState", "pre_trade_check",
    "throttle_size",
]  # fmt: skip


def test_the_public_names_are_these_and_all_there():
    from trader import risk

    assert risk.__all__ == PUBLIC
    assert all(hasattr(risk, name) for name in PUBLIC)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name[0].isupper()])
def test_what_is_judged_and_answered_cannot_be_changed_afterwards(name: str):
    from trader import risk

    kind = getattr(risk, name)
    if dataclasses.is_dataclass(kind):
        assert kind.__dataclass_params__.frozen


def test_limits_are_given_by_name_and_the_loose_ones_are_off():
    from trader.risk import RiskLimits

    with pytest.raises(TypeError):
        RiskLimits(*[1.0] * 8)  # type: ignore[misc]
    required = dict.fromkeys(
        (
            "max_position_size", "max_order_size", "max_daily_loss", "max_position_concentration",
            "max_volume_participation", "max_spread_bps", "max_volatility",
            "throttle_max_order_size",
        )
    )  # fmt: skip
    limits = RiskLimits(**required)  # type: ignore[arg-type]
    loose = {
        "min_order_size": 0.0, "max_position_notional": None, "max_order_notional": None,
        "max_drawdown_frac": None, "max_gross_exposure": None, "price_collar": None,
        "allow_margin": False, "lot_size": 1.0, "restricted": frozenset(),
    }  # fmt: skip
    assert dataclasses.asdict(limits) == {**required, **loose}


def test_mistakes_are_told_in_these_words():
    from trader.risk import Order

    with pytest.raises(ValueError, match=r"^an order buys or sells; HOLD is not an order$"):
        Order("ACME", "HOLD", 1.0, 1.0).sign  # noqa: B018
