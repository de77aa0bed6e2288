"""Shell 2: slices as they come, through features, model and core, in one asyncio loop.

    slices ─► StreamSignals (executor) ─► SliceEngine under a lock ─► gate

Law: decides nothing. Features and model run off the event loop; trading state is touched under
one `asyncio.Lock` only. Whatever can be known before a slice is acted on was computed from bars
up to it: features come from streams, which have not seen the next bar.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from trader.core.book import Book, Inputs, Rules
from trader.run.backtest import RowKeeper, RunRecord
from trader.run.sliceengine import Gate, SliceEngine
from trader.signals.features import FeatureSet
from trader.signals.model import Model, predict_rows

SLICES_PER_JOB = 128  # of a history: one hop to the executor and back is shared by so many


class Answer(NamedTuple):
    """Actions int8 (n,) and reasons int16 (n,) for the bars of one slice."""

    actions: np.ndarray
    reasons: np.ndarray


class Signals(Protocol):
    """Where the actions of a slice come from."""

    async def answers(self, slices: Sequence[np.ndarray]) -> list[Answer]:
        """One answer a slice, in order; each as if the later ones did not exist."""
        ...


class StreamSignals:
    """Features by stream and a model in a thread of `pool`, slice by slice."""

    def __init__(self, features: FeatureSet, model: Model, pool: Executor) -> None:
        self._stream = features.stream()
        self._width = len(features.names)
        self._model = model
        self._pool = pool
        self._rows = 0

    async def answers(self, slices: Sequence[np.ndarray]) -> list[Answer]:
        """See `Signals`. `ModelError` as in a backtest: a history is not traded past it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._answers, slices)

    def _answers(self, slices: Sequence[np.ndarray]) -> list[Answer]:
        return [self._answer(bars) for bars in slices]

    def _answer(self, bars: np.ndarray) -> Answer:
        matrix = np.empty((len(bars), self._width))
        for index in range(len(bars)):
            matrix[index] = self._stream.update(bars[index])
        answer = Answer(*predict_rows(self._model, bars, matrix, self._rows))
        self._rows += len(bars)
        return answer


class ExecutionLoop:
    """Takes slices from an async iterator to the end and keeps the one book of the run."""

    def __init__(self, engine: SliceEngine, signals: Signals, gate: Gate | None = None) -> None:
        self._engine = engine
        self._signals = signals
        self._gate = gate
        self._lock = asyncio.Lock()

    async def run(self, portions: AsyncIterator[Sequence[np.ndarray]]) -> RunRecord:
        """Trade every slice of every portion, in order; the record of the whole run."""
        async for portion in portions:
            for bars, answer in zip(portion, await self._signals.answers(portion), strict=True):
                async with self._lock:
                    self._engine.take(bars, answer.actions, answer.reasons)
                    self._engine.pass_gate(self._gate)
        async with self._lock:
            return self._engine.record()

    async def snapshot(self) -> Book:
        """A copy of the book between two slices. Awaited by any task of this event loop."""
        async with self._lock:
            return Book(*(array.copy() for array in self._engine.book))


async def history_portions(
    bars: np.ndarray, progress: Callable[[int], None] | None = None
) -> AsyncIterator[list[np.ndarray]]:
    """BAR records sorted by (ts_ns, symbol), as lists of slices; `progress` gets rows done."""
    edges = np.flatnonzero(np.diff(bars["ts_ns"])) + 1
    starts = [0, *edges.tolist(), len(bars)] if len(bars) else [0]
    last = len(starts) - 1
    for first in range(0, last, SLICES_PER_JOB):
        stop = min(first + SLICES_PER_JOB, last)
        yield [bars[starts[i] : starts[i + 1]] for i in range(first, stop)]
        if progress is not None:
            progress(starts[stop])


def run_history_with_loop(
    rules: Rules,
    inputs: Inputs,
    features: FeatureSet,
    model: Model,
    keeper: RowKeeper,
    progress: Callable[[int], None] | None = None,
) -> RunRecord:
    """A history through the loop: only its bars are used, features and actions are made anew.

    Raises `ModelError` where the model fails, as a backtest does. Not for use inside a running
    event loop.
    """

    async def run() -> RunRecord:
        with ThreadPoolExecutor(1, thread_name_prefix="signals") as pool:
            loop = ExecutionLoop(SliceEngine(rules, keeper), StreamSignals(features, model, pool))
            return await loop.run(history_portions(inputs.bars, progress))

    with contextlib.redirect_stdout(sys.stderr):
        model.check_history(inputs.bars)
        return asyncio.run(run())
