"""Which order a user means: its client id, the unique beginning of one, or its number in fills.csv.

Law: reads only. Nothing is verified here: what is told of the order is checked where it is told.
"""

from pathlib import Path

from trader.errors import UsageError
from trader.journal.records import Record, RecordType
from trader.journal.rows import named_row
from trader.journal.store import read_records

CLIENT_ID_DIGITS = 20
NAMED = 5  # how many orders a message names


def find_intent(path: Path, order: str) -> Record:
    """The ORDER_INTENT that `order` means.

    UsageError where it means none or several, and it says which there are.
    """
    wanted = order.strip().lower()
    intents = list(read_records(path, types=(RecordType.ORDER_INTENT,)))
    if wanted.isdecimal() and len(wanted) < CLIENT_ID_DIGITS:
        asked, closing = int(wanted), _closing_numbers(path, intents)
        for intent in intents:
            if asked and _number(intent, closing) == asked:
                return intent
    matches = [i for i in intents if wanted and i.data["client_order_id"].startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(i.data["client_order_id"] for i in matches[:NAMED])
        raise UsageError(f"{order!r} is the beginning of {len(matches)} orders: {shown}")
    closing = _closing_numbers(path, intents[-NAMED:])
    newest = ", ".join(
        f"{_number(i, closing) or 'unfilled'} ({i.data['client_order_id']})"
        for i in intents[-NAMED:]
    )
    there = f"the last ones are {newest}" if intents else "the run has sent none"
    raise UsageError(f"no order {order!r} in {path}; {there}")


def _number(intent: Record, closing: dict[str, int]) -> int:
    """The order's number in fills.csv; 0 for a flattening order that did not fill."""
    data = intent.data
    return int(data["order_id"]) or closing.get(data["client_order_id"], 0)


def _closing_numbers(path: Path, intents: list[Record]) -> dict[str, int]:
    """Order numbers of flattening orders, by client id.

    The core numbers such an order when it fills, so its intent cannot know the number: the FILL
    does.
    """
    wanted = {i.data["client_order_id"] for i in intents if i.data["purpose"] == "flatten"}
    if not wanted:
        return {}
    run = next(read_records(path))
    fills = read_records(path, types=(RecordType.FILL,))
    return {
        fill.data["client_order_id"]: int(named_row(run, "FILL", fill.data["fill"])["order_id"])
        for fill in fills
        if fill.data["client_order_id"] in wanted and "fill" in fill.data
    }
