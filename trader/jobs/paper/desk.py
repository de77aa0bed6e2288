"""Where orders go: through the gate of the lease to the broker that the config names."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

from trader.brokers.broker import AccountSnapshot, Broker, keeps_book
from trader.brokers.client_orders import as_sent
from trader.brokers.simulated import SimulatedBroker
from trader.core.schema import OrderStatus, Reason
from trader.engine.broker_book import sent_order
from trader.engine.journaled import JournaledSlices
from trader.engine.surroundings import SendOutcome, SentOrder
from trader.safety.gate import UNKNOWN, Gate, Passage

NS = 1e-9
SILENCE_S = 10.0  # without an answer for so long, an order is UNKNOWN; a broker may say otherwise


class DeskSettings(NamedTuple):
    """What a desk is told beside its broker."""

    snapshot_every: int
    mono_ns: Callable[[], int]


class Desk:
    """The gate and the broker of one run. See `engine.surroundings`."""

    def __init__(
        self, symbols: tuple[str, ...], pool: Executor, broker: Broker, settings: DeskSettings
    ) -> None:
        self.symbols = symbols
        self.pool = pool
        self.broker = broker
        self.snapshot_every, self._mono_ns = settings
        self.silence_s = float(getattr(broker, "silence_s", SILENCE_S))
        self.sent = 0
        self._sent_ns = 0  # when the newest order left
        self._gate: Gate | None = None

    @property
    def is_outside(self) -> bool:
        """Whether orders fill at the broker, and not in the core."""
        return keeps_book(self.broker)

    def show(self, slices: JournaledSlices) -> None:
        """What the simulated broker has is the book of `slices`."""
        if isinstance(self.broker, SimulatedBroker):
            self.broker.account = lambda: account_of(slices)

    def open(self, gate: Gate) -> None:
        """From here on orders can leave."""
        self._gate = gate

    def submit(self, order: SentOrder) -> None:
        """The broker's, and the time of it. Called by the gate, inside its lock."""
        self._sent_ns = self._mono_ns()
        self.broker.submit(order)

    def send(self, order: SentOrder) -> SendOutcome:
        """See `Surroundings`."""
        if self._gate is None:
            return SendOutcome(Reason.KILLED, "the gate is not open")
        return self._outcome(self._gate.send(order, self))

    def send_closing(self, order: SentOrder, position_qty: float) -> SendOutcome:
        """See `Surroundings`."""
        if self._gate is None:
            return SendOutcome(Reason.KILLED, "the gate is not open")
        return self._outcome(self._gate.send_closing(order, self, position_qty))

    def _outcome(self, passage: Passage) -> SendOutcome:
        if not self.is_outside:
            self.broker.events()  # it acknowledges at once; the rest comes out of the core
        reason = Reason[passage.reason]
        self.sent += reason == Reason.NONE
        return SendOutcome(reason, passage.detail, passage.outcome == UNKNOWN)

    def settle(self, order_id: str, left: bool) -> None:
        """See `BrokerSurroundings`."""
        if self._gate is not None:
            self._gate.reconciled(order_id, left)

    def sent_mono_ns(self) -> int:
        """See `Surroundings`."""
        return self._sent_ns

    def mono_s(self) -> float:
        """See `BrokerSurroundings`."""
        return self._mono_ns() * NS


def account_of(slices: JournaledSlices) -> AccountSnapshot:
    """The core's book as a broker tells it. What has not passed the gate is not the broker's."""
    names, book = slices.symbols, slices.engine.book
    orders = [
        as_sent(
            sent_order(slices.client_id(int(order["order_id"])), names[symbol], order)
        )._replace(filled_qty=float(order["filled_qty"]), status=OrderStatus(int(order["status"])))
        for symbol, order in slices.engine.orders()
        if order["status"] != OrderStatus.INTENT
    ]
    held = dict(zip(names, book.positions["qty"].tolist(), strict=True))
    return AccountSnapshot(0, tuple(orders), held, float(book.account[0]["cash"]))
