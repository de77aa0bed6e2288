"""Stamps of a source as UTC nanoseconds.

Law: a stamp without a zone is an error unless `feed.timezone` names one; a local time that
happens twice or never (a change of clocks) is an error that names its row; nothing wraps. The
form of a column is decided by the whole column, and what could be two things is an error.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.errors import DataError
from trader.tables.dialect import Dialect, Notes, Places

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Codes = np.ndarray | None  # a symbol's number per row
REMEDY = "set feed.timezone to the zone they are in (UTC, America/New_York, …)"
FIRST_NS, LAST_NS = -(2**63) + 2**55, 2**63 - 2**55  # a year of room for sums with periods
ZONED = r"[Tt ]\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"  # the end of a bare date is no offset
DATED = r"^\s*\d{4}-?\d\d-?\d\d"  # how every time begins
NO_TIMES = ("", "NaT", "nan", "NaN", "null", "None", "NA")
FIRST_YEAR, LAST_YEAR = 1678, 2261
SHOWN = 40  # characters of a bad value in a message


@dataclass
class StampColumn:
    """One column of stamps: where its rows stand, how it is to be read, what was found of it."""

    places: Places
    dialect: Dialect
    notes: Notes
    codes: Codes = None  # as in `localised`


def parse_texts(texts: "pa.ChunkedArray", of: StampColumn) -> np.ndarray:
    """int64 UTC nanoseconds of texts: ISO-8601, counts since 1970, and vendors' own forms."""
    import pyarrow as pa

    from trader.tables.epochs import parse_counts
    from trader.tables.stamptexts import as_iso

    try:
        return _by_arrow(texts, of)
    except pa.ArrowInvalid:
        pass
    counts = parse_counts(texts, of)
    if counts is not None:
        return counts
    iso, is_next_day = as_iso(texts, of)
    if iso is not texts and is_next_day is None:
        try:
            return _by_arrow(iso, of)
        except pa.ArrowInvalid:
            pass
    return _parse_slowly(texts.to_pandas(), iso.to_pandas(), is_next_day, of)


def _by_arrow(texts: "pa.ChunkedArray", of: StampColumn) -> np.ndarray:
    """Either all have a zone, or none and the dialect has one; `ArrowInvalid` otherwise."""
    import pyarrow as pa

    try:  # arrow wants a zone on every text here, and takes no word for a time
        stamps = texts.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
        return within_reach(stamps, of.places)
    except pa.ArrowInvalid:
        if of.dialect.zone is None:
            raise
    return localised(texts.cast(pa.timestamp("ns")).to_pandas(), of)  # and here on none


def _parse_slowly(
    series: "pd.Series[str]", iso: "pd.Series[str]", is_next_day: np.ndarray | None, of: StampColumn
) -> np.ndarray:
    """For what arrow did not take: rarer forms of ISO-8601, and mistakes, which are named.

    `series` are the texts as they stand in the file, `iso` what they say.
    """
    import pandas as pd

    series, iso = pd.Series(series, dtype="str"), pd.Series(iso, dtype="str")
    empty = (series.isna() | series.str.strip().isin(NO_TIMES)).to_numpy(bool)
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise DataError(f"{of.places.at(row)}: timestamp is empty")
    strange = ~iso.str.contains(DATED, regex=True).to_numpy(bool)  # pandas reads now, 2024 too
    if strange.any():
        raise _no_time(series, int(np.flatnonzero(strange)[0]), of)
    try:
        aware = pd.to_datetime(iso, format="ISO8601", utc=True)
    except (ValueError, OverflowError):
        parsed = pd.to_datetime(iso, format="ISO8601", utc=True, errors="coerce")
        bad = np.flatnonzero(parsed.isna().to_numpy())
        raise _no_time(series, int(bad[0]) if len(bad) else 0, of) from None
    if is_next_day is not None:
        aware = aware + pd.to_timedelta(is_next_day.astype(np.int64), unit="D")
    naive = ~iso.str.contains(ZONED, regex=True).to_numpy(bool)
    if not naive.any():
        return as_ns(aware, of.places)
    if of.dialect.zone is None:
        raise DataError(f"{_naive_stamp(series, naive, of)}; {REMEDY}")
    if not naive.all():
        raise DataError(
            f"{_naive_stamp(series, naive, of)}, "
            "others of the file have; write all of them the same way"
        )
    return localised(aware.dt.tz_localize(None), of)


def _no_time(series: "pd.Series[str]", row: int, of: StampColumn) -> DataError:
    return DataError(
        f"{of.places.at(row)}: timestamp {series.iloc[row][:SHOWN]!r} is not an "
        "ISO-8601 time (2024-03-04T14:30:00Z)"
    )


def _naive_stamp(series: "pd.Series[str]", naive: np.ndarray, of: StampColumn) -> str:
    row = int(np.flatnonzero(naive)[0])
    shown = series.iloc[row][:SHOWN]
    return f"{of.places.at(row)}: timestamp {shown!r} has no time zone"


def localised(naive: "pd.Series[Any]", of: StampColumn) -> np.ndarray:
    """int64 UTC nanoseconds of naive pandas times in the dialect's zone.

    An hour that happens twice is told apart by the order of the rows: symbol by symbol where
    `codes` gives one a row, because two symbols of one stamp look like an hour that came back.
    """
    zone, codes = of.dialect.zone, of.codes
    assert zone is not None, "callers refuse times without a zone first"
    wild = naive.dt.year.to_numpy()
    if len(wild) and (wild.min() < FIRST_YEAR or wild.max() > LAST_YEAR):  # pandas would wrap
        row = int(np.flatnonzero((wild < FIRST_YEAR) | (wild > LAST_YEAR))[0])
        raise _out_of_reach(int(wild[row]), of.places, row)
    naive = naive.dt.as_unit("ns")
    try:
        return as_ns(naive.dt.tz_localize(zone, ambiguous="raise"), of.places)
    except ValueError:
        pass
    stamps = np.empty(len(naive), np.int64)
    for rows in _rows_by_symbol(codes, len(naive)):
        part = naive.iloc[rows]
        try:
            aware = part.dt.tz_localize(zone, ambiguous="infer", nonexistent="raise")
        except ValueError:
            raise _clock_change(part, rows, zone, of.places) from None
        stamps[rows] = as_ns(aware, of.places)
    return stamps


def _rows_by_symbol(codes: Codes, count: int) -> list[np.ndarray]:
    if codes is None:
        return [np.arange(count)]
    order = np.argsort(codes, kind="stable")
    return [rows for rows in np.split(order, np.cumsum(np.bincount(codes))[:-1]) if len(rows)]


def _clock_change(part: "pd.Series[Any]", rows: np.ndarray, zone: str, places: Places) -> DataError:
    """The first of `rows` that does not exist in `zone`, or else whose order does not tell."""
    summer = np.ones(len(part), bool)
    never = part.dt.tz_localize(zone, ambiguous=summer, nonexistent="NaT").isna().to_numpy()
    if never.any():
        row, problem = int(np.argmax(never)), "does not exist"
    else:
        twice = part.dt.tz_localize(zone, ambiguous="NaT").isna().to_numpy()
        row, problem = _untold(part, twice, zone), "happens twice, when clocks go back,"
    return DataError(
        f"{places.at(int(rows[row]))}: {part.iloc[row]} {problem} in {zone}; stamp the data in UTC"
    )


def _untold(part: "pd.Series[Any]", twice: np.ndarray, zone: str) -> int:
    """The first row of a day whose hours that happen `twice` cannot be told apart."""
    days = part.dt.normalize()
    for day in days[twice].unique():
        of_day = twice & (days == day).to_numpy()
        try:
            part[of_day].dt.tz_localize(zone, ambiguous="infer")
        except ValueError:
            return int(np.argmax(of_day))
    return int(np.argmax(twice))


def as_ns(aware: "pd.Series[Any]", places: Places) -> np.ndarray:
    """int64 nanoseconds; `DataError` where a time lies out of reach."""
    import pandas as pd

    try:
        return within_reach(aware.dt.as_unit("ns").astype("int64").to_numpy(), places)
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        years = aware.dt.year.to_numpy()
        row = int(np.flatnonzero((years < 1678) | (years > 2261))[0])
        raise _out_of_reach(int(years[row]), places, row) from None


def within_reach(stamps_ns: np.ndarray, places: Places) -> np.ndarray:
    """`stamps_ns`, if no sum with a bar's period can wrap around; `DataError` otherwise."""
    if len(stamps_ns) and (stamps_ns.min() < FIRST_NS or stamps_ns.max() > LAST_NS):
        row = int(np.flatnonzero((stamps_ns < FIRST_NS) | (stamps_ns > LAST_NS))[0])
        year = int(stamps_ns[row].astype("datetime64[ns]").astype("datetime64[Y]").astype(int))
        raise _out_of_reach(year + 1970, places, row)
    return stamps_ns


def _out_of_reach(year: int, places: Places, row: int) -> DataError:
    return DataError(f"{places.at(row)}: the year {year} is outside 1679 to 2260")
