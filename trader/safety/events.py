"""Risk events told to whoever wants to know, and the emergency stop.

Law: the stop comes first. `emergency_stop` shuts the gate and the latch before a single callback
or sink hears of it, takes no lock that a callback could hold, and works from any thread, with or
without an event loop. No method here un-kills, and none can reach one that does (K11).
"""

import asyncio
import numbers
import operator
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trader.core.schema import KillSwitchReason, Reason
from trader.safety import codes, latch, records, statedir, stop, trip
from trader.safety.callbacks import CallbackStats, Dispatcher, Subscriber
from trader.safety.lease import Lease, live_leases

EVENTS = (
    "order_denied",
    "order_throttled",
    "limit_breach",
    "trading_state_changed",
    "emergency_stop",
)
DRAIN_S = 0.25


class RiskEvent(NamedTuple):
    """What a callback is given."""

    name: str  # one of EVENTS
    details: dict[str, Any]
    ts_ns: int  # UTC
    ts_mono_ns: int


class StopReport(NamedTuple):
    """What an emergency stop achieved, told after it was in force."""

    kill_id: str
    code: KillSwitchReason
    reason: str
    durable: bool
    gate: str  # "shut"; "busy" when a hand-over under way did not end within 250 ms
    failures: tuple[str, ...]


def kill_switch_reason(meant: object) -> KillSwitchReason:
    """The kill code meant by a code, its number, its name, a core `Reason`, or a text naming one.

    `"2"` is 2; the words that name a code are in docs/kill-switch.md. MANUAL_STOP for a text that
    names none. ValueError for a number that is no code.
    """
    if isinstance(meant, KillSwitchReason):
        return meant
    if isinstance(meant, Reason):
        return _BY_REASON.get(meant, KillSwitchReason.RISK_BREACH)
    if isinstance(meant, str):
        named = codes.given_code(meant) or codes.named_code(meant)
        return KillSwitchReason(named or KillSwitchReason.MANUAL_STOP)
    if hasattr(meant, "__index__") and not isinstance(meant, bool):  # NumPy's integers as well
        return KillSwitchReason(operator.index(meant))
    raise ValueError(f"not a kill code: {meant!r} (one of {', '.join(latch.CODES)})")


_BY_REASON = {
    Reason.DAILY_LOSS_LIMIT: KillSwitchReason.DAILY_LOSS_LIMIT,
    Reason.POSITION_LIMIT: KillSwitchReason.POSITION_LIMIT,
    Reason.POSITION_NOTIONAL_LIMIT: KillSwitchReason.POSITION_LIMIT,
    Reason.CONCENTRATION_LIMIT: KillSwitchReason.CONCENTRATION_LIMIT,
    Reason.GROSS_EXPOSURE_LIMIT: KillSwitchReason.CONCENTRATION_LIMIT,
    Reason.MARKET_VOLATILITY: KillSwitchReason.MARKET_VOLATILITY,
    Reason.SYSTEM_ERROR: KillSwitchReason.SYSTEM_ERROR,
    Reason.CHECK_ERROR: KillSwitchReason.SYSTEM_ERROR,
    Reason.MODEL_ERROR: KillSwitchReason.SYSTEM_ERROR,
    Reason.MODEL_INVALID: KillSwitchReason.SYSTEM_ERROR,
    Reason.MODEL_TIMEOUT: KillSwitchReason.SYSTEM_ERROR,
    Reason.DATA_INVALID: KillSwitchReason.SYSTEM_ERROR,
    Reason.KILLED: KillSwitchReason.MANUAL_STOP,
}


_WIRES: dict[str, trip.Tripwire] = {}  # of those without a lease: one for each state folder


class RiskEventHandler:
    """Callbacks for risk events, and the emergency stop of a run.

    `lease`: the run whose gate is shut first; without one, the latch of the state folder `home`
    (default: TRADER_HOME) is all there is. `audit_sink`: called with the record of each emergency
    stop, on a worker; when it raises or does not return within `timeout_s` the record is spooled
    and reaches the audit file at the next start. `timeout_s` is also each callback's time.
    """

    def __init__(
        self,
        lease: Lease | None = None,
        *,
        home: "str | os.PathLike[str] | None" = None,
        audit_sink: Callable[[dict[str, Any]], Any] | None = None,
        timeout_s: float = 1.0,
    ) -> None:
        self._lease = lease
        self._home = lease.home if lease else _place(home)
        self._wire = _WIRES.setdefault(self._home, trip.Tripwire(self._home))
        self._sink, self._timeout_s = audit_sink, timeout_s
        self._dispatcher = Dispatcher(timeout_s)
        self._lock = threading.Lock()  # of registration only
        self._subscribers: dict[str, tuple[Subscriber, ...]] = dict.fromkeys(EVENTS, ())
        self._told: dict[str, stop.StopOrder] = {}  # stops that the callbacks have heard of

    def register_callback(self, event: str, callback: Callable[[RiskEvent], Any]) -> None:
        """Calls `callback(RiskEvent)` for each event of that name. From any thread, at any time.

        An `async def` runs in the event loop it was registered from, or in one of its own.
        ValueError for an unknown event, TypeError for something that cannot be called.
        """
        name = str(event)
        if name not in EVENTS:
            raise ValueError(f"no such event: {event!r} (one of {', '.join(EVENTS)})")
        if not callable(callback):
            raise TypeError(f"not a callback: {callback!r}")
        with self._lock:
            self._subscribers[name] = (*self._subscribers[name], Subscriber(callback))

    def emit(self, event: str, /, **details: Any) -> None:
        """Tells the callbacks of an event and returns at once."""
        if event not in EVENTS:
            raise ValueError(f"no such event: {event!r} (one of {', '.join(EVENTS)})")
        told = RiskEvent(event, details, time.time_ns(), time.monotonic_ns())
        for subscriber in self._subscribers[event]:
            self._dispatcher.deliver(subscriber, told)

    def take(self, details: Mapping[str, Any]) -> None:
        """Passes an event of a run on to the callbacks: `loop.hooks.tap(handler.take)`.

        `details` are those of a hook (docs/paper.md); events that are none of EVENTS are left out.
        """
        if details.get("event") in EVENTS:
            self.emit(details["event"], **{k: v for k, v in details.items() if k != "event"})

    def stats(self, event: str) -> list[CallbackStats]:
        """How the callbacks of an event behaved, in order of registration."""
        return [subscriber.stats for subscriber in self._subscribers[event]]

    def emergency_stop(
        self, /, reason: str, code: object = None, *, everything: bool = True, **context: Any
    ) -> StopReport:
        """Shuts the gate, engages the latch, then reports. Never raises for a failing disk or sink.

        `code`: anything `kill_switch_reason` takes; left out, the code the reason names, else
        MANUAL_STOP; one that means nothing becomes SYSTEM_ERROR, and the stop goes on. `context`
        goes to the callbacks, which hear of each stop once, however often it is asked for.
        `everything=False` stops this lease's run only.
        """
        scope = self._lease.run_id if self._lease and not everything else records.EVERYTHING
        return self._stop(_meant(reason, code), scope, context)

    def _stop(self, meant: "_Meant", scope: str, context: dict[str, Any]) -> StopReport:
        order = stop.StopOrder(meant.text, int(meant.code), scope, source="engine")
        done = self._lease.halt(order) if self._lease else self._wire.trip(order)
        drained = self._lease.drain(DRAIN_S) if self._lease else True
        report = StopReport(
            done.order.kill_id,
            meant.code,
            meant.text,
            done.durable,
            "shut" if drained else "busy",
            (*meant.doubts, *done.failures()),
        )
        if self._sink is not None and done.order is order:
            self._tell_sink(order)
        if self._told.setdefault(report.kill_id, order) is order:
            self.emit("emergency_stop", **{**context, **report._asdict()})
        return report

    def _tell_sink(self, order: stop.StopOrder) -> None:
        """The record to the sink, on a thread; into the spool unless it gets there in time."""
        arrived = threading.Event()

        def call() -> None:
            try:
                found = self._sink(order.record()) if self._sink else None
                if asyncio.iscoroutine(found):
                    asyncio.run(found)
                arrived.set()
            except BaseException:
                self._spool(order)

        def wait() -> None:
            if not arrived.wait(self._timeout_s):
                self._spool(order)

        for work in (call, wait):
            try:
                threading.Thread(target=work, name="audit-sink", daemon=True).start()
            except RuntimeError:  # no more threads: the spool needs none
                self._spool(order)

    def _spool(self, order: stop.StopOrder) -> None:
        for folder in (self._home, *statedir.trusted_fallbacks(self._home)):
            path = os.path.join(folder, statedir.SPOOL, f"{order.kill_id}.json")
            if os.path.exists(path) or not records.store(folder, statedir.SPOOL, order.record()):
                return


class _Meant(NamedTuple):
    """A stop that must happen whatever was handed in, and what could not be read of it."""

    text: str
    code: KillSwitchReason
    doubts: tuple[str, ...] = ()


def _meant(reason: object, code: object) -> _Meant:
    text, unread = _text(reason), KillSwitchReason.SYSTEM_ERROR
    if code is None:
        named = codes.named_code(text) or KillSwitchReason.MANUAL_STOP
        return _Meant(text, KillSwitchReason(named))
    try:
        code = _as_number(code)
        meant = kill_switch_reason(code)
        is_named = not isinstance(code, str) or codes.named_code(code)
    except BaseException:  # whatever a stranger's object does when it is looked at
        is_named, meant = False, unread
    if not is_named:
        return _Meant(text, unread, (f"not a kill code: {_text(code)}",))
    return _Meant(text, meant)


def _as_number(code: object) -> object:
    """`"2"` and `2.0` as 2, as `trader kill --code` takes it; anything else as it is."""
    is_digits = isinstance(code, str) and code.strip().isdecimal()
    is_real = isinstance(code, numbers.Real) and not isinstance(code, numbers.Integral)
    is_whole = is_real and code == int(code)  # type: ignore[call-overload]
    return int(code) if is_digits or is_whole else code  # type: ignore[call-overload]


def _text(value: object) -> str:
    """A value in words, whatever becomes of asking it for them."""
    try:
        return str(value).strip() or "(no reason given)"
    except BaseException as error:  # sys.exit() in there stops no stop
        return f"(a {type(value).__name__} that cannot be read: {type(error).__name__})"


def _place(home: "str | os.PathLike[str] | None") -> str:
    """A state folder, absolute; TRADER_HOME's for None.

    TypeError or ValueError for what names no folder.
    """
    if home is None:
        return statedir.home_path()
    named = os.fsdecode(home)
    if not named or "\0" in named:
        raise ValueError(f"not a folder: {home!r}")
    return os.path.abspath(named)


def emergency_stop(
    reason: str,
    code: object = None,
    *,
    home: "str | os.PathLike[str] | None" = None,
    **context: Any,
) -> StopReport:
    """Stops every run of the state folder, this process's gates first. From any thread.

    A `home` that names no folder stops those of TRADER_HOME, and the report says so. Never raises.
    """
    meant = _meant(reason, code)
    try:
        place = _place(home)
    except BaseException:  # whatever a stranger's object does when it is looked at
        place = statedir.home_path()
        meant = meant._replace(doubts=(*meant.doubts, f"not a state folder: {_text(home)}"))
    leases = live_leases(place)
    for lease in leases:
        lease.shut_gate(meant.text)
    handler = RiskEventHandler(leases[0] if leases else None, home=place)
    return handler._stop(meant, records.EVERYTHING, context)
