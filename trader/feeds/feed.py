"""History from files: `load_history`.

Law: one file per source type; each turns a path into `RawRows` and knows nothing of the gate.
What leaves here is clean, sorted by (close, symbol) and hashed.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError, DataError
from trader.feeds.adjustments import adjustment_sources, load_adjustments
from trader.feeds.bars import DataGate, check_policies
from trader.feeds.frame_source import NAME, read_frame
from trader.feeds.quality import QualityReport
from trader.feeds.raw import (
    FileFingerprint,
    RawRows,
    SourceFile,
    joined,
    oldest_first,
    parts_of,
    source_paths,
)
from trader.feeds.registry import FEEDS
from trader.feeds.renames import load_renames
from trader.feeds.resample import resampled
from trader.feeds.series import merged
from trader.feeds.sessions import session_table
from trader.feeds.splits import DeclaredSplits
from trader.feeds.ticks import warn_of_ticks
from trader.finer_bars import NO_DETAIL, Detail
from trader.hours.periods import bar_clock

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BarSet:
    """Clean bars of all symbols, where they came from and what was wrong with them."""

    bars: np.ndarray  # BAR, sorted by (ts_ns, symbol); ts_ns is the close
    sources: tuple[SourceFile, ...]
    quality: QualityReport
    sessions: np.ndarray  # SESSION, covering the bars
    detail: Detail = NO_DETAIL  # the shorter bars they are made of, with broker.intrabar detail


@dataclass
class Files:
    """What was read and not yet judged."""

    rows: list[tuple[RawRows, str | None]]  # and the symbol of the path, where it names one
    sources: tuple[SourceFile, ...]


def load_history(config: Config) -> BarSet:
    """Read and judge every file of `config.feed`.

    Raises `ConfigError` for a wrong path or calendar, `DataError` (exit 4) for what the gate
    refuses (all classes at once), for symbols without a row, and for a file that changed while
    it was read.
    """
    source = config.at_source
    return resampled(config, sound_history(source, read_files(source)))


def frame_history(config: Config, frame: "pd.DataFrame") -> BarSet:
    """`load_history` of a pandas frame in place of files."""
    check_policies(config)
    at_source = config.at_source
    rows, source = read_frame(frame, at_source)
    files = Files([(rows, None)], (source, *adjustment_sources(config)))
    return resampled(config, sound_history(at_source, files))


def sound_history(config: Config, files: Files) -> BarSet:
    """The bars of `files`; `DataError` for what the gate refuses and symbols without a row."""
    bar_set = judged(config, files)
    if bar_set.quality.failures:
        raise DataError("\n".join(bar_set.quality.failures))
    check_present(config, bar_set.quality)
    return bar_set


def read_files(config: Config) -> Files:
    """The rows of every file of `config.feed`, as they are."""
    files_have = " or ".join(name for name, kind in FEEDS.built_in.items() if kind.read)
    if config.feed.type == "frame":
        raise ConfigError(
            "frame means a DataFrame given from Python: trader.backtest(config, bars=frame); a "
            f"command needs {files_have}",
            key="feed.type",
        )
    if (reader := FEEDS.entry(config.feed.type).read) is None:
        remedy = f"a backtest needs {files_have}"
        if config.feed.is_market:
            remedy = "`trader data download -c FILE` fetches it, and prints how to backtest on it"
        raise ConfigError(f"{config.feed.type} has no history here: {remedy}", key="feed.type")
    check_policies(config)
    rows = []
    sources = []
    for path, symbol in source_paths(config):
        files = parts_of(path) if path.is_dir() else [path]
        parts = []
        for file in files:
            try:
                watched = FileFingerprint(file)
                parts.append(oldest_first(reader(file, config)))
                sources.append(watched.source(len(parts[-1])))
            except OSError as error:
                raise DataError(f"{file} disappeared while it was being read: {error}") from error
        raw = joined(parts, path) if path.is_dir() else parts[0]
        if raw.recognised:
            _log.info("%s", raw.recognised)
        rows.append((raw, symbol))
    return Files(rows, (*sources, *adjustment_sources(config)))


def judged(config: Config, files: Files) -> BarSet:
    """The bars of `files`, which are used up; whether they may be used, the report says."""
    rows, files.rows = files.rows, []
    first = min(int(raw.stamps_ns.min()) for raw, _ in rows)
    last = max(int(raw.stamps_ns.max()) for raw, _ in rows)
    ends = bar_clock(config).spans(np.array([first, last]))
    first, last = min(first, int(ends.open_ns[0])), max(last, int(ends.close_ns[1]))
    sessions = session_table(config.risk.market_hours, first, last)
    splits = DeclaredSplits(load_adjustments(config, sessions, is_told=False))
    gate = DataGate(config, sessions, splits)
    renames = load_renames(config)
    parts: list[np.ndarray] = []
    while rows:  # each file's columns are let go as soon as its records are made
        raw, symbol = rows.pop(0)
        parts += gate.bars(renames.applied(raw, config), symbol)
        del raw
    bars = merged(parts)
    gate.report.beside_ticks = warn_of_ticks(config, bars)
    return BarSet(bars, files.sources, gate.report, sessions)


def check_present(config: Config, report: QualityReport) -> None:
    """`DataError` for instruments without a bar."""
    path = config.feed.path or NAME
    absent = [symbol for symbol in config.symbols if symbol not in report.symbols]
    if len(absent) == len(config.symbols) and (config.feed.start or config.feed.end):
        raise DataError(
            f"{path}: no bar is left between feed.start and feed.end; widen them, or leave them out"
        )
    if absent:
        others = sorted(report.unknown_symbols)
        named = ", ".join(name or "rows without a symbol" for name in others[:8])
        found = f"; the data has {named}" if others else ""
        raise DataError(f"{path}: no bars for {', '.join(absent)}{found}")


def data_hashes(config: Config, frame: "pd.DataFrame | None" = None) -> list[str]:
    """SHA-256 of every file of `config.feed`, or of the frame in its place."""
    more = [source.sha256 for source in adjustment_sources(config)]
    if frame is not None:
        return [read_frame(frame, config)[1].sha256, *more]
    return [*(FileFingerprint(path).sha256 for path, _ in source_paths(config)), *more]
