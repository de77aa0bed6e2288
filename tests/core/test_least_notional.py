"""Orders worth less than the exchange takes are denied, order by order, with what was seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core_kit import (
    Run,
    actions_from,
    always_open,
    flat_bars,
    make_inputs,
    make_rules,
    random_bars,
)
from trader.core.schema import EventKind, OrderType, Reason


def run(bars, actions, **changes) -> Run:
    hours = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    return Run(make_rules(hours, **changes), make_inputs(bars, actions))


def seen(result, index):
    row = result.decisions[index]
    name = Reason(int(row["reason"])).name
    return name, float(row["observed"]), float(row["limit"]), float(row["approved_qty"])


def test_exactly_the_least_passes_and_less_is_denied_with_both_numbers():
    # 10 units at 0.5 are worth 5
    assert seen(run(flat_bars([0.5] * 3), "B..", min_notional=5.0), 0) == ("NONE", 0.0, 0.0, 10.0)
    below = run(flat_bars([0.49] * 3), "B..", min_notional=5.0)
    assert seen(below, 0) == ("BELOW_MIN_NOTIONAL", pytest.approx(4.9), 5.0, 0.0)
    assert len(below.fills) == 0
    assert len(below.orders) == 0


def test_zero_denies_nothing():
    assert seen(run(flat_bars([1e-9] * 3), "B.."), 0)[0] == "NONE"


def test_a_multiplier_counts_and_what_closes_is_judged_too():
    prices = [1.0, 1.0, 0.1, 0.1, 1.0, 1.0]
    result = run(flat_bars(prices), "B.CCC.", min_notional=400.0, multiplier=50.0)
    assert [seen(result, index)[0] for index in range(5)] == [
        "NONE", "NONE", "BELOW_MIN_NOTIONAL", "BELOW_MIN_NOTIONAL", "NONE",
    ]  # fmt: skip
    assert seen(result, 2)[1:3] == (pytest.approx(50.0), 400.0)
    assert result.positions[0]["qty"] == 0.0


def test_the_price_of_a_limit_order_is_what_counts():
    bars = flat_bars([1.0] * 3)
    terms = {"entry_type": OrderType.LIMIT, "entry_offset_bps": 1_000.0}  # buys at 0.9
    assert seen(run(bars, "B..", min_notional=9.0, **terms), 0)[0] == "NONE"
    assert seen(run(bars, "B..", min_notional=9.1, **terms), 0)[:3] == (
        "BELOW_MIN_NOTIONAL", pytest.approx(9.0), 9.1,
    )  # fmt: skip


def test_of_a_reversal_in_two_orders_each_is_judged():
    terms = {"entry_type": OrderType.LIMIT, "entry_offset_bps": 1_000.0}
    bars = flat_bars([1.1, 0.8, 0.9, 0.9])
    # held 10, SELL: a close worth 9 at the market, an entry worth 9.9 at 0.99
    assert seen(run(bars, "B.S.", min_notional=9.0, **terms), 2) == ("NONE", 0.0, 0.0, -20.0)
    dust = run(bars, "B.S.", min_notional=9.0 + 1e-3, **terms)
    assert seen(dust, 2) == ("BELOW_MIN_NOTIONAL", pytest.approx(9.0), 9.0 + 1e-3, 0.0)
    falls = flat_bars([1.1, 0.8, 0.8, 0.8])
    below = run(falls, "B.S.", min_notional=8.5, **terms)
    # the close is worth 8: nothing is sent, although the entry would be worth 8.8
    assert seen(below, 2)[:1] + seen(below, 2)[2:] == ("BELOW_MIN_NOTIONAL", 8.5, 0.0)


@given(
    seed=st.integers(0, 2**32 - 1),
    least=st.floats(1.0, 3_000.0),
    kind=st.sampled_from([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP]),
)
def test_no_order_below_the_least_is_ever_sent(seed, least, kind):
    bars = random_bars(seed, 60)
    chance = np.random.default_rng(seed)
    actions = actions_from("".join(chance.choice(list("BS.C"), len(bars))))
    hours = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    rules = make_rules(hours, min_notional=least, entry_type=kind, entry_offset_bps=20.0)
    result = Run(rules, make_inputs(bars, actions))
    sent = result.orders[result.orders["qty"] != 0.0]
    # a rest that was cut to what it may still close was judged whole
    trimmed = result.events["order_id"][result.events["kind"] == EventKind.ORDER_TRIMMED]
    sent = sent[~np.isin(sent["order_id"], trimmed)]
    prices = np.where(sent["limit_price"] > 0.0, sent["limit_price"], sent["reference"])
    prices = np.where(sent["stop_price"] > 0.0, sent["stop_price"], prices)
    assert (abs(sent["qty"]) * prices >= least * (1.0 - 1e-9)).all()
    denied = result.decisions[result.decisions["reason"] == Reason.BELOW_MIN_NOTIONAL]
    assert (denied["observed"] < denied["limit"]).all()
    assert (denied["limit"] == least).all()
