"""An order's story as a person reads it, and as one JSON document.

Law: presentation only; what is told comes from `story`. Times are UTC, quantities signed as
recorded, and every line names the record it comes from, so that it can be looked up.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from trader.core.schema import KillSwitchReason, Reason, TradingAction
from trader.journal.audit.story import Step, Story, steps
from trader.journal.records import FORMAT_VERSION, Record
from trader.moments import NS_PER_MS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LABEL = 12  # columns of the left margin
NS_PER_US = 1_000


def time_text(ns: int | None) -> str:
    """UTC to the microsecond; whole seconds without a fraction."""
    if ns is None:
        return "no time"
    moment = EPOCH + timedelta(microseconds=ns // NS_PER_US)
    pattern = "%Y-%m-%d %H:%M:%S" + (".%f" if ns % 1_000_000_000 else "")
    return moment.strftime(pattern) + " UTC"


def story_lines(story: Story) -> list[str]:
    """The whole story, one line a fact, in the order it happened."""
    lines = [headline(story), ""]
    lines += _labelled("run", [_run_text(story)])
    lines += _labelled("bar", [_bar_text(story)])
    lines += _labelled("action", [_action_text(story)])
    lines += _labelled("decision", [_decision_text(story)])
    lines += _labelled("checks", [_step_text(step) for step in steps(story)] or ["none: see above"])
    lines += _labelled("throttle", _throttle_texts(story))
    lines += _labelled("order", [_event_text(record) for record in _but_fills(story)])
    lines += _labelled("fills", _fill_texts(story))
    stops = [f"{_stop_text(record)}{_from(record)}" for record in story.stops]
    lines += _labelled("meanwhile", stops) if stops else []
    return [
        *lines,
        "",
        "Each record above matches its hash; `trader audit verify` checks them all.",
    ]


def headline(story: Story) -> str:
    """What the order was and what became of it."""
    order = story.order
    number = f"order {story.order_number} " if story.order_number else "order "
    side = "BUY" if order.qty > 0 else "SELL"
    return f"{number}{story.client_id}: {side} {abs(order.qty):g} {order.symbol}, {outcome(story)}"


def outcome(story: Story) -> str:
    """What became of the order, in a few words."""
    order = story.order
    if order.aborted:
        return "never sent"
    if order.rejected:
        return "rejected by the broker"
    if not order.sent:
        return "intended, outcome not recorded"
    filled = f"filled {abs(order.filled):g}"
    if order.rest == 0.0:
        return filled if abs(order.filled) == abs(order.qty) else f"{filled}, the rest cancelled"
    return f"{filled}, {abs(order.rest):g} still working" if order.filled else "working, not filled"


def story_document(story: Story) -> dict[str, Any]:
    """The story for `--json`: worked-out facts, and every record in full."""
    records = [r for r in (story.bar, story.action, story.decision) if r is not None]
    return {
        "client_order_id": story.client_id,
        "order_id": story.order_number,
        "symbol": story.order.symbol,
        "qty": story.order.qty,
        "filled_qty": story.order.filled,
        "outcome": outcome(story),
        "bar": story.bar_fields(),
        "action": _with_names(story.action_fields()),
        "decision": _with_names(story.decision_fields()),
        "steps": [step.__dict__ for step in steps(story)],
        "throttles": [_with_names(row) for row in story.throttles()],
        "position_before": story.situation.position,
        "records": [
            audit_record(record, story.run) for record in [*records, *story.events, *story.stops]
        ],
    }


def audit_record(record: Record, run: Record) -> dict[str, Any]:
    """A record with everything that is the same for the whole run written out beside it."""
    constants, data = run.data, record.data
    return {
        "v": FORMAT_VERSION,
        "seq": record.seq,
        "run_id": constants["run_id"],
        "mode": constants["mode"],
        "ts_wall_ns": record.wall_ns,
        "ts_mono_ns": record.mono_ns,
        "ts_event": record.event_ns,
        "type": record.type,
        "actor": constants["actor"],
        "symbol": data.get("symbol"),
        "client_order_id": data.get("client_order_id"),
        "causation_seq": record.cause,
        "payload": data,
        "code_sha": constants["code_sha"],
        "config_hash": constants["config_sha"],
        "model_sha": constants["model_sha"],
        "prev": record.prev.hex(),
        "hash": record.hash.hex(),
    }


def _with_names(fields: dict[str, Any]) -> dict[str, Any]:
    named = dict(fields)
    if "reason" in named:
        named["reason"] = _reason_name(named["reason"])
    if "action" in named:
        named["action"] = TradingAction(named["action"]).name
    return named


def _labelled(label: str, texts: list[str]) -> list[str]:
    first, *rest = texts
    return [f"{label:<{LABEL}}{first}", *(f"{'':<{LABEL}}{text}" for text in rest)]


def _from(record: Record) -> str:
    return f"  [record {record.seq}]"


def _run_text(story: Story) -> str:
    run = story.run.data
    shas = ", ".join(
        f"{name} {str(run[f'{name}_sha'])[:12]}" for name in ("config", "model", "code")
    )
    return f"{run['run_id']} ({run['mode']}; {shas}){_from(story.run)}"


def _bar_text(story: Story) -> str:
    bar = story.bar_fields()
    if story.bar is None or not bar:
        return "none: an operator's order to flatten"
    prices = "  ".join(f"{name} {bar[name]!r}" for name in ("open", "high", "low", "close"))
    quote = f"  bid {bar['bid']!r}  ask {bar['ask']!r}" if bar["bid"] == bar["bid"] else ""
    closed = time_text(bar["ts_ns"])
    return f"closed {closed}  {prices}  volume {bar['volume']:g}{quote}{_from(story.bar)}"


def _action_text(story: Story) -> str:
    action = story.action_fields()
    if story.action is None or not action:
        return "none"
    name = TradingAction(action["action"]).name
    why = "" if action["reason"] == 0 else f" ({_reason_name(action['reason'])})"
    took = story.action.data["latency_ns"] / NS_PER_MS
    features = story.action.data["features_sha"][:12]
    return f"{name}{why}  model took {took:.3f} ms, features {features}{_from(story.action)}"


def _decision_text(story: Story) -> str:
    decision = story.decision_fields()
    if story.decision is None or not decision:
        kill_id = story.order.kill_id
        return f"none: allowed by kill {kill_id}, to reduce only"
    reason = _reason_name(decision["reason"])
    because = "" if reason == "NONE" else f" because of {reason}"
    wanted, approved = decision["requested_qty"], decision["approved_qty"]
    held = story.situation.position
    return (
        f"number {story.order.decision}: holding {held:g}, wanted {wanted:+g}, "
        f"approved {approved:+g}{because}{_from(story.decision)}"
    )


def _step_text(step: Step) -> str:
    observed = "" if step.value is None else _value_text(step.value)
    limit = "" if step.limit is None else f" of at most {_value_text(step.limit)}"
    code = f"  {step.code}" if step.code else ""
    return f"{step.number} {step.name:<14} {step.outcome:<12} {observed}{limit}{code}".rstrip()


def _value_text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "no limit" if value == float("inf") else f"{value:.10g}"


def _throttle_texts(story: Story) -> list[str]:
    cuts = [
        f"{_reason_name(row['reason'])}: {row['before']:g} cut to {row['after']:g} "
        f"(driver {_value_text(row['driver'])}, limit {_value_text(row['limit'])})"
        for row in story.throttles()
    ]
    return cuts or ["nothing was cut"]


def _but_fills(story: Story) -> list[Record]:
    return [record for record in story.events if record.type != "FILL"]


def _event_text(record: Record) -> str:
    data = record.data
    tell = _EVENT_TEXTS[record.type]
    return f"{time_text(record.wall_ns)}  {tell(data)}{_from(record)}"


def _fill_texts(story: Story) -> list[str]:
    fills = [record for record in story.events if record.type == "FILL"]
    if not fills:
        return ["none"]
    texts = []
    for record in fills:
        data = record.data
        texts.append(
            f"{time_text(record.event_ns)}  {data['qty']:+g} at {_value_text(data['price'])}, "
            f"commission {_value_text(data['commission'])}, execution {data['execution_id']}"
            f"{_from(record)}"
        )
    paid = sum(abs(r.data["qty"]) * r.data["price"] for r in fills)
    filled = abs(story.order.filled)
    if len(fills) > 1 and filled:
        texts.append(f"together {story.order.filled:+g} at {paid / filled:.10g} on average")
    return texts


def _stop_text(record: Record) -> str:
    data = record.data
    when = time_text(data.get("wall_ns") or record.wall_ns)
    if record.type == "REARM":
        return f"{when}  kill {data['kill_id']} re-armed: {data['reason']}"
    code = KillSwitchReason(data["code"]).name
    return f"{when}  kill {data['kill_id']} ({code}): {data['reason']}"


def _reason_name(code: int) -> str:
    return Reason(code).name if code in set(Reason) else f"reason {code}"


_EVENT_TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "ORDER_INTENT": lambda data: f"intended {data['qty']:+g} {data['symbol']}, on disk",
    "ORDER_SENT": lambda data: "sent again" if data.get("resend") else "passed the gate, sent",
    "ORDER_ACK": lambda data: (
        f"{'found at' if data.get('adopted') else 'acknowledged by'} the broker "
        f"as {data['broker_order_id']}"
    ),
    "ORDER_REJECTED": lambda data: f"rejected by the broker: {data['reason']}",
    "ORDER_ABORTED": lambda data: f"not sent: {data['reason']} {data.get('text', '')}".rstrip(),
    "ORDER_UNKNOWN": lambda data: f"left or not, the broker has not said: {data['text']}",
    "CANCEL_INTENT": lambda data: f"to be cancelled: {data['reason']}",
    "CANCEL_ACK": lambda data: f"{data['qty']:+g} cancelled",
}
