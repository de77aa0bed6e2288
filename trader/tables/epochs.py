"""Stamps that are numbers: a count of seconds, ms, us or ns since 1970, UTC.

Law: the whole column decides its unit. The counts of 1971 to 2260 in one unit are none of another
unit's, so a column all of whose counts lie there has one unit; every other column is an error that
names `feed.time_unit`.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from trader.errors import DataError
from trader.tables.dialect import AUTO
from trader.tables.stamps import FIRST_NS, LAST_NS, StampColumn, within_reach

if TYPE_CHECKING:
    import pyarrow as pa

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # ns in one
FIRST_S, LAST_S = 31_536_000, 9_151_488_000  # 1971 to 2260
COUNT = r"^\s*[+-]?\d+(?:\.\d*)?\s*$"
COMPACT = r"^\s*(?:1[6-9]|2[0-2])\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"  # 20240304
COMPACT_MINUTE = COMPACT[:-1] + r"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?$"  # 202403041430(00)
CHOICES = "s, ms, us or ns"


def parse_counts(texts: "pa.ChunkedArray", of: StampColumn) -> np.ndarray | None:
    """int64 UTC nanoseconds of texts that are all counts; None where they are something else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first = next((t for t in texts[:1].to_pylist() if t), "")
    if not first.strip()[:1].isdigit() and first.strip()[:1] not in ("+", "-"):
        return None
    if not pc.all(pc.match_substring_regex(texts, COUNT)).as_py() or texts.null_count:
        return None
    is_unsaid = of.dialect.time_unit == AUTO
    if is_unsaid and pc.all(pc.match_substring_regex(texts, COMPACT)).as_py():
        return None  # days, as ISO-8601 writes them without dashes
    if is_unsaid and pc.all(pc.match_substring_regex(texts, COMPACT_MINUTE)).as_py():
        raise DataError(
            f"{of.places.at(0)}: timestamp {first!r} could be a date and time without signs or a "
            "count; write it as ISO-8601 (2024-03-04T14:30:00Z), or set feed.time_unit to "
            f"{CHOICES}"
        )
    whole = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"\.0*$", "")
    try:
        return from_counts(whole.cast(pa.int64()).to_numpy(), of)
    except pa.ArrowInvalid:
        return from_fractions([Decimal(text) for text in whole.to_pylist()], of)


def from_counts(counts: np.ndarray, of: StampColumn) -> np.ndarray:
    """int64 UTC nanoseconds of whole counts."""
    scale = _scale(counts, of)
    beyond = (counts > LAST_NS // scale) | (counts < FIRST_NS // scale)
    if beyond.any():
        row = int(np.argmax(beyond))
        raise DataError(
            f"{of.places.at(row)}: timestamp {counts[row]} is outside the years 1679 to 2260 in "
            "the unit of its column"
        )
    return within_reach(counts.astype(np.int64) * scale, of.places)


def from_fractions(counts: list[Decimal], of: StampColumn) -> np.ndarray:
    """The same of counts with decimals, which must come to whole nanoseconds."""
    floors = np.array([float(count) for count in counts])
    scale = _scale(floors, of)
    if not (np.abs(floors) < LAST_NS / scale).all():
        row = int(np.argmin(np.abs(floors) < LAST_NS / scale))
        raise DataError(
            f"{of.places.at(row)}: timestamp {counts[row]} is outside the years 1679 to 2260"
        )
    stamps = np.array([round(count * scale) for count in counts], np.int64)
    return within_reach(stamps, of.places)


def from_floats(counts: np.ndarray, of: StampColumn) -> np.ndarray:
    """The same of floats: whole ones exactly, fractions to the microsecond that a float holds."""
    if not np.isfinite(counts).all():
        raise DataError(f"{of.places.at(int(np.argmin(np.isfinite(counts))))}: timestamp is empty")
    if (counts == np.rint(counts)).all() and (np.abs(counts) < 2.0**63).all():
        return from_counts(counts.astype(np.int64), of)
    scale = _scale(counts, of)
    if not (np.abs(counts) < LAST_NS / scale).all():
        row = int(np.argmin(np.abs(counts) < LAST_NS / scale))
        raise DataError(
            f"{of.places.at(row)}: timestamp {counts[row]} is outside the years 1679 to 2260"
        )
    whole = np.floor(counts).astype(np.int64)
    micros = np.rint((counts - whole) * (scale / 1e3)).astype(np.int64)
    return within_reach(whole * scale + micros * 1_000, of.places)


def unit_of(count: float) -> str | None:
    """The unit in which a count lies between 1971 and 2260; None where there is none."""
    for unit, scale in UNITS.items():
        per_second = 10**9 // scale
        if FIRST_S * per_second <= count < LAST_S * per_second:
            return unit
    return None


def _scale(counts: np.ndarray, of: StampColumn) -> int:
    """Nanoseconds in one count, by the dialect's word or else by the whole column."""
    if of.dialect.time_unit != AUTO:
        return UNITS[of.dialect.time_unit]
    low, high = (unit_of(float(count)) for count in (counts.min(), counts.max()))
    if low is not None and low == high:
        of.notes.add(f"stamps are {low} since 1970, UTC")
        return UNITS[low]
    units = [unit_of(float(count)) for count in (counts[0], counts[-1])]
    first = units[0]
    if first is None:
        raise DataError(
            f"{of.places.at(0)}: timestamp {counts[0]} is a number that does not say its unit; set "
            f"feed.time_unit to {CHOICES}, or write ISO-8601 (2024-03-04T14:30:00Z)"
        )
    per_second = 10**9 // UNITS[first]
    inside = (counts >= FIRST_S * per_second) & (counts < LAST_S * per_second)
    row = int(np.argmin(inside))
    other = unit_of(float(counts[row])) or "no unit of its own"
    raise DataError(
        f"{of.places.at(row)}: timestamp {counts[row]} looks like {other}, those before it like "
        f"{first}; give the column one unit, or set feed.time_unit to {CHOICES}"
    )
