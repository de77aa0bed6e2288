"""The proof that nothing saw the future. What `trader lookahead` calls.

    history ─► features, actions                 compared, row by row,
    history up to a cut ─► features, actions     up to the cut

Law: what is known at a cut is computed from the bars up to it and from nothing else; a value that
is another one when later bars are there has used them. Equal means equal to the last bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.load import LoadedConfig
from trader.config.schema import Config
from trader.config.sections.model import FileModel
from trader.core.schema import TradingAction
from trader.features.feature_set import FeatureSet
from trader.features.python_feature import FutureUseError
from trader.hours.long_periods import long_ends
from trader.models.in_sample import InSample, in_sample
from trader.models.model import CHUNK_ROWS, Model, chunk_end, open_model, predict_rows
from trader.models.model_rows import HistoryRows, shape_of, shape_of_model
from trader.moments import iso_utc
from trader.wiring import (
    Progress,
    build_features,
    is_retrained,
    load_bars,
    retrained_model,
    search_paths,
)

CUTS = 24
EARLY = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)  # slices: what fills gaps backwards shows here
ACTION, SCORE = "action", "score"


@dataclass(frozen=True)
class Leak:
    """The first row, in time, where a column is another one without the bars after a cut."""

    column: str  # of a feature, or action, or score
    symbol: str
    time: str  # the bar's close
    whole: float | str | None  # over the whole history; None is no value
    prefix: float | str | None  # over the bars up to `cut` alone
    cut: str

    @property
    def text(self) -> str:
        """For the user: one line."""
        whole, prefix = (_shown(value) for value in (self.whole, self.prefix))
        return (
            f"{self.column} of {self.symbol}, bar closing {self.time}: {whole} over the whole "
            f"history, {prefix} without the bars after {self.cut}"
        )


@dataclass(frozen=True)
class Proof:
    """What was compared and found."""

    columns: tuple[str, ...]
    bars: int
    cuts: tuple[str, ...]
    leaks: tuple[Leak, ...]
    in_sample: InSample | None
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "verdict": "leak" if self.leaks else "pass",
            "bars": self.bars,
            "columns": list(self.columns),
            "cuts": list(self.cuts),
            "leaks": [asdict(leak) for leak in self.leaks],
            "in_sample": None if self.in_sample is None else self.in_sample.document(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Prefix:
    """Features and what the model says of them, over some first bars of a history."""

    columns: dict[str, np.ndarray]  # float64 by name
    first: dict[str, int]  # row of the history that a column begins with


def lookahead(
    loaded: LoadedConfig,
    config_files: Sequence[Path],
    cuts: int = CUTS,
    progress: Progress | None = None,
) -> Proof:
    """Cut the config's history at random points and compare. Raises the errors of each part."""
    config, paths = loaded.config, search_paths(config_files)
    history = load_bars(config)
    bars = history.bar_set.bars
    features = build_features(config, history.sessions, paths)
    asked = _Pipeline(config, features, paths)
    whole = asked.known(bars, 0)
    places = _cuts(config, bars, cuts, history.sessions)
    found: dict[str, Leak] = {}
    for done, rows in enumerate(places):
        prefix = asked.known(bars[:rows], rows)
        for leak in _leaks(config, bars, whole, prefix, rows):
            if leak.column not in found or leak.time < found[leak.column].time:
                found[leak.column] = leak
        if progress is not None:
            progress("lookahead", done + 1, len(places))
    if not found:
        try:
            features.prove(bars)  # a window that is too short: `FeatureError`
        except FutureUseError as error:  # at a bar that no cut was at
            column, symbol, time, whole_value, prefix_value = error.seen
            values = _value(column, whole_value), _value(column, prefix_value)
            found[column] = Leak(column, symbol, time, *values, time)
    notes = []
    if config.model.type == "signals":
        notes.append(
            "the actions of a file were made elsewhere: whether they saw the future "
            "cannot be shown here"
        )
    if shape_of(config).needs_position:
        notes.append(
            "what a model says that is told its position cannot be compared: only its features were"
        )
    return Proof(
        (*features.names, ACTION, SCORE),
        len(bars),
        tuple(iso_utc(int(bars["ts_ns"][rows - 1])) for rows in places),
        tuple(found.values()),
        in_sample(config, bars),
        tuple(notes),
    )


class _Pipeline:
    """Features and model, asked about one history after the other."""

    def __init__(self, config: Config, features: FeatureSet, paths: Sequence[Path]) -> None:
        self._config, self._features, self._paths = config, features, paths
        self._retrains = is_retrained(config)
        self._is_file = isinstance(config.model, FileModel) and not self._retrains
        self._model: Model | None = None

    def known(self, bars: np.ndarray, cut: int) -> _Prefix:
        """Everything about `bars`; of a model in a file only the chunk that `cut` lies in."""
        matrix = self._features.batch(bars)
        columns = {name: matrix[:, at] for at, name in enumerate(self._features.names)}
        model, rows = self._fresh(bars, matrix), len(bars)
        chunk = int(getattr(model, "chunk_rows", CHUNK_ROWS))
        begin = (cut - 1) // chunk * chunk if self._is_file and cut else 0
        actions, scores = np.zeros(rows - begin), np.full(rows - begin, np.nan)
        shape = shape_of_model(model)
        asked, stop = HistoryRows(shape, bars, matrix), begin
        while stop < rows and not shape.needs_position:
            start, stop = stop, chunk_end(bars, stop + chunk, shape)
            part = slice(start, stop)
            said = predict_rows(model, bars[part], asked.rows(part), start)
            place = slice(part.start - begin, part.stop - begin)
            actions[place] = said.actions
            if len(said.requests):
                scores[place] = said.requests["score"]
        first = dict.fromkeys(columns, 0) | {ACTION: begin, SCORE: begin}
        return _Prefix(columns | {ACTION: actions, SCORE: scores}, first)

    def _fresh(self, bars: np.ndarray, matrix: np.ndarray) -> Model:
        """The model: one that has seen nothing, where it is the user's code and may remember."""
        if self._retrains:
            seen = self._features.forward(bars)
            return retrained_model(self._config, seen, matrix, self._features.names)
        if self._model is None or not self._is_file:
            names, symbols = self._features.names, self._config.symbols
            self._model = open_model(self._config, names, symbols, self._paths)
        return self._model


def _cuts(config: Config, bars: np.ndarray, count: int, sessions: np.ndarray) -> list[int]:
    """Numbers of first rows to keep, each the end of a slice, later ones left out."""
    ends = np.append(np.flatnonzero(np.diff(bars["ts_ns"])) + 1, len(bars))
    slices = len(ends)
    chosen = {number for number in EARLY if number < slices}
    stamps_ns = bars["ts_ns"][ends - 1]
    for long_ns in _long_periods(config):
        chosen |= set(after_long_closes(stamps_ns, sessions, long_ns, count))
    if slices > 1:
        chance = np.random.default_rng(config.seed)
        chosen |= set(chance.integers(1, slices, count).tolist())
    unquoted = np.isnan(bars["bid"]) | np.isnan(bars["ask"])
    if unquoted.any() and not unquoted.all():
        rows = np.flatnonzero(unquoted)[:: max(1, int(unquoted.sum()) // 4)][:4]
        chosen |= set((np.searchsorted(ends, rows) + 1).tolist())
    return [int(ends[number - 1]) for number in sorted(chosen) if 1 <= number < slices]


def _long_periods(config: Config) -> Iterator[int]:
    """The periods of features on longer bars, in nanoseconds."""
    for spec in config.features.values():
        period = spec.params.get("bars")
        if isinstance(period, int | float) and not isinstance(period, bool) and period > 0:
            yield round(period * 1e9)


def after_long_closes(
    stamps_ns: np.ndarray, sessions: np.ndarray, long_ns: int, count: int
) -> Iterator[int]:
    """Slices that end at the close of a longer bar, and just after it.

    The last one of a session closes with it: of those there are as many as of all others.
    """
    closes = long_ends(stamps_ns, sessions, long_ns)
    edges = np.flatnonzero(np.diff(closes)) + 1  # slices up to the last bar of a longer one
    at_end = edges[np.isin(closes[edges - 1], sessions["close_ns"])]
    for kind in (edges, at_end):
        for edge in kind[:: max(1, len(kind) // count)].tolist():
            yield from (edge, edge + 1, edge + 2)


def _leaks(
    config: Config, bars: np.ndarray, whole: _Prefix, prefix: _Prefix, rows: int
) -> Iterator[Leak]:
    """The first row of each column that is another one without the bars after the first `rows`."""
    for name, alone in prefix.columns.items():
        first = prefix.first[name]
        among = whole.columns[name][first:rows]
        differ = ~((among == alone) | (np.isnan(among) & np.isnan(alone)))
        if not differ.any():
            continue
        at = int(np.argmax(differ))
        bar = bars[first + at]
        yield Leak(
            name,
            config.symbols[bar["symbol"]],
            iso_utc(int(bar["ts_ns"])),
            _value(name, among[at]),
            _value(name, alone[at]),
            iso_utc(int(bars["ts_ns"][rows - 1])),
        )


def _value(name: str, value: float) -> float | str | None:
    if name == ACTION:
        return TradingAction(int(value)).name
    return None if np.isnan(value) else float(value)


def _shown(value: float | str | None) -> str:
    return "no value" if value is None else str(value)
