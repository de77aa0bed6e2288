"""The journaled slice: inputs recorded, core, outputs and intents recorded, gate, outcomes.

Law: nothing is acted on before it is on disk, and the disk never holds up the event loop: records
are written in the one thread of `pool`. A failed write is fatal (`JournalError`); what was written
is enough to go on from (`trader.engine.recover`).
"""

import asyncio
import functools
from collections.abc import Callable, Sequence

import numpy as np

from trader.core.book import Inputs
from trader.core.schema import EventKind, OrderKind, Reason
from trader.engine.answers import Answer
from trader.engine.crash_points import reached
from trader.engine.rebuild import Rebuild
from trader.engine.refusals import refused_entries
from trader.engine.run_facts import RunFacts
from trader.engine.slice_takers import slice_inputs
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import RefusedBar
from trader.engine.snapshots import SnapshotRhythm
from trader.engine.surroundings import SendOutcome, SentOrder, Surroundings
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.records import Entry, client_order_id

ENDED = (EventKind.ORDER_CANCELLED, EventKind.ORDER_TRIMMED)
NO_DECISION = -1  # of an order that a kill asked for

Tell = Callable[[np.void], None]


class JournaledSlices:
    """A `SliceTaker` whose every step is in the journal before the next is taken."""

    def __init__(
        self,
        engine: SliceEngine,
        journal: Journal,
        around: Surroundings,
        fold: Rebuild | None = None,
    ) -> None:
        """`fold`: of the journal of a run that goes on; `engine` is its engine then."""
        self.engine = engine
        self.facts = RunFacts() if fold is None else fold.facts
        self.aborted = 0
        self._journal = journal
        self._around = around
        self.symbols = around.symbols
        self._lineage = journal.run_id
        self._client_ids = {} if fold is None else fold.client_ids  # of what may still fill
        self._unwritten: list[Entry] = []  # of slices of a backlog, before whatever comes
        self._rhythm = SnapshotRhythm(journal, around.snapshot_every, self.facts)

    async def take(
        self, bars: np.ndarray, answer: Answer, more: bool = False, detail: Detail = NO_DETAIL
    ) -> None:
        """One slice, from its inputs on. JournalError is fatal: stop by `os._exit`.

        With `more` of a backlog right behind it, a slice of which nothing leaves is written with
        the next: one flush for all of them, before anything is sent, shown or waited for.
        """
        reached("before_inputs")
        if more:
            self._unwritten += self.inputs(bars, answer, detail)
        else:  # a process that dies in the core leaves what it died of
            await self._append(self.inputs(bars, answer, detail), durable=False)
            reached("after_inputs")
        self.step(slice_inputs(bars, answer, detail))
        outputs, intents = self.outputs()
        if more and len(outputs) == 1 and not self._rhythm.is_due(self.engine.book):
            self._unwritten += outputs
            return
        await self._append(outputs)
        reached("after_outputs")
        outcomes = self.pass_gate(intents)
        if outcomes:
            reached("before_outcomes")
            await self._append(outcomes, durable=False)
        reached("after_outcomes")
        if self._rhythm.is_due(self.engine.book):
            await self.take_snapshot()

    async def note(self, refused: Sequence[RefusedBar]) -> None:
        """See `SliceTaker`."""
        await self._append([entry for one in refused for entry in refused_entries(one)])
        for one in refused:
            if one.use == "invalid":
                self.facts.refuse(one.symbol)

    async def cancel_working(self, reason: Reason) -> int:
        """See `SliceTaker`."""
        working = list(self.engine.working())
        if not working:
            return 0
        reached("before_cancel_intent")
        await self._append(self._cancel_intents(reason))
        reached("after_cancel_intent")
        ended: list[Entry] = []
        for symbol, order in working:
            ended += self.ended(self.engine.cancel(symbol, int(order["order_id"]), reason))
        await self._append(ended)
        return len(working)

    def _cancel_intents(self, reason: Reason) -> list[Entry]:
        ids = [self.client_id(int(order["order_id"])) for _, order in self.engine.working()]
        return [build.cancel_intent(client_id, reason.name) for client_id in ids]

    async def record(self, *entries: Entry) -> None:
        """Whatever else belongs on record."""
        await self._append(entries)

    async def halt(self, reason: Reason, kills: Sequence[Entry] = ()) -> np.ndarray:
        """A kill between two slices: the core halts, working orders end, all on record.

        The intents change nothing for who reads them back: the KILL before them has ended all.
        Returns the core's EVENT rows; none where it was halted already.
        """
        intents = self._cancel_intents(reason)
        await self._append([*kills, *intents])
        if intents:
            reached("after_cancel_intent")
        events = self.engine.halt(reason)
        await self._append(self.ended(events))
        return events

    async def flatten(self, kill_id: str, tell: Tell = lambda fill: None) -> int:
        """Close every position at once, for a kill that asks for it; how many were closed.

        `tell` gets the FILL row of each, once it is on record.
        """
        held = self.engine.book.positions["qty"].copy()
        ts_ns = int(self.engine.book.account[0]["ts_ns"])
        closed = 0
        for symbol in np.flatnonzero(held).tolist():
            name, qty = self.symbols[symbol], float(0.0 - held[symbol])
            client_id = client_order_id(kill_id, name, ts_ns, NO_DECISION)
            asked = build.FlattenOrder(client_id, name, qty, ts_ns, kill_id)
            await self._append([build.flatten_intent(asked)])
            order = SentOrder(client_id, NO_DECISION - symbol, qty, symbol=name)
            passed = self._around.send_closing(order, float(held[symbol]))
            if passed.reason == Reason.NONE:
                fills = self.engine.close_out(symbol)
                await self._append(self.closed(fills, client_id))
                for fill in fills:
                    tell(fill)
                closed += 1
            else:
                await self._append([build.order_aborted(client_id, passed.reason, passed.detail)])
        return closed

    def closed(self, fills: np.ndarray, client_id: str) -> list[Entry]:
        """A position went to zero: ORDER_SENT, ORDER_ACK and FILL of the closing order."""
        sent_ns = self._around.sent_mono_ns()
        entries: list[Entry] = []
        for row in fills:
            self._client_ids[int(row["order_id"])] = client_id
            entries += [
                build.order_sent(client_id, row["qty"], sent_ns),
                build.order_ack(client_id, f"B{row['order_id']}"),
                self._fill(row),
            ]
        return entries

    async def take_snapshot(self) -> None:
        """The whole state into the journal: what a later recovery is checked against.

        The first one of a session with a CHECKPOINT of the session before, in one transaction.
        """
        reached("before_snapshot")
        is_roll = self._rhythm.is_next_session(self.engine.book)
        await self._append([self.snapshot_entry()], checkpoint=is_roll)
        self._rhythm.taken(self.engine.book)
        reached("after_snapshot")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._around.pool, self._journal.pack, self._journal.head.seq)
        reached("after_pack")

    def client_id(self, order_id: int) -> str:
        """See `SliceTaker`; "" for an order that is over."""
        return self._client_ids.get(order_id, "")

    # What a slice is made of, step by step; recovery takes the same steps.

    def inputs(self, bars: np.ndarray, answer: Answer, detail: Detail = NO_DETAIL) -> list[Entry]:
        """BAR and ACTION."""
        said = build.ModelAnswer(bars["symbol"], *answer)
        return [build.bars(bars, detail=detail), build.actions(int(bars[0]["ts_ns"]), said)]

    def step(self, inputs: Inputs) -> None:
        """The slice through the core."""
        self._forget()
        self.engine.take(inputs)
        self.facts.take_slice(inputs.bars)
        self._rhythm.begin(self.engine.book)

    def outputs(self) -> tuple[list[Entry], list[Entry]]:
        """(what the slice taken last did with its intents at the end, the intents alone)."""
        rows = self.engine.rows()
        account = self.engine.book.account
        first = int(account[0]["decisions"]) - len(rows.decisions)
        outcome = build.SliceOutcome(first, rows.decisions, rows.throttles, rows.events, account)
        moved: list[Entry] = []
        if len(rows.cashflows):
            moved = [build.cashflows(rows.cashflows, int(account[0]["ts_ns"]))]
        fills = [self._fill(row) for row in rows.fills if row["kind"] != OrderKind.DELISTED]
        happened = [*moved, *fills, *self.ended(rows.events)]
        intents = self.intents()
        return [*happened, build.decisions(outcome), *intents], intents

    def intents(self) -> list[Entry]:
        """ORDER_INTENT of every order that waits for the gate; their ids are remembered."""
        entries: list[Entry] = []
        for symbol, order in self.engine.intents():
            name = self.symbols[symbol]
            at = int(order["ts_ns"]), int(order["decision"]), int(order["leg"])
            client_id = client_order_id(self._lineage, name, *at)
            self._client_ids[int(order["order_id"])] = client_id
            entries.append(build.order_intent(client_id, name, order, -1 - len(entries)))
        return entries

    def pass_gate(self, intents: Sequence[Entry], refuse: Reason = Reason.NONE) -> list[Entry]:
        """Send every intent, or `refuse` to; returns the outcomes, which go on record."""
        outcomes: list[Entry] = []
        verdicts: dict[int, Reason] = {}
        exits_of: dict[int, SendOutcome] = {}  # entry → why its exits do not leave either
        for intent in intents:
            client_id, order_id = intent.payload["client_order_id"], intent.payload["order_id"]
            passed = exits_of.get(intent.payload["parent"])
            if passed is None:
                passed = SendOutcome(refuse, "not sent in time") if refuse else self._sent(intent)
            if passed.reason != Reason.NONE:
                exits_of[order_id] = SendOutcome(passed.reason, "its entry did not leave")
            verdicts[order_id] = passed.reason
            if passed.is_unknown:
                verdicts[order_id] = Reason.ORDER_UNKNOWN
                outcomes.append(build.order_unknown(client_id, passed.detail))
            elif passed.reason == Reason.NONE:
                sent_ns = self._around.sent_mono_ns()
                sent = build.order_sent(client_id, intent.payload["qty"], sent_ns)
                outcomes += [sent, *self._acknowledged(intent)]
            else:
                self.aborted += 1
                outcomes.append(build.order_aborted(client_id, passed.reason, passed.detail))
        if intents:
            self.engine.pass_gate(lambda order: verdicts[int(order["order_id"])])
        return outcomes

    def ended(self, events: np.ndarray) -> list[Entry]:
        """CANCEL_ACK of what will not fill any more."""
        entries = []
        for event in events:
            if event["kind"] in ENDED:
                client_id = self._client_ids[int(event["order_id"])]
                reason = Reason(int(event["reason"])).name
                entries.append(build.cancel_ack(client_id, event["value"], reason))
        return entries

    def snapshot_entry(self) -> Entry:
        """SNAPSHOT of the book as it is."""
        book = self.engine.book
        held = dict(zip(self.symbols, book.positions["qty"].tolist(), strict=True))
        details = {**self.facts.snapshot_fields(), "slices": self.engine.slices}
        return build.snapshot(self.engine.state(), held, book.account, details)

    def _acknowledged(self, intent: Entry) -> list[Entry]:
        number = f"B{intent.payload['order_id']}"  # the simulated broker has every order at once
        return [build.order_ack(intent.payload["client_order_id"], number)]

    def _sent(self, intent: Entry) -> SendOutcome:
        payload = intent.payload
        reached("before_send")
        at = payload["decision"], payload["qty"], payload["leg"]
        order = SentOrder(payload["client_order_id"], *at, payload["symbol"])
        passed = self._around.send(order)
        reached("after_send")
        return passed

    def _fill(self, row: np.void) -> Entry:
        client_id, key = self._client_ids[int(row["order_id"])], f"{self._lineage}-{row['fill_id']}"
        return build.fill(client_id, key, self.symbols[row["symbol"]], row)

    def _forget(self) -> None:
        """Drop the ids of orders that are over, so that a long run does not grow."""
        if len(self._client_ids) > 4 * len(self.symbols) + 64:
            alive = {int(order["order_id"]) for _, order in self.engine.orders()}
            self._client_ids = {key: self._client_ids[key] for key in alive & set(self._client_ids)}

    async def _append(
        self, entries: Sequence[Entry], durable: bool = True, checkpoint: bool = False
    ) -> None:
        if entries or self._unwritten:
            loop = asyncio.get_running_loop()
            batch, self._unwritten = [*self._unwritten, *entries], []
            write = functools.partial(self._journal.append, batch, durable, checkpoint)
            await loop.run_in_executor(self._around.pool, write)
