"""What the simulated broker shows in a paper run is the core's book."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.engine.test_session_ends import BARS, RULES
from tests.paper_desk import new_journal
from trader.brokers.simulated import SimulatedBroker
from trader.core.schema import OrderStatus
from trader.engine.answers import Answer
from trader.engine.journaled import JournaledSlices
from trader.engine.recover import Recovery, folded
from trader.jobs.paper.desk import Desk, DeskSettings, account_of


def test_the_snapshot_is_the_book_and_has_no_order_the_gate_kept(tmp_path):
    path = tmp_path / "journal.sqlite"
    with ThreadPoolExecutor(1) as pool:
        journal = new_journal(path, RULES, ["ACME"])
        broker = SimulatedBroker(time.monotonic_ns)
        desk = Desk(("ACME",), pool, broker, DeskSettings(1000, time.monotonic_ns))
        fold = folded(journal.read())
        slices = JournaledSlices(fold.engine, journal, desk, fold)
        desk.show(slices)
        Recovery(slices, journal, fold).complete()
        buy = Answer(np.array([1], np.int8), np.zeros(1, np.int16))
        asyncio.run(slices.take(BARS[:1], buy))  # the gate of this desk is not open
        journal.close()
    assert desk.broker.snapshot().orders == ()
    order = slices.engine.book.orders[0][:1]
    order["status"], order["qty"], order["filled_qty"] = OrderStatus.PARTLY_FILLED, 5.0, 2.0
    book = slices.engine.book
    book.positions["working_orders"], book.positions["qty"] = 1, 2.0
    shown = account_of(slices)
    assert [one[1:5] for one in shown.orders] == [("ACME", 5.0, 2.0, OrderStatus.PARTLY_FILLED)]
    assert (shown.positions, shown.cash) == ({"ACME": 2.0}, float(book.account[0]["cash"]))
