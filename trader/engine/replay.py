"""A run rebuilt from its journal, every recorded output compared with the recomputed one.

Law: what is compared must be the same bits: every decision with its throttles, events and
account, every order, fill and cancellation, every snapshot, the end. The first record that
differs ends it, and is named.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from trader.books import snapshot
from trader.core.book import Rules
from trader.core.schema import FILL, OrderStatus, Reason
from trader.engine.batch import RowKeeper
from trader.engine.broker_engine import BrokerEngine
from trader.engine.rebuild import Rebuild, ReplayReport, row_text
from trader.engine.recorded import DivergenceError, Where, recorded_rules
from trader.engine.recorded_state import state_pairs
from trader.engine.run_facts import RunFacts
from trader.journal import readback
from trader.journal.broker_entries import is_from_broker
from trader.journal.records import JournalError, Record, client_order_id
from trader.journal.rows import from_rows
from trader.journal.store import read_records


class Replayer(Rebuild):
    """Takes a journal's records in order; `DivergenceError` at the first not reproduced."""

    is_whole = True  # from the first record on, so that the digest is that of the run

    def take(self, record: Record) -> None:
        """Recompute what `record` says and compare, or take it in if it is an input."""
        self.report.records += 1
        data = record.data
        self.facts.take(record, data)
        step = _STEPS.get(record.type)
        if step is not None:
            step(self, data, record, Where(record, self.symbols, self.rounding))

    def go_on_from(self, snapshot: Record, facts: RunFacts) -> None:
        """See `Rebuild`."""
        super().go_on_from(snapshot, facts)
        self.is_whole = False

    def finish(self) -> ReplayReport:
        """The report of a run without divergence."""
        self._close_slice(None)
        self.report.digest = self.engine.record().digest
        self.report.rounded = None if self.rounding is None else self.rounding.first
        self.report.orders = int(self.engine.book.account[0]["next_order_id"]) - 1
        return self.report

    def _fill(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if "fill" not in data:
            return  # of an order that is not the core's
        self._begin_outputs(where)
        if is_from_broker(data):
            self._fills.extend(self._executed(data, where).reshape(-1, 1))
        recorded = readback.fill_of(record, self.layouts)
        if not self._fills:
            where.differs("fill", row_text(recorded), "none")
        if data["client_order_id"] in self._rejected:
            where.differs("fill", row_text(recorded), "none of an order that was rejected")
        expected = self._fills.popleft()
        where.require_rows("fill", recorded, expected)
        row = expected[0]
        client_id = self.client_ids.get(int(row["order_id"]))
        where.require("client_order_id", data["client_order_id"], client_id)
        where.require("symbol", data["symbol"], self.symbols[row["symbol"]])
        for field in ("qty", "price", "commission"):
            where.require(field, float(data[field]), float(row[field]), data["symbol"])

    def _cashflow(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._begin_outputs(where)
        where.require_rows("cashflow", readback.cashflows_of(record), self._moved)
        self._moved = self._moved[:0]

    def _reject(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._rejected.add(data["client_order_id"])
        if isinstance(self.engine, BrokerEngine):
            self._ended({**data, "reason": "BROKER_REJECTED"}, OrderStatus.REJECTED, where)

    def _executed(self, data: dict[str, Any], where: Where) -> np.ndarray:
        """What the core makes of an execution that a broker outside told."""
        terms = float(data["qty"]), float(data["price"]), float(data["commission"])
        engine, order = self._outside(data, where)
        self.report.fills += 1
        return engine.execute(*order, terms)

    def _ended(self, data: dict[str, Any], status: OrderStatus, where: Where) -> np.ndarray:
        """What the core makes of the end of an order at a broker outside."""
        engine, order = self._outside(data, where)
        return engine.end_outside(*order, status, Reason[data["reason"]])

    def _outside(self, data: dict[str, Any], where: Where) -> tuple[BrokerEngine, tuple[int, int]]:
        order = self._order_of.get(data["client_order_id"])
        if order is None or not isinstance(self.engine, BrokerEngine):
            where.differs("source", "broker", "no order at a broker outside")
        assert isinstance(self.engine, BrokerEngine)
        assert order is not None
        return self.engine, order

    def _reconciled(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._begin_outputs(where)
        where.require("positions", data["positions"], self._held())

    def _cancel(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._begin_outputs(where)
        client_id = data["client_order_id"]
        if client_id not in self._order_of:
            return  # of an order that is not the core's
        if is_from_broker(data):
            self._expect_cancels(self._ended(data, OrderStatus.CANCELLED, where))
        mine = (
            place
            for place, event in enumerate(self.cancels)
            if self.client_ids.get(int(event[0]["order_id"])) == client_id
        )
        place = next(mine, None)
        if place is None:
            where.differs("client_order_id", client_id, "no cancellation of it")
        assert place is not None
        event = self.cancels[place]
        del self.cancels[place]
        where.require("qty", float(data["qty"]), float(event[0]["value"]))
        if "reason" in data:
            where.require("reason", data["reason"], Reason(int(event[0]["reason"])).name)

    def _decision(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._begin_outputs(where)
        if not self._stepped:
            where.differs("inputs of the slice", "none", "bars and actions before it")
        recorded = readback.outcome_of(record, self.layouts)
        if self._fills:
            where.differs("FILL before it", "none", row_text(self._fills[0]))
        where.require("number of cashflow rows before it", 0, len(self._moved))
        rows, account = self.engine.rows(), self.engine.book.account
        first = int(account[0]["decisions"]) - len(rows.decisions)
        where.require("first", recorded.first, first)
        where.require_rows("decision", recorded.decisions, rows.decisions)
        where.require_rows("throttle", recorded.throttles, rows.throttles)
        where.require_rows("event", recorded.events, rows.events)
        where.require_rows("account", recorded.account, account)

    def _intent(self, data: dict[str, Any], record: Record, where: Where) -> None:
        if data["purpose"] == "flatten":
            self.closing[data["client_order_id"]] = self.symbols.index(data["symbol"])
            return
        recorded = readback.order_of(record, self.layouts)
        if not self._intents:
            where.differs("order", row_text(recorded), "none")
        expected = self._intents.popleft()
        where.require_rows("order", recorded, expected)
        row = expected[0]
        symbol, order_id = int(row["symbol"]), int(row["order_id"])
        name = self.symbols[symbol]
        at = int(row["ts_ns"]), int(row["decision"]), int(row["leg"])
        client_id = client_order_id(self.lineage, name, *at)
        where.require("client_order_id", data["client_order_id"], client_id, name)
        where.require("symbol", data["symbol"], name)
        where.require("qty", float(data["qty"]), float(row["qty"]), name)
        where.require("decision", data["decision"], int(row["decision"]), name)
        where.require("order_id", data["order_id"], order_id, name)
        self._remember(symbol, row, client_id)

    def _snapshot(self, data: dict[str, Any], record: Record, where: Where) -> None:
        state, book, rules = readback.snapshot_state(record), self.engine.book, self.engine.rules
        try:
            pairs = list(state_pairs(state, book, rules, self.layouts))
        except ValueError as error:
            where.differs("state", str(error), f"{len(snapshot(book))} bytes")
        for name, recorded, recomputed in pairs:
            if recorded.dtype.names:
                where.require_rows(name, recorded.reshape(-1), recomputed.reshape(-1))
            else:
                where.require(name, recorded.tobytes().hex(), recomputed.tobytes().hex())
        self._holdings(data, where)
        self.facts.session = int(self.engine.book.account[0]["session"])
        for name, counted in self._counted().items():
            if name in data:
                where.require(name, data[name], counted)

    def _counted(self) -> dict[str, Any]:
        return {**self.facts.snapshot_fields(), "slices": self.engine.slices}

    def _end(self, data: dict[str, Any], record: Record, where: Where) -> None:
        self._close_slice(where)
        self._holdings(data, where)
        digest = data.get("digest")
        if digest is not None and self.is_whole and self.layouts["FILL"] == FILL:
            where.require("digest", digest, self.engine.record().digest)
        self.report.has_end = True

    def _holdings(self, data: dict[str, Any], where: Where) -> None:
        account = from_rows([data["account"]], self.layouts["ACCOUNT"])
        where.require_rows("account", account, self.engine.book.account)
        where.require("positions", data["positions"], self._held())

    def _held(self) -> dict[str, float]:
        quantities = zip(self.symbols, self.engine.book.positions["qty"], strict=True)
        return {name: float(qty) for name, qty in quantities if qty != 0.0}


Step = Callable[[Replayer, dict[str, Any], Record, Where], None]
_STEPS: dict[str, Step] = {
    "RUN_RESUME": Replayer._resume,
    "BAR": Replayer._bar,
    "ACTION": Replayer._action,
    "DECISION": Replayer._decision,
    "ORDER_INTENT": Replayer._intent,
    "ORDER_SENT": Replayer._sent,
    "ORDER_ACK": Replayer._sent,
    "ORDER_REJECTED": Replayer._reject,
    "ORDER_ABORTED": Replayer._aborted,
    "ORDER_UNKNOWN": Replayer._doubted,
    "FILL": Replayer._fill,
    "CASHFLOW": Replayer._cashflow,
    "CANCEL_ACK": Replayer._cancel,
    "CANCEL_INTENT": Replayer._cancel_asked,
    "KILL": Replayer._kill,
    "REARM": Replayer._rearm,
    "SNAPSHOT": Replayer._snapshot,
    "RUN_END": Replayer._end,
    "RECONCILED": Replayer._reconciled,
}


def replay(path: Path, rules: Rules | None = None) -> ReplayReport:
    """Replay the journal at `path`; `rules` where it does not hold its own.

    Raises `JournalError` if it cannot be read or has no rules and none are given.
    """
    return replay_records(read_records(path), rules)


def replay_records(records: Iterable[Record], rules: Rules | None = None) -> ReplayReport:
    """`replay` of records in order, the first a RUN_START."""
    stream = iter(records)
    replayer = begin_fold(next(stream, None), rules)
    try:
        for record in stream:
            replayer.take(record)
        return replayer.finish()
    except DivergenceError as diverged:
        report = replayer.report
        report.divergence = diverged.divergence
        return report


def begin_fold(
    start: Record | None, rules: Rules | None = None, keeper: RowKeeper | None = None
) -> Replayer:
    """The fold of a journal after its RUN_START; JournalError where it cannot begin."""
    if start is None or start.type != "RUN_START":
        raise JournalError("the journal does not begin with RUN_START")
    chosen = recorded_rules(start) or rules
    if chosen is None:
        raise JournalError("the journal does not hold its run's rules; use the version that did")
    replayer = Replayer(chosen, start, keeper)
    replayer.report.records = 1
    replayer.facts.last_seq = start.seq
    return replayer
