"""One backtest without what only a run folder needs: no rows of decisions are kept.

Law: the core, the chunks and the digest are those of `run_history`; what is left out is only never
copied. The buffers are made once for a worker, so that a trial asks the system for no memory.
"""

from dataclasses import dataclass

import numpy as np

from trader.core.book import (
    CASHFLOWS,
    DECISIONS,
    EQUITIES,
    FILLS,
    Book,
    Inputs,
    Out,
    Rules,
    new_book,
    new_out,
)
from trader.core.schema import CASHFLOW, EQUITY, FILL
from trader.engine.batch import ROWS_PER_CHUNK
from trader.engine.compiled_loop import run_slices
from trader.engine.digest import RunDigest


@dataclass
class LeanRecord:
    """What a lean run left. `equity` is the runner's own buffer: read it before the next run."""

    book: Book
    fills: np.ndarray  # FILL
    equity: np.ndarray  # EQUITY, one row a slice
    digest: str
    cashflows: np.ndarray  # CASHFLOW


class LeanRunner:
    """Runs one set of inputs after another in the same buffers."""

    def __init__(self) -> None:
        self._equity = np.empty(0, EQUITY)
        self._buffers: dict[tuple[int, int], Out] = {}

    def run(self, rules: Rules, inputs: Inputs) -> LeanRecord:
        """Run all of `inputs` from a fresh book."""
        book = new_book(rules)
        symbols = len(rules.instruments)
        sizes = symbols, len(rules.adjustments)
        if sizes not in self._buffers:
            slices = max(1, ROWS_PER_CHUNK // symbols)
            self._buffers = {sizes: new_out(symbols, slices, len(rules.adjustments))}
        if len(self._equity) < len(inputs.bars):
            self._equity = np.empty(len(inputs.bars), EQUITY)
        buffers, digest = self._buffers[sizes], RunDigest(is_threaded=False)
        fills: list[np.ndarray] = []
        moved = [np.empty(0, CASHFLOW)]
        start, slices = 0, 0
        while start < len(inputs.bars):
            equity = self._equity[slices : slices + len(buffers.decisions)]
            out = buffers._replace(equity=equity)
            out.counts[:] = 0
            after = run_slices(book, rules, inputs, start, out)
            assert after > start, "buffers hold at least one slice"
            start = after
            rows = int(out.counts[EQUITIES])
            slices += rows
            filled = out.fills[: out.counts[FILLS]]
            digest.add(out.decisions[: out.counts[DECISIONS]], filled, equity[:rows])
            if len(filled):
                fills.append(filled.copy())
            if out.counts[CASHFLOWS]:
                moved.append(out.cashflows[: out.counts[CASHFLOWS]].copy())
        joined = np.concatenate(fills) if fills else np.empty(0, FILL)
        return LeanRecord(
            book, joined, self._equity[:slices], digest.hexdigest(), np.concatenate(moved)
        )
