"""The end of an order is asked for once: a second time would change the last bits of sums."""

import numpy as np
import pytest

from tests.core_kit import START, always_open, make_rules
from tests.loop_kit import bar
from trader.core.book import Inputs
from trader.core.schema import NS_PER_SECOND, OrderStatus, Reason
from trader.engine.batch import RowKeeper
from trader.engine.broker_engine import BrokerEngine
from trader.engine.sliceengine import SliceEngine

SYMBOLS = 3


def with_orders(kind):
    """An engine with a sent order of each symbol, and the orders' places."""
    days = always_open(START, START + 86_400 * NS_PER_SECOND)
    engine = kind(make_rules(days, SYMBOLS), RowKeeper(8))
    bars = np.array([bar(1, symbol=symbol) for symbol in range(SYMBOLS)])
    buy, plain = np.ones(SYMBOLS, np.int8), np.zeros(SYMBOLS, np.int16)
    engine.take(Inputs(bars, buy, plain))
    engine.pass_gate()
    return engine, [(symbol, int(order["order_id"])) for symbol, order in engine.working()]


@pytest.mark.parametrize("kind", [SliceEngine, BrokerEngine])
def test_a_halt_asks_for_all(kind):
    engine, orders = with_orders(kind)
    assert len(orders) == SYMBOLS
    assert not any(engine.is_ending(*order) for order in orders)
    engine.halt(Reason.KILLED)
    assert all(engine.is_ending(*order) for order in orders)


def test_an_order_at_a_broker_outside_is_ending_from_the_first_question_on():
    engine, orders = with_orders(BrokerEngine)
    engine.cancel(*orders[1], Reason.SHUTDOWN)
    assert [engine.is_ending(*order) for order in orders] == [False, True, False]
    engine.end_outside(*orders[0], OrderStatus.CANCELLED, Reason.SHUTDOWN)
    assert [engine.is_ending(*order) for order in orders] == [True, True, False]
