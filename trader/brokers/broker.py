"""The broker port: what an adapter does, and the records that cross it.

    submit, cancel    ask; the answer is an event. They return once the words have left
    events            what has come in since the last call, in any order, repeated or with holes
    snapshot          orders, positions, cash and executions of the account as the broker has them

Law: an order is known by the client's id, and a broker takes one id once, however often it is
sent. Every event has the broker's sequence number, every execution an id. `submit` raises where
the order may have left or not, and then nobody assumes either. The account is the run's alone.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from trader.core.schema import OrderStatus, OrderType, TimeInForce


class EventKind(IntEnum):
    """What a broker says of an order."""

    ACK = 0  # it has the order
    REJECT = 1  # it will not have it
    EXECUTION = 2
    CANCELLED = 3  # `qty` is what was filled by then
    CANCEL_REFUSED = 4  # the cancel came too late


class BrokerEvent(NamedTuple):
    """One thing a broker says. The same `seq` is the same event."""

    seq: int  # 1, 2, 3 … of the account
    kind: EventKind
    order_id: str
    symbol: str
    qty: float = 0.0  # signed
    price: float = 0.0
    fee: float = 0.0
    execution_id: str = ""  # the same id is the same fill, whatever its `seq`
    text: str = ""  # the broker's own words: why it rejects, its own number of the order


class BrokerOrder(NamedTuple):
    """An order as the broker has it."""

    order_id: str
    symbol: str
    qty: float  # signed
    filled_qty: float = 0.0  # signed
    status: OrderStatus = OrderStatus.WORKING
    type: OrderType = OrderType.MARKET
    limit_price: float = 0.0  # 0 where the type has none
    stop_price: float = 0.0
    time_in_force: TimeInForce = TimeInForce.GTC


class Execution(NamedTuple):
    """One fill, as a snapshot lists it."""

    execution_id: str
    order_id: str
    symbol: str
    qty: float  # signed
    price: float
    fee: float


class AccountSnapshot(NamedTuple):
    """The account right after event `seq`. `orders` has those that ended since the client last
    knew, too: one that was sent and is not in it counts as UNKNOWN, never as filled or gone.
    `executions` has every fill of those orders."""

    seq: int
    orders: tuple[BrokerOrder, ...]
    positions: Mapping[str, float]
    cash: float
    executions: tuple[Execution, ...] = ()


class Order(Protocol):
    """What a broker needs to know of an order."""

    @property
    def order_id(self) -> str:
        """The client's id: the same on every attempt to send the same order."""

    @property
    def symbol(self) -> str:
        """What is bought or sold."""

    @property
    def qty(self) -> float:
        """Signed quantity."""

    @property
    def type(self) -> OrderType:
        """MARKET, LIMIT, STOP, STOP_LIMIT, MOO or MOC."""

    @property
    def limit_price(self) -> float:
        """Limit; 0 where the type has none."""

    @property
    def stop_price(self) -> float:
        """Price that triggers it; 0 where the type has none."""

    @property
    def time_in_force(self) -> TimeInForce:
        """GTC, DAY, IOC or FOK; BARS is GTC to a broker: the run asks for the cancel."""


class Broker(Protocol):
    """What an adapter does. tests/brokers/test_contract.py has what each must pass.

    An adapter may say `keeps_book = False`, as the simulated one: its account is the core's book;
    and after how many seconds without an answer an order is UNKNOWN: `silence_s` (10).
    """

    def submit(self, order: Order) -> None:
        """Hands an order over without waiting for its event. Called inside the gate."""

    def cancel(self, order_id: str) -> None:
        """Asks for the end of an order. It may lose the race against a fill."""

    def events(self) -> Sequence[BrokerEvent]:
        """What has come in since the last call. Never waits. `OSError` where contact is lost."""

    def snapshot(self) -> AccountSnapshot:
        """The account as the broker has it now. Raises `OSError` where it cannot be had."""

    def close(self) -> None:
        """The run has ended: nothing is asked any more."""


def keeps_book(broker: Broker) -> bool:
    """Whether orders fill at this broker, and not in the core."""
    return bool(getattr(broker, "keeps_book", True))
