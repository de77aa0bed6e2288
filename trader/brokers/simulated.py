"""The simulated broker: takes every order at once; the core's venue fills it at a later bar.

Law: it keeps no book of its own. What is open and held is the core's book, which `snapshot` reads,
so that the two cannot differ; executions and cancels are rows of the core.
"""

from collections.abc import Callable, Sequence

from trader.brokers.broker import AccountSnapshot, BrokerEvent, EventKind, Order


class SimulatedBroker:
    """The port in front of the core's own venue."""

    keeps_book = False

    def __init__(self, mono_ns: Callable[[], int]) -> None:
        self.sent_ns = 0  # when the newest order left
        self.account: Callable[[], AccountSnapshot] | None = None  # reads the core's book
        self._mono_ns = mono_ns
        self._seq = 0
        self._waiting: list[BrokerEvent] = []

    def submit(self, order: Order) -> None:
        """Taken, and acknowledged. Called by the gate, inside its lock."""
        self.sent_ns = self._mono_ns()
        self._seq += 1
        event = BrokerEvent(self._seq, EventKind.ACK, order.order_id, order.symbol, order.qty)
        self._waiting.append(event)

    def cancel(self, order_id: str) -> None:
        """Nothing to do: the core has ended the order when it asks."""

    def events(self) -> Sequence[BrokerEvent]:
        """See `Broker`."""
        told, self._waiting = self._waiting, []
        return told

    def snapshot(self) -> AccountSnapshot:
        """The core's book. See `Broker`."""
        if self.account is None:
            raise ConnectionError("the simulated broker has no book yet")
        return self.account()._replace(seq=self._seq)

    def close(self) -> None:
        """Nothing to give back."""
