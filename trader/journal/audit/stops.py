"""Kills in force, and what may still leave under them.

Law: two orders only. One had left before the kill took effect and is told of after it; one closes
a position because a kill in force asked for that. What excuses an order must be possible: a clock
is compared with another reading of the same process life, since monotonic clocks restart with the
machine, and no order left before it was intended.
"""

from typing import Any, NamedTuple

from trader.core.schema import KillSwitchReason
from trader.journal.audit.orders import TOLERANCE, Order

Data = dict[str, Any]


class Kill(NamedTuple):
    """A kill in force. `since_ns` is when it took effect, never after it was recorded; None is
    not known, and excuses nothing."""

    seq: int
    since_ns: int | None
    flatten: bool


class Stops:
    """Fold of KILL, REARM and the clocks they are measured by."""

    def __init__(self) -> None:
        self._kills: dict[str, Kill] = {}
        self._life_seq = 0  # RUN_START or RUN_RESUME of the process that writes
        self._life_ns = 0
        self._intended: dict[str, int] = {}  # order → when, in this life, until it is sent

    def begin_life(self, seq: int, mono_ns: int) -> None:
        """Another process writes from here on."""
        self._life_seq, self._life_ns = seq, mono_ns
        self._intended.clear()

    def intended(self, client_id: str, mono_ns: int) -> None:
        """The order's intent was recorded then."""
        self._intended[client_id] = mono_ns

    def kill(self, seq: int, mono_ns: int, data: Data) -> str | None:
        """A KILL; a second one of the same id changes nothing."""
        try:
            KillSwitchReason(data["code"])
        except ValueError:
            return f"kill {data['kill_id']} has the unknown code {data['code']}"
        told_ns = data.get("mono_ns")
        since_ns = min(told_ns, mono_ns) if isinstance(told_ns, int) else None
        kill = Kill(seq, since_ns, data.get("flatten") is True)
        self._kills.setdefault(data["kill_id"], kill)
        return None

    def rearm(self, data: Data) -> str | None:
        """A REARM of one kill."""
        if self._kills.pop(data["kill_id"], None) is None:
            return f"rearm of {data['kill_id']}, which is not in force"
        return None

    def flatten_fault(self, kill_id: object, qty: float, held: float) -> str | None:
        """Whether a kill in force asks to close `held`, and `qty` does no more than that."""
        kill = self._kills.get(kill_id) if isinstance(kill_id, str) else None
        if kill is None or not kill.flatten:
            return "a flattening order that no kill in force asked for"
        if not (qty * held < 0.0 and abs(qty) <= abs(held) * (1.0 + TOLERANCE)):
            return f"a flattening order of {qty!r} on a position of {held!r}"
        return None

    def sent_fault(self, order: Order, sent: Data, held: float) -> str | None:
        """Which kill in force forbade that this order left. `held` is held in its symbol."""
        client_id = sent["client_order_id"]
        earliest_ns = self._intended.pop(client_id, self._life_ns)
        if not self._kills:
            return None
        if order.purpose == "flatten" and order.kill_id in self._kills:
            return self.flatten_fault(order.kill_id, order.qty, held)
        sent_ns = sent.get("sent_mono_ns")
        for kill_id, kill in self._kills.items():
            # a kill recorded before this process began was in force when it sent anything
            told_after = max(order.intent_seq, self._life_seq) < kill.seq
            if not (told_after and _within(earliest_ns, sent_ns, kill.since_ns)):
                return f"order {client_id} was sent under kill {kill_id}"
        return None

    def adopted_fault(self, order: Order, client_id: str, held: float) -> str | None:
        """Which kill in force forbade an order that the broker knew without ORDER_SENT."""
        if order.purpose == "flatten" and order.kill_id in self._kills:
            return self.flatten_fault(order.kill_id, order.qty, held)
        for kill_id, kill in self._kills.items():
            if order.intent_seq > kill.seq:
                return f"order {client_id} was intended under kill {kill_id} and left"
            intended_ns, since_ns = self._intended.get(client_id), kill.since_ns
            if intended_ns is not None and since_ns is not None and since_ns < intended_ns:
                return f"order {client_id} was intended after kill {kill_id} and left"
        return None


def _within(earliest_ns: int, sent_ns: object, before_ns: int | None) -> bool:
    """Whether a told time is one, and lies where it must."""
    if not isinstance(sent_ns, int) or before_ns is None:
        return False
    return earliest_ns <= sent_ns < before_ns
