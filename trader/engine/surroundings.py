"""What a journaled slice needs of the world: a gate to the broker, and one thread for the disk."""

from concurrent.futures import Executor
from typing import NamedTuple, Protocol

from trader.brokers.broker import Broker
from trader.core.schema import OrderType, Reason, TimeInForce


class SentOrder(NamedTuple):
    """What the safety gate and a broker need to know of an order."""

    order_id: str
    decision: int
    qty: float
    leg: int = 0  # which of its decision's orders
    symbol: str = ""
    type: OrderType = OrderType.MARKET
    limit_price: float = 0.0
    stop_price: float = 0.0
    time_in_force: TimeInForce = TimeInForce.GTC


class SendOutcome(NamedTuple):
    """What the gate said: NONE when sent, else why it did not leave."""

    reason: Reason
    detail: str = ""
    is_unknown: bool = False  # it may have left: nobody knows until the broker says


class Surroundings(Protocol):
    """What a journaled slice needs of the world."""

    symbols: tuple[str, ...]
    pool: Executor  # one thread, for the disk
    snapshot_every: int  # journal records between two snapshots

    def send(self, order: SentOrder) -> SendOutcome:
        """Through the gate to the broker."""
        ...

    def send_closing(self, order: SentOrder, position_qty: float) -> SendOutcome:
        """The same for an order that closes a position for a kill with `flatten`."""
        ...

    def sent_mono_ns(self) -> int:
        """Monotonic time at which the newest order left, read inside the gate."""
        ...


class BrokerSurroundings(Surroundings, Protocol):
    """What a run needs whose orders fill at a broker outside."""

    broker: Broker
    silence_s: float  # without an answer for so long, an order is UNKNOWN

    def settle(self, order_id: str, left: bool) -> None:
        """Tell the gate what became of a hand-over that had failed."""
        ...

    def mono_s(self) -> float:
        """Monotonic seconds."""
        ...
