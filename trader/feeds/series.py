"""Rows of one symbol from one file, and what is said of a row.

A series is views into what the source read; leaving rows out makes a new series.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR, NS_PER_SECOND
from trader.errors import ConfigError, DataError
from trader.feeds.quality import Finding, exact
from trader.feeds.raw import PRICES, RawRows
from trader.hours.periods import BarClock, stretch_flags
from trader.moments import iso_utc
from trader.record_arrays import joined, taken

BLOCK_ROWS = 8_192  # bars that stay in the processor's cache while column by column is written
FLOAT_NOISE = 1e-12  # of a price: a few thousand units of the last place


@dataclass
class Series:
    """Rows of one symbol from one file, in file order."""

    symbol: int
    name: str
    raw: RawRows
    rows: np.ndarray  # indices into raw
    stamps_ns: np.ndarray
    is_whole: bool = False  # all rows of the file, in its order: nothing has to be picked

    def column(self, name: str) -> np.ndarray:
        """Values of one column, NaN where the file has none."""
        values = self.raw.numbers.get(name)
        if values is None:
            return np.broadcast_to(np.nan, len(self.rows))
        return self.rows_of(values)

    def rows_of(self, values: np.ndarray) -> np.ndarray:
        """One value a row of the series, from one a row of the file."""
        if self.is_whole:
            return values
        return values[self.rows]

    def without(self, bad: np.ndarray) -> "Series":
        """The series less the rows where `bad`."""
        keep = ~bad
        return Series(self.symbol, self.name, self.raw, self.rows[keep], self.stamps_ns[keep])

    def ordered(self) -> "Series":
        """The series sorted by stamp, rows of one stamp in file order."""
        order = np.argsort(self.stamps_ns, kind="stable")
        return Series(self.symbol, self.name, self.raw, self.rows[order], self.stamps_ns[order])


def is_price(values: np.ndarray, may_be_negative: bool) -> np.ndarray:
    """Where a value is a finite number above 0, or any finite one where the instrument says so."""
    if may_be_negative:
        return np.isfinite(values)
    return (values > 0.0) & (values < np.inf)


def jumps_beyond(close: np.ndarray, most: float) -> np.ndarray:
    """Closes further than the fraction `most` from the one before; of one at or below 0, none."""
    before, after = close[:-1], close[1:]
    defined = (before > 0.0) & (after > 0.0)
    moved = np.divide(after, before, out=np.ones(len(before)), where=defined)
    return np.concatenate([[False], np.abs(moved - 1.0) > most])


def outside_range(series: Series) -> tuple[np.ndarray, int]:
    """Where open or close lies outside low to high, and of how many rows float noise alone does.

    Prices multiplied by a dividend factor are off by a few units of the last place.
    """
    opens, high, low, close = (series.column(name) for name in PRICES)
    inside = (low <= opens) & (opens <= high) & (low <= close) & (close <= high)
    if inside.all():
        return ~inside, 0
    slack = FLOAT_NOISE * np.maximum(np.abs(high), np.abs(low))
    nearly = (low - slack <= opens) & (opens <= high + slack)
    nearly &= (low - slack <= close) & (close <= high + slack)
    return ~(nearly | inside), int(np.count_nonzero(nearly & ~inside))


def wild(close: np.ndarray, most: float, patience: int) -> np.ndarray:
    """Closes further than `most` from the last one kept; a level that lasts is accepted."""
    bad = np.zeros(len(close), bool)
    kept, run = close[0], 0
    for row in range(1, len(close)):
        is_defined = close[row] > 0.0 and kept > 0.0
        if is_defined and abs(close[row] / kept - 1.0) > most and run < patience:
            bad[row] = True
            run += 1
        else:
            kept, run = close[row], 0
    return bad


def jump_text(close: np.ndarray, row: int) -> str:
    return f"close {exact(close[row])} after {exact(close[row - 1])}"


def values_text(series: Series, row: int) -> str:
    names = [name for name in (*PRICES, "volume", "bid", "ask") if name in series.raw.numbers]
    source = series.rows[row]
    return " ".join(f"{name}={exact(series.raw.numbers[name][source])}" for name in names)


def finding(kind: str, series: Series, row: int, detail: Callable[[int], str]) -> Finding:
    return Finding(
        kind,
        series.raw.place(int(series.rows[row])),
        series.name,
        iso_utc(int(series.stamps_ns[row])),
        detail(row),
    )


def records(
    series: Series, clock: BarClock, period_ns: int, offset_ns: int
) -> tuple[np.ndarray, int]:
    """(BAR of a series, how many reached into the next one); stamps + `offset_ns` are closes.

    No bar closes after the next one of its symbol opens: where its length is a number of seconds
    and the stamps are closer, it ends where the next begins, or begins where the last one ended.
    """
    bars = np.empty(len(series.rows), BAR)
    closes = series.stamps_ns + offset_ns
    opens = clock.opens(closes)
    overlapping = int(np.count_nonzero(closes[:-1] > opens[1:]))
    if overlapping and offset_ns:
        closes[:-1] = np.minimum(closes[:-1], opens[1:])
    elif overlapping:  # the closes are what is stamped
        opens[1:] = np.maximum(opens[1:], closes[:-1])
    columns = {name: series.column(name) for name in (*PRICES, "volume", "bid", "ask")}
    columns |= {"ts_ns": closes, "flags": stretch_flags(opens, closes, period_ns)}
    if series.raw.symbols is None:  # the only series of its file: nobody reads its columns again
        series.raw.release()
    for start in range(0, len(bars), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        for name, values in columns.items():
            bars[name][block] = values[block]
        bars["symbol"][block] = series.symbol
    return bars, overlapping


def check_period(config: Config, series: Series, opens_ns: np.ndarray) -> None:
    """Bars that mostly overlap the next are bars of another period than the config's."""
    steps = np.diff(opens_ns)
    short = (steps > 0) & (steps < config.period_ns)
    if config.bar_unit is None and 2 * int(np.count_nonzero(short)) > len(steps) > 0:
        raise _other_period(config, series.raw, series.name, float(np.median(steps[short])))


def check_unit(config: Config, raw: RawRows, written_ns: np.ndarray) -> None:
    """Rows that mostly fall into the same day, week or month as the one before are no such bars."""
    codes = np.zeros(len(raw), np.int32) if raw.symbols is None else raw.symbols.codes
    order = np.lexsort((raw.stamps_ns, codes))
    same = (np.diff(raw.stamps_ns[order]) == 0) & (np.diff(codes[order]) == 0)
    steps = np.abs(np.diff(written_ns[order]))[same]
    if 2 * len(steps) > len(raw) - 1 > 0 and steps.any():
        raise _other_period(config, raw, "its symbols", float(np.median(steps[steps > 0])))


def _other_period(config: Config, raw: RawRows, name: str, step_ns: float) -> ConfigError:
    return ConfigError(
        f"is {config.bar_period_seconds:g}, but the bars of {name} in {raw.path} are "
        f"{step_ns / NS_PER_SECOND:g} s apart",
        key="bar_period_seconds",
    )


def merged(parts: list[np.ndarray]) -> np.ndarray:
    """BAR records of several symbols in one order: by time, then config order.

    `DataError` where one symbol has two bars of one instant, which happens only if two files
    hold the same symbol.
    """
    parts = [part for part in parts if len(part)] or parts[:1]
    if not parts:
        return np.empty(0, BAR)
    if len(parts) == 1:
        return parts[0]
    bars = joined(parts, BAR)
    order = np.lexsort((bars["symbol"], bars["ts_ns"]))
    bars = taken(bars, order)
    twice = (bars["ts_ns"][1:] == bars["ts_ns"][:-1]) & (bars["symbol"][1:] == bars["symbol"][:-1])
    if twice.any():
        when = iso_utc(int(bars["ts_ns"][1:][twice][0]))
        raise DataError(f"two files hold a bar of one symbol that closes at {when}")
    return bars
