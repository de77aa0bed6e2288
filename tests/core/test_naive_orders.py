"""Order types and exits against the Decimal desk: every fill, and the cash, to 1e-9."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import MINUTE, bars_from, detail_of, run, whole_bar
from tests.naive_orders import Bar, Desk, Terms
from tests.tiers import cases
from trader.core.schema import OrderKind
from trader.finer_bars import NO_DETAIL

D = Decimal
ENTRY_TYPES = {"market": 0, "limit": 1, "stop": 2, "stop_limit": 3}
CASH = D(100_000)
grid = st.integers(188, 212).map(lambda half: D(half) / 2)  # coarse, so that levels are touched


@st.composite
def row(draw):
    one, other, low, high = (draw(grid) for _ in range(4))
    prices = one, max(one, other, low, high), min(one, other, low, high), other
    return *prices, D(draw(st.sampled_from([0, 20, 60, 10_000])))


@st.composite
def bars_and_actions(draw, most_parts=1):
    """(rows of the finer bars of each bar, action of each bar)."""
    tables, actions = [], []
    for _ in range(draw(st.integers(6, 24))):
        tables.append(draw(st.lists(row(), min_size=1, max_size=most_parts)))
        actions.append(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3])))
    return tables, actions


percent = st.sampled_from([None, D("0.5"), D(1), D("1.7"), D(3)])
terms = st.builds(
    Terms,
    tick=st.sampled_from([D("0.01"), D("0.25")]),
    slippage_bps=st.sampled_from([D(0), D(3)]),
    commission_bps=st.sampled_from([D(0), D("1.5")]),
    participation=st.sampled_from([None, None, D("0.1")]),
    touch=st.booleans(),
    ohlc=st.booleans(),
    entry=st.sampled_from([*ENTRY_TYPES]),
    bars=st.sampled_from([None, None, 1, 3]),
    stop=percent,
    target=percent,
    trail=percent,
    activate=st.sampled_from([D(0), D("0.5")]),
    max_holding=st.sampled_from([None, None, 3]),
)


def both(tables, actions, chosen: Terms):
    """(the core's run, the Decimal desk) of one table of bars, each made of finer ones."""
    rows = [whole_bar(parts) for parts in tables]
    has_detail = any(len(parts) > 1 for parts in tables)
    bars = bars_from([tuple(float(value) for value in row) for row in rows])
    changes = {
        f"{name}_{part}": value
        for name, level in (
            ("stop", chosen.stop),
            ("target", chosen.target),
            ("trail", chosen.trail),
        )
        if level is not None
        for part, value in (("type", 1), ("value", float(level)))
    }
    result = run(
        bars,
        np.array(actions, np.int8),
        cash=float(CASH),
        base_size=float(chosen.size),
        tick_size=float(chosen.tick),
        slippage_value=float(chosen.slippage_bps),
        commission_value=float(chosen.commission_bps),
        max_fill_participation=(
            np.inf if chosen.participation is None else float(chosen.participation)
        ),
        limit_fill=int(chosen.touch),
        intrabar=2 if has_detail else int(chosen.ohlc),
        detail_period_ns=MINUTE // 4,
        detail=detail_of(tables) if has_detail else NO_DETAIL,
        entry_type=ENTRY_TYPES[chosen.entry],
        entry_offset_bps=float(chosen.offset_bps),
        entry_limit_offset_bps=float(chosen.limit_offset_bps),
        entry_time_in_force=-1 if chosen.bars is None else 4,
        entry_bars=chosen.bars or 0,
        activate_at=float(chosen.activate),
        max_holding_bars=chosen.max_holding or 0,
        **changes,
    )
    desk = Desk(CASH, chosen)
    for number, (row, action) in enumerate(zip(rows, actions, strict=True)):
        desk.meet(number, Bar(*row), [Bar(*part) for part in tables[number]])
        desk.decide(action, row[3])
    return result, desk


def same_kind(found: str, wanted: str) -> bool:
    return found == wanted or (wanted == "SIGNAL" and found in ("MAX_HOLDING", "ENTRY"))


offsets = st.sampled_from([D(0), D(30), D(100)])
beyonds = st.sampled_from([D(0), D(40)])


@settings(max_examples=cases(150), deadline=None)
@given(table=bars_and_actions(), chosen=terms, offset=offsets, beyond=beyonds)
def test_core_fills_what_the_decimal_desk_fills(table, chosen, offset, beyond):
    compare(table, chosen, offset, beyond)


@settings(max_examples=cases(150), deadline=None)
@given(table=bars_and_actions(most_parts=4), chosen=terms, offset=offsets, beyond=beyonds)
def test_finer_bars_fill_what_the_decimal_desk_fills_in_them(table, chosen, offset, beyond):
    chosen.ohlc = False
    result = compare(table, chosen, offset, beyond)
    assert np.all(np.diff(result.fills["ts_ns"]) >= 0)
    order_ns = dict(zip(result.orders["order_id"], result.orders["ts_ns"], strict=True))
    assert all(fill["ts_ns"] >= order_ns[fill["order_id"]] for fill in result.fills)


def compare(table, chosen, offset, beyond):
    chosen.offset_bps = offset if chosen.entry != "market" else D(0)
    chosen.limit_offset_bps = beyond if chosen.entry == "stop_limit" else D(0)
    result, desk = both(*table, chosen)
    found = [
        (OrderKind(int(fill["kind"])).name, D(float(fill["qty"])), D(float(fill["price"])))
        for fill in result.fills
    ]
    wanted = [(kind, qty, price) for _, kind, qty, price in desk.fills]
    assert len(found) == len(wanted), (found, wanted)
    for one, other in zip(found, wanted, strict=True):
        assert same_kind(one[0], other[0]), (found, wanted)
        assert abs(one[1] - other[1]) < D("1e-9"), (found, wanted)
        assert abs(one[2] - other[2]) < D("1e-9"), (found, wanted)
    assert abs(D(float(result.account["cash"])) - desk.cash) < D("1e-7")
    assert float(result.positions[0]["qty"]) == float(desk.qty)
    return result


@pytest.mark.parametrize("entry", ENTRY_TYPES)
def test_each_order_type_and_exit_fills_in_the_comparison(entry):
    """The comparison above is of something: a fixed table in which it all happens."""
    chance = np.random.default_rng(5)
    rows, price = [], 100.0
    for _ in range(300):
        close = max(90.0, min(110.0, price + chance.normal(0, 0.6)))
        high = max(price, close) + abs(chance.normal(0, 0.4))
        low = min(price, close) - abs(chance.normal(0, 0.4))
        rows.append(tuple(D(str(round(v, 2))) for v in (price, high, low, close, 10_000.0)))
        price = close
    actions = chance.choice([0, 0, 1, 2, 3], 300).tolist()
    chosen = Terms(
        entry=entry, offset_bps=D(0) if entry == "market" else D(5),
        limit_offset_bps=D(10) if entry == "stop_limit" else D(0),
        stop=D("0.8"), target=D("0.9"), trail=D("0.6"), activate=D("0.3"), max_holding=9,
    )  # fmt: skip
    result, desk = both([[row] for row in rows], actions, chosen)
    kinds = {OrderKind(int(kind)).name for kind in result.fills["kind"]}
    assert {"ENTRY", "STOP_LOSS", "TAKE_PROFIT", "TRAILING_STOP", "SIGNAL"} <= kinds
    assert len(result.fills) == len(desk.fills) > 40
    assert abs(D(float(result.account["cash"])) - desk.cash) < D("1e-6")


def test_a_target_does_nothing_where_a_stop_has_closed_a_part_of_what_the_bar_entered():
    """Found by drawing: 10 entered inside, the stop got 2, volume was gone; the target bought."""
    calm = [tuple(map(D, (94, 94, 94, 94, 0)))]
    wide = [(D(94), D("99.5"), D(94), D("99.5"), D(120))]
    chosen = Terms(entry="stop", offset_bps=D(100), stop=D("0.5"), target=D("0.5"))
    chosen.participation = D("0.1")
    result, desk = both([calm, wide, calm], [1, 0, 0], chosen)
    assert result.fills["qty"].tolist() == [10.0, -2.0] == [float(one[2]) for one in desk.fills]
    assert float(result.positions[0]["qty"]) == 8.0
