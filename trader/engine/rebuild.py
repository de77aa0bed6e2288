"""A recorded run's inputs through the core again: what a replay compares with.

Law: bars, actions, reasons, aborts, kills and what passed the gate are taken as recorded, in the
order of the journal; nothing else of it is used. A slice is run when its first output comes, so
that inputs recorded twice around a crash count once.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.core.apply import cancel, close_out, doubt, halt, on_slice, rearm, refuse, submit
from trader.core.book import (
    CASHFLOWS,
    DECISIONS,
    EQUITIES,
    EVENTS,
    FILLS,
    NO_REQUESTS,
    Inputs,
    Rules,
    new_book,
    new_out,
)
from trader.core.schema import CASHFLOW, EventKind, OrderKind, OrderStatus, Reason
from trader.engine.digest import RunDigest
from trader.engine.recorded import Divergence, Where, recorded_rules
from trader.journal import readback
from trader.journal.records import Record
from trader.journal.rows import ACTION_ROW, require_layouts

TRADED = "slice"  # `use` of the bars that were traded on
KILLED_BY = "core_reason"  # detail of a KILL: Reason under which the core halted


@dataclass
class ReplayReport:
    """What a replay found. `divergence` is None if the run reproduces itself."""

    run_id: str
    digest: str
    records: int = 0
    slices: int = 0
    decisions: int = 0
    fills: int = 0
    orders: int = 0
    has_end: bool = False
    divergence: Divergence | None = None

    @property
    def ok(self) -> bool:
        return self.divergence is None


@dataclass
class _Slice:
    """Inputs of the slice that is being recorded."""

    bars: list[np.ndarray]
    actions: np.ndarray | None = None
    requests: np.ndarray | None = None


class Rebuild:
    """The run as far as its inputs were taken, and the rows expected of it next."""

    def __init__(self, rules: Rules, start: Record) -> None:
        data = start.data
        require_layouts(data["layouts"])
        self.symbols = tuple(data["symbols"])
        self.lineage: str = data["lineage"]
        self.rules = rules
        self.book = new_book(rules)
        self.report = ReplayReport(data["run_id"], "")
        self._out = new_out(
            2 * len(rules.instruments), 1, len(rules.adjustments)
        )  # a kill adds events to a slice
        self._spare = len(new_out(len(rules.instruments), 1).events)
        self._digest = RunDigest()
        self._slice: _Slice | None = None
        self._stepped = False  # rows of the last slice are in `_out`, not yet digested
        self._moved = np.empty(0, CASHFLOW)  # of the last slice, until the journal tells it
        self._fills: deque[np.ndarray] = deque()
        self._cancels: deque[np.ndarray] = deque()
        self._intents: deque[np.ndarray] = deque()
        self._client_ids: dict[int, str] = {}
        self._order_of: dict[str, tuple[int, int]] = {}  # symbol and order id
        self._rejected: set[str] = set()  # order ids; the core knows no rejection: nothing may fill
        self._kills: set[str] = set()  # in force
        self._closing: dict[str, int] = {}  # flattening orders not sent yet: id → symbol

    # --- inputs ---

    def _bar(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if data["use"] != TRADED:
            return
        bars = readback.bars_of(record)
        if self._slice is not None and self._slice.actions is None:
            known = self._slice.bars[-1]
            if int(known[0]["ts_ns"]) == int(bars[0]["ts_ns"]):
                self._slice.bars.append(bars)
                return
        self._slice = _Slice([bars])  # after a crash, the same inputs may be recorded again

    def _action(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if self._slice is None:
            where.differs("bars of the slice", "none", "one a symbol")
        assert self._slice is not None
        self._slice.actions = readback.actions_of(record)
        self._slice.requests = readback.requests_of(record)

    def _resume(self, data: dict[str, Any], record: Record, where: Where) -> None:
        rules = recorded_rules(record)
        if rules is not None:
            self.rules = self.rules._replace(sessions=rules.sessions)
            self.book.account[0]["session_cursor"] = 0

    def _kill(self, data: dict[str, Any], record: Record, where: Where) -> None:
        reason = Reason(int(data.get(KILLED_BY, Reason.KILLED)))
        self._kills.add(data["kill_id"])
        before = self._outside()
        halt(self.book, self.rules, int(reason), self._out)
        self._expect_cancels(before)

    def _rearm(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._kills.discard(data["kill_id"])
        if not self._kills:
            self._outside()
            rearm(self.book, self._out)

    def _cancel_asked(self, data: dict[str, Any], record: Record, where: Where) -> None:
        known = self._order_of.get(data["client_order_id"])
        if known is None:
            return  # of an order that is not the core's
        reason = int(Reason[data["reason"]])
        before = self._outside()
        cancel(self.book, self.rules, *known, reason, self._out)
        self._expect_cancels(before)

    def _outside(self) -> int:
        """Make room for what comes from outside the core; the number of events so far."""
        counts = self._out.counts
        if int(counts[EVENTS]) + self._spare > len(self._out.events) and not self._has_intents():
            self._close_slice(None)
            counts[:] = 0
        return int(counts[EVENTS])

    def _aborted(self, data: dict[str, Any], record: Record, where: Where) -> None:
        known = self._order_of.get(data["client_order_id"])
        if known is not None:
            refuse(self.book, self.rules, *known, int(Reason[data["reason"]]), self._out)

    def _doubted(self, data: dict[str, Any], record: Record, where: Where) -> None:
        known = self._order_of.get(data["client_order_id"])
        if known is not None:
            doubt(self.book, *known)

    def _sent(self, data: dict[str, Any], record: Record, where: Where) -> None:
        closing = self._closing.pop(data["client_order_id"], None)
        if closing is not None:
            self._close_out(closing, data["client_order_id"])
            return
        known = self._order_of.get(data["client_order_id"])
        if known is not None:
            submit(self.book, *known)

    def _close_out(self, symbol: int, client_id: str) -> None:
        """A position that a kill with `flatten` closed, from outside the core."""
        before = int(self._out.counts[FILLS])
        close_out(self.book, self.rules, symbol, self._out)
        for row in self._out.fills[before : self._out.counts[FILLS]]:
            self._client_ids[int(row["order_id"])] = client_id
            self._fills.append(np.array([row], row.dtype))
            self.report.fills += 1

    def _step(self, where: Where) -> None:
        """Run the slice whose inputs are complete, if there is one."""
        ready, self._slice = self._slice, None
        if ready is None or ready.actions is None:
            where.differs("inputs of the slice", "none", "bars and actions before it")
        assert ready is not None
        assert ready.actions is not None
        self._close_slice(where)
        inputs = _inputs(ready, where)
        self._out.counts[:] = 0
        on_slice(self.book, self.rules, inputs, 0, len(inputs.bars), self._out)
        counts = self._out.counts
        self._stepped = True
        self.report.slices += 1
        self.report.decisions += int(counts[DECISIONS])
        self.report.fills += int(counts[FILLS])
        fills = self._out.fills[: counts[FILLS]]
        ordered = fills[fills["kind"] != OrderKind.DELISTED]  # the others are cash flows
        self._fills.extend(row.copy() for row in ordered.reshape(-1, 1))
        self._moved = self._out.cashflows[: counts[CASHFLOWS]].copy()
        self._expect_cancels(0)
        for symbol in range(len(self.symbols)):
            for index in range(int(self.book.positions[symbol]["working_orders"])):
                order = self.book.orders[symbol][index : index + 1]
                if order[0]["status"] == OrderStatus.INTENT:
                    self._intents.append(order.copy())

    def _has_intents(self) -> bool:
        """Whether an order still waits for its outcome."""
        held = self.book.positions["working_orders"]
        return any(
            bool(np.any(self.book.orders[symbol][: held[symbol]]["status"] == OrderStatus.INTENT))
            for symbol in np.flatnonzero(held).tolist()
        )

    def _expect_cancels(self, first: int) -> None:
        events = self._out.events[first : self._out.counts[EVENTS]]
        ended = np.isin(events["kind"], (EventKind.ORDER_CANCELLED, EventKind.ORDER_TRIMMED))
        self._cancels.extend(event.copy() for event in events[ended].reshape(-1, 1))

    def _close_slice(self, where: Where | None) -> None:
        """The last slice's rows are final: nothing may be missing of them; digest them."""
        if not self._stepped:
            return
        if where is not None and self._intents:
            order = self._intents[0][0]
            where.differs("ORDER_INTENT before it", "none", f"order {order['order_id']}")
        if where is not None:
            self._require_past_gate(where)
        out, counts = self._out, self._out.counts
        self._digest.add(
            out.decisions[: counts[DECISIONS]],
            out.fills[: counts[FILLS]],
            out.equity[: counts[EQUITIES]],
        )
        self._stepped = False

    def _require_past_gate(self, where: Where) -> None:
        for symbol, name in enumerate(self.symbols):
            orders = self.book.orders[symbol][: self.book.positions[symbol]["working_orders"]]
            for order in orders[orders["status"] == OrderStatus.INTENT]:
                text = f"order {order['order_id']} sent or aborted"
                where.differs("ORDER_SENT before it", "none", text, name)

    def _begin_outputs(self, where: Where) -> None:
        if self._slice is not None and self._slice.actions is not None:
            self._step(where)


def _inputs(ready: _Slice, where: Where) -> Inputs:
    """Core inputs of a recorded slice, in symbol order."""
    bars = np.concatenate(ready.bars)
    bars = bars[np.argsort(bars["symbol"], kind="stable")]
    said = np.empty(0, ACTION_ROW) if ready.actions is None else ready.actions
    order = np.argsort(said["symbol"], kind="stable")
    if not np.array_equal(said["symbol"][order], bars["symbol"]):
        where.differs("actions of the slice", len(said), f"one for each of {len(bars)} bars")
    requests = NO_REQUESTS if ready.requests is None else ready.requests
    if len(requests) not in (0, len(said)):
        where.differs("requests of the slice", len(requests), f"none, or {len(said)}")
    requests = requests[order] if len(requests) else requests
    actions, reasons = (said[name][order].copy() for name in ("action", "reason"))
    return Inputs(bars, actions, reasons, requests)


def row_text(row: np.ndarray) -> str:
    names = [name for name in ("order_id", "qty", "price") if name in (row.dtype.names or ())]
    return ", ".join(f"{name} {row[0][name].item()!r}" for name in names)
