"""The core on small tables of bars: when an order fills, at what price, and what stops it."""

import math

import numpy as np
import pytest

from tests.core_kit import DAY, MINUTE, START, bars_from, flat_bars, run
from trader.core.schema import SESSION, EventKind, FillRule, OnBreach, Reason, TimeInForce

HALTED, REDUCING, ACTIVE = 2, 1, 0


def fills_of(result):
    return [(float(fill["qty"]), float(fill["price"])) for fill in result.fills]


# --- when and at what price ---


def test_order_decided_on_a_close_fills_at_the_next_open():
    bars = bars_from([(10, 11, 9, 10.5, 100), (12, 13, 11, 12.5, 100), (14, 15, 13, 14, 100)])
    result = run(bars, "BB.")
    assert fills_of(result) == [(10.0, 12.0)]
    assert result.fills[0]["ts_ns"] == START + MINUTE  # open of the second bar
    assert result.account["equity"] == 100_000 + 10 * (14 - 12)


def test_order_of_the_last_bar_stays_working():
    result = run(flat_bars([10, 10]), ".B")
    assert len(result.fills) == 0
    assert result.positions[0]["working_orders"] == 1


def test_same_close_fills_at_the_close_decided_on():
    bars = bars_from([(10, 11, 9, 10.5, 100), (12, 13, 11, 12.5, 100)])
    result = run(bars, "B.", fill=FillRule.SAME_CLOSE)
    assert fills_of(result) == [(10.0, 10.5)]
    assert result.fills[0]["ts_ns"] == START + MINUTE  # close of the first bar


@pytest.mark.parametrize(("actions", "price"), [("B.", 10.02), ("S.", 9.98)])
def test_slippage_moves_the_price_against_the_order_and_rounds_against_it(actions, price):
    result = run(flat_bars([10, 10]), actions, slippage_value=15.0, tick_size=0.01)
    assert result.fills[0]["price"] == pytest.approx(price, abs=1e-12)
    assert result.fills[0]["slippage"] == pytest.approx(0.2)


def test_half_spread_slippage_uses_the_spread_known_when_the_order_was_decided():
    bars = bars_from([(10, 10, 10, 10, 9, 9.9, 10.1), (10, 10, 10, 10, 9, 9.0, 11.0)])
    result = run(bars, "B.", slippage_type=1, slippage_value=1.0)
    assert result.fills[0]["price"] == pytest.approx(10.1)


def test_half_spread_without_any_quote_yet_denies():
    assert run(flat_bars([10, 10]), "B.", slippage_type=1).reasons()[0] == "NO_QUOTE"


def test_volume_share_slippage_grows_with_the_square_of_the_share():
    bars = flat_bars([100, 100], volume=40)
    result = run(bars, "B.", slippage_type=2, slippage_value=0.1)
    assert result.fills[0]["price"] == pytest.approx(100 * (1 + 0.1 * (10 / 40) ** 2))


@pytest.mark.parametrize(
    ("kind", "value", "minimum", "expected"),
    [(0, 10.0, 0.0, 1.0), (0, 10.0, 5.0, 5.0), (1, 0.02, 0.0, 0.2), (2, 3.0, 0.0, 3.0)],
)
def test_commission_by_kind_with_minimum(kind, value, minimum, expected):
    result = run(
        flat_bars([100, 100]),
        "B.",
        commission_type=kind,
        commission_value=value,
        commission_minimum=minimum,
    )
    assert result.fills[0]["commission"] == pytest.approx(expected)
    assert result.account["cash"] == pytest.approx(100_000 - 1_000 - expected)


def test_minimum_commission_is_charged_once_an_order_not_once_a_fill():
    bars = flat_bars([100] * 5, volume=4)
    result = run(bars, "B....", max_fill_participation=1.0, commission_minimum=5.0)
    assert [float(fill["qty"]) for fill in result.fills] == [4.0, 4.0, 2.0]
    assert result.fills["commission"].tolist() == [5.0, 0.0, 0.0]


def test_orders_share_the_volume_of_a_bar_and_the_rest_keeps_working():
    bars = flat_bars([100] * 4, volume=8)
    result = run(bars, "BB..", mode=1, base_size=6.0, max_fill_participation=1.0)
    assert fills_of(result) == [(6.0, 100.0), (6.0, 100.0)]
    assert result.fills["ts_ns"].tolist() == [START + MINUTE, START + 2 * MINUTE]


def test_ioc_cancels_the_rest_after_its_first_bar():
    bars = flat_bars([100] * 3, volume=4)
    result = run(bars, "B..", max_fill_participation=1.0, time_in_force=TimeInForce.IOC)
    assert fills_of(result) == [(4.0, 100.0)]
    event = result.events[0]
    assert (event["kind"], event["reason"]) == (EventKind.ORDER_CANCELLED, Reason.TIME_IN_FORCE)
    assert event["value"] == 6.0
    assert result.positions[0]["working_orders"] == 0


def test_day_order_does_not_survive_its_session():
    bars = flat_bars([100] * 3, volume=4)
    bars["ts_ns"][2] += DAY
    result = run(bars, "B..", max_fill_participation=1.0, time_in_force=TimeInForce.DAY)
    assert fills_of(result) == [(4.0, 100.0)]


def test_opposite_working_order_is_withdrawn_not_crossed():
    bars = flat_bars([100] * 3, volume=4)
    result = run(bars, "BS.", max_fill_participation=1.0)
    assert Reason.REPLACED in result.events["reason"]
    assert fills_of(result) == [(4.0, 100.0), (-4.0, 100.0)]
    assert result.fills["order_id"].tolist() == [1, 2]


def test_reversal_is_one_order_and_realises_the_old_position():
    result = run(flat_bars([100, 100, 110, 110]), "BS..", base_size=5.0)
    assert fills_of(result) == [(5.0, 100.0), (-10.0, 110.0)]
    assert result.fills["realized_pnl"].tolist() == [0.0, 50.0]
    assert result.positions[0]["avg_price"] == 110.0


# --- sizing ---


def test_increment_adds_and_is_clipped_at_flat_without_shorts():
    result = run(flat_bars([100] * 6), "BBSSS.", mode=1, base_size=3.0, allow_short=0)
    assert result.decisions["requested_qty"].tolist() == [3.0, 3.0, -3.0, -3.0, 0.0, 0.0]
    assert result.reasons()[4] == "SHORT_NOT_ALLOWED"


def test_percent_equity_buys_that_fraction_and_leaves_it_alone():
    result = run(flat_bars([100, 100, 120, 120]), "BBB.", mode=2, percent=0.25)
    assert result.decisions["requested_qty"].tolist() == [250.0, 0.0, 0.0, 0.0]


def test_percent_equity_rebalances_beyond_its_threshold():
    result = run(
        flat_bars([100, 100, 150, 150]), "BBB.", mode=2, percent=0.25, rebalance_threshold=0.1
    )
    assert result.decisions["requested_qty"][2] == math.floor((100_000 + 12_500) / 4 / 150) - 250


def test_all_of_equity_passes_the_buying_power_check_with_commission():
    result = run(
        flat_bars([100, 100]), "B.", mode=2, percent=1.0, allow_margin=0, commission_value=10.0
    )
    assert result.decisions["approved_qty"][0] == 999.0
    assert result.account["cash"] >= 0


def test_volatility_target_halves_the_position_when_volatility_doubles():
    def size(step):
        prices = [100, 100 * (1 + step), 100, 100 * (1 + step), 100, 100]
        result = run(
            flat_bars(prices), "....B.", mode=3, target_volatility=0.001, annualisation=1.0
        )
        return float(result.decisions["requested_qty"][4])

    assert size(0.02) == pytest.approx(size(0.01) / 2, rel=0.02)


def test_volatility_target_waits_for_its_window():
    assert run(flat_bars([100, 101]), "B.", mode=3, target_volatility=0.1).reasons()[0] == (
        "NO_VOLATILITY"
    )


# --- the six steps ---


@pytest.mark.parametrize(
    ("changes", "reason", "observed"),
    [
        ({"max_position_size": 9.0}, "POSITION_LIMIT", 10.0),
        ({"max_position_notional": 999.0}, "POSITION_NOTIONAL_LIMIT", 1000.0),
        ({"max_order_size": 9.0}, "ORDER_SIZE_LIMIT", 10.0),
        ({"max_order_notional": 999.0}, "ORDER_NOTIONAL_LIMIT", 1000.0),
        ({"max_position_concentration": 0.0099}, "CONCENTRATION_LIMIT", 0.01),
        ({"max_gross_exposure": 0.0099}, "GROSS_EXPOSURE_LIMIT", 0.01),
        ({"cash": 999.0, "allow_margin": 0}, "BUYING_POWER", 1000.0),
        ({"restricted": 1}, "RESTRICTED", 1.0),
        ({"max_orders_per_bar": 0.0}, "ORDER_RATE_LIMIT", 1.0),
        ({"max_orders_per_second": 0.0}, "ORDER_RATE_LIMIT", 1.0),
        ({"max_orders_per_day": 0.0}, "ORDER_RATE_LIMIT", 1.0),
        ({"price_collar": 0.1}, "NO_REFERENCE_PRICE", 0.0),
        ({"min_order_size": 11.0}, "BELOW_MIN_SIZE", 10.0),
    ],
)
def test_limit_denies_with_its_reason_and_what_it_saw(changes, reason, observed):
    result = run(flat_bars([100, 100]), "B.", **changes)
    decision = result.decisions[0]
    assert result.reasons()[0] == reason
    assert decision["requested_qty"] == 10.0
    assert decision["approved_qty"] == 0.0
    assert decision["observed"] == pytest.approx(observed)
    assert len(result.fills) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"max_position_size": 10.0},
        {"max_position_notional": 1000.0},
        {"max_order_size": 10.0},
        {"max_order_notional": 1000.0},
        {"max_position_concentration": 0.01},
        {"max_gross_exposure": 0.01},
        {"cash": 1000.0, "allow_margin": 0},
        {"max_orders_per_bar": 1.0},
        {"min_order_size": 10.0},
    ],
)
def test_a_value_exactly_at_the_limit_passes(changes):
    assert run(flat_bars([100, 100]), "B.", **changes).decisions[0]["approved_qty"] == 10.0


def test_position_limit_counts_working_orders():
    bars = flat_bars([100] * 3, volume=1)
    result = run(bars, "BB.", mode=1, max_position_size=15.0, max_fill_participation=1.0)
    assert result.reasons()[:2] == ["NONE", "POSITION_LIMIT"]
    assert result.decisions[1]["observed"] == 20.0


def test_gross_exposure_counts_intents_of_the_same_slice():
    bars = np.concatenate([flat_bars([100, 100]), flat_bars([100, 100], symbol=1)])
    bars = bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]
    result = run(bars, "BB..", max_gross_exposure=0.015)
    assert result.reasons()[:2] == ["NONE", "GROSS_EXPOSURE_LIMIT"]
    assert result.decisions[1]["observed"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_position_size": 5.0},
        {"max_position_concentration": 0.001},
        {"max_gross_exposure": 0.001},
        {"max_orders_per_day": 1.0},
        {"allow_margin": 0},
        {"max_spread_bps": 1.0},
        {"max_volatility": 1e-9},
    ],
)
def test_no_limit_but_size_and_hours_blocks_or_shrinks_a_closing_order(changes):
    """The position is opened without the limit; the same book then meets it."""
    from tests.core_kit import always_open, make_inputs, make_rules
    from trader.books import new_book, new_out
    from trader.engine.compiled_loop import run_slices
    from trader.engine.trial import NO_TRACE

    prices = [100, 101, 99, 100, 102, 100]
    bars = bars_from([(p, p, p, p, 1e6, p - 1, p + 1) for p in prices])
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    free, limited = make_rules(sessions), make_rules(sessions, allow_short=0, **changes)
    if "max_position_size" in changes:  # a position above the size limit halts: drop the tripwire
        limited.limits["max_position_size"] = 10.0
    book, out = new_book(limited), new_out(1, 16)  # its windows are those of the limits
    inputs = make_inputs(bars, "B...S.")
    half = make_inputs(bars[:4], "B...")
    assert run_slices(book, free, half, 0, out, NO_TRACE) == 4
    run_slices(book, limited, inputs, 4, out, NO_TRACE)
    assert out.decisions[4]["approved_qty"] == -10.0
    assert book.positions[0]["qty"] == 0.0


def test_reversal_whose_opening_part_is_refused_still_closes():
    result = run(flat_bars([100] * 5), "B.S..", max_position_size=10.0, max_order_size=15.0)
    decision = result.decisions[2]
    assert (decision["requested_qty"], decision["approved_qty"]) == (-20.0, -10.0)
    assert Reason(int(decision["reason"])) is Reason.ORDER_SIZE_LIMIT
    assert result.positions[0]["qty"] == 0.0


def test_a_closing_order_larger_than_the_order_size_limit_goes_out_in_pieces():
    from tests.core_kit import always_open, make_inputs, make_rules
    from trader.books import new_book, new_out
    from trader.engine.compiled_loop import run_slices
    from trader.engine.trial import NO_TRACE

    bars = flat_bars([100] * 6)
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    book, out = new_book(make_rules(sessions)), new_out(1, 16)
    inputs = make_inputs(bars, "B.SSSS")
    run_slices(book, make_rules(sessions), make_inputs(bars[:2], "B."), 0, out, NO_TRACE)
    limited = make_rules(sessions, max_order_size=4.0, allow_short=0)
    run_slices(book, limited, inputs, 2, out, NO_TRACE)
    assert out.decisions["approved_qty"][2:6].tolist() == [-4.0, -4.0, -2.0, 0.0]
    assert book.positions[0]["qty"] == 0.0


def test_collar_denies_on_a_wild_close_and_cancels_at_a_wild_open():
    result = run(flat_bars([100, 100, 300, 300]), ".BB.", price_collar=0.5)
    assert fills_of(result) == []
    assert result.reasons()[2] == "PRICE_COLLAR"
    cancelled = result.events[result.events["kind"] == EventKind.ORDER_CANCELLED]
    assert cancelled["reason"].tolist() == [Reason.PRICE_COLLAR]


@pytest.mark.parametrize(
    ("minute", "reason"),
    [(1, "NONE"), (59, "NONE"), (60, "MARKET_CLOSED"), (61, "MARKET_CLOSED"), (500, "NONE")],
)
def test_market_hours_are_open_to_close_and_exclude_the_close(minute, reason):
    sessions = np.zeros(3, SESSION)
    for row, (opens, closes, day) in enumerate([(0, 60, 1), (400, 600, 1), (2000, 2100, 2)]):
        sessions[row] = (START + opens * MINUTE, START + closes * MINUTE, day)
    bars = flat_bars([100, 100])
    bars["ts_ns"] = [START + minute * MINUTE, START + 2050 * MINUTE]
    assert run(bars, "B.", sessions=sessions).reasons()[0] == reason


def test_guards_shorten_the_trading_hours():
    sessions = np.zeros(1, SESSION)
    sessions[0] = (START, START + 60 * MINUTE, 1)
    bars = flat_bars([100] * 59)
    result = run(
        bars, "B" * 59, mode=1, sessions=sessions, open_guard_ns=5 * MINUTE,
        close_guard_ns=10 * MINUTE,
    )  # fmt: skip
    passed = [minute for minute, reason in enumerate(result.reasons(), 1) if reason == "NONE"]
    assert (passed[0], passed[-1]) == (5, 49)


def test_a_date_outside_the_calendar_is_denied():
    sessions = np.zeros(1, SESSION)
    sessions[0] = (START - DAY, START - DAY + MINUTE, 1)
    assert run(flat_bars([100, 100]), "B.", sessions=sessions).reasons()[0] == "CALENDAR_UNKNOWN"


# --- losses and trading states ---


def test_daily_loss_leaves_only_closing_orders_for_the_rest_of_the_session():
    prices = [100, 100, 80, 80, 80, 80]
    bars = flat_bars(prices)
    bars["ts_ns"][5] += DAY
    result = run(bars, "B.BSBB", mode=1, allow_short=1, max_daily_loss=150.0)
    assert result.equity["trading_state"].tolist() == [0, 0, REDUCING, REDUCING, REDUCING, ACTIVE]
    assert result.reasons()[2] == "DAILY_LOSS_LIMIT"
    assert result.decisions[2]["observed"] == 200.0
    assert result.decisions[3]["approved_qty"] == -10.0
    assert result.reasons()[4] == "DAILY_LOSS_LIMIT"
    assert result.reasons()[5] == "NONE"  # a new session, a new baseline


def test_a_loss_exactly_at_the_limit_is_no_breach():
    result = run(flat_bars([100, 100, 80]), "B..", max_daily_loss=200.0)
    assert result.equity["trading_state"].tolist() == [0, 0, 0]


def test_daily_loss_flatten_closes_every_position_whatever_the_model_says():
    result = run(
        flat_bars([100, 100, 80, 80, 80]), "B.BBB", max_daily_loss=150.0,
        on_daily_loss=OnBreach.FLATTEN,
    )  # fmt: skip
    assert fills_of(result) == [(10.0, 100.0), (-10.0, 80.0)]
    assert result.positions[0]["qty"] == 0.0


def test_daily_loss_kill_halts_for_good_and_cancels_what_works():
    bars = flat_bars([100, 100, 80, 80, 80], volume=5)
    bars["ts_ns"][4] += DAY
    result = run(
        bars, "B...S", max_daily_loss=50.0, on_daily_loss=OnBreach.KILL,
        max_fill_participation=1.0,
    )  # fmt: skip
    assert result.equity["trading_state"].tolist() == [0, 0, HALTED, HALTED, HALTED]
    assert result.reasons()[4] == "HALTED"
    assert result.positions[0]["working_orders"] == 0


def test_reducing_cancels_what_would_grow_and_keeps_what_closes():
    bars = flat_bars([100, 100, 80, 80], volume=4)
    result = run(bars, "B...", max_daily_loss=50.0, max_fill_participation=1.0)
    assert result.positions[0]["qty"] == 8.0
    cancelled = result.events[result.events["kind"] == EventKind.ORDER_CANCELLED]
    assert cancelled["value"].tolist() == [2.0]


def test_reducing_trims_a_working_reversal_to_what_it_closes():
    bars = flat_bars([100, 100, 100, 60, 60, 60])
    bars["volume"] = [100, 100, 100, 3, 3, 100]
    result = run(bars, "B.S...", max_daily_loss=150.0, max_fill_participation=1.0)
    trimmed = result.events[result.events["kind"] == EventKind.ORDER_TRIMMED]
    sold = result.fills["qty"][result.fills["qty"] < 0.0].sum()
    assert trimmed["value"].tolist() == [-20.0 - sold]  # what was taken off, not what was left
    assert result.positions[0]["qty"] == 0.0


def test_drawdown_outlives_the_session():
    bars = flat_bars([100, 100, 80, 80, 80])
    bars["ts_ns"][3:] += DAY
    result = run(bars, "B...B", mode=1, max_drawdown_frac=0.001)
    assert result.equity["trading_state"].tolist() == [0, 0, 1, 1, 1]
    assert result.reasons()[4] == "DRAWDOWN_LIMIT"


def test_wild_volatility_halts_after_two_bars():
    result = run(
        flat_bars([100, 101, 100, 101, 300, 100, 300, 100]), "........", kill_volatility=0.5
    )
    states = result.equity["trading_state"].tolist()
    assert states[:5] == [0, 0, 0, 0, 0]
    assert states[5:] == [HALTED] * 3


def test_executions_without_review_halt():
    result = run(flat_bars([100] * 6), "BSBS..", max_executions_without_review=2.0)
    assert result.equity["trading_state"][-1] == HALTED


# --- throttles ---


def quoted(volume: float, spread: float, count: int = 6):
    return bars_from([(100, 100, 100, 100, volume, 100 - spread / 2, 100 + spread / 2)] * count)


@pytest.mark.parametrize(
    ("bars", "changes", "approved", "stage", "reason"),
    [
        (quoted(60, 0.1), {"max_volume_participation": 0.1}, 6.0, 1, "VOLUME_PARTICIPATION"),
        (quoted(1e6, 2.0), {"max_spread_bps": 50.0}, 2.0, 2, "SPREAD"),
        (quoted(1e6, 0.1), {"throttle_max_order_size": 7.0}, 7.0, 8, "ABSOLUTE_CAP"),
        (quoted(1e6, -1.0), {"max_spread_bps": 50.0}, 0.0, 2, "CROSSED_BOOK"),
        (quoted(5, 0.1), {"max_volume_participation": 0.1}, 0.0, 1, "THROTTLED_TO_ZERO"),
        (flat_bars([100] * 6), {"max_spread_bps": 50.0}, 0.0, 2, "THROTTLED_TO_ZERO"),
    ],
)
def test_throttle_cuts_with_its_stage_and_reason(bars, changes, approved, stage, reason):
    result = run(bars, "....B.", **changes)
    decision = result.decisions[4]
    assert decision["approved_qty"] == approved
    assert decision["throttle"] == stage
    assert result.reasons()[4] == reason


def test_throttles_apply_in_order_and_each_leaves_before_after_and_driver():
    bars = quoted(80, 1.0)
    result = run(
        bars, "....B.", max_volume_participation=0.1, max_spread_bps=50.0,
        throttle_max_order_size=3.0,
    )  # fmt: skip
    chain = [
        (Reason(int(row["reason"])).name, row["before"], row["after"], round(row["driver"], 9))
        for row in result.throttles
    ]
    assert chain == [
        ("VOLUME_PARTICIPATION", 10.0, 8.0, 80.0),
        ("SPREAD", 8.0, 4.0, 100.0),
        ("ABSOLUTE_CAP", 4.0, 3.0, 0.0),
    ]


def test_volatility_throttle_scales_by_the_sample_deviation_of_returns():
    prices = [100, 102, 100, 102, 100, 100]
    returns = np.diff(prices[:5]) / np.array(prices[:4])
    expected = math.floor(10 * 0.01 / np.std(returns[-3:], ddof=1))
    result = run(flat_bars(prices), "....B.", max_volatility=0.01)
    assert result.decisions[4]["approved_qty"] == expected


@pytest.mark.parametrize("row", [4, 5])
def test_volume_of_the_deciding_bar_or_a_later_one_cannot_size_an_order(row):
    bars = quoted(60, 0.1)
    before = run(bars, "....B.", max_volume_participation=0.1).decisions[4]
    bars["volume"][row] = 1e9
    after = run(bars, "....B.", max_volume_participation=0.1).decisions[4]
    assert before == after


def test_throttles_are_blind_until_their_window_is_full():
    result = run(quoted(60, 0.1), "BBBBB.", mode=1, max_volume_participation=0.1)
    assert result.reasons()[:4] == ["THROTTLED_TO_ZERO"] * 3 + ["VOLUME_PARTICIPATION"]


def test_below_min_size_after_throttling_denies_but_a_closing_order_may_be_small():
    result = run(quoted(60, 0.1), "....B.", max_volume_participation=0.1, min_order_size=7.0)
    assert result.reasons()[4] == "BELOW_MIN_SIZE"
    small = run(flat_bars([100] * 4), "B.S.", base_size=5.0, allow_short=0, min_order_size=5.0)
    assert small.decisions[2]["approved_qty"] == -5.0


# --- actions ---


def test_a_hold_keeps_the_reason_it_came_with():
    from tests.core_kit import always_open, make_rules
    from trader.core.book import Inputs

    bars = flat_bars([100, 100])
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    reasons = np.array([Reason.WARMUP, Reason.MODEL_TIMEOUT], np.int16)
    from tests.core_kit import Run

    result = Run(make_rules(sessions), Inputs(bars, np.zeros(2, np.int8), reasons))
    assert result.reasons() == ["WARMUP", "MODEL_TIMEOUT"]


def test_at_target_and_flat_without_shorts_say_so():
    result = run(flat_bars([100] * 4), "SBB.", allow_short=0)
    assert result.reasons()[:3] == ["SHORT_NOT_ALLOWED", "NONE", "AT_TARGET"]
