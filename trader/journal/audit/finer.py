"""What the finer bars of a recorded bar must be: they make it up, in order, and end with it."""

from collections.abc import Mapping, Sequence
from typing import Any

from trader.journal.records import number

MADE_OF = ("open", "high", "low", "close")


def finer_fault(data: Mapping[str, Any], layout: Sequence[Sequence[str]]) -> str | None:
    """What is wrong with the finer bars of a BAR record; None where it has none, or they fit.

    `layout` is that of BAR rows, as RUN_START has it.
    """
    if "finer" not in data:
        return None
    if len(data["finer"]) != len(data["rows"]):
        return "finer bars for other bars than the record has"
    column = {field[0]: place for place, field in enumerate(layout)}
    for row, parts in zip(data["rows"], data["finer"], strict=True):
        fault = _fault(row, parts, column) if parts else None
        if fault is not None:
            return f"finer bars of symbol {row[column['symbol']]!r} {fault}"
    return None


def _fault(row: list[Any], parts: list[list[Any]], column: Mapping[str, int]) -> str | None:
    stamps = [part[column["ts_ns"]] for part in parts]
    if stamps != sorted(set(stamps)) or stamps[-1] > row[column["ts_ns"]]:
        return "are out of order, or close later than it"
    if any(part[column["symbol"]] != row[column["symbol"]] for part in parts):
        return "are of another symbol"
    prices = [[number(part[column[name]]) for name in MADE_OF] for part in parts]
    opens, highs, lows, closes = zip(*prices, strict=True)
    made = (opens[0], max(highs), min(lows), closes[-1])
    return (
        None
        if made == tuple(number(row[column[name]]) for name in MADE_OF)
        else "do not make it up"
    )
