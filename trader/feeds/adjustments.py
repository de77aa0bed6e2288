"""Corporate actions and funding from files: splits, dividends, delistings, rates.

    timestamp,symbol,kind,value
    2020-08-31,AAPL,split,4          four new for one old; 0.1 (or 1:10) is a reverse split
    2020-11-06,AAPL,dividend,0.205   a unit, in the units of that day
    2021-03-01,GONE,delist,          at the last close, or at the price given
    2022-06-09,FB,rename,META        rows of the old name before it, of the new one from then on

Law: rows of other symbols are left out and named. What is not understood is an error with its line.
"""

import hashlib
import logging
import math
from pathlib import Path

import numpy as np

from trader.config.schema import Config
from trader.core.book import NO_ADJUSTMENTS
from trader.core.schema import ADJUSTMENT, AdjustmentKind
from trader.errors import DataError
from trader.feeds.raw import SourceFile
from trader.feeds.renames import COLUMNS, KEY, RENAME, Renames, load_renames
from trader.feeds.timed_rows import TimedRows, read_timed_rows

_log = logging.getLogger(__name__)
KINDS = {
    kind.name.lower(): kind
    for kind in (AdjustmentKind.SPLIT, AdjustmentKind.DIVIDEND, AdjustmentKind.DELIST)
}
FUNDING_KEY = "broker.funding"
FUNDING = FUNDING_KEY, ("timestamp", "symbol", "rate")
MOST_FUNDING = 0.5  # of the notional at once: more is a percentage written as one


def source_of(text_path: str, rows: int) -> SourceFile:
    """What the manifest says of a file."""
    content = Path(text_path).read_bytes()
    return SourceFile(text_path, hashlib.sha256(content).hexdigest(), len(content), rows)


def adjustment_sources(config: Config) -> tuple[SourceFile, ...]:
    """The files of corporate actions and of funding that a run depends on."""
    files = ((config.feed.adjustments, KEY, COLUMNS), (config.broker.funding, *FUNDING))
    return tuple(
        source_of(path, len(read_timed_rows(path, key, columns).rows))
        for path, key, columns in files
        if path is not None
    )


def load_adjustments(config: Config, sessions: np.ndarray, is_told: bool = True) -> np.ndarray:
    """ADJUSTMENT rows of the config's files, by time; those of one instant as in the file.

    Funding of an instant comes after its corporate actions. `is_told`: whether a line says whose
    rows were left out.
    """
    files = ((config.feed.adjustments, KEY, COLUMNS), (config.broker.funding, *FUNDING))
    renames = load_renames(config)
    parts = [NO_ADJUSTMENTS]
    for path, key, columns in files:
        if path is not None:
            timed = read_timed_rows(path, key, columns)
            parts.append(_rows(timed, config, sessions, renames))
            others = _others(timed, config, renames)
            if others and is_told:
                _log.info("%s: left out rows of %s", timed.path, others)
    adjustments = np.concatenate(parts)
    return adjustments[np.argsort(adjustments["ts_ns"], kind="stable")]


def adjustment_rows(timed: TimedRows, config: Config, sessions: np.ndarray) -> np.ndarray:
    """ADJUSTMENT records of rows that a market told."""
    return _rows(timed, config, sessions, load_renames(config))


def _rows(timed: TimedRows, config: Config, sessions: np.ndarray, renames: Renames) -> np.ndarray:
    """ADJUSTMENT rows of one file, as in the file; `DataError` where none is of our symbols."""
    numbers = {name: index for index, name in enumerate(config.symbols)}
    is_funding = timed.key == FUNDING_KEY
    found: list[tuple[int, float, int, int]] = []
    for row, cells in enumerate(timed.rows):
        name, place = cells["symbol"], timed.places[row]
        if not is_funding and cells["kind"].lower() == RENAME:
            continue
        kind = AdjustmentKind.FUNDING if is_funding else _kind(cells["kind"], place)
        if name not in numbers and name not in renames.names:
            continue
        ts_ns = timed.stamp_ns(row, config, sessions)
        symbol = numbers.get(name, renames.symbol_at(name, ts_ns))
        if symbol is not None:
            text = cells[timed.columns[-1]]
            value = _rate(text, place) if is_funding else _value(kind, text, place)
            found.append((ts_ns, value, symbol, int(kind)))
    others = _others(timed, config, renames)
    if others and not found and not renames.names:
        raise DataError(f"{timed.path}: no row is of {', '.join(config.symbols)}; it has {others}")
    return np.array(found, ADJUSTMENT)


def _others(timed: TimedRows, config: Config, renames: Renames) -> str:
    """The first few symbols of the rows that are none of ours."""
    names = {cells["symbol"] for cells in timed.rows} - {*config.symbols} - renames.names
    return ", ".join(sorted(names)[:8])


def _rate(text: str, place: str) -> float:
    """A funding rate: a fraction of the notional, of either sign."""
    try:
        rate = float(text)
    except ValueError:
        raise DataError(f"{place}: rate {text!r} is not a number") from None
    if not abs(rate) <= MOST_FUNDING:
        raise DataError(
            f"{place}: rate {text!r} is a fraction of the notional (0.0001 is 0.01 %), at most "
            f"{MOST_FUNDING:g} either way"
        )
    return rate


def _kind(text: str, place: str) -> AdjustmentKind:
    try:
        return KINDS[text.lower()]
    except KeyError:
        raise DataError(f"{place}: kind {text!r} is none of {', '.join(KINDS)}, {RENAME}") from None


def _value(kind: AdjustmentKind, text: str, place: str) -> float:
    """The number of a row; a split may be written new:old."""
    if kind == AdjustmentKind.DELIST and not text:
        return math.nan
    try:
        new, colon, old = text.partition(":")
        value = float(new) / float(old) if colon and kind == AdjustmentKind.SPLIT else float(text)
    except (ValueError, ZeroDivisionError):
        raise DataError(f"{place}: value {text!r} is not a number") from None
    least_is_allowed = kind != AdjustmentKind.SPLIT
    if not (0.0 < value < math.inf or (least_is_allowed and value == 0.0)):
        wanted = {
            AdjustmentKind.SPLIT: "new units for one old, above 0 (2, 0.1 or 1:10)",
            AdjustmentKind.DIVIDEND: "an amount a unit, 0 or more",
            AdjustmentKind.DELIST: "a price of 0 or more, or nothing for the last close",
        }
        raise DataError(f"{place}: value {text!r} of a {kind.name.lower()} must be {wanted[kind]}")
    return value
