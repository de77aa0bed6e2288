"""The one fold of a journal: what is on record through the core again, step by step.

    Rebuild            inputs: bars, actions, what the gate said, cancels, kills, re-arms
    replay.Replayer    the same, every recorded output compared with the recomputed one

Law: bars, actions, reasons, aborts, kills and what passed the gate are taken as recorded, in the
order of the journal; nothing else of it is used. A slice is run when its first output comes, so
that inputs recorded twice around a crash count once. Replay and recovery are this fold; what
recovery still has to do is what the fold waits for when the records end.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.core.book import NO_REQUESTS, Inputs, Rules
from trader.core.schema import BAR, CASHFLOW, EventKind, OrderKind, Reason
from trader.engine.batch import RowKeeper
from trader.engine.broker_engine import BrokerEngine
from trader.engine.recorded import Divergence, OldRounding, Where, recorded_rules
from trader.engine.run_facts import RunFacts
from trader.engine.sliceengine import SliceEngine
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal import readback
from trader.journal.records import Record, client_order_id
from trader.journal.rows import ACTION_ROW, recorded_layouts

TRADED = "slice"  # `use` of the bars that were traded on
KILLED_BY = "core_reason"  # detail of a KILL: Reason under which the core halted
OUTSIDE = "broker"  # detail of RUN_START: type of the broker outside at which orders fill


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
    rounded: Divergence | None = None  # first number of core 1 that differs by noise of floats

    @property
    def ok(self) -> bool:
        return self.divergence is None


@dataclass
class PendingSlice:
    """Inputs of the slice that is being recorded."""

    bars: list[np.ndarray]
    finer: list[np.ndarray]  # of each bar
    actions: np.ndarray | None = None
    requests: np.ndarray | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it can be run: its actions came after its bars."""
        return self.actions is not None


class Rebuild:
    """The run as far as its inputs were taken, and the rows expected of it next."""

    def __init__(self, rules: Rules, start: Record, keeper: RowKeeper | None = None) -> None:
        """`keeper` takes the rows of the run."""
        data = start.data
        self.layouts = recorded_layouts(data["layouts"])
        self.rounding = OldRounding.of(start, self.layouts)
        self.symbols = tuple(data["symbols"])
        self.lineage: str = data["lineage"]
        kind = BrokerEngine if data.get(OUTSIDE) else SliceEngine
        self.engine: SliceEngine = kind(rules, keeper or RowKeeper(0))
        self.facts = RunFacts()
        self.report = ReplayReport(data["run_id"], "")
        self.client_ids: dict[int, str] = {}
        self.pending: PendingSlice | None = None
        self.cancels: deque[np.ndarray] = deque()  # EVENTs that no CANCEL_ACK has told of yet
        self.closing: dict[str, int] = {}  # flattening orders not sent yet: id → symbol
        self._stepped = False  # rows of the last slice may still be compared
        self._moved = np.empty(0, CASHFLOW)  # of the last slice, until the journal tells it
        self._fills: deque[np.ndarray] = deque()
        self._intents: deque[np.ndarray] = deque()
        self._order_of: dict[str, tuple[int, int]] = {}  # symbol and order id
        self._rejected: set[str] = set()  # order ids; the core knows no rejection: nothing may fill

    def go_on_from(self, snapshot: Record, facts: RunFacts) -> None:
        """Begin at a SNAPSHOT instead of the first record. JournalError if it cannot be read,
        ValueError if it does not fit this run."""
        data = snapshot.data
        self.engine.go_on_from(readback.snapshot_state(snapshot), data["slices"])
        self.facts = facts
        self.facts.session = int(self.engine.book.account[0]["session"])
        for symbol, order in self.engine.orders():
            at = int(order["ts_ns"]), int(order["decision"]), int(order["leg"])
            self._remember(symbol, order, client_order_id(self.lineage, self.symbols[symbol], *at))

    def _remember(self, symbol: int, order: np.void, client_id: str) -> None:
        self.client_ids[int(order["order_id"])] = client_id
        self._order_of[client_id] = symbol, int(order["order_id"])

    @property
    def waiting(self) -> np.ndarray:
        """BARs of a slice whose inputs are on record and whose outputs are not; none usually."""
        if self.pending is None or not self.pending.is_complete:
            return np.empty(0, BAR)
        return np.concatenate(self.pending.bars)

    def inputs(self, where: Where) -> Inputs:
        """Core inputs of the slice that waits, in symbol order; it waits no more."""
        ready, self.pending = self.pending, None
        if ready is None or ready.actions is None:
            where.differs("inputs of the slice", "none", "bars and actions before it")
        assert ready is not None
        return _inputs(ready, where)

    # --- inputs ---

    def _bar(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if data["use"] != TRADED:
            return
        bars = readback.bars_of(record)
        if self.pending is not None and not self.pending.is_complete:
            known = self.pending.bars[-1]
            if int(known[0]["ts_ns"]) == int(bars[0]["ts_ns"]):
                self.pending.bars.append(bars)
                self.pending.finer += readback.finer_of(record)
                return
        self.pending = PendingSlice(
            [bars], readback.finer_of(record)
        )  # after a crash, the same may be recorded again

    def _action(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if self.pending is None:
            where.differs("bars of the slice", "none", "one a symbol")
        assert self.pending is not None
        self.pending.actions = readback.actions_of(record)
        self.pending.requests = readback.requests_of(record)

    def _resume(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self.take_calendar(record)

    def take_calendar(self, record: Record) -> None:
        """The trading hours and the corporate actions that a RUN_RESUME brings."""
        rules = recorded_rules(record)
        if rules is not None:
            self.use_calendar(rules)

    def use_calendar(self, rules: Rules) -> None:
        """Trading hours and corporate actions as another process of the run knew them."""
        if rules.sessions.tobytes() != self.engine.rules.sessions.tobytes():
            self.engine.rules = self.engine.rules._replace(sessions=rules.sessions)
            self.engine.book.account[0]["session_cursor"] = 0
        self.engine.use_adjustments(rules.adjustments)

    def _kill(self, data: dict[str, Any], record: Record, where: Where) -> None:
        reason = Reason(int(data.get(KILLED_BY, Reason.KILLED)))
        self._expect_cancels(self.engine.halt(reason))

    def _rearm(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if not self.facts.kills:
            self.engine.rearm()

    def _cancel_asked(self, data: dict[str, Any], record: Record, where: Where) -> None:
        known = self._order_of.get(data["client_order_id"])
        if known is not None and not self.engine.is_ending(*known):  # None: not the core's
            self._expect_cancels(self.engine.cancel(*known, Reason[data["reason"]]))

    def _aborted(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self.closing.pop(data["client_order_id"], None)
        known = self._order_of.get(data["client_order_id"])
        if known is not None:
            self.engine.refuse(*known, Reason[data["reason"]])

    def _doubted(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._leave_closing(data["client_order_id"])
        known = self._order_of.get(data["client_order_id"])
        if known is not None:
            self.engine.doubt(*known)

    def _sent(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if self._leave_closing(data["client_order_id"]):
            return
        known = self._order_of.get(data["client_order_id"])
        if known is not None:
            self.engine.submit(*known)

    def _leave_closing(self, client_id: str) -> bool:
        """An order of a kill with `flatten` has left; False where it is none that waits."""
        symbol = self.closing.pop(client_id, None)
        if symbol is not None and isinstance(self.engine, BrokerEngine):
            order = self.engine.place_closing(symbol)
            if order is not None:
                self._remember(symbol, order, client_id)
        elif symbol is not None:
            self._close_out(symbol, client_id)
        return symbol is not None

    def _close_out(self, symbol: int, client_id: str) -> None:
        """A position that a kill with `flatten` closed, from outside the core."""
        for row in self.engine.close_out(symbol):
            self.client_ids[int(row["order_id"])] = client_id
            self._fills.append(np.array([row], row.dtype))
            self.report.fills += 1

    def _step(self, where: Where) -> None:
        """Run the slice whose inputs are complete, if there is one."""
        inputs = self.inputs(where)
        self._close_slice(where)
        try:
            self.engine.take(inputs)
        except ValueError as error:
            where.differs("bars of the slice", str(error), "one slice after another")
        rows = self.engine.rows()
        self._stepped = True
        self.facts.take_slice(inputs.bars)
        if self.facts.session is None:
            self.facts.session = int(self.engine.book.account[0]["session"])
        self.report.slices += 1
        self.report.decisions += len(rows.decisions)
        self.report.fills += len(rows.fills)
        ordered = rows.fills[rows.fills["kind"] != OrderKind.DELISTED]  # others are cash flows
        self._fills.extend(row.copy() for row in ordered.reshape(-1, 1))
        self._moved = rows.cashflows.copy()
        self._expect_cancels(rows.events)
        self._intents.extend(np.array([order]) for _, order in self.engine.intents())

    def _expect_cancels(self, events: np.ndarray) -> None:
        ended = np.isin(events["kind"], (EventKind.ORDER_CANCELLED, EventKind.ORDER_TRIMMED))
        self.cancels.extend(event.copy() for event in events[ended].reshape(-1, 1))

    def _close_slice(self, where: Where | None) -> None:
        """Nothing may be missing of the last slice, which is over."""
        if not self._stepped:
            return
        if where is not None and self._intents:
            order = self._intents[0][0]
            where.differs("ORDER_INTENT before it", "none", f"order {order['order_id']}")
        if where is not None:
            self._require_past_gate(where)
        self._stepped = False

    def _require_past_gate(self, where: Where) -> None:
        for symbol, order in self.engine.intents():
            text = f"order {order['order_id']} sent or aborted"
            where.differs("ORDER_SENT before it", "none", text, self.symbols[symbol])

    def _begin_outputs(self, where: Where) -> None:
        if self.pending is not None and self.pending.is_complete:
            self._step(where)


def _inputs(ready: PendingSlice, where: Where) -> Inputs:
    """Core inputs of a recorded slice, in symbol order."""
    bars = np.concatenate(ready.bars)
    places = np.argsort(bars["symbol"], kind="stable")
    bars, detail = bars[places], sorted_detail(ready.finer, places)
    said = np.empty(0, ACTION_ROW) if ready.actions is None else ready.actions
    order = np.argsort(said["symbol"], kind="stable")
    if not np.array_equal(said["symbol"][order], bars["symbol"]):
        where.differs("actions of the slice", len(said), f"one for each of {len(bars)} bars")
    requests = NO_REQUESTS if ready.requests is None else ready.requests
    if len(requests) not in (0, len(said)):
        where.differs("requests of the slice", len(requests), f"none, or {len(said)}")
    requests = requests[order] if len(requests) else requests
    actions, reasons = (said[name][order].copy() for name in ("action", "reason"))
    return Inputs(bars, actions, reasons, requests, *detail)


def sorted_detail(finer: Sequence[np.ndarray], places: np.ndarray) -> Detail:
    """The finer bars of a recorded slice, in the order of `places`."""
    if not any(map(len, finer)):
        return NO_DETAIL
    return Detail.of([finer[place] for place in places.tolist()])


def row_text(row: np.ndarray) -> str:
    names = [name for name in ("order_id", "qty", "price") if name in (row.dtype.names or ())]
    return ", ".join(f"{name} {row[0][name].item()!r}" for name in names)
