"""Orders one by one, and exits beside a position: what went wrong when an order was its symbol."""

import math

import numpy as np
import pytest

from tests.core_kit import always_open, bars_from, flat_bars, make_inputs, make_rules, run
from trader.core.schema import (
    OrderKind,
    OrderStatus,
    OrderType,
    Reason,
    TradingState,
)
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine

LEVELS = {"stop_type": 1, "stop_value": 5.0}


def kinds(result) -> list[str]:
    return [OrderKind(int(kind)).name for kind in result.fills["kind"]]


def ends(result) -> list[tuple[str, str]]:
    """How each order ended and why, by id."""
    return [
        (OrderStatus(int(row["status"])).name, Reason(int(row["reason"])).name)
        for row in result.orders
    ]


def engine_of(bars: np.ndarray, **changes) -> SliceEngine:
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    return SliceEngine(make_rules(sessions, 1, **changes), RowKeeper(len(bars)))


def feed(engine: SliceEngine, bars: np.ndarray, actions: str, gate=None) -> None:
    inputs = make_inputs(bars, actions)
    for row in range(len(bars)):
        part = slice(row, row + 1)
        engine.take(type(inputs)(bars[part], inputs.actions[part], inputs.reasons[part]))
        engine.pass_gate(gate)


# --- the four situations that made this necessary ---


def test_a_stop_beside_a_long_position_does_not_swallow_the_models_sell():
    result = run(flat_bars([100, 100, 100, 100]), "B.S.", allow_short=0, **LEVELS)
    assert result.fills["qty"].tolist() == [10.0, -10.0]
    assert kinds(result) == ["ENTRY", "SIGNAL"]
    assert result.reasons()[2] == "NONE"


def test_the_next_buy_does_not_withdraw_the_stop():
    bars = bars_from([(100, 100, 100, 100, 1e6)] * 4 + [(100, 100, 90, 92, 1e6)])
    result = run(bars, "BB.B.", mode=1, **LEVELS)
    assert kinds(result) == ["ENTRY"] * 3 + ["STOP_LOSS"]
    assert result.fills["qty"].tolist()[-1] == -30.0, "the stop follows the size of the position"
    assert ("CANCELLED", "REPLACED") not in ends(result)


def test_of_two_intents_of_one_symbol_the_gate_refuses_one_and_the_other_goes_on():
    bars = flat_bars([100.0] * 4)
    engine = engine_of(bars, entry_type=1, entry_offset_bps=0.0, limit_fill=1)
    feed(engine, bars[:2], "B.")
    held = engine.book.positions[0]["qty"]
    assert held == 10.0

    def keep_entries(order: np.void) -> Reason:
        return Reason.CHECK_ERROR if order["type"] == OrderType.LIMIT else Reason.NONE

    feed(engine, bars[2:3], "S", keep_entries)  # a reversal: a close at market, an entry that rests
    ((_, left),) = engine.working()
    assert (left["qty"], left["kind"]) == (-10.0, OrderKind.SIGNAL)
    assert engine.rows().decisions[0]["approved_qty"] == -10.0, "what was refused is not approved"
    feed(engine, bars[3:], ".")
    assert engine.book.positions[0]["qty"] == 0.0


def test_a_refused_entry_takes_its_exits_with_it_and_the_gate_is_not_asked_for_them():
    bars = flat_bars([100.0] * 2)
    engine = engine_of(bars, target_type=1, target_value=2.0, **LEVELS)
    asked: list[int] = []

    def refuse(order: np.void) -> Reason:
        asked.append(int(order["leg"]))
        return Reason.KILLED

    feed(engine, bars, "B.", refuse)
    assert asked == [0]
    record = engine.record()
    assert [OrderStatus(int(row["status"])) for row in record.order_rows] == [
        OrderStatus.REFUSED
    ] * 3
    assert len(record.fills) == 0


def test_an_order_that_may_have_left_is_kept_fills_nothing_and_blocks_what_opens():
    bars = flat_bars([100.0] * 4)
    engine = engine_of(bars)
    feed(engine, bars[:1], "B", lambda order: Reason.ORDER_UNKNOWN)
    ((_, doubted),) = engine.orders()
    assert doubted["status"] == OrderStatus.UNKNOWN
    feed(engine, bars[1:], "S..")
    assert engine.book.positions[0]["qty"] == 0.0
    assert len(engine.record().fills) == 0
    assert [int(order["status"]) for _, order in engine.orders()] == [OrderStatus.UNKNOWN]


# --- exits ---


def test_a_late_sell_never_opens_what_a_stop_has_closed_already():
    """Both at one open: the SELL that was decided to close, and a stop beyond the open."""
    bars = bars_from(
        [(100, 100, 100, 100, 1e6)] * 2 + [(100, 100, 94, 96, 50)] + [(90, 90, 90, 90, 1e6)] * 2
    )
    result = run(bars, "B.S..", max_fill_participation=0.1, **LEVELS)
    assert float(result.positions[0]["qty"]) <= 0.0
    result = run(bars, "B.S..", allow_short=0, max_fill_participation=0.1, **LEVELS)
    assert float(result.positions[0]["qty"]) == 0.0
    assert result.fills["qty"].sum() == 0.0


def test_one_cancels_the_other_and_every_end_is_written():
    bars = bars_from([(100, 100, 100, 100, 1e6)] * 2 + [(100, 104, 100, 104, 1e6)] * 2)
    result = run(
        bars, "B...", target_type=1, target_value=3.0, trail_type=1, trail_value=9.0, **LEVELS
    )
    assert kinds(result) == ["ENTRY", "TAKE_PROFIT"]
    assert ends(result) == [
        ("FILLED", "NONE"),
        ("CANCELLED", "POSITION_CLOSED"),
        ("FILLED", "NONE"),
        ("CANCELLED", "POSITION_CLOSED"),
    ]


def test_a_position_above_the_order_size_leaves_in_pieces_a_bar_each():
    bars = bars_from([(100, 100, 100, 100, 1e6)] * 4 + [(94, 94, 94, 94, 1e6)] * 4)
    result = run(bars, "BBB.....", mode=1, max_order_size=10.0, **LEVELS)
    assert result.fills["qty"].tolist() == [10.0] * 3 + [-10.0] * 3


def test_reducing_keeps_exits_and_halting_ends_them():
    rows = [(100, 100, 100, 100, 1e6)] * 2 + [(100, 100, 98, 98, 1e6)] + [(97, 97, 90, 90, 1e6)] * 2
    reducing = run(bars_from(rows), "B....", max_daily_loss=15.0, **LEVELS)
    assert kinds(reducing) == ["ENTRY", "STOP_LOSS"]
    assert int(reducing.account["trading_state"]) == TradingState.REDUCING
    halting = run(bars_from(rows), "B....", max_daily_loss=15.0, on_daily_loss=2, **LEVELS)
    assert kinds(halting) == ["ENTRY"]
    assert ends(halting)[1] == ("CANCELLED", "DAILY_LOSS_LIMIT")


def test_a_position_without_its_exits_gets_them_again_at_the_next_bar():
    bars = bars_from([(100, 100, 100, 100, 1e6)] * 3 + [(100, 100, 90, 90, 1e6)])
    engine = engine_of(bars, **LEVELS)
    feed(engine, bars[:2], "B.")
    for symbol, order in list(engine.working()):
        engine.cancel(symbol, int(order["order_id"]), Reason.SHUTDOWN)
    assert not list(engine.working())
    feed(engine, bars[2:], "..")
    fills = engine.record().fills
    assert fills["kind"].tolist() == [OrderKind.ENTRY, OrderKind.STOP_LOSS]
    assert fills["price"].tolist() == [100.0, 95.0]


def test_exits_are_never_throttled():
    bars = bars_from([(100, 100, 100, 100, 1e6)] * 6 + [(100, 100, 90, 90, 1e6)])
    result = run(bars, "...B...", throttle_max_order_size=10.0, max_holding_bars=2, volume_window=2)
    assert kinds(result) == ["ENTRY", "MAX_HOLDING"]
    stopped = run(bars, "...B...", throttle_max_order_size=10.0, **LEVELS)
    assert kinds(stopped) == ["ENTRY", "STOP_LOSS"]


def test_cooldown_holds_the_entry_back_and_says_so():
    bars = bars_from(
        [(100, 100, 100, 100, 1e6)] * 2 + [(100, 100, 90, 100, 1e6)] + [(100,) * 4 + (1e6,)] * 5
    )
    result = run(bars, "BBBBBBBB", cooldown_bars=2, **LEVELS)
    assert result.reasons()[2:5] == ["COOLDOWN", "COOLDOWN", "NONE"]


def test_an_entry_waits_until_the_range_of_its_stop_is_known():
    result = run(
        flat_bars([100.0, 101.0, 102.0, 103.0, 104.0]),
        "BBBB.",
        stop_type=2,
        stop_value=2.0,
        stop_period=2,
    )
    assert result.reasons()[:3] == ["EXIT_DISTANCE_UNKNOWN", "EXIT_DISTANCE_UNKNOWN", "NONE"]


def test_the_average_true_range_is_that_of_ta_lib():
    talib = pytest.importorskip("talib")
    from tests.core_kit import random_bars

    bars = random_bars(4, 80)
    result = run(bars, np.zeros(len(bars)), stop_type=2, stop_value=1.0, stop_period=9)
    theirs = talib.ATR(
        *(bars[name].astype(float) for name in ("high", "low", "close")), timeperiod=9
    )
    assert result.record.book.ranges[0, 0] == pytest.approx(theirs[-1], rel=1e-12)


@pytest.mark.parametrize("tif", ["ioc", "fok"])
def test_at_once_or_never(tif):
    code = {"ioc": 2, "fok": 3}[tif]
    bars = flat_bars([100, 100, 100, 100], volume=60.0)
    result = run(bars, "B...", time_in_force=code, max_fill_participation=0.1)
    assert result.fills["qty"].tolist() == ([6.0] if tif == "ioc" else [])
    assert ends(result) == [("EXPIRED", "TIME_IN_FORCE")]


def test_market_on_open_waits_for_the_next_session_and_market_on_close_for_the_end():
    from tests.core_kit import DAY, MINUTE, START

    prices = [100.0 + n for n in range(6)]
    bars = flat_bars(prices, start_ns=START + DAY - 4 * MINUTE)  # midnight after the fourth bar
    opened = run(bars, "B.....", entry_type=5)
    assert opened.fills["price"].tolist() == [104.0]
    closed = run(bars, "B.....", entry_type=6)
    assert closed.fills["price"].tolist() == [103.0]


def test_a_size_or_price_that_is_none_asks_for_nothing():
    from trader.models.prediction import no_requests

    for name, value in (("size", -1.0), ("limit_price", math.inf)):
        requests = no_requests(2)
        requests[name][0] = value
        result = run(flat_bars([100, 100]), "B.", requests=requests)
        assert result.reasons()[0] == "REQUEST_INVALID"
    requests = no_requests(2)
    requests["stop_loss"][0] = 101.0
    assert run(flat_bars([100, 100]), "B.", requests=requests).reasons()[0] == "EXIT_PRICE"


# --- what the Decimal desk found: an entry that fills in parts, and exits between the parts ---

LIMIT_IN_PARTS = {"entry_type": 1, "max_fill_participation": 0.1, "tick_size": 0.01}
STOPPED_BETWEEN = [
    (101, 101.5, 99.5, 99.5, 20),
    (101.5, 101.5, 98.5, 99, 60),  # 6 inside; their trailing stop is reached, without volume
    (101.5, 101.5, 99, 99.5, 60),  # so they leave at this open
]


def executions(result) -> list[tuple[str, float, float]]:
    return [
        (kind, float(fill["qty"]), float(fill["price"]))
        for kind, fill in zip(kinds(result), result.fills, strict=True)
    ]


def test_the_rest_of_an_entry_has_its_stop_after_that_closed_the_first_part():
    """Before, the exit ended with the first part, and the rest was naked in its first bar."""
    bars = bars_from([*STOPPED_BETWEEN, (99, 102, 98, 98, 10_000)])
    result = run(bars, "B...", trail_type=1, trail_value=1.0, **LIMIT_IN_PARTS)
    assert executions(result) == [
        ("ENTRY", 6.0, 99.5),
        ("TRAILING_STOP", -6.0, 101.5),
        ("ENTRY", 4.0, 99.0),
        ("TRAILING_STOP", -4.0, 98.01),
    ]
    assert ends(result) == [("FILLED", "NONE")] * 2, "one exit, of the whole entry"


def test_the_rest_of_an_entry_at_the_open_has_the_whole_bar_ahead_of_it():
    bars = bars_from(
        [
            (100, 100, 100, 100, 20),
            (99, 99, 99, 99, 60),
            (100, 100, 100, 100, 60),
            (99, 101, 99, 99, 60),
        ]
    )
    result = run(bars, "B...", target_type=1, target_value=0.5, **LIMIT_IN_PARTS)
    assert executions(result) == [
        ("ENTRY", 6.0, 99.0),
        ("TAKE_PROFIT", -6.0, 100.0),
        ("ENTRY", 4.0, 99.0),
        ("TAKE_PROFIT", -2.0, 99.5),  # 6 of the bar's volume: 4 came in, 2 go out
    ]


def test_the_stop_that_filled_at_the_open_protects_what_is_entered_inside_that_bar():
    bars = bars_from(
        [(98, 100.5, 98, 100, 60), (101.5, 102, 98.5, 98.5, 20), (101, 101, 98, 98, 10_000)]
    )
    result = run(
        bars, "B..", entry_limit_offset_bps=40.0, stop_type=1, stop_value=0.5,
        **(LIMIT_IN_PARTS | {"entry_type": 3}),
    )  # fmt: skip
    first, stopped, again, *last = executions(result)
    assert first == ("ENTRY", 2.0, 100.4)
    assert stopped == ("STOP_LOSS", -2.0, 101.0), "due since the bar before, which had no volume"
    assert again == ("ENTRY", 8.0, 100.4)
    assert last == [("STOP_LOSS", -8.0, 99.89)]


def test_an_entry_inside_a_bar_does_not_inherit_that_an_earlier_stop_was_reached():
    bars = bars_from(
        [*STOPPED_BETWEEN[:2], (101.5, 101.5, 99.4, 100, 10_000), (100, 100, 100, 100, 60)]
    )
    result = run(bars, "B...", stop_type=1, stop_value=1.0, **LIMIT_IN_PARTS)
    assert executions(result) == [
        ("ENTRY", 6.0, 99.5),
        ("STOP_LOSS", -6.0, 101.5),
        ("ENTRY", 4.0, 99.5),
    ], "98.50 is not reached any more"


def test_an_exit_that_waits_for_the_rest_ends_with_the_entry():
    bars = bars_from([*STOPPED_BETWEEN, (101, 101, 101, 101, 60)])
    result = run(
        bars, "B...", trail_type=1, trail_value=1.0, entry_time_in_force=4, entry_bars=3,
        **LIMIT_IN_PARTS,
    )  # fmt: skip
    assert ends(result) == [("EXPIRED", "TIME_IN_FORCE"), ("CANCELLED", "ENTRY_ENDED")]
    assert result.orders["filled_qty"].tolist() == [6.0, -6.0]


def test_max_holding_closes_what_an_entry_still_adds_to_it():
    bars = bars_from([(100, 100, 100, 100, 60)] * 5)
    result = run(bars, "B....", max_holding_bars=1, max_fill_participation=0.1)
    closed = result.fills["qty"][result.fills["qty"] < 0]
    assert closed.sum() == -10.0
    assert float(result.positions[0]["qty"]) == 0.0
