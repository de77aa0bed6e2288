"""The data gate: raw rows in, clean BAR records out, everything else named by row and rule.

Law: rules are judged in one order (order and doubles first, then values, then what needs a
clean series: jumps and gaps), each under its policy. Nothing is repaired: a row passes as it
was, or is left out and listed.
"""

from collections.abc import Callable

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError
from trader.feeds.quality import DROPPED_LISTED, EXAMPLES, QualityReport
from trader.feeds.raw import PRICES, RawRows
from trader.feeds.series import (
    Series,
    check_period,
    check_unit,
    finding,
    is_price,
    jumps_beyond,
    outside_range,
    records,
    values_text,
    wild,
)
from trader.feeds.sessions import off_grid, trading_time_ns
from trader.feeds.splits import DeclaredSplits, split_sentences
from trader.hours.periods import bar_clock
from trader.moments import iso_utc

GAPS_LISTED = 20
SHOWN = 64  # characters of a name that is not an instrument
# such a row cannot be kept: indicators would not survive it
NO_KEEPING = {"price": "sane price", "volume": "sane volume", "no_session": "session"}


def check_policies(config: Config) -> None:
    """Policies that make no sense: `ConfigError` with the key."""
    quality = config.feed.quality
    if quality.gap == "drop":
        raise ConfigError("a gap cannot be dropped; use warn or error", key="feed.quality.gap")
    for kind, lacking in NO_KEEPING.items():
        if getattr(quality, kind) == "warn":
            raise ConfigError(
                f"a bar without a {lacking} cannot be kept; use error or drop",
                key=f"feed.quality.{kind}",
            )


class DataGate:
    """Judges the files of one config. `report` fills up as files pass."""

    def __init__(
        self,
        config: Config,
        sessions: np.ndarray | None = None,
        splits: DeclaredSplits = DeclaredSplits(),  # noqa: B008 - immutable
    ) -> None:
        check_policies(config)
        self.config = config
        self.sessions = sessions
        self.report = QualityReport(config.feed.quality)
        self._splits = splits
        self._clock = bar_clock(config)
        by_open = self._clock.is_fixed and config.feed.timestamp == "open"
        self._offset_ns = config.period_ns if by_open else 0

    def bars(self, raw: RawRows, symbol: str | None) -> list[np.ndarray]:
        """Clean BAR records per symbol of one file; `symbol` where it has no symbol column."""
        self._note_file(raw)
        self._no_session = np.empty(0, bool)
        if not self._clock.is_fixed:  # from here on every stamp is the close
            spans = self._clock.spans(raw.stamps_ns)
            written_ns, raw.stamps_ns = raw.stamps_ns, spans.close_ns
            self._no_session = ~spans.known
            check_unit(self.config, raw, written_ns)
        return [self._clean(series) for series in self._by_symbol(raw, symbol)]

    def _note_file(self, raw: RawRows) -> None:
        if raw.recognised:
            self.report.recognised.append(raw.recognised)
        if raw.is_open_ended:
            self.report.open_ended.append(str(raw.path))
        for name in raw.extra_columns:
            if name not in self.report.extra_columns:
                self.report.extra_columns.append(name)

    def _by_symbol(self, raw: RawRows, symbol: str | None) -> list[Series]:
        names = self.config.symbols
        if raw.symbols is None:
            if symbol is None and len(names) > 1:
                raise ConfigError(
                    f"{raw.path} has no symbol column and there are {len(names)} instruments; "
                    "put {symbol} into the path or add the column",
                    key="feed.path",
                )
            index = names.index(symbol) if symbol is not None else 0
            whole = np.arange(len(raw), dtype=np.int32)
            return [Series(index, names[index], raw, whole, raw.stamps_ns, True)]
        order = np.argsort(raw.symbols.codes, kind="stable")
        counts = np.bincount(raw.symbols.codes, minlength=len(raw.symbols.names))
        parts = []
        for name, rows in zip(raw.symbols.names, np.split(order, np.cumsum(counts)), strict=False):
            wanted = symbol is None or name == symbol
            if len(rows) and name in names and wanted:
                parts.append(Series(names.index(name), name, raw, rows, raw.stamps_ns[rows]))
            elif len(rows):
                shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
                count = self.report.unknown_symbols.get(shown, 0)
                self.report.unknown_symbols[shown] = count + len(rows)
        return parts

    def _clean(self, series: Series) -> np.ndarray:
        series = self._in_sessions(series)
        series = self._within_range(series)
        series = self._in_order(series)
        series = self._single(series)
        series = self._sane(series)
        series = self._without_jumps(series)
        gaps = self._count_gaps(series)
        is_quoted = {"bid", "ask"} <= series.raw.numbers.keys()
        bars, overlapping = records(series, self._clock, self.config.period_ns, self._offset_ns)
        self.report.overlapping += overlapping
        self._summarise(series.name, bars, gaps, is_quoted)
        return bars

    def _in_sessions(self, series: Series) -> Series:
        """Leave out days that the calendar does not have; nothing can be said of when they are."""
        if not self._no_session.any():
            return series
        bad = series.rows_of(self._no_session)
        hours = self.config.risk.market_hours
        self._judge("no_session", series, bad, lambda row: f"no session of {hours}")
        return self._dropped("no_session", series, bad)

    def _within_range(self, series: Series) -> Series:
        """Cut to feed.start and feed.end before anything is judged: the rest is not used."""
        feed = self.config.feed
        if feed.start_ns is None and feed.end_ns is None:
            return series
        closes = series.stamps_ns + self._offset_ns
        outside = np.zeros(len(closes), bool)
        if feed.start_ns is not None:
            outside |= self._clock.opens(closes) < feed.start_ns
        if feed.end_ns is not None:
            outside |= closes > feed.end_ns
        return series.without(outside) if outside.any() else series

    def _in_order(self, series: Series) -> Series:
        stamps = series.stamps_ns
        if len(stamps) < 2 or bool(np.all(stamps[1:] >= stamps[:-1])):
            return series
        latest = np.maximum.accumulate(stamps)
        late = np.concatenate([[False], stamps[1:] < latest[:-1]])
        self._judge(
            "disorder",
            series,
            late,
            lambda row: f"earlier than {iso_utc(int(latest[row]))} above it",
        )
        return self._dropped("disorder", series, late).ordered()

    def _single(self, series: Series) -> Series:
        stamps = series.stamps_ns
        if len(stamps) < 2:
            return series
        doubled = np.concatenate([[False], stamps[1:] == stamps[:-1]])
        if not doubled.any():
            return series
        first = np.maximum.accumulate(np.where(doubled, 0, np.arange(len(stamps))))
        same = np.ones(len(stamps), bool)
        for name in (*PRICES, "volume", "bid", "ask"):
            values = series.column(name)
            equal = (values == values[first]) | (np.isnan(values) & np.isnan(values[first]))
            same &= equal
        for kind, bad in (("duplicate", doubled & same), ("revised", doubled & ~same)):
            self._judge(kind, series, bad, lambda row: "the same stamp again")
            self._note_dropped(kind, series, bad)
        return series.without(doubled)

    def _sane(self, series: Series) -> Series:
        quotes = [name for name in ("bid", "ask") if name in series.raw.numbers]
        may_be_negative = self.config.instruments[series.symbol].allow_negative_prices
        bad = np.zeros(len(series.rows), bool)
        for name in PRICES:
            bad |= ~is_price(series.column(name), may_be_negative)
        for name in quotes:
            values = series.column(name)
            bad |= ~(is_price(values, may_be_negative) | np.isnan(values))
        series = self._reject("price", series, bad)
        outside, noise = outside_range(series)
        self.report.equal_by_last_bit += noise
        series = self._reject("ohlc", series, outside)
        volume = series.column("volume")
        return self._reject("volume", series, ~((volume >= 0.0) & (volume < np.inf)))

    def _reject(self, kind: str, series: Series, bad: np.ndarray) -> Series:
        if not bad.any():
            return series
        self._judge(kind, series, bad, lambda row: values_text(series, row))
        return self._dropped(kind, series, bad)

    def _without_jumps(self, series: Series) -> Series:
        if len(series.rows) < 2:
            return series
        close = self._splits.levels(series, self._clock.opens(series.stamps_ns + self._offset_ns))
        quality = self.config.feed.quality
        if quality.jump == "drop":
            jumps = wild(close, quality.max_jump, quality.max_bad_bars)
        else:
            jumps = jumps_beyond(close, quality.max_jump)
        if not jumps.any():
            return series
        self.report.splits += split_sentences(series, jumps)
        self._judge("jump", series, jumps, lambda row: self._splits.text(series, close, row))
        return self._dropped("jump", series, jumps)

    def _count_gaps(self, series: Series) -> tuple[int, int]:
        """How many gaps a series has and how many bars they lack."""
        if len(series.rows) == 0:
            return 0, 0
        period = self.config.period_ns
        closes = series.stamps_ns + self._offset_ns
        stamps = self._clock.opens(closes)
        check_period(self.config, series, stamps)
        if self._clock.is_fixed:
            clock = stamps if self.sessions is None else trading_time_ns(self.sessions, stamps)
            missing = (np.diff(clock) + period // 2) // period - 1
        else:
            missing = np.diff(self._clock.numbers(closes)) - 1
        gaps = np.flatnonzero(missing > 0)
        if self.sessions is not None and self._clock.is_fixed:
            self.report.off_grid += off_grid(self.sessions, stamps, period)
            outside = trading_time_ns(self.sessions, stamps + period) == clock
            if outside.any():
                place = series.raw.place(int(series.rows[np.argmax(outside)]))
                self.report.note_outside(int(np.count_nonzero(outside)), place)
        if len(gaps) == 0:
            return 0, 0
        lacking = int(missing[gaps].sum())
        self.report.missing_bars += lacking
        largest = gaps[np.argsort(-missing[gaps], kind="stable")][:GAPS_LISTED]
        self.report.largest_gaps += [
            {
                "symbol": series.name,
                "after": iso_utc(int(stamps[row])),
                "before": iso_utc(int(stamps[row + 1])),
                "missing_bars": int(missing[row]),
            }
            for row in largest
        ]
        self.report.largest_gaps.sort(key=lambda gap: -gap["missing_bars"])
        del self.report.largest_gaps[GAPS_LISTED:]
        bad = np.zeros(len(series.rows), bool)
        bad[gaps + 1] = True
        self._judge("gap", series, bad, lambda row: f"{int(missing[row - 1])} bars missing before")
        return len(gaps), lacking

    def _summarise(
        self, name: str, bars: np.ndarray, gaps: tuple[int, int], is_quoted: bool
    ) -> None:
        if is_quoted:
            bid, ask = bars["bid"], bars["ask"]
            self.report.crossed_quotes += int(np.count_nonzero(bid > ask))
            self.report.missing_quotes += int(np.count_nonzero(np.isnan(bid) | np.isnan(ask)))
        if len(bars):
            known = self.report.symbols.setdefault(
                name, {"rows": 0, "first": None, "last": None, "gaps": 0, "missing_bars": 0}
            )
            known["rows"] += len(bars)
            known["gaps"] += gaps[0]
            known["missing_bars"] += gaps[1]
            known["first"] = known["first"] or iso_utc(int(bars["ts_ns"][0]))
            known["last"] = iso_utc(int(bars["ts_ns"][-1]))

    # --- judging ---

    def _judge(
        self, kind: str, series: Series, bad: np.ndarray, detail: Callable[[int], str]
    ) -> None:
        count = int(np.count_nonzero(bad))
        if count:
            rows = np.flatnonzero(bad)[:EXAMPLES]
            self.report.add(kind, count, [finding(kind, series, row, detail) for row in rows])

    def _dropped(self, kind: str, series: Series, bad: np.ndarray) -> Series:
        if not self.report.leaves_out(kind):
            return series
        self._note_dropped(kind, series, bad)
        return series.without(bad)

    def _note_dropped(self, kind: str, series: Series, bad: np.ndarray) -> None:
        rows = np.flatnonzero(bad)
        listed = rows[:DROPPED_LISTED]
        self.report.drop(
            [finding(kind, series, row, lambda row: values_text(series, row)) for row in listed],
            len(rows),
        )
