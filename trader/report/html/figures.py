"""What the pictures show, computed: days, months, excursions and spells of states."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from trader.hours.bar_sessions import bar_opens, session_dates
from trader.report.html.source import Market, Source, bars_of, numbers, texts, times

NS_PER_DAY = 86_400_000_000_000


@dataclass(frozen=True)
class Days:
    """The equity at the end of each day that had a slice."""

    dates: np.ndarray  # datetime64[D]
    equity: np.ndarray
    pnl: np.ndarray
    is_session: bool  # False: UTC days, the trading hours are not known


def days(source: Source) -> Days:
    """Day by day: trading sessions where they are known, UTC days otherwise."""
    ts_ns, equity = times(source.equity), numbers(source.equity, "equity")
    sessions = source.market.sessions
    is_session = False
    if sessions is not None and len(sessions) > 0:
        is_session = True
        dates = session_dates(sessions, ts_ns, source.market.period_ns)
    else:
        dates = (ts_ns - 1) // NS_PER_DAY  # a bar that closes at midnight is of the day before
    ends = np.flatnonzero(np.diff(dates, append=np.iinfo(np.int64).max))
    closing = equity[ends]
    start = float(source.metrics["start_equity"])
    pnl = np.diff(closing, prepend=start)
    return Days(dates[ends].astype("datetime64[D]"), closing, pnl, is_session)


def monthly_returns(found: Days, start_equity: float) -> list[dict[str, Any]]:
    """One row a month: `month` (2019-02) and `return_frac`, from month end to month end."""
    months = found.dates.astype("datetime64[M]")
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], np.ones(min(1, len(months)), bool)))
    rows, before = [], start_equity
    for end in ends:
        after = float(found.equity[end])
        share = after / before - 1.0 if before > 0.0 else None
        rows.append({"month": str(months[end]), "return_frac": share})
        before = after
    return rows


def state_spells(source: Source) -> list[tuple[int, int, str]]:
    """First slice, slice after the last, state: every spell that was not ACTIVE."""
    codes, names = text_codes(source.equity["trading_state"])
    if len(codes) == 0:
        return []
    starts = np.append(0, np.flatnonzero(np.diff(codes)) + 1)
    stops = np.append(starts[1:], len(codes))
    return [
        (int(first), int(stop), names[codes[first]])
        for first, stop in zip(starts, stops, strict=True)
        if names[codes[first]] != "ACTIVE"
    ]


@dataclass(frozen=True)
class Excursions:
    """How far each trade was against and for it, as fractions of its entry price."""

    adverse: np.ndarray  # MAE, 0 or more; NaN where the bars do not say
    favourable: np.ndarray  # MFE


def excursions(trades: pa.Table, market: Market, symbols: list[str]) -> Excursions:
    """MAE and MFE from the highs and lows of the bars between entry and exit."""
    count = trades.num_rows
    adverse, favourable = np.full(count, np.nan), np.full(count, np.nan)
    if market.bars is None or count == 0:
        return Excursions(adverse, favourable)
    names, sides = texts(trades, "symbol"), texts(trades, "side")
    entry, leave = times(trades, "entry_time"), times(trades, "exit_time")
    paid, got = numbers(trades, "entry_price"), numbers(trades, "exit_price")
    for number, symbol in enumerate(symbols):
        mine = [row for row in range(count) if names[row] == symbol]
        if not mine:
            continue
        bars = bars_of(market.bars, number)
        first = np.searchsorted(bars["ts_ns"], entry[mine], side="right")
        stop = np.searchsorted(bar_opens(bars, market.period_ns), leave[mine], side="left")
        for row, begin, end in zip(mine, first, stop, strict=True):
            held = bars[begin:end]
            low = min(float(held["low"].min(initial=np.inf)), got[row], paid[row])
            high = max(float(held["high"].max(initial=-np.inf)), got[row], paid[row])
            if paid[row] <= 0.0:
                continue
            down, up = paid[row] - low, high - paid[row]
            against, gained = (down, up) if sides[row] == "LONG" else (up, down)
            adverse[row], favourable[row] = against / paid[row], gained / paid[row]
    return Excursions(adverse, favourable)


class TextCodes(NamedTuple):
    """A column of texts as numbers of names: of millions of rows no text is made."""

    codes: np.ndarray
    names: list[str]

    @property
    def is_named(self) -> np.ndarray:
        """Where the text is not empty."""
        return np.array([name != "" for name in self.names], bool)[self.codes]


def text_codes(column: pa.ChunkedArray) -> TextCodes:
    """A column of texts, whether the file keeps them as texts or as numbers of names."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # of no rows
        return TextCodes(np.empty(0, np.int32), [])
    return TextCodes(whole.indices.to_numpy(zero_copy_only=False), whole.dictionary.to_pylist())
