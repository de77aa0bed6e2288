"""The gate: the one function through which an order can reach a broker.

Law: the latch is looked at, the counters are moved and the order is handed over inside one shared
hold of `gate.lock`. `trader kill` writes the latch and then wants that lock exclusively, so after
its barrier no order is inside and every later one sees the latch. Nothing in here can open what is
shut. Standard library only; no await, no log, no callback inside; a refusal is a value.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from trader.safety import latch

SENT, ABORTED, UNKNOWN = "SENT", "ABORTED", "UNKNOWN"
CHECK_ERRORS_TO_KILL = 3
REMEMBERED = 65_536  # order ids and decisions kept against doubles
_SECOND_NS = 1_000_000_000
_PERMIT, _HALT = latch.PERMIT.encode(), latch.HALT.encode()
_SHARED = fcntl.LOCK_SH | fcntl.LOCK_NB
_ONE_TOO_MANY = latch.PAGE_SIZE + 1  # a page that has grown is no page


class Order(Protocol):
    """What the gate needs to know of an order. A broker may need more: `brokers.broker.Order`."""

    @property
    def order_id(self) -> str:
        """The client's id: the same on every attempt to send the same order."""

    @property
    def decision(self) -> int:
        """Number of the decision it comes from."""

    @property
    def leg(self) -> int:
        """Which of its decision's orders it is: the entry, its stop, its target…"""

    @property
    def qty(self) -> float:
        """Signed quantity."""


Sent = TypeVar("Sent", bound=Order)
Sent_contra = TypeVar("Sent_contra", bound=Order, contravariant=True)


class Broker(Protocol[Sent_contra]):
    """The other side of the gate."""

    def submit(self, order: Sent_contra) -> None:
        """Hands an order over without waiting for an answer. Raises when it may not have left."""


class Passage(NamedTuple):
    """What became of one order at the gate."""

    outcome: str  # SENT, ABORTED (it did not leave) or UNKNOWN (it may have)
    reason: str  # name of a core `Reason`; NONE when sent
    detail: str  # for people
    held_ns: int  # time the gate was held


class GatePaths(NamedTuple):
    """The latch as the gate sees it.

    The state folder's names go by path, so that one moved away halts; the run's go by an open
    folder, which is faster (one that is deleted has no PERMIT in it).
    """

    lock_fd: int
    home_page: int
    run_page: int
    home_permit: bytes
    home_halt: bytes
    run_folder: int


# `name of a Reason` to deny, None to pass. A check that raises denies, too.
Check = Callable[[Order], str | None]
Trip = Callable[[str, str], object]  # code name, text


class Counters:
    """Counts what left: a rate on the monotonic clock, and one order a leg of each decision."""

    def __init__(self, max_per_second: float | None = None, max_children: int = 1) -> None:
        self._max_per_second = max_per_second
        self._max_children = max_children
        self._sent_ns: deque[int] = deque()
        self._sent: deque[Order] = deque()  # the last REMEMBERED, oldest first
        self._ids: set[str] = set()
        self._children: dict[tuple[int, int], int] = {}

    def broken_law(self, order: Order) -> str:
        """Why sending this order shows that our own code is broken; "" when it does not."""
        if order.order_id in self._ids:
            return f"order {order.order_id} was to be sent twice"
        leg = order.decision, order.leg
        if not self._children.get(leg, 0) < self._max_children:
            return (
                f"leg {order.leg} of decision {order.decision} was to send more than "
                f"{self._max_children} order(s)"
            )
        return ""

    def is_too_fast(self, now_ns: int) -> bool:
        """Whether one more order now breaks the rate of the wall clock."""
        if self._max_per_second is None:
            return False
        while self._sent_ns and now_ns - self._sent_ns[0] >= _SECOND_NS:
            self._sent_ns.popleft()
        return not len(self._sent_ns) < self._max_per_second

    def bump(self, order: Order, now_ns: int) -> None:
        """Counts an order as entered, before it is handed over."""
        if self._max_per_second is not None:
            self._sent_ns.append(now_ns)
        self._ids.add(order.order_id)
        leg = order.decision, order.leg
        self._children[leg] = self._children.get(leg, 0) + 1
        self._sent.append(order)
        if len(self._sent) > REMEMBERED:
            self.forget(self._sent.popleft())

    def forget(self, order: Order) -> None:
        """The order is too old to come again, or never left: its id may be sent again."""
        self._ids.discard(order.order_id)
        self._children.pop((order.decision, order.leg), None)


class Gate:
    """The gate of one run. Made by `Lease.open_gate`; may be used from any thread."""

    def __init__(
        self, paths: GatePaths, trip: Trip, checks: Sequence[Check] = (), rate: float | None = None
    ) -> None:
        self._paths, self._trip, self._checks = paths, trip, tuple(checks)
        self._counters = Counters(rate)
        self._turn = threading.Lock()
        self._inside = 0  # thread that is handing over
        self._pid = os.getpid()
        self._shut = ""
        self._check_errors = 0
        self._unknown: dict[str, Order] = {}

    def send(self, order: Sent, broker: Broker[Sent]) -> Passage:
        """Sends an order, or says why not. Never raises for the latch's, a check's or a broker's
        reasons; what a broker raised leaves the order UNKNOWN and the gate closed to new orders
        until `reconciled` is called for it."""
        return self._pass(order, broker, self._refusal)

    def send_closing(self, order: Sent, broker: Broker[Sent], position_qty: float) -> Passage:
        """Sends an order of `trader kill --flatten`: only while killed so, and only reducing."""

        def refusal(asked: Order, now_ns: int) -> tuple[str, str]:
            return self._closing_refusal(asked, now_ns, position_qty)

        return self._pass(order, broker, refusal)

    def close(self, why: str) -> None:
        """Shuts the gate in this process, at once and for good. For `trip`, before the disk."""
        self._shut = self._shut or why

    def drain(self, timeout_s: float) -> bool:
        """Waits until no other thread is inside. True when none is (our own does not count)."""
        if self._inside == threading.get_ident():
            return True
        if not self._turn.acquire(timeout=timeout_s):
            return False
        self._turn.release()
        return True

    def reconciled(self, order_id: str, left: bool) -> None:
        """The broker has told what became of an UNKNOWN order: it has left, or it never did."""
        order = self._unknown.pop(order_id, None)
        if order is not None and not left:
            self._counters.forget(order)

    def stop_cause(self) -> str:
        """Why no order can pass, as the latch has it now; "" when one could. About 5 µs."""
        if self._shut:
            return self._shut
        paths = self._paths
        try:
            home = os.pread(paths.home_page, _ONE_TOO_MANY, 0)
            run = os.pread(paths.run_page, _ONE_TOO_MANY, 0)
        except OSError as error:
            return f"{latch.PAGE}: {latch.reason_of(error)}"
        if not (len(home) == len(run) == latch.PAGE_SIZE):
            return f"{latch.PAGE} has another size"
        if not (home.startswith(latch.ARMED_HEAD) and run.startswith(latch.ARMED_HEAD)):
            return f"{latch.PAGE} is not armed"
        if not os.access(paths.home_permit, os.F_OK):
            return f"{latch.PERMIT} of the state folder is missing"
        if os.access(paths.home_halt, os.F_OK, follow_symlinks=False):
            return f"{latch.HALT} is in the state folder"
        if not os.access(_PERMIT, os.F_OK, dir_fd=paths.run_folder):
            return f"{latch.PERMIT} of the run is missing"
        if os.access(_HALT, os.F_OK, dir_fd=paths.run_folder, follow_symlinks=False):
            return f"{latch.HALT} is in the run's folder"
        return ""

    def _pass(
        self, order: Sent, broker: Broker[Sent], refusal: Callable[[Order, int], tuple[str, str]]
    ) -> Passage:
        me = threading.get_ident()
        if os.getpid() != self._pid:  # it shares the lock: letting go would open the barrier
            return Passage(ABORTED, "KILLED", "a forked child trades nothing", 0)
        if self._inside == me:
            return Passage(ABORTED, "CHECK_ERROR", "send was called from inside the gate", 0)
        with self._turn:
            began_ns = time.monotonic_ns()
            try:
                fcntl.flock(self._paths.lock_fd, _SHARED)
            except OSError as error:  # only a kill holds it exclusively
                return Passage(ABORTED, "KILLED", f"gate.lock: {latch.reason_of(error)}", 0)
            self._inside = me
            outcome = ABORTED
            try:
                reason, detail = refusal(order, began_ns)
                if not reason:
                    self._counters.bump(order, began_ns)
                    outcome, reason, detail = self._hand_over(order, broker)
            finally:
                self._inside = 0
                fcntl.flock(self._paths.lock_fd, fcntl.LOCK_UN)
            held_ns = time.monotonic_ns() - began_ns
        if reason == "SYSTEM_ERROR":
            self._trip("SYSTEM_ERROR", detail)
        return Passage(outcome, reason, detail, held_ns)

    def _hand_over(self, order: Sent, broker: Broker[Sent]) -> tuple[str, str, str]:
        try:
            broker.submit(order)
        except BaseException as error:
            self._unknown[order.order_id] = order
            if not isinstance(error, Exception):
                raise  # Ctrl-C in the middle of a hand-over
            return UNKNOWN, "POSITIONS_UNKNOWN", f"the broker raised {error!r}"
        return SENT, "NONE", ""

    def _refusal(self, order: Order, now_ns: int) -> tuple[str, str]:
        """Reason and detail, most severe first; ("", "") to send."""
        cause = self.stop_cause()
        if cause:
            self._shut = self._shut or cause
            return "KILLED", cause
        broken = self._counters.broken_law(order)
        if broken:
            self.close(broken)
            return "SYSTEM_ERROR", broken
        if self._unknown:
            return "POSITIONS_UNKNOWN", f"not known what became of {sorted(self._unknown)}"
        if self._counters.is_too_fast(now_ns):
            return "ORDER_RATE_LIMIT", "more orders a second than the gate lets out"
        return self._checked(order)

    def _checked(self, order: Order) -> tuple[str, str]:
        for check in self._checks:
            try:
                reason = check(order)
            except Exception as error:
                return self._check_failed(f"{check!r} raised {error!r}")
            if reason is not None:
                return reason, f"{check!r}"
        self._check_errors = 0
        return "", ""

    def _check_failed(self, detail: str) -> tuple[str, str]:
        """R5: an error inside a check denies; three in a row kill."""
        self._check_errors += 1
        if self._check_errors < CHECK_ERRORS_TO_KILL:
            return "CHECK_ERROR", detail
        self.close(detail)
        return "SYSTEM_ERROR", f"{self._check_errors} checks in a row failed; {detail}"

    def _closing_refusal(self, order: Order, now_ns: int, position: float) -> tuple[str, str]:
        """The latch must say killed, and with --flatten; the order must only reduce."""
        if not self._is_flatten_asked():
            return "KILLED", "no kill with --flatten is in force"
        if not (0 < abs(order.qty) <= abs(position) and (order.qty < 0) == (position > 0)):
            return "REDUCE_ONLY", f"{order.qty:g} does not reduce a position of {position:g}"
        if self._counters.broken_law(order):
            return "DUPLICATE", self._counters.broken_law(order)
        return "", ""

    def _is_flatten_asked(self) -> bool:
        for fd in (self._paths.home_page, self._paths.run_page):
            try:
                page = os.pread(fd, latch.PAGE_SIZE + 1, 0)
            except OSError:
                return False
            if latch.decode_page(page)[0] == latch.KILLED and page[latch.FLATTEN_AT] == 1:
                return True
        return False
