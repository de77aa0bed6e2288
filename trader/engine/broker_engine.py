"""The heart of a run whose orders fill at a broker outside: what that says, into the book.

Law: no asyncio, no clock, no I/O, as in `SliceEngine`. An order that left is AT_BROKER: no bar
fills it, and nothing said here ends it.
"""

from collections.abc import Iterator

import numpy as np

from trader.core.apply import end_outside, execute, hand_over, place_closing
from trader.core.book import EVENTS, FILLS, ORDERS, Inputs, Rules
from trader.core.schema import BAR, OrderStatus, Reason
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine

OUTSIDE = (OrderStatus.AT_BROKER, OrderStatus.UNKNOWN)


class BrokerEngine(SliceEngine):
    """A `SliceEngine` whose orders leave."""

    def submit(self, symbol: int, order_id: int) -> None:
        """An intent has left, or the broker has shown that it has the order."""
        hand_over(self.book, symbol, order_id)

    def working(self) -> Iterator[tuple[int, np.void]]:
        """(symbol, copy of the ORDER record) of every order that may still fill."""
        return (found for found in self.orders() if found[1]["status"] in OUTSIDE)

    def is_ending(self, symbol: int, order_id: int) -> bool:
        """See `SliceEngine`; the order stays until the broker ends it."""
        mine = (order for _, order in self.working() if int(order["order_id"]) == order_id)
        return all(order["reason"] != Reason.NONE for order in mine)

    def execute(self, symbol: int, order_id: int, terms: tuple[float, float, float]) -> np.ndarray:
        """Book one execution, (signed qty, price, commission), of an order in the book; its FILL
        row."""
        self._outside()
        before = int(self._out.counts[FILLS])
        execute(self.book, self.rules, symbol, order_id, terms, self._out)
        return self._out.fills[before : self._out.counts[FILLS]].copy()

    def end_outside(
        self, symbol: int, order_id: int, status: OrderStatus, reason: Reason
    ) -> np.ndarray:
        """The broker ended the rest of an order; EVENT rows, none if it was not there."""
        before = self._outside()
        how = int(status), int(reason)
        end_outside(self.book, self.rules, symbol, order_id, how, self._out)
        return self._events_since(before)

    def place_closing(self, symbol: int) -> np.void | None:
        """An order that takes a position to zero has left; a copy of it, None if flat."""
        self._outside()
        next_id = int(self.book.account[0]["next_order_id"])
        place_closing(self.book, self.rules, symbol, self._out)
        found = (order for _, order in self.orders() if int(order["order_id"]) == next_id)
        return next(found, None)

    def _outside(self) -> int:
        counts, out = self._out.counts, self._out
        rooms = ((EVENTS, out.events), (FILLS, out.fills), (ORDERS, out.orders))
        is_full = any(int(counts[at]) + self._most[at] > len(rows) for at, rows in rooms)
        if is_full and not any(self.intents()):
            self._hand_over()
        return int(counts[EVENTS])


def warm_up_outside(rules: Rules) -> None:
    """Compile, or load, what `warm_up` does not know, on a book that is thrown away."""
    engine = BrokerEngine(rules, RowKeeper(1))
    bars = np.zeros(1, BAR)
    for field in ("open", "high", "low", "close"):
        bars[field] = 1.0
    engine.take(Inputs(bars, np.zeros(1, np.int8), np.zeros(1, np.int16)))
    engine.submit(0, 0)
    engine.execute(0, 0, (1.0, 1.0, 0.0))
    engine.end_outside(0, 0, OrderStatus.CANCELLED, Reason.KILLED)
    engine.place_closing(0)
    engine.doubt(0, 0)
    engine.record()
