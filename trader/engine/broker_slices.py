"""A run whose orders fill at a broker outside: gate, journal, cancellations.

Law: that of `JournaledSlices`. What the broker said comes before a slice is taken. An UNKNOWN order
that the broker does not show is sent again under its own id while its bar is the newest, and else
stays UNKNOWN. An order ends when the broker says so; a cancellation is on record before it is
asked for.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence

import numpy as np

from trader.brokers.broker import AccountSnapshot
from trader.core.schema import OrderStatus, Reason
from trader.engine.answers import Answer
from trader.engine.broker_book import BrokerBook, sent_order
from trader.engine.broker_engine import BrokerEngine
from trader.engine.crash_points import reached
from trader.engine.journaled import NO_DECISION, JournaledSlices, Tell
from trader.engine.rebuild import Rebuild
from trader.engine.surroundings import BrokerSurroundings, SendOutcome, SentOrder
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.records import Entry, client_order_id

AGAIN_S = 1.0  # between two questions for a snapshot
CALM_S = 1.0  # how long an end waits for what the broker says of its cancellations
CALM_STEP_S = 0.05
CUT_OFF = "the run ended while it was being sent"


class BrokerSlices(JournaledSlices):
    """`JournaledSlices` in front of a broker outside."""

    engine: BrokerEngine

    def __init__(
        self,
        engine: BrokerEngine,
        journal: Journal,
        desk: BrokerSurroundings,
        fold: Rebuild | None = None,
    ) -> None:
        super().__init__(engine, journal, desk, fold)
        self.account = BrokerBook(engine, desk, self.client_id)
        self._desk = desk
        self._intended: set[str] = set()  # whose cancellation this process has put on record
        self._asked: set[str] = set()  # and asked for
        self._asking: asyncio.Future[AccountSnapshot] | None = None
        self._again_s = -math.inf  # when a snapshot may be asked for

    async def take(
        self, bars: np.ndarray, answer: Answer, more: bool = False, detail: Detail = NO_DETAIL
    ) -> None:
        """See `JournaledSlices`; what the broker said until now comes first."""
        await self.hear()
        await super().take(bars, answer, detail=detail)
        await self._ask_cancels()

    async def cancel_working(self, reason: Reason) -> int:
        """Ask for the end of every order, and wait a little for what the broker says."""
        asked = list(self.engine.working())
        for symbol, order in asked:
            if not self.engine.is_ending(symbol, int(order["order_id"])):
                self.engine.cancel(symbol, int(order["order_id"]), reason)
        await self._calm()
        return len(asked)

    async def halt(self, reason: Reason, kills: Sequence[Entry] = ()) -> np.ndarray:
        """See `JournaledSlices`; orders end as the broker says."""
        await self._append(kills)
        events = self.engine.halt(reason)
        await self._append(self.ended(events))
        await self._calm()
        return events

    async def flatten(self, kill_id: str, tell: Tell = lambda fill: None) -> int:
        """Ask for the end of every position; how many have ended by the time it comes back."""
        await self._answered()
        held = self.engine.book.positions["qty"].copy()
        ts_ns = int(self.engine.book.account[0]["ts_ns"])
        for symbol in np.flatnonzero(held).tolist():
            name, qty = self.symbols[symbol], float(0.0 - held[symbol])
            client_id = client_order_id(kill_id, name, ts_ns, NO_DECISION)
            asked = build.FlattenOrder(client_id, name, qty, ts_ns, kill_id)
            await self._append([build.flatten_intent(asked)])
            order = SentOrder(client_id, NO_DECISION - symbol, qty, symbol=name)
            self.account.client.submitted(order)
            passed = self._desk.send_closing(order, float(held[symbol]))
            await self._append(self._closing(symbol, order, passed))
        await self._calm()
        for fill in self.account.fills:
            tell(fill)
        self.account.fills.clear()
        return int(np.count_nonzero(held) - np.count_nonzero(self.engine.book.positions["qty"]))

    def _closing(self, symbol: int, order: SentOrder, passed: SendOutcome) -> list[Entry]:
        client_id = order.order_id
        if passed.reason != Reason.NONE and not passed.is_unknown:
            self.account.client.withdraw(client_id)
            return [build.order_aborted(client_id, passed.reason, passed.detail)]
        if passed.is_unknown:
            return self.doubt_closing(client_id, symbol, passed.detail)
        self._place_closing(symbol, client_id)
        self.account.since[client_id] = self._desk.mono_s()
        return [build.order_sent(client_id, order.qty, self._around.sent_mono_ns())]

    def _place_closing(self, symbol: int, client_id: str) -> None:
        placed = self.engine.place_closing(symbol)
        assert placed is not None, "only what is held is closed"
        self._client_ids[int(placed["order_id"])] = client_id

    # --- the gate ---

    def _acknowledged(self, intent: Entry) -> list[Entry]:
        return []  # the broker says so, or not

    def _sent(self, intent: Entry) -> SendOutcome:
        payload = intent.payload
        if payload["purpose"] == "exit":
            text = "a broker outside keeps no stop and no target beside a position"
            return SendOutcome(Reason.NOT_AT_BROKER, text)
        if self.account.fault or self.account.client.is_blocked(payload["symbol"]):
            text = "what the broker has done is not certain"
            return SendOutcome(Reason.POSITIONS_UNKNOWN, text)
        order = sent_order(payload["client_order_id"], payload["symbol"], payload["order"])
        self.account.client.submitted(order)
        reached("before_send")
        passed = self._hand_over(order)
        reached("after_send")
        if passed.reason != Reason.NONE and not passed.is_unknown:
            self.account.client.withdraw(order.order_id)
        return passed

    def _hand_over(self, order: SentOrder) -> SendOutcome:
        passed = self._desk.send(order)
        self.account.failed.pop(order.order_id, None)
        if passed.reason == Reason.NONE:
            self.account.since[order.order_id] = self._desk.mono_s()
        elif passed.is_unknown:
            self.account.failed[order.order_id] = order
            self.account.client.doubt(order.order_id)
            self.account.client.lose_contact()
        return passed

    def send_again(self, names: Iterable[str]) -> list[Entry]:
        """Send orders that are UNKNOWN and that the broker does not show once more, under their
        ids: those decided on the newest bar. The records of it."""
        entries = []
        newest = int(self.engine.book.account[0]["ts_ns"])
        for name in names:
            found = self.account.find(name)
            if found is None or found[1]["status"] != OrderStatus.UNKNOWN:
                continue
            symbol, row = found
            self._desk.settle(name, left=row["ts_ns"] != newest)
            if row["ts_ns"] != newest or row["decision"] < 0:
                self.account.failed.pop(name, None)
                continue
            order = sent_order(name, self.symbols[symbol], row)
            self.account.client.submitted(order)
            passed = self._hand_over(order)
            if passed.reason == Reason.NONE:
                self.engine.submit(symbol, int(row["order_id"]))
                sent_ns = self._around.sent_mono_ns()
                entries.append(build.order_sent(name, order.qty, sent_ns, resend=True))
            else:
                self.account.failed[name] = order  # and it is in doubt as before
        return entries

    # --- a start ---

    def doubt_intents(self, intents: Sequence[Entry]) -> list[Entry]:
        """Orders whose intent is on record and nothing after it: they left, or not."""
        names = [intent.payload["client_order_id"] for intent in intents]
        return [entry for name in names for entry in self.account.doubt(name, CUT_OFF)]

    def doubt_closing(self, client_id: str, symbol: int, text: str = CUT_OFF) -> list[Entry]:
        """See `JournaledSlices`."""
        self._place_closing(symbol, client_id)
        self.account.client.doubt(client_id)
        return self.account.doubt(client_id, text)

    # --- what the broker says ---

    async def hear(self) -> None:
        """Take in what the broker has said, and ask where it is silent or contact was lost."""
        await self._answered()
        heard = [*self.account.hear(), *self.account.silence()]
        if heard:
            await self._append(heard)
        is_due = self._desk.mono_s() >= self._again_s
        if self.account.is_in_doubt and (is_due or (heard and self.account.client.is_unsure)):
            await self._ask()
        await self._ask_cancels()

    async def _append(
        self, entries: Sequence[Entry], durable: bool = True, checkpoint: bool = False
    ) -> None:
        """As of `JournaledSlices`. What the core has taken in is written also where whoever waits
        for it is cancelled: a look is, at the end."""
        write = asyncio.ensure_future(super()._append(entries, durable, checkpoint))
        await asyncio.shield(write)

    async def _answered(self) -> None:
        """Wait for a question whose asker was cancelled: an adapter is asked one at a time."""
        if self._asking is not None:
            await self._ask(may_send=False)

    async def settle(self) -> None:
        """At an end: take in the account as it is now, if it is shown within a second."""
        end_s = self._desk.mono_s() + CALM_S
        while not await self._ask(may_send=False) and self._desk.mono_s() < end_s:
            await asyncio.sleep(CALM_STEP_S)

    async def _ask(self, may_send: bool = True) -> bool:
        """Reconcile with a snapshot, if one can be had."""
        self._again_s = self._desk.mono_s() + AGAIN_S
        if self._asking is None:
            asked = asyncio.to_thread(self._desk.broker.snapshot)
            self._asking = asyncio.ensure_future(asked)
        try:
            shown = await asyncio.shield(self._asking)
        except OSError:
            self._asking = None
            self.account.client.lose_contact()
            return False
        self._asking = None
        found = self.account.reconcile(shown)
        if found is None:
            self._again_s = -math.inf  # more was known here already
            return False
        self.account.fault = self.account.fault or "; ".join(found.faults)
        if found.entries:
            await self._append(found.entries)
        if may_send and not self.account.fault:
            again = self.send_again(list(self.account.failed))
            await self._append(again)
        return True

    # --- cancellations ---

    def cancel_entries(self) -> list[Entry]:
        """CANCEL_INTENT of every order whose end is wanted and was not asked for."""
        return [
            build.cancel_intent(name, Reason(int(order["reason"])).name)
            for _, order in self.engine.working()
            if order["reason"] != Reason.NONE
            and (name := self.client_id(int(order["order_id"]))) not in self._intended
        ]

    def ask_cancels(self, intents: Sequence[Entry] = ()) -> None:
        """Ask the broker, once `intents` are on record; again, after contact was lost."""
        self._intended |= {intent.payload["client_order_id"] for intent in intents}
        open_ones = [self.client_id(int(order["order_id"])) for _, order in self.engine.working()]
        for name in open_ones:
            if name not in self._intended or name in self._asked or self.account.client.is_unsure:
                continue
            try:
                self._desk.broker.cancel(name)
            except OSError:
                self.account.client.lose_contact()
                return
            self._asked.add(name)

    async def _ask_cancels(self) -> None:
        intents = self.cancel_entries()
        if intents:
            await self._append(intents)
        self.ask_cancels(intents)

    async def _calm(self) -> None:
        """Ask for the cancellations, and listen until nothing is open, or for a second."""
        await self._answered()
        end_s = self._desk.mono_s() + CALM_S
        await self._ask_cancels()
        while self._desk.mono_s() < end_s:
            await self.hear()
            if not any(self.engine.working()):
                return
            await asyncio.sleep(CALM_STEP_S)
