"""Stamps of a source as UTC nanoseconds.

Law: a stamp without a zone is an error unless `feed.timezone` names one; a local time that
happens twice or never (a change of clocks) is an error that names its row; nothing wraps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.errors import DataError
from trader.feeds.raw import place_of

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "set feed.timezone to the zone they are in (UTC, America/New_York, …)"
FIRST_NS, LAST_NS = -(2**63) + 2**55, 2**63 - 2**55  # a year of room for sums with periods
ZONED = r"[Tt ]\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"  # the end of a bare date is no offset
# in tz_localize's terms: how an hour that happens twice is taken, and what it then still objects to
CLOCK_CHANGES = ((True, "does not exist"), ("raise", "happens twice, when clocks go back,"))
SHOWN = 40  # characters of a bad value in a message


def parse_texts(
    texts: "Sequence[str] | pd.Series[str]", path: Path, zone: str | None, first_line: int
) -> np.ndarray:
    """int64 UTC nanoseconds of ISO-8601 texts (any sequence pandas takes)."""
    import pandas as pd

    series = pd.Series(texts, dtype="str")
    try:
        aware = pd.to_datetime(series, format="ISO8601", utc=True)
    except (ValueError, OverflowError):
        row, value = _first_unparsed(series)
        raise DataError(
            f"{place_of(path, first_line, row)}: timestamp {value[:SHOWN]!r} is no ISO-8601 time "
            "(2024-03-04T14:30:00Z)"
        ) from None
    if bool(aware.isna().any()):
        row = int(np.flatnonzero(aware.isna().to_numpy())[0])
        raise DataError(f"{place_of(path, first_line, row)}: timestamp is empty")
    naive = ~series.str.contains(ZONED, regex=True).to_numpy(bool)
    if not naive.any():
        return as_ns(aware, path, first_line)
    if zone is None:
        raise DataError(f"{_naive_stamp(series, naive, path, first_line)}; {REMEDY}")
    if not naive.all():
        raise DataError(
            f"{_naive_stamp(series, naive, path, first_line)}, "
            "others of the file have; write all of them the same way"
        )
    return as_ns(localised(aware.dt.tz_localize(None), path, zone, first_line), path, first_line)


def _naive_stamp(series: "pd.Series[str]", naive: np.ndarray, path: Path, first_line: int) -> str:
    row = int(np.flatnonzero(naive)[0])
    shown = series.iloc[row][:SHOWN]
    return f"{place_of(path, first_line, row)}: timestamp {shown!r} has no time zone"


def _first_unparsed(series: "pd.Series[str]") -> tuple[int, str]:
    import pandas as pd

    parsed = pd.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
    bad = np.flatnonzero(parsed.isna().to_numpy())
    row = int(bad[0]) if len(bad) else 0
    return row, str(series.iloc[row])


def localised(naive: "pd.Series[Any]", path: Path, zone: str, first_line: int) -> "pd.Series[Any]":
    """Naive pandas times in `zone` as aware ones; a clock change is resolved by order, or named."""
    try:
        return naive.dt.tz_localize(zone, ambiguous="infer", nonexistent="raise")
    except ValueError:
        pass
    for row, value in enumerate(naive):
        place = place_of(path, first_line, row)
        for chosen, problem in (
            (True, "does not exist"),
            ("raise", "happens twice, when clocks go back,"),
        ):
            try:
                value.tz_localize(zone, ambiguous=chosen, nonexistent="raise")
            except ValueError as error:
                raise DataError(
                    f"{place}: {value} {problem} in {zone}; stamp the data in UTC"
                ) from error
    raise DataError(f"{path}: the times cannot be read in {zone}; stamp the data in UTC")


def as_ns(aware: "pd.Series[Any]", path: Path, first_line: int) -> np.ndarray:
    """int64 nanoseconds; `DataError` where a time lies out of reach."""
    import pandas as pd

    try:
        return within_reach(aware.dt.as_unit("ns").astype("int64").to_numpy(), path, first_line)
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        years = aware.dt.year.to_numpy()
        row = int(np.flatnonzero((years < 1678) | (years > 2261))[0])
        raise _out_of_reach(int(years[row]), path, first_line, row) from None


def within_reach(stamps_ns: np.ndarray, path: Path, first_line: int) -> np.ndarray:
    """`stamps_ns`, if no sum with a bar's period can wrap around; `DataError` otherwise."""
    if len(stamps_ns) and (stamps_ns.min() < FIRST_NS or stamps_ns.max() > LAST_NS):
        row = int(np.flatnonzero((stamps_ns < FIRST_NS) | (stamps_ns > LAST_NS))[0])
        year = int(stamps_ns[row].astype("datetime64[ns]").astype("datetime64[Y]").astype(int))
        raise _out_of_reach(year + 1970, path, first_line, row)
    return stamps_ns


def _out_of_reach(year: int, path: Path, first_line: int, row: int) -> DataError:
    return DataError(
        f"{place_of(path, first_line, row)}: the year {year} is out of reach (1679 to 2260)"
    )
