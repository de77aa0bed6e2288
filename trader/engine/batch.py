"""Shell 1: a history through the compiled core, its rows taken away chunk by chunk.

Decides nothing and computes no price: it moves arrays. Rows are digested and counted while
they are in the processor's cache (a second thread was slower: it had to fetch them from the
other core). Fills, events and the equity curve stay in memory; decisions do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from trader.books import new_book, new_out
from trader.core.book import (
    CASHFLOWS,
    DECISIONS,
    EQUITIES,
    EVENTS,
    FILLS,
    ORDERS,
    THROTTLES,
    Book,
    Inputs,
    Out,
    Rules,
)
from trader.core.schema import CASHFLOW, EQUITY, EVENT, FILL, ORDER, THROTTLE
from trader.engine.compiled_loop import run_slices
from trader.engine.digest import RunDigest
from trader.engine.trial import NO_TRACE
from trader.record_arrays import copied, joined, taken

ROWS_PER_CHUNK = 16_384  # decisions; buffers of a chunk stay in the processor's cache


class RowSink(Protocol):
    """Takes rows of one kind as they come; must copy what it keeps."""

    def __call__(self, rows: np.ndarray, /) -> object: ...


@dataclass
class RunRecord:
    """What a run left: final state, rows, digest. `equity` has one row a slice."""

    book: Book
    fills: np.ndarray  # FILL
    throttles: np.ndarray  # THROTTLE
    events: np.ndarray  # EVENT
    equity: np.ndarray  # EQUITY
    ended: np.ndarray  # ORDER, as they ended
    cashflows: np.ndarray  # CASHFLOW
    digest: str

    @property
    def order_rows(self) -> np.ndarray:
        """Every order by its id: those that ended, and those that still work."""
        working = self.book.positions["working_orders"]
        live = [self.book.orders[symbol][:count] for symbol, count in enumerate(working) if count]
        rows = joined([self.ended, *live], ORDER)
        return taken(rows, np.argsort(rows["order_id"], kind="stable"))

    @property
    def fees_due(self) -> float:
        """Fees and interest that have run up and are not paid yet."""
        return float(self.book.positions["borrow_due"].sum() + self.book.carry[0]["interest_due"])

    @property
    def orders(self) -> int:
        """Orders that left the decision step."""
        return int(self.book.account[0]["next_order_id"]) - 1


@dataclass
class RowKeeper:
    """Keeps, digests and hands on the rows of a run, chunk after chunk."""

    slices: int  # room made beforehand; where there are more, it grows
    decision_sinks: tuple[RowSink, ...] = ()
    equity_sinks: tuple[RowSink, ...] = ()
    _digest: RunDigest = field(default_factory=RunDigest)
    _fills: list[np.ndarray] = field(default_factory=list)
    _throttles: list[np.ndarray] = field(default_factory=list)
    _events: list[np.ndarray] = field(default_factory=list)
    _ended: list[np.ndarray] = field(default_factory=list)
    _cashflows: list[np.ndarray] = field(default_factory=list)
    _equity_rows: int = 0

    def __post_init__(self) -> None:
        self._equity = np.empty(self.slices, EQUITY)

    def with_equity_room(self, out: Out, done: int) -> Out:
        """`out` with its equity rows lying in the curve itself, from slice `done` on: no copy."""
        return out._replace(equity=self._equity[done : done + len(out.equity)])

    def take(self, out: Out) -> None:
        """Take the rows in `out`; nothing of it is referred to afterwards but its equity."""
        counts = out.counts
        decisions = out.decisions[: counts[DECISIONS]]
        equity = out.equity[: counts[EQUITIES]]
        fills = out.fills[: counts[FILLS]]
        self._digest.add(decisions, fills, equity)
        for sink in self.decision_sinks:
            sink(decisions)
        for sink in self.equity_sinks:
            sink(equity)
        if self._equity_rows + len(equity) > len(self._equity):
            more = np.empty(2 * (self._equity_rows + len(equity)), EQUITY)
            more[: self._equity_rows] = self._equity[: self._equity_rows]
            self._equity = more
        place = self._equity[self._equity_rows : self._equity_rows + len(equity)]
        if not np.shares_memory(place, equity):
            place[:] = equity
        self._equity_rows += len(equity)
        for kept, rows in (
            (self._fills, fills),
            (self._throttles, out.throttles[: counts[THROTTLES]]),
            (self._events, out.events[: counts[EVENTS]]),
            (self._ended, out.orders[: counts[ORDERS]]),
            (self._cashflows, out.cashflows[: counts[CASHFLOWS]]),
        ):
            if len(rows):
                kept.append(copied(rows))

    def record(self, book: Book) -> RunRecord:
        """Everything taken so far, with the state it led to."""
        return RunRecord(
            book=book,
            fills=joined(self._fills, FILL),
            throttles=joined(self._throttles, THROTTLE),
            events=joined(self._events, EVENT),
            equity=self._equity[: self._equity_rows],
            ended=joined(self._ended, ORDER),
            cashflows=joined(self._cashflows, CASHFLOW),
            digest=self._digest.hexdigest(),
        )


def run_history(
    rules: Rules,
    inputs: Inputs,
    keeper: RowKeeper,
    progress: Callable[[int], None] | None = None,
) -> RunRecord:
    """Run all of `inputs` from a fresh book. `progress` is called with the rows done.

    Equal rules and inputs give equal records, whatever the chunks. An exception of a sink (a
    full disk, say) ends the run and is raised here.
    """
    book = new_book(rules)
    symbols = len(rules.instruments)
    buffers = new_out(symbols, max(1, ROWS_PER_CHUNK // symbols), len(rules.adjustments))
    start, slices = 0, 0
    while start < len(inputs.bars):
        out = keeper.with_equity_room(buffers, slices)
        out.counts[:] = 0
        after = run_slices(book, rules, inputs, start, out, NO_TRACE)
        assert after > start, "buffers hold at least one slice"
        start = after
        slices += int(out.counts[EQUITIES])
        keeper.take(out)
        if progress is not None:
            progress(start)
    return keeper.record(book)
