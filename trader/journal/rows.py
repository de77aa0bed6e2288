"""NumPy records as JSON rows, and back to the last bit.

Law: a row is the list of a record's fields in the order of its dtype; what the fields are is
written once, in RUN_START's `layouts`. A journal of before an output had all of today's fields is
read by its own layouts, and what it lacks stays lacking; any other layout is refused, never
guessed at.
"""

import functools
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from trader.core import schema
from trader.journal.records import JournalError, Record, number, spelled

# every record dtype that can stand in a payload, by the name used in `layouts`
LAYOUTS: dict[str, np.dtype] = {
    "BAR": schema.BAR,
    "DECISION": schema.DECISION,
    "THROTTLE": schema.THROTTLE,
    "EVENT": schema.EVENT,
    "ACCOUNT": schema.ACCOUNT,
    "ORDER": schema.ORDER,
    "FILL": schema.FILL,
    "REQUEST": schema.REQUEST,
    "CASHFLOW": schema.CASHFLOW,
}
GROWN = ("ACCOUNT", "FILL", "ORDER")  # outputs that got new fields since the first version
Layouts = Mapping[str, np.dtype]
ACTION_ROW = np.dtype([("symbol", "<i4"), ("action", "<i1"), ("reason", "<i2")])
LAYOUTS["ACTION"] = ACTION_ROW


def layouts() -> dict[str, list[list[str]]]:
    """Name and type of every field of every row, for RUN_START."""
    return {
        name: [[field, dtype[field].str] for field in dtype.names or ()]
        for name, dtype in LAYOUTS.items()
    }


def recorded_layouts(recorded: Mapping[str, Any]) -> Layouts:
    """LAYOUTS as the journal has them whose RUN_START says `recorded`.

    Outputs may lack fields that were added later. JournalError for every other difference.
    """
    others = _other_layouts(recorded)
    unknown = sorted(name for name, fields in others.items() if not _lacks_fields(name, fields))
    if unknown:
        raise JournalError(
            f"another version of trader wrote this journal: its rows of {', '.join(unknown)} have "
            "fields that this one does not know. Replay it with that version; "
            "`trader audit verify` and `trader audit show` read it as it is"
        )
    grown = {
        name: np.dtype([(field, kind) for field, kind in fields]) for name, fields in others.items()
    }
    return {**LAYOUTS, **grown}


def _other_layouts(recorded: Mapping[str, Any]) -> dict[str, Any]:
    current = layouts()
    return {name: fields for name, fields in recorded.items() if current.get(name) != fields}


def _lacks_fields(name: str, fields: list[list[str]]) -> bool:
    return name in GROWN and all(field in layouts()[name] for field in fields)


def require_layouts(recorded: Mapping[str, Any]) -> None:
    """JournalError unless a journal's rows are laid out as this program writes them."""
    if others := sorted(_other_layouts(recorded)):
        raise JournalError(
            f"another version of trader began this run: its rows of {', '.join(others)} have "
            "other fields, and nothing goes on from them. Start a fresh run with --new; "
            "`trader replay` still checks this one"
        )


def to_rows(records: np.ndarray) -> list[tuple[Any, ...]]:
    """Rows of a one-dimensional record array, in field order."""
    places = _float_places(records.dtype)
    rows: list[tuple[Any, ...]] = records.tolist()
    for index, row in enumerate(rows):
        if not all(isfinite(row[place]) for place in places):
            rows[index] = tuple(spelled(v) if type(v) is float else v for v in row)
    return rows


@functools.cache
def _float_places(dtype: np.dtype) -> tuple[int, ...]:
    names = dtype.names or ()
    return tuple(place for place, name in enumerate(names) if dtype[name].kind == "f")


def named_row(run: Record, layout: str, row: list[Any]) -> dict[str, Any]:
    """A recorded row by field, as the layouts of its RUN_START name them."""
    fields = run.data["layouts"][layout]
    return {
        name: number(value) if kind == "<f8" else value
        for (name, kind), value in zip(fields, row, strict=True)
    }


def from_rows(rows: list[Any], dtype: np.dtype) -> np.ndarray:
    """The record array `to_rows` was given; JournalError if a row does not fit `dtype`."""
    try:
        return np.array([tuple(row) for row in rows], dtype)
    except (ValueError, TypeError, OverflowError):
        pass  # perhaps a NaN of other bits, which NumPy cannot parse: field by field then
    records = np.zeros(len(rows), dtype)
    names = dtype.names or ()
    try:
        for index, row in enumerate(rows):
            for name, value in zip(names, row, strict=True):
                is_float = dtype[name].kind == "f"
                records[index][name] = number(value) if is_float else value
    except (ValueError, TypeError, OverflowError) as error:
        raise JournalError(f"a journal row does not fit {names}: {error}") from error
    return records


def to_fields(record: Any) -> dict[str, Any]:
    """One record as an object of its fields (for RUN_START's limits)."""
    return {name: _spelled_item(record[name].item()) for name in record.dtype.names}


def from_fields(fields: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    """The one-element array `to_fields` was given."""
    names = dtype.names or ()
    missing = sorted(set(names) ^ set(fields))
    if missing:
        raise JournalError(f"the journal's record differs from this program's in {missing}")
    return from_rows([[fields[name] for name in names]], dtype)


def _spelled_item(value: Any) -> Any:
    return spelled(value) if isinstance(value, float) else value
