"""Why a run has no bars, no fills or no trades: the sentence a user looks for first.

Law: says only what the counts show, most frequent reason first, with the config key to look at.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

from trader.core.schema import Reason
from trader.report.reasons import note

REASONS_TOLD = 3
WIDTH = 80


def why_no_trades(document: Mapping[str, Any]) -> list[str]:
    """Lines that explain an empty result; none if at least one order was filled."""
    if document["bars"] == 0:
        text = "No bars were run. Look at feed.path, feed.start and feed.end; "
        return [text + "`trader data check` shows what the source holds."]
    if document["fills"]:
        return []
    risk = document["risk"]
    actions = risk["actions"]
    decisions = sum(actions.values())
    lines = [f"No order was filled in {decisions:,} decisions."]
    reasons = _most_frequent(risk)
    for outcome, name, count in reasons[:REASONS_TOLD]:
        words, key = note(name)
        if name == Reason.BELOW_LOT_SIZE.name and (below := risk["below_lot_size"]):
            words += f" ({below['size']:.6g} wanted, a lot is {below['lot_size']:g})"
        hint = f"; see {key}" if key else ""
        lines += _wrapped(f"{outcome} {_times(count)}, {name}: {words}{hint}")
    plain_holds = actions["HOLD"] - sum(
        count for outcome, name, count in reasons if name in HOLDS_MADE_FOR_THE_MODEL
    )
    if plain_holds > 0:
        lines += _wrapped(f"the model said HOLD {_times(plain_holds)} of its own; see model")
    if risk["orders_working_at_end"]:
        lines += _wrapped(
            f"working after the last bar: {risk['orders_working_at_end']:,}; an order fills at "
            "the next open at the earliest"
        )
    return lines


HOLDS_MADE_FOR_THE_MODEL = frozenset(
    {"WARMUP", "MODEL_TIMEOUT", "MODEL_INVALID", "MODEL_ERROR", "BELOW_THRESHOLD", "FILTERED"}
)


def _most_frequent(risk: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(outcome, reason, count) of what kept orders from filling, most frequent first."""
    found = [
        (outcome, name, count)
        for outcome in ("denied", "held", "cancelled")
        for name, count in risk[f"{outcome}_by_reason"].items()
    ]
    return sorted(found, key=lambda entry: (-entry[2], entry[1]))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
