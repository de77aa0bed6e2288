"""What a journal record is: its types, the fields each must have, and how it becomes bytes.

Law: a payload is canonical JSON: sorted keys, no blanks, ASCII, floats as their shortest exact
spelling, so a float64 comes back to the last bit. JSON has no NaN and no infinity: they are the
strings "NaN", "Infinity", "-Infinity" (and "NaN:<hex bits>" for a NaN of other bits). Type names
and field names are on disk: they are only ever added to.
"""

import base64
import hashlib
import json
import math
import struct
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from trader.errors import TraderError

FORMAT_VERSION = 2  # 1 had no packs (`pack`); it is still read and gone on with, without any
READABLE = (1, 2)


class JournalError(TraderError):
    """The journal cannot be written, opened or read; nothing may be traded on it."""


class DamagedJournal(JournalError):
    """The file holds something else than was written to it. `trader audit verify` says where."""

    exit_code = 8


class RecordType(StrEnum):
    """Every kind of record. Append-only."""

    RUN_START = "RUN_START"
    RUN_RESUME = "RUN_RESUME"  # the run goes on in another process
    BAR = "BAR"
    ACTION = "ACTION"
    DECISION = "DECISION"
    ORDER_INTENT = "ORDER_INTENT"
    ORDER_SENT = "ORDER_SENT"
    ORDER_ACK = "ORDER_ACK"
    ORDER_REJECTED = "ORDER_REJECTED"  # by the broker
    ORDER_ABORTED = "ORDER_ABORTED"  # by our own gate, or never sent (EXPIRED_UNSENT)
    ORDER_UNKNOWN = "ORDER_UNKNOWN"  # it left or not: the broker has not said
    FILL = "FILL"
    CASHFLOW = "CASHFLOW"  # money or units that moved without a trade
    CANCEL_INTENT = "CANCEL_INTENT"
    CANCEL_ACK = "CANCEL_ACK"
    KILL = "KILL"
    REARM = "REARM"
    SNAPSHOT = "SNAPSHOT"
    CLOCK_JUMP = "CLOCK_JUMP"
    ALERT = "ALERT"
    RUN_END = "RUN_END"
    CHECKPOINT = "CHECKPOINT"  # Merkle root over every record before it
    RECONCILED = "RECONCILED"  # the account as a broker outside has it


# A batch that holds one of these is always flushed, whatever the caller asks for.
ALWAYS_DURABLE = frozenset(
    {
        RecordType.RUN_START,
        RecordType.RUN_RESUME,
        RecordType.ORDER_INTENT,
        RecordType.CANCEL_INTENT,
        RecordType.KILL,
        RecordType.REARM,
        RecordType.RUN_END,
    }
)
# The journal itself writes `head` (hash of the record before) and `last_seq` into these.
HEADED = frozenset({RecordType.SNAPSHOT, RecordType.RUN_END, RecordType.RUN_RESUME})

# What a payload that was tampered with makes its reader raise: numbers no float can hold and
# nesting without end among it. It is the payload's fault, and never the reader's.
UNJUDGEABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)

NUMBER = (int, float)
IDENTITY = {"config_sha": str, "model_sha": str, "code_sha": str, "limits": dict, "actor": dict}
ORDER = {"client_order_id": str}
REQUIRED: dict[str, dict[str, Any]] = {
    "RUN_START": {
        "format": int,
        "run_id": str,
        "lineage": str,
        "mode": str,
        "symbols": list,
        "layouts": dict,
        "cash": NUMBER,
        **IDENTITY,
    },
    "RUN_RESUME": {"run_id": str, "head": str, "last_seq": int, **IDENTITY},
    "BAR": {"use": str, "rows": list},
    "ACTION": {"rows": list, "features_sha": str, "latency_ns": int},
    "DECISION": {"first": int, "rows": list, "throttles": list, "events": list, "account": list},
    "ORDER_INTENT": {
        **ORDER,
        "symbol": str,
        "qty": NUMBER,
        "decision": int,
        "order_id": int,
        "purpose": str,
    },
    "ORDER_SENT": {**ORDER, "qty": NUMBER},
    "ORDER_ACK": {**ORDER, "broker_order_id": str},
    "ORDER_REJECTED": {**ORDER, "reason": str},
    "ORDER_ABORTED": {**ORDER, "reason": str},
    "ORDER_UNKNOWN": {**ORDER, "text": str},
    "FILL": {
        **ORDER,
        "execution_id": str,
        "symbol": str,
        "qty": NUMBER,
        "price": NUMBER,
        "commission": NUMBER,
    },
    "CASHFLOW": {"rows": list},
    "CANCEL_INTENT": {**ORDER, "reason": str},
    "CANCEL_ACK": {**ORDER, "qty": NUMBER},
    "KILL": {"kill_id": str, "code": int, "reason": str},
    "REARM": {"kill_id": str, "reason": str},
    "SNAPSHOT": {
        "state": str,
        "state_sha": str,
        "positions": dict,
        "account": list,
        "head": str,
        "last_seq": int,
    },
    "CLOCK_JUMP": {"jump_ns": int},
    "ALERT": {"kind": str, "text": str},
    "RUN_END": {
        "reason": str,
        "exit_code": int,
        "positions": dict,
        "account": list,
        "head": str,
        "last_seq": int,
    },
    "CHECKPOINT": {"size": int, "root": str, "head": str},
    "RECONCILED": {"broker_seq": int, "positions": dict, "cash": NUMBER, "missing": list},
}


class Entry(NamedTuple):
    """A record to be appended. `cause` is the seq of the record that led to it; a negative
    number counts back from this record (-1 is the one before it in the same batch)."""

    type: str
    payload: Mapping[str, Any]
    event_ns: int | None = None  # bar time, UTC
    cause: int | None = None


class Record(NamedTuple):
    """A record as stored. `wall_ns` is UTC, `mono_ns` the monotonic clock of its process."""

    seq: int
    wall_ns: int
    mono_ns: int
    event_ns: int | None
    cause: int | None
    type: str
    prev: bytes
    hash: bytes
    payload: str

    @property
    def data(self) -> dict[str, Any]:
        """The payload, parsed."""
        parsed: dict[str, Any] = json.loads(self.payload)
        return parsed


class Head(NamedTuple):
    """The last record: what a copy elsewhere needs to prove that nothing was cut off."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"


def spelled(value: float) -> Any:
    """A float as JSON can carry it: itself, or the word for what JSON has no number for."""
    if math.isfinite(value):
        return value
    if value == math.inf:
        return "Infinity"
    if value == -math.inf:
        return "-Infinity"
    bits = struct.pack(">d", value)
    return "NaN" if bits == QUIET_NAN else f"NaN:{bits.hex()}"


QUIET_NAN = struct.pack(">d", math.nan)


def number(value: Any) -> float:
    """The float a payload means by `value` (a number, or a word of `spelled`)."""
    if isinstance(value, str) and value.startswith("NaN:"):
        return float(struct.unpack(">d", bytes.fromhex(value[4:]))[0])
    return float(value)


def _plain(value: Any) -> Any:
    """JSON for what the encoder does not know: NumPy scalars, bytes."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "item"):
        item = value.item()
        return spelled(item) if isinstance(item, float) else item
    raise TypeError(f"a journal payload cannot hold {type(value).__name__}: {value!r}")


def _spelled_throughout(value: Any) -> Any:
    if isinstance(value, float):
        return spelled(value)
    if isinstance(value, Mapping):
        return {key: _spelled_throughout(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled_throughout(item) for item in value]
    return value


_encode_finite = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
).encode


def encode(payload: Mapping[str, Any]) -> str:
    """Canonical JSON of a payload; TypeError for what JSON cannot hold."""
    try:
        return _encode_finite(payload)
    except ValueError:  # some float is not finite: spell those, at the price of a copy
        return _encode_finite(_spelled_throughout(payload))


_decode = json.JSONDecoder().raw_decode
# What `JSONEncoder.encode` makes anew for every value, made once: it takes as long as the spelling.
_made_once = json.encoder.c_make_encoder  # type: ignore[attr-defined]
_chunks_of = _made_once and _made_once(
    None, _plain, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, False
)


def _encode_decoded(value: Any) -> str:
    """What `encode` gives for a value that was just decoded: finite, and not part of itself."""
    return _encode_finite(value) if _chunks_of is None else "".join(_chunks_of(value, 0))


def canonical(text: str) -> Any:
    """What a payload says; ValueError if `text` is not the one spelling that `encode` gives it.

    A key twice, a blank, or a number JSON has not (NaN, 1e999) reads differently elsewhere.
    """
    value, _ = _decode(text)
    if _encode_decoded(value) != text:
        raise ValueError("not the canonical JSON of what it says")
    return value


def fault_in(kind: str, payload: Any) -> str | None:
    """What is wrong with the shape of a payload of type `kind`; None if nothing is."""
    required = REQUIRED.get(kind)
    if required is None:
        return f"unknown record type {kind!r}"
    if type(payload) is not dict:
        return f"{kind} payload is not an object"
    for name, wanted in required.items():
        if name not in payload:
            return f"{kind} has no field {name!r}"
        value = payload[name]
        if not isinstance(value, wanted) or value is True or value is False:
            return f"{kind} field {name!r} is {value!r:.60}"
    return None


def client_order_id(run_lineage: str, symbol: str, ts_ns: int, decision: int, leg: int = 0) -> str:
    """The id an order carries to the broker: 20 hex digits, the same on every replay.

    A hash of run lineage, symbol, close, decision and (but for 0) leg, each length-prefixed, so
    that a resend after a crash is recognised as the order it is.
    """
    digest = hashlib.sha256(b"trader-order/1")
    for part in (run_lineage, symbol, str(ts_ns), str(decision), *([str(leg)] if leg else [])):
        raw = part.encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()[:20]
