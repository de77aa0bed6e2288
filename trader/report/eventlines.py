"""One line for one event of a run: words for people, a document for programs.

Law: knows the keys of docs/paper.md and invents none; an event it does not know is shown whole.
A line is one line, whatever is in the event: nothing in it can write to the terminal.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from trader.core.schema import Reason
from trader.report.breach import breach_text, money_apart

Details = Mapping[str, Any]

LEAST_CENTS = 0.005  # below it an amount would read 0.00
OF_MONEY = frozenset(
    reason.name
    for reason in (
        Reason.POSITION_NOTIONAL_LIMIT,
        Reason.ORDER_NOTIONAL_LIMIT,
        Reason.DAILY_LOSS_LIMIT,
        Reason.BUYING_POWER,
    )
)


def event_document(details: Details) -> dict[str, Any]:
    """What `--json` prints for an event: its keys as they are; no NaN, no infinity."""
    return {key: _finite(value) for key, value in details.items()}


def event_line(details: Details) -> str:
    """One plain line: `2024-03-04T14:31:00Z ACME denied BUY 100: POSITION_LIMIT (1100 > 1000)`."""
    event = str(details.get("event", "event"))
    words = _WORDS.get(event)
    text = words(details) if words is not None else _plain(details)
    head = " ".join(str(details[key]) for key in ("timestamp", "symbol") if details.get(key))
    return one_line(f"{head} {text}" if head else text)


def one_line(text: str) -> str:
    """`text` as a terminal may show it: line breaks and control characters are escaped.

    A reason is whatever somebody typed, an error whatever a model raised.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def number(value: Any) -> str:
    """A number as people write it: no digits that say nothing, `none` for no number."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "none"
    text = f"{value:,.6f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else f"{value:.6g}"
    return "0" if text in ("-0", "") else text


def money(value: Any) -> str:
    """An amount of money with cents; one of less than a cent with two digits that say something."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "none"
    if 0.0 < abs(value) < LEAST_CENTS:
        return f"{value:.2g}"
    return f"{value:,.2f}" if abs(value) < 1e15 else f"{value:.6g}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _started(details: Details) -> str:
    what = "resumed" if details.get("resumed") else "started"
    symbols = list(details.get("symbols", ()))
    more = f" and {len(symbols) - 5} more" if len(symbols) > 5 else ""
    return f"{details.get('run_id', 'run')} {what}: {', '.join(map(str, symbols[:5]))}{more}"


def _denied(details: Details) -> str:
    qty = number(abs(details.get("requested_qty") or 0.0))
    text = f"denied {details.get('action')} {qty}: {details.get('reason')}"
    observed, limit = details.get("observed"), details.get("limit")
    if not observed and not limit:  # no numbers behind it, as of MARKET_CLOSED
        return text
    shown = number(observed), number(limit)
    if details.get("reason") in OF_MONEY:
        shown = money_apart(observed, limit)
    return f"{text} (observed {shown[0]}, limit {shown[1]})"


def _throttled(details: Details) -> str:
    before, after = details.get("requested_qty"), details.get("approved_qty")
    stages = ", ".join(details.get("stages", ()))
    return f"throttled {number(abs(before or 0.0))} to {number(abs(after or 0.0))}: {stages}"


def _filled(details: Details) -> str:
    text = f"filled {details.get('side')} {number(details.get('qty'))}"
    text += f" at {number(details.get('price'))}, commission {money(details.get('commission'))}"
    pnl = details.get("realized_pnl")
    return f"{text}, realised {money(pnl)}" if pnl else text


def _bar(details: Details) -> str:
    prices = "/".join(number(details.get(key)) for key in ("open", "high", "low", "close"))
    return f"bar {prices}, volume {number(details.get('volume'))}"


def _action(details: Details) -> str:
    reason = details.get("reason")
    return f"action {details.get('action')}" + (f" ({reason})" if reason != "NONE" else "")


def _changed(details: Details) -> str:
    text = f"trading state {details.get('before')} -> {details.get('after')}"
    reason = details.get("reason")
    return text if reason in (None, "NONE") else f"{text}: {reason}"


def _breach(details: Details) -> str:
    reason, policy = str(details.get("reason")), details.get("policy")
    words = breach_text(reason, details.get("observed"), details.get("limit"))
    return f"limit reached: {words}; {policy}"


def _plain(details: Details) -> str:
    rest = [f"{key}={value}" for key, value in details.items() if key not in _HEAD]
    return " ".join([str(details.get("event", "event")), *rest])


_HEAD = ("event", "timestamp", "symbol")
_WORDS: dict[str, Callable[[Details], str]] = {
    "trading_started": _started,
    "bar": _bar,
    "action_generated": _action,
    "order_denied": _denied,
    "order_throttled": _throttled,
    "order_sent": lambda d: f"sent {d.get('side')} {number(d.get('qty'))} ({d.get('order_id')})",
    "order_filled": _filled,
    "trading_state_changed": _changed,
    "limit_breach": _breach,
    "emergency_stop": lambda d: f"killed by {d.get('kill_id')} {d.get('code')}: {d.get('reason')}",
    "error": lambda d: f"{d.get('kind')}: {d.get('text')}",
    "trading_stopped": lambda d: f"stopped: {d.get('how')} {d.get('text') or ''}".rstrip(),
}
