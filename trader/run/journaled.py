"""The journaled slice: inputs recorded, core, outputs and intents recorded, gate, outcomes.

Law: nothing is acted on before it is on disk. `recover` takes the same steps with what is on disk
already, so a run that crashed anywhere goes on as if it had not.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from trader.core.schema import EventKind, Reason
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.records import Entry, client_order_id
from trader.run.recover import Recovered
from trader.run.sliceengine import SliceEngine


class SentOrder(NamedTuple):
    """What the safety gate needs to know of an order."""

    order_id: str
    decision: int
    qty: float


class Passed(NamedTuple):
    """What the gate said: NONE when sent, else why it did not leave."""

    reason: Reason
    detail: str = ""


Send = Callable[[SentOrder], Passed]
Point = Callable[[str], None]  # told where the run is; the crash harness ends it there


class JournaledSlices:
    """A `SliceEngine` whose every step is in the journal before the next is taken."""

    def __init__(
        self,
        engine: SliceEngine,
        journal: Journal,
        symbols: tuple[str, ...],
        send: Send,
        mono_ns: Callable[[], int],
    ) -> None:
        self.engine = engine
        self.at: Point = lambda name: None
        self.aborted = 0
        self._journal = journal
        self._symbols = symbols
        self._send = send
        self._mono_ns = mono_ns
        self._run_id = journal.run_id
        self._client_ids: dict[int, str] = {}

    def take(self, bars: np.ndarray, answer: build.ModelAnswer) -> None:
        """One slice, from its inputs on. JournalError is fatal: stop by `os._exit`."""
        self.at("before_inputs")
        ts_ns = int(bars[0]["ts_ns"])
        self._journal.append([build.bars(bars), build.actions(ts_ns, answer)])
        self.at("after_inputs")
        self._step(bars, answer.actions, answer.reasons)
        intents = self._record_outputs()
        self.at("after_outputs")
        self._pass_gate(intents, {})
        self.at("after_outcomes")

    def halt(self, reason: Reason, kills: list[Entry]) -> None:
        """A kill between two slices: the core halts, working orders end, all on record."""
        before = len(self.engine.rows().events)
        self.engine.halt(reason)
        ended = self._happened(np.empty(0), self.engine.rows().events[before:])
        self._journal.append([*kills, *ended])

    def recover(self, found: Recovered) -> None:
        """The slices of a journal again; what the crash left undone of the last is done now."""
        for recorded in found.slices:
            self._step(recorded.bars, recorded.actions, recorded.reasons)
            if recorded.has_outputs:
                self._pass_gate(self._intents(), found.settled, found.acked)
            else:  # the last one
                self._pass_gate(self._record_outputs(), {})

    def _step(self, bars: np.ndarray, actions: np.ndarray, reasons: np.ndarray) -> None:
        self.engine.take(bars, actions.astype(np.int8), reasons.astype(np.int16))

    def _record_outputs(self) -> list[Entry]:
        rows = self.engine.rows()
        account = self.engine.book.account
        first = int(account[0]["decisions"]) - len(rows.decisions)
        outcome = build.SliceOutcome(first, rows.decisions, rows.throttles, rows.events, account)
        happened = self._happened(rows.fills, rows.events)
        intents = self._intents()
        self._journal.append([*happened, build.decisions(outcome), *intents])
        return intents

    def _happened(self, fills: np.ndarray, events: np.ndarray) -> list[Entry]:
        """Fills and what of orders will not fill any more."""
        entries = []
        for row in fills:
            client_id = self._client_ids[int(row["order_id"])]
            symbol = self._symbols[row["symbol"]]
            execution = f"{self._run_id}-{row['fill_id']}"
            entries.append(build.fill(client_id, execution, symbol, row))
        for event in events:
            if event["kind"] in (EventKind.ORDER_CANCELLED, EventKind.ORDER_TRIMMED):
                client_id = self._client_ids[int(event["order_id"])]
                reason = Reason(int(event["reason"])).name
                entries.append(build.cancel_ack(client_id, event["value"], reason))
        return entries

    def _intents(self) -> list[Entry]:
        """ORDER_INTENT entries of the slice, and their ids remembered for their fills."""
        entries: list[Entry] = []
        for symbol, order in self.engine.intents():
            name = self._symbols[symbol]
            at = int(order["ts_ns"]), int(order["decision"])
            client_id = client_order_id(self._run_id, name, *at)
            self._client_ids[int(order["order_id"])] = client_id
            entries.append(build.order_intent(client_id, name, order, -1 - len(entries)))
        return entries

    def _pass_gate(
        self,
        intents: list[Entry],
        settled: Mapping[str, Reason],
        acked: Collection[str] = frozenset(),
    ) -> None:
        """Send every intent, or take the outcome that is on record."""
        if not intents:
            return
        outcomes: list[Entry] = []
        verdicts: list[Reason] = []
        for intent in intents:
            client_id, qty = intent.payload["client_order_id"], intent.payload["qty"]
            ack = build.order_ack(client_id, f"B{intent.payload['order_id']}")
            if client_id in settled:
                verdicts.append(settled[client_id])
                if settled[client_id] == Reason.NONE and client_id not in acked:
                    outcomes.append(ack)
                continue
            passed = self._send(SentOrder(client_id, intent.payload["decision"], qty))
            verdicts.append(passed.reason)
            if passed.reason == Reason.NONE:
                sent_ns = self._mono_ns()
                outcomes += [build.order_sent(client_id, qty, sent_ns), ack]
            else:
                self.aborted += 1
                outcomes.append(build.order_aborted(client_id, passed.reason, passed.detail))
        remaining = iter(verdicts)
        self.engine.pass_gate(lambda order: next(remaining))
        self.at("before_outcomes")
        self._journal.append(outcomes, durable=False)
