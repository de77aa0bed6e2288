"""A history slice by slice, as bars arrive: features by their streams, the model once a slice.

Law: nothing of a later slice exists when a slice is decided. Same core, other everything: the
digest must be that of the batch engine wherever the model answers a slice as it answers a
history. No clock, no journal, no gate: this is the calculation of a live run without its
surroundings.
"""

from collections.abc import Callable, Iterator

import numpy as np

from trader.core.book import EQUITIES, Inputs, Rules, new_book, new_out
from trader.core.step import on_slice, submit
from trader.run.backtest import RowKeeper, RunRecord
from trader.signals.features import FeatureSet, FeatureStream
from trader.signals.model import Model, predict_rows

REPORT_EVERY = 4_096  # slices


def slice_bounds(bars: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first row, row after the last) of every slice of BAR records sorted by time."""
    starts = np.flatnonzero(np.diff(bars["ts_ns"], prepend=bars["ts_ns"][:1] - 1))
    yield from zip(starts.tolist(), [*starts[1:].tolist(), len(bars)], strict=True)


def slice_features(stream: FeatureStream, bars: np.ndarray, width: int) -> np.ndarray:
    """float64 (bars, features) of one slice."""
    rows = np.empty((len(bars), width))
    for index in range(len(bars)):
        rows[index] = stream.update(bars[index])
    return rows


def run_history_by_slice(
    rules: Rules,
    bars: np.ndarray,
    signals: tuple[FeatureSet, Model],
    keeper: RowKeeper,
    progress: Callable[[int], None] | None = None,
) -> RunRecord:
    """Run BAR records (n,) from a fresh book, deciding each slice before the next is looked at.

    `signals` are the features and the model. Raises `ModelError` as a batch run does.
    """
    features, model = signals
    book, out = new_book(rules), new_out(len(rules.instruments), 1)
    stream, width = features.stream(), len(features.names)
    model.check_history(bars)
    for number, (start, stop) in enumerate(slice_bounds(bars)):
        present = bars[start:stop]
        rows = slice_features(stream, present, width)
        actions, reasons = predict_rows(model, present, rows, start)
        room = keeper.with_equity_room(out, number)
        room.counts[:] = 0
        on_slice(book, rules, Inputs(present, actions, reasons), 0, len(present), room)
        assert room.counts[EQUITIES] == 1, "one slice, one row"
        for symbol in present["symbol"]:
            if book.positions[symbol]["working_orders"]:
                submit(book, symbol)
        keeper.take(room)
        if progress is not None and number % REPORT_EVERY == 0:
            progress(stop)
    return keeper.record(book)
