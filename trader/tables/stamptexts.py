"""Vendors' ways of writing a time, rewritten as ISO-8601 for the parsers of `stamps`.

Law: each form is rewritten only where it can be one thing. Which of two numbers is the day is
decided by the whole column: a number above 12 in one place settles it; otherwise it is an error
that names `feed.date_order`.
"""

from typing import TYPE_CHECKING

import numpy as np

from trader.errors import DataError
from trader.tables.dialect import AUTO
from trader.tables.stamps import StampColumn

if TYPE_CHECKING:
    import pyarrow as pa

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NUMBERED = r"^(?P<first>\d{1,2})[./-](?P<second>\d{1,2})[./-](?P<year>\d{4})(?P<rest>$|\D.*$)"
MIDNIGHT = r"[T ]24:?00(?::?00(?:\.0+)?)?(?:$|[Z+ -])"
HALF_DAY = (
    r"^(?P<day>\d{4}-\d\d-\d\d)[T ](?P<hour>\d{1,2})(?P<rest>(?::\d\d){0,2})"
    r"[ -]?(?P<half>[AaPp])[Mm]$"
)
POINTED = r"^\d\d?\.\d\d?\."
SPELT = (  # (pattern, replacement): from what is written to ISO-8601
    (r"^(\d{4})[./-](\d)([./-])", r"\1-0\2\3"),
    (r"^(\d{4})[./-](\d\d)[./-](\d)($|\D)", r"\1-\2-0\3\4"),
    (r"^(\d{4})[./](\d\d)[./](\d\d)", r"\1-\2-\3"),
    (r"^(\d{4})(\d\d)(\d\d)[ T](\d\d):?(\d\d)", r"\1-\2-\3 \4:\5"),
    (r"^(\d{4}-\d\d-\d\d)[ T-]+(\d):", r"\1 0\2:"),
    (r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d)(\d\d)$", r"\1 \2:\3"),
    (r" ?(?:UTC|GMT|Z)$", "Z"),
    (r" ?(?:UTC|GMT)([+-]\d\d:?\d\d)$", r"\1"),
    (r"^(\d{4}-\d\d-\d\d)  +(\d)", r"\1 \2"),
)
SHOWN = 40


def as_iso(
    texts: "pa.ChunkedArray", of: StampColumn
) -> tuple["pa.ChunkedArray", np.ndarray | None]:
    """`texts` as ISO-8601 where their form is known, and which of them mean the day after: 24:00.

    The same object where nothing had to be rewritten.
    """
    import pyarrow.compute as pc

    iso = pc.utf8_trim_whitespace(texts)
    iso = _numbered(_months(iso), texts, of)
    for pattern, replacement in SPELT:
        iso = pc.replace_substring_regex(iso, pattern, replacement)
    iso = _half_days(iso)
    late = pc.match_substring_regex(iso, MIDNIGHT).fill_null(False)
    is_next_day = None
    if pc.any(late).as_py():
        is_next_day = late.to_numpy().astype(bool)
        iso = pc.replace_substring_regex(iso, r"([T ])24(:?00)", r"\100\2")
        of.notes.add("24:00 is the midnight that ends its day")
    if is_next_day is None and pc.all(pc.equal(iso, texts)).as_py():
        return texts, None
    if not pc.all(pc.equal(iso, texts)).as_py():
        changed = pc.index(pc.equal(iso, texts), False).as_py()
        shown, meant = texts[changed].as_py(), iso[changed].as_py()
        if is_next_day is None or not is_next_day[changed]:
            of.notes.add(f"a time such as {shown[:SHOWN]!r} is {meant[:SHOWN]}")
    return iso, is_next_day


def _months(iso: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """`4-Mar-2024`, `4 March 2024` and `Mar 4, 2024` with numbers."""
    import pyarrow.compute as pc

    first = next((text for text in iso[:1].to_pylist() if text), "")
    if not any(month in first.lower() for month in MONTHS):
        return iso
    for number, month in enumerate(MONTHS, 1):
        name = f"(?i:{month}[a-z]*)"
        for pattern, replacement in (
            (rf"^(\d{{1,2}})[ /.-]+{name}[ /.,-]+(\d{{4}})", rf"\2-{number:02d}-\1"),
            (rf"^{name} (\d{{1,2}}),? +(\d{{4}})", rf"\2-{number:02d}-\1"),
            (rf"^(\d{{4}})[ /.-]+{name}[ /.-]+(\d{{1,2}})", rf"\1-{number:02d}-\2"),
        ):
            iso = pc.replace_substring_regex(iso, pattern, replacement)
    return iso


def _numbered(
    iso: "pa.ChunkedArray", texts: "pa.ChunkedArray", of: StampColumn
) -> "pa.ChunkedArray":
    """`04.03.2024` and `03/04/2024 14:30` with the year first."""
    import pyarrow.compute as pc

    is_numbered = pc.match_substring_regex(iso, NUMBERED).fill_null(False)
    if not pc.all(is_numbered).as_py():
        return iso
    parts = pc.extract_regex(iso, NUMBERED)
    first, second = (
        pc.utf8_lpad(pc.struct_field(parts, [i]), 2, "0").combine_chunks() for i in (0, 1)
    )
    has_points = bool(pc.all(pc.match_substring_regex(iso, POINTED)).as_py())
    day_first = _day_is_first(first, second, of, has_points)
    day, month = (first, second) if day_first else (second, first)
    year, rest = (pc.struct_field(parts, [i]).combine_chunks() for i in (2, 3))
    return _chunked(
        pc.binary_join_element_wise(pc.binary_join_element_wise(year, month, day, "-"), rest, "")
    )


def _day_is_first(first: "pa.Array", second: "pa.Array", of: StampColumn, has_points: bool) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if of.dialect.date_order != AUTO:
        return of.dialect.date_order == "day_first"
    largest = [pc.max(part.cast(pa.int8())).as_py() for part in (first, second)]
    if largest[0] > 12 >= largest[1]:
        return True
    if largest[1] > 12 >= largest[0]:
        return False
    if has_points and largest[0] <= 12:  # nobody writes the month first with points
        of.notes.add("dates with points are day.month.year")
        return True
    shown = f"{first[0].as_py()}/{second[0].as_py()}"
    if min(largest) > 12:
        raise DataError(
            f"{of.places.path}: dates such as {shown} have numbers above 12 in both places; write "
            "ISO-8601 (2024-03-04)"
        )
    raise DataError(
        f"{of.places.at(0)}: timestamp {shown}/… could be day and month or month and day, and no "
        "number of the column is above 12; set feed.date_order to day_first or month_first"
    )


def _half_days(iso: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """`2024-03-04 2:30 PM` on a clock of 24 hours."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring_regex(iso, HALF_DAY)).as_py():
        return iso
    parts = pc.extract_regex(iso, HALF_DAY)
    day, hour, rest, half = (pc.struct_field(parts, [i]) for i in range(4))
    of_twelve = pc.if_else(pc.equal(hour.cast(pa.int8()), 12), 0, hour.cast(pa.int8()))
    later = pc.if_else(pc.equal(pc.utf8_upper(half), "P"), 12, 0)
    hours = pc.utf8_lpad(pc.add(of_twelve, later).cast(pa.string()), 2, "0")
    minutes = pc.if_else(pc.equal(rest, ""), ":00", rest)
    whole = pc.binary_join_element_wise(day, pc.binary_join_element_wise(hours, minutes, ""), " ")
    return pc.if_else(pc.is_valid(whole), whole, iso)


def joined(
    days: "pa.ChunkedArray", clocks: "pa.ChunkedArray", of: StampColumn
) -> "pa.ChunkedArray":
    """Two columns of texts, a day and a time of day (`2024.03.04` and `930`), as one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    days, clocks = (pc.utf8_trim_whitespace(part) for part in (days, clocks))
    timed = pc.match_substring_regex(days, r":\d\d").fill_null(False)
    if pc.any(timed).as_py():
        raise DataError(
            f"{of.places.at(pc.index(timed, True).as_py())}: the date column holds times, and "
            "there is a column of times beside it; say which with feed.columns.timestamp"
        )
    if pc.all(pc.match_substring_regex(clocks, r"^\d{1,6}$")).as_py():
        longest = pc.max(pc.utf8_length(clocks)).as_py()
        clocks = pc.utf8_lpad(clocks, 6 if longest > 4 else 4, "0")
        clocks = pc.replace_substring_regex(clocks, r"^(\d\d)(\d\d)(\d\d)?$", r"\1:\2:\3")
        clocks = pc.replace_substring_regex(clocks, r":$", "")
    days = pc.replace_substring_regex(days, r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3")
    return _chunked(pc.binary_join_element_wise(days, clocks, pa.scalar(" ", days.type)))


def _chunked(texts: "pa.Array | pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])
