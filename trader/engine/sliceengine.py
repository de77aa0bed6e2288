"""The synchronous heart of the loop: one slice through the core, its intents past a gate.

Law: no asyncio, no clock, no I/O. Every intent of a slice is submitted or refused before the next
slice is taken. Rows stay in one buffer until it is nearly full; portions do not change a digest.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from trader.books import new_book, new_out, restore, snapshot
from trader.core.apply import cancel, close_out, doubt, halt, on_slice, rearm, refuse, submit
from trader.core.book import (
    CASHFLOWS,
    DECISIONS,
    EQUITIES,
    EVENTS,
    FILLS,
    NO_REQUESTS,
    ORDERS,
    THROTTLES,
    Book,
    Inputs,
    Out,
    Rules,
)
from trader.core.schema import BAR, OrderStatus, Reason, TradingState
from trader.engine.batch import RowKeeper, RunRecord
from trader.finer_bars import NO_DETAIL, Detail

ROWS_PER_PORTION = 1_024
ALIVE = (OrderStatus.WORKING, OrderStatus.SUBMITTED, OrderStatus.PARTLY_FILLED)
# The reason to refuse an intent with, NONE to let it pass, ORDER_UNKNOWN where it may have left.
Gate = Callable[[np.void], Reason]


class Snapshot(NamedTuple):
    """The state of a run after a slice. Arrays are copies: nothing changes them any more."""

    book: Book
    ts_ns: int  # close of the last slice; the smallest int64 before the first
    slices: int


class SliceEngine:
    """The book of a run, taken from slice to slice."""

    def __init__(self, rules: Rules, keeper: RowKeeper, book: Book | None = None) -> None:
        self.rules = rules
        self.book = new_book(rules) if book is None else book
        self._keeper = keeper
        self._symbols = len(rules.instruments)
        self._last_ns = -(2**63)
        self.slices = 0
        self._make_room(len(rules.adjustments))

    def _make_room(self, adjustments: int) -> None:
        """Room for the rows of a portion of slices."""
        self._adjustments = adjustments
        portion = max(3, ROWS_PER_PORTION // self._symbols)
        self._out = new_out(self._symbols, portion, 2 * adjustments)
        self._most = most_rows(self._symbols, adjustments)
        self._before = np.zeros(len(self._out.counts), np.int64)
        self._peek: Out | None = None  # rows of a slice that is looked at and not taken

    def use_adjustments(self, adjustments: np.ndarray) -> None:
        """Corporate actions as they are known by now; those that have acted are the same."""
        self.rules = self.rules._replace(adjustments=adjustments)

    def take(self, inputs: Inputs) -> None:
        """BAR records (n,) of one instant in symbol order, with an action and a reason each.

        ValueError if they are not one instant, later than the one before: our own bug, and no
        state was touched.
        """
        bars = inputs.bars
        rows = {len(inputs.actions), len(inputs.reasons), len(inputs.requests) or len(bars)}
        rows.add((len(inputs.edges) or len(bars) + 1) - 1)
        if rows != {len(bars)} or len(bars) == 0:
            raise ValueError("a slice has one action and one reason a bar, and at least one bar")
        ts_ns = int(bars[0]["ts_ns"])
        if not (ts_ns > self._last_ns and (len(bars) == 1 or _is_slice(bars))):
            raise ValueError(f"bars at {ts_ns} are no slice after {self._last_ns}")
        inputs = Inputs(*map(_writeable, inputs))
        if not self._has_room(len(bars)):
            self._hand_over()
        if len(self.rules.adjustments) != self._adjustments:
            self._hand_over()
            self._make_room(len(self.rules.adjustments))
        self._last_ns = ts_ns
        self._before[:] = self._out.counts
        on_slice(self.book, self.rules, inputs, 0, len(bars), self._out)
        self.slices += 1

    def held_at(self, bars: np.ndarray, detail: Detail = NO_DETAIL) -> np.ndarray:
        """POSITION (n,) of the slice's symbols at its close, fills of its bars included: what its
        decisions will see. On a copy of the state; nothing is taken."""
        if self._peek is None:
            self._peek = new_out(self._symbols, 1, 2 * len(self.rules.adjustments))
        self._peek.counts[:] = 0
        book = Book(*(array.copy() for array in self.book))
        hold = Inputs(
            bars, np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16), NO_REQUESTS, *detail
        )
        on_slice(book, self.rules, Inputs(*map(_writeable, hold)), 0, len(bars), self._peek)
        held: np.ndarray = book.positions[bars["symbol"]]
        return held

    def pass_gate(self, gate: Gate | None = None) -> None:
        """Submit every intent of the slice, or refuse those that `gate` gives a reason against.

        Where an entry is refused, so are its exits, and the gate is not asked about them.
        """
        refused: dict[int, Reason] = {}  # entries, by order id
        for symbol, order in list(self.intents()):
            reason = refused.get(int(order["parent"]), Reason.NONE)
            if reason == Reason.NONE and gate is not None:
                reason = gate(order)
            if reason == Reason.NONE:
                self.submit(symbol, int(order["order_id"]))
            elif reason == Reason.ORDER_UNKNOWN:
                self.doubt(symbol, int(order["order_id"]))
            else:
                refused[int(order["order_id"])] = reason
                self.refuse(symbol, int(order["order_id"]), reason)

    def submit(self, symbol: int, order_id: int) -> None:
        """An intent has left."""
        submit(self.book, symbol, order_id)

    def doubt(self, symbol: int, order_id: int) -> None:
        """An intent may have left: it is kept until the broker has said."""
        doubt(self.book, symbol, order_id)

    def refuse(self, symbol: int, order_id: int, reason: Reason) -> None:
        """The gate keeps an intent of the slice taken last."""
        refuse(self.book, self.rules, symbol, order_id, int(reason), self._out)

    def halt(self, reason: Reason) -> np.ndarray:
        """Latch HALTED from outside the core, between two slices; EVENT rows of what ended."""
        before = self._outside()
        halt(self.book, self.rules, int(reason), self._out)
        return self._events_since(before)

    def rearm(self) -> np.ndarray:
        """Take an operator's re-arm; EVENT rows of what changed."""
        before = self._outside()
        rearm(self.book, self._out)
        return self._events_since(before)

    def cancel(self, symbol: int, order_id: int, reason: Reason) -> np.ndarray:
        """End one working order; EVENT rows, none if it was not there."""
        before = self._outside()
        cancel(self.book, self.rules, symbol, order_id, int(reason), self._out)
        return self._events_since(before)

    def is_ending(self, symbol: int, order_id: int) -> bool:
        """Whether the end of an order has been asked for: asking again would change the last bits
        of sums. A halt ends all."""
        return bool(self.book.account[0]["trading_state"] == TradingState.HALTED)

    def close_out(self, symbol: int) -> np.ndarray:
        """Take a position to zero at its last close, whatever the state; FILL rows (one at most).

        Its working orders have been ended before.
        """
        self._outside()
        before = int(self._out.counts[FILLS])
        close_out(self.book, self.rules, symbol, self._out)
        return self._out.fills[before : self._out.counts[FILLS]].copy()

    def _outside(self) -> int:
        """Make room for what comes from outside the core; the number of events so far."""
        counts, out = self._out.counts, self._out
        if int(counts[EVENTS]) + self._most[EVENTS] > len(out.events) and not any(self.intents()):
            self._hand_over()
        return int(counts[EVENTS])

    def _events_since(self, before: int) -> np.ndarray:
        return self._out.events[before : self._out.counts[EVENTS]].copy()

    def intents(self) -> Iterator[tuple[int, np.void]]:
        """(symbol, copy of the ORDER record) of every intent that waits for the gate."""
        return (found for found in self.orders() if found[1]["status"] == OrderStatus.INTENT)

    def working(self) -> Iterator[tuple[int, np.void]]:
        """(symbol, copy of the ORDER record) of every order that was sent and may still fill."""
        return (found for found in self.orders() if found[1]["status"] in ALIVE)

    def orders(self) -> Iterator[tuple[int, np.void]]:
        """(symbol, copy of the ORDER record) of every order in the book."""
        working = self.book.positions["working_orders"]
        for symbol in np.flatnonzero(working).tolist():
            for order in self.book.orders[symbol][: working[symbol]]:
                yield symbol, order.copy()

    def snapshot(self) -> "Snapshot":
        """A copy of the state, which nobody changes any more."""
        book = Book(*(array.copy() for array in self.book))
        return Snapshot(book, self._last_ns, self.slices)

    def state(self) -> bytes:
        """The whole state, for `go_on_from`."""
        return snapshot(self.book)

    def go_on_from(self, state: bytes, slices: int) -> None:
        """Put a `state` in the place of this one, before any slice.

        ValueError if it is of a book of another shape.
        """
        restore(self.book, state)
        self._last_ns = int(self.book.account[0]["ts_ns"])
        self.slices = slices

    def rows(self) -> Out:
        """Views of the rows of the slice taken last."""
        out, first, last = self._out, self._before, self._out.counts
        return Out(
            decisions=out.decisions[first[DECISIONS] : last[DECISIONS]],
            equity=out.equity[first[EQUITIES] : last[EQUITIES]],
            fills=out.fills[first[FILLS] : last[FILLS]],
            throttles=out.throttles[first[THROTTLES] : last[THROTTLES]],
            events=out.events[first[EVENTS] : last[EVENTS]],
            orders=out.orders[first[ORDERS] : last[ORDERS]],
            cashflows=out.cashflows[first[CASHFLOWS] : last[CASHFLOWS]],
            counts=last - first,
        )

    def record(self) -> RunRecord:
        """Everything so far; more slices may follow."""
        self._hand_over()
        return self._keeper.record(self.book)

    def _has_room(self, bars: int) -> bool:
        """Whether every buffer holds a slice of `bars` twice: aborts and a halt come after it."""
        counts, out = self._out.counts, self._out
        needed = (bars, *self._most[1:])
        sizes = map(len, out[: CASHFLOWS + 1])
        return all(
            int(used) + 2 * need <= room
            for used, need, room in zip(counts, needed, sizes, strict=True)
        )

    def _hand_over(self) -> None:
        self._keeper.take(self._out)
        self._out.counts[:] = 0
        self._before[:] = 0


def warm_up(rules: Rules) -> None:
    """Compile, or load, every entry of the core for `rules`, on a book that is thrown away.

    Seconds the first time on a machine: to be done before anything waits for a slice.
    """
    engine = SliceEngine(rules, RowKeeper(1))
    bars = np.zeros(1, BAR)
    for field in ("open", "high", "low", "close"):
        bars[field] = 1.0
    engine.take(Inputs(bars, np.zeros(1, np.int8), np.zeros(1, np.int16)))
    submit(engine.book, 0, 0)
    engine.refuse(0, 0, Reason.KILLED)
    engine.cancel(0, 0, Reason.KILLED)
    engine.close_out(0)
    engine.halt(Reason.KILLED)
    engine.rearm()
    engine.record()


def _writeable(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of one that is read-only: that is another type to the compiled core,
    which would be compiled again, for ten seconds and more, with the first slice of a live run."""
    return array if array.flags.writeable else array.copy()


def most_rows(symbols: int, adjustments: int = 0) -> tuple[int, ...]:
    """The most rows one slice can append, in the order of `Out.counts`."""
    one = new_out(symbols, 1, adjustments)
    return symbols, 1, *(len(rows) for rows in one[FILLS : CASHFLOWS + 1])


def _is_slice(bars: np.ndarray) -> bool:
    """Whether all bars close at once, one a symbol, in symbol order."""
    return bool(np.all(bars["ts_ns"] == bars["ts_ns"][0]) and np.all(np.diff(bars["symbol"]) > 0))
