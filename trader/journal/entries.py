"""One builder per record type: from what the run knows to an `Entry` of the journal.

Law: builders only arrange and spell; they decide nothing. Inside one slice the entries are
appended in the order BAR, ACTION (before acting), then CASHFLOW, FILL, CANCEL_*, DECISION,
ORDER_INTENT (before sending), then ORDER_SENT, ORDER_ACK or ORDER_ABORTED.
"""

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from trader.core import schema
from trader.core.schema import KillSwitchReason, Reason
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal.records import FORMAT_VERSION, Entry, RecordType
from trader.journal.rows import layouts, to_fields, to_rows

Fields = Mapping[str, Any]
NONE: Fields = {}
SNAPSHOT_COMPRESSION = 1  # a state is mostly zeros; the fastest level is within 10 % of the best


@dataclass(frozen=True)
class Identity:
    """What a process brings to a run. Two processes of one run differ in `actor` only."""

    run_id: str
    actor: Mapping[str, Any]  # uid, pid, host, role
    limits: np.ndarray  # LIMITS, (1,): the limits in force
    config_sha: str
    model_sha: str
    code_sha: str


@dataclass(frozen=True)
class RunStart:
    """What stays true for the whole run. `details` is free: versions, seed, config text…"""

    identity: Identity
    lineage: str  # id of the first run of this line: part of every order id
    mode: str  # paper
    symbols: Sequence[str]
    cash: float
    parent_run: str | None = None  # id of the run before, of the same name
    parent_head: str | None = None  # its head, `seq:hash`
    details: Mapping[str, Any] = field(default_factory=dict)


def run_start(start: RunStart) -> Entry:
    """RUN_START: the first record of a journal."""
    identity = _identity_fields(start.identity)
    payload = {
        **start.details,
        **identity,
        "format": FORMAT_VERSION,
        "lineage": start.lineage,
        "mode": start.mode,
        "symbols": list(start.symbols),
        "cash": start.cash,
        "parent_run": start.parent_run,
        "parent_head": start.parent_head,
        "layouts": layouts(),
    }
    return Entry(RecordType.RUN_START, payload)


def run_resume(identity: Identity, details: Mapping[str, Any] | None = None) -> Entry:
    """RUN_RESUME: another process goes on; `head` and `last_seq` are filled in by the journal."""
    return Entry(RecordType.RUN_RESUME, {**(details or {}), **_identity_fields(identity)})


def _identity_fields(identity: Identity) -> dict[str, Any]:
    fields = asdict(identity)
    fields["limits"] = to_fields(identity.limits[0])
    fields["symbol_limits"] = [to_fields(row) for row in identity.limits[1:]]
    return fields | {"actor": dict(identity.actor)}


def bars(rows: np.ndarray, use: str = "slice", detail: Detail = NO_DETAIL) -> Entry:
    """BAR of one close. `use`: slice (traded on), late, duplicate, revised, invalid, history."""
    said = {"use": use, "rows": to_rows(rows)}
    said |= {"finer": [to_rows(part) for part in detail.parts()]} if len(detail.finer) else {}
    return Entry(RecordType.BAR, said, int(rows[0]["ts_ns"]))


@dataclass(frozen=True)
class ModelAnswer:
    """What the model said about one slice; arrays run with the slice's bars."""

    symbols: np.ndarray  # i4
    actions: np.ndarray  # i1, TradingAction
    reasons: np.ndarray  # i2, Reason
    requests: np.ndarray  # REQUEST (n,), or (0,) where every action came alone
    features_sha: str  # of the feature matrix's bytes
    latency_ns: int


def actions(ts_ns: int, answer: ModelAnswer) -> Entry:
    """ACTION: one row (symbol, action, reason) per bar, and a row of `requests` where any came."""
    rows = zip(
        answer.symbols.tolist(), answer.actions.tolist(), answer.reasons.tolist(), strict=True
    )
    payload: dict[str, Any] = {
        "rows": list(rows),
        "features_sha": answer.features_sha,
        "latency_ns": int(answer.latency_ns),
    }
    if len(answer.requests):
        payload["requests"] = to_rows(answer.requests)
    return Entry(RecordType.ACTION, payload, int(ts_ns))


@dataclass(frozen=True)
class SliceOutcome:
    """What the core made of one slice. `first` is the number of the first decision."""

    first: int
    decisions: np.ndarray  # DECISION
    throttles: np.ndarray  # THROTTLE
    events: np.ndarray  # EVENT
    account: np.ndarray  # ACCOUNT, (1,)


def decisions(outcome: SliceOutcome, cause: int | None = None) -> Entry:
    """DECISION: every decision of a slice, its throttle chain, events, and the account after."""
    payload = {
        "first": int(outcome.first),
        "rows": to_rows(outcome.decisions),
        "throttles": to_rows(outcome.throttles),
        "events": to_rows(outcome.events),
        "account": list(to_rows(outcome.account)[0]),
    }
    return Entry(RecordType.DECISION, payload, int(outcome.account[0]["ts_ns"]), cause)


def order_intent(client_id: str, symbol: str, order: np.void, cause: int) -> Entry:
    """ORDER_INTENT of an ORDER row; `cause` leads to its DECISION. Always durable."""
    payload = {
        "client_order_id": client_id,
        "symbol": symbol,
        "qty": float(order["qty"]),
        "decision": int(order["decision"]),
        "order_id": int(order["order_id"]),
        "leg": int(order["leg"]),
        "parent": int(order["parent"]),
        "purpose": "exit" if order["kind"] in schema.EXIT_KINDS else "decision",
        "order": list(to_rows(np.array([order], schema.ORDER))[0]),
    }
    return Entry(RecordType.ORDER_INTENT, payload, int(order["ts_ns"]), cause)


@dataclass(frozen=True)
class FlattenOrder:
    """An order that closes a position because a kill with `flatten` asked for it."""

    client_id: str
    symbol: str
    qty: float  # signed
    ts_ns: int
    kill_id: str


def flatten_intent(order: FlattenOrder) -> Entry:
    """ORDER_INTENT without a decision behind it: only its kill allows it, and only to reduce."""
    payload = {"client_order_id": order.client_id, "symbol": order.symbol, "qty": order.qty}
    payload |= {"decision": -1, "order_id": 0, "purpose": "flatten", "kill_id": order.kill_id}
    return Entry(RecordType.ORDER_INTENT, payload, order.ts_ns)


def order_sent(client_id: str, qty: float, sent_mono_ns: int, resend: bool = False) -> Entry:
    """ORDER_SENT. `sent_mono_ns` is read inside the gate's lock, right before the send."""
    payload: dict[str, Any] = {
        "client_order_id": client_id,
        "qty": float(qty),
        "sent_mono_ns": int(sent_mono_ns),
    }
    if resend:
        payload["resend"] = True
    return Entry(RecordType.ORDER_SENT, payload)


def order_ack(client_id: str, broker_order_id: str, adopted: bool = False) -> Entry:
    """ORDER_ACK. `adopted`: the broker knew the order although no ORDER_SENT was recorded."""
    payload: dict[str, Any] = {"client_order_id": client_id, "broker_order_id": broker_order_id}
    if adopted:
        payload["adopted"] = True
    return Entry(RecordType.ORDER_ACK, payload)


def order_rejected(client_id: str, reason: str) -> Entry:
    """ORDER_REJECTED: the broker refused it."""
    return Entry(RecordType.ORDER_REJECTED, {"client_order_id": client_id, "reason": reason})


def order_aborted(client_id: str, reason: Reason, text: str = "") -> Entry:
    """ORDER_ABORTED: our own gate refused it, or it was never sent (EXPIRED_UNSENT)."""
    told = {"client_order_id": client_id, "reason": Reason(reason).name, "text": text}
    return Entry(RecordType.ORDER_ABORTED, told)


def order_unknown(client_id: str, text: str) -> Entry:
    """ORDER_UNKNOWN: whether it left is not known; it is kept until the broker has said."""
    return Entry(RecordType.ORDER_UNKNOWN, {"client_order_id": client_id, "text": text})


def fill(client_id: str, execution_id: str, symbol: str, row: np.void) -> Entry:
    """FILL of a FILL row. The same execution id is the same fill, however often it is told."""
    payload = {
        "client_order_id": client_id,
        "execution_id": execution_id,
        "symbol": symbol,
        "qty": float(row["qty"]),
        "price": float(row["price"]),
        "commission": float(row["commission"]),
        **{name: float(row[name]) for name in ("unit_value", "realized_pnl")},
        "fill": list(to_rows(np.array([row], schema.FILL))[0]),
    }
    return Entry(RecordType.FILL, payload, int(row["ts_ns"]))


def cashflows(rows: np.ndarray, event_ns: int) -> Entry:
    """CASHFLOW: what moved without a trade, before the fills of a slice."""
    return Entry(RecordType.CASHFLOW, {"rows": to_rows(rows)}, event_ns)


def cancel_intent(client_id: str, reason: str) -> Entry:
    """CANCEL_INTENT: before the broker is asked to cancel. Always durable."""
    return Entry(RecordType.CANCEL_INTENT, {"client_order_id": client_id, "reason": reason})


def cancel_ack(client_id: str, qty: float, reason: str, event_ns: int | None = None) -> Entry:
    """CANCEL_ACK: signed `qty` of the order will not fill any more (all of its rest, or a part)."""
    payload = {"client_order_id": client_id, "qty": float(qty), "reason": reason}
    return Entry(RecordType.CANCEL_ACK, payload, event_ns)


def kill(kill_id: str, code: KillSwitchReason, reason: str, details: Mapping[str, Any]) -> Entry:
    """KILL. `details`: source, scope, flatten, mono_ns (when it took effect), runs…"""
    code = KillSwitchReason(code)
    said = {"code": int(code), "code_name": code.name, "reason": reason}
    return Entry(RecordType.KILL, {**details, "kill_id": kill_id, **said})


def rearm(kill_id: str, reason: str, details: Mapping[str, Any]) -> Entry:
    """REARM of one kill. `details`: by, root_cause…"""
    return Entry(RecordType.REARM, {**details, "kill_id": kill_id, "reason": reason})


def alert(kind: str, text: str, details: Mapping[str, Any] | None = None) -> Entry:
    """ALERT: something a person should know (DATA_REVISED, a hook that failed, with counts…)."""
    return Entry(RecordType.ALERT, {**(details or {}), "kind": kind, "text": text})


def clock_jump(jump_ns: int) -> Entry:
    """CLOCK_JUMP: wall and monotonic clocks disagree by `jump_ns` since they were last read."""
    return Entry(RecordType.CLOCK_JUMP, {"jump_ns": int(jump_ns)})


def snapshot(
    state: bytes,
    positions: Mapping[str, float],
    account: np.ndarray,
    details: Mapping[str, Any] = NONE,
) -> Entry:
    """SNAPSHOT of the whole state; `details`: what else a start needs that goes on from it."""
    payload = {
        **details,
        "state": base64.b64encode(zlib.compress(state, SNAPSHOT_COMPRESSION)).decode("ascii"),
        "state_sha": hashlib.sha256(state).hexdigest(),
        **_holdings(positions, account),
    }
    return Entry(RecordType.SNAPSHOT, payload, int(account[0]["ts_ns"]))


@dataclass(frozen=True)
class RunEnd:
    """How a run ended. `details` is free: digest, counts of errors and hooks…"""

    reason: str
    exit_code: int
    positions: Mapping[str, float]
    account: np.ndarray  # ACCOUNT, (1,)
    details: Mapping[str, Any] = field(default_factory=dict)


def run_end(end: RunEnd) -> Entry:
    """RUN_END. Only RUN_RESUME, KILL, REARM, ALERT and CHECKPOINT may follow it."""
    how = {"reason": end.reason, "exit_code": end.exit_code}
    held = _holdings(end.positions, end.account)
    return Entry(RecordType.RUN_END, {**end.details, **how, **held})


def _holdings(positions: Mapping[str, float], account: np.ndarray) -> dict[str, Any]:
    held = {symbol: float(qty) for symbol, qty in positions.items() if qty != 0.0}
    return {"positions": held, "account": list(to_rows(account)[0])}
