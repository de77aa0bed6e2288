"""One order's whole story, gathered from the journal.

Law: everything told is either quoted from a record (with its seq) or worked out from records and
said to be. Steps of the pre-trade check are judged again here only as far as records allow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.core.schema import Reason
from trader.journal.audit.lookup import find_intent
from trader.journal.audit.orders import EXIT, Order, OrderFold
from trader.journal.chain import record_hash
from trader.journal.records import UNJUDGEABLE, Record, RecordType, number
from trader.journal.rows import named_row
from trader.journal.store import damaged, newest_record, read_records

ORDER_TYPES = (
    RecordType.ORDER_INTENT,
    RecordType.ORDER_SENT,
    RecordType.ORDER_ACK,
    RecordType.ORDER_REJECTED,
    RecordType.ORDER_ABORTED,
    RecordType.ORDER_UNKNOWN,
    RecordType.FILL,
    RecordType.CANCEL_INTENT,
    RecordType.CANCEL_ACK,
)


@dataclass(frozen=True)
class Situation:
    """What was held and worked in the order's symbol right before it was intended."""

    position: float
    working_buy: float
    working_sell: float


@dataclass(frozen=True)
class Story:
    """The records of one order, and what is read out of them."""

    run: Record
    client_id: str
    order: Order  # its state after the last record
    intent: Record
    situation: Situation
    bar: Record | None  # None for a flattening order: no decision led to it
    action: Record | None
    decision: Record | None
    events: list[Record]  # of this order, from the intent on
    stops: list[Record]  # KILL and REARM from the intent on, until its last event

    @property
    def order_number(self) -> int:
        """Its number in fills.csv; 0 for a flattening order that did not fill."""
        fills = [
            named_row(self.run, "FILL", record.data["fill"])
            for record in self.events
            if record.type == RecordType.FILL and "fill" in record.data
        ]
        return int(self.intent.data["order_id"] or (fills[0]["order_id"] if fills else 0))

    @property
    def symbol_index(self) -> int:
        """Place of the order's symbol among the run's."""
        return int(self.run.data["symbols"].index(self.order.symbol))

    def bar_fields(self) -> dict[str, Any]:
        """The bar decided on, by field."""
        return self._row(self.bar, "BAR", "rows")

    def action_fields(self) -> dict[str, Any]:
        """The model's answer for the symbol, by field."""
        return self._row(self.action, "ACTION", "rows")

    def decision_fields(self) -> dict[str, Any]:
        """The decision, by field."""
        return self._row(self.decision, "DECISION", "rows")

    def account_fields(self) -> dict[str, Any]:
        """The account right after the decisions of the slice, by field."""
        if self.decision is None:
            return {}
        return self._named("ACCOUNT", self.decision.data["account"])

    def throttles(self) -> list[dict[str, Any]]:
        """The throttle stages that cut the order, in the order applied."""
        if self.decision is None:
            return []
        rows = [self._named("THROTTLE", row) for row in self.decision.data["throttles"]]
        return [row for row in rows if row["decision"] == self.order.decision]

    def _row(self, record: Record | None, layout: str, key: str) -> dict[str, Any]:
        if record is None:
            return {}
        rows = [self._named(layout, row) for row in record.data[key]]
        return next((row for row in rows if row["symbol"] == self.symbol_index), {})

    def _named(self, layout: str, row: list[Any]) -> dict[str, Any]:
        return named_row(self.run, layout, row)


def tell(path: Path, order: str) -> Story:
    """The story of the order with this client id, unique beginning of one, or order number.

    UsageError if there is none; DamagedJournal if the file cannot be read. Every record told from
    is checked against its own hash; put `naming_damage` around this and what is made of it.
    """
    intent = find_intent(path, order)
    client_id: str = intent.data["client_order_id"]
    run = next(read_records(path))
    fold = OrderFold(number(run.data["cash"]))
    situation = Situation(0.0, 0.0, 0.0)
    events: list[Record] = []
    for record in read_records(path, types=ORDER_TYPES):
        data = record.data
        if record.seq == intent.seq:
            buying, selling = fold.working(data["symbol"])
            situation = Situation(fold.positions.get(data["symbol"], 0.0), buying, selling)
        fold.take(record.type, record.seq, data)
        if data["client_order_id"] == client_id:
            events.append(record)
    stops = [
        record
        for record in read_records(path, intent.seq, (RecordType.KILL, RecordType.REARM))
        if record.seq < events[-1].seq
    ]
    bar, action, decision = _origins(path, intent)
    _require_intact([run, *filter(None, (bar, action, decision)), *events, *stops])
    return Story(
        run=run,
        client_id=client_id,
        order=fold.orders[client_id],
        intent=intent,
        situation=situation,
        bar=bar,
        action=action,
        decision=decision,
        events=events,
        stops=stops,
    )


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """DamagedJournal for whatever a payload that was tampered with makes the reader stumble on."""
    try:
        yield
    except KeyError as error:
        raise damaged(path, ValueError(f"a record has no {error}")) from error
    except (*UNJUDGEABLE, StopIteration) as error:
        raise damaged(path, error) from error


def _require_intact(records: list[Record]) -> None:
    """ValueError if a record that is told from does not match its own hash."""
    for record in records:
        stamp = (record.seq, record.wall_ns, record.mono_ns, record.event_ns, record.cause)
        kind, payload = record.type.encode(), record.payload.encode()
        if record_hash(stamp, kind, payload, record.prev) != record.hash:
            raise ValueError(f"record {record.seq} was changed after it was written")


def _origins(path: Path, intent: Record) -> tuple[Record | None, Record | None, Record | None]:
    """(bar, action, decision) records that led to an intent."""
    if intent.cause is None:
        return None, None, None
    decision = next(read_records(path, intent.cause), None)
    if decision is None or not _holds(decision, intent):
        is_a = "is not there" if decision is None else f"is a {decision.type}"
        other = f"it names record {intent.cause} as its cause, which {is_a}"
        raise ValueError(f"record {intent.seq}, the ORDER_INTENT: {other} without its decision")
    action = newest_record(path, RecordType.ACTION, decision.seq)
    bar = newest_record(path, RecordType.BAR, decision.seq)
    while bar is not None and (bar.event_ns != decision.event_ns or bar.data["use"] != "slice"):
        bar = newest_record(path, RecordType.BAR, bar.seq)
    return bar, action, decision


def _holds(record: Record, intent: Record) -> bool:
    """Whether the record is the DECISION that an intent of a decision names."""
    if record.type != RecordType.DECISION:
        return False
    data = record.data
    return bool(0 <= intent.data["decision"] - data["first"] < len(data["rows"]))


@dataclass(frozen=True)
class Step:
    """One of the six pre-trade steps, as far as the records tell."""

    number: int
    name: str
    outcome: str  # pass | deny | not judged | not reached
    value: float | str | None
    limit: float | str | None
    code: str  # Reason, or empty


STEP_NAMES = (
    "parameters",
    "position size",
    "order size",
    "losses",
    "concentration",
    "market hours",
)
JUDGES_OPENING_ONLY = frozenset({2, 4, 5})


def failing_step(reason: int) -> int | None:
    """The step (1-6) a refusal belongs to; 0 for the trading state, None if none refused."""
    if reason in (Reason.HALTED, Reason.KILLED, Reason.REDUCE_ONLY):
        return 0
    if Reason.PARAM_SYMBOL <= reason < Reason.VOLUME_PARTICIPATION:
        return max(reason // 10 - 2, 1)  # codes 20 to 39 are step 1, then ten to each step
    return None


def steps(story: Story) -> list[Step]:
    """The six steps of the order's pre-trade check; empty for an exit and a flattening order."""
    if story.decision is None or story.order.purpose == EXIT:
        return []
    decision = story.decision_fields()
    requested, held = decision["requested_qty"], story.situation
    room = held.position - held.working_sell if requested < 0 else -held.position - held.working_buy
    closes_only = abs(requested) <= max(room, 0.0)
    failed = failing_step(decision["reason"])
    told = []
    values = _values(story, requested)
    for index, name in enumerate(STEP_NAMES, start=1):
        value, limit = values[index - 1]
        outcome = "pass"
        if index == failed:
            outcome, value, limit = "deny", decision["observed"], decision["limit"]
        elif closes_only and index in JUDGES_OPENING_ONLY:
            outcome = "not judged"
        elif failed is not None and index > failed and index in JUDGES_OPENING_ONLY:
            outcome = "not reached"
        code = Reason(decision["reason"]).name if index == failed else ""
        told.append(Step(index, name, outcome, value, limit, code))
    return told


def _values(story: Story, requested: float) -> list[tuple[Any, Any]]:
    """(observed, limit) of each step, worked out again from the records."""
    rows = story.run.data.get("symbol_limits")
    at = story.run.data["symbols"].index(story.order.symbol)
    limits = rows[at] if rows else story.run.data["limits"]
    limits = {name: number(value) for name, value in limits.items()}
    account, mark, held = story.account_fields(), story.bar_fields().get("close"), story.situation
    working = held.working_buy if requested > 0 else -held.working_sell
    worst = abs(held.position + working + requested)
    equity = account["equity"]
    share = worst * mark / equity if mark is not None and equity > 0 else None
    return [
        (f"{requested:+g} at {mark!r}", None),
        (worst, limits["max_position_size"]),
        (abs(requested), limits["max_order_size"]),
        (account["session_open_equity"] - equity, limits["max_daily_loss"]),
        (share, limits["max_position_concentration"]),
        ("open", None),
    ]
