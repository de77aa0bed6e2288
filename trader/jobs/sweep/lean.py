"""One backtest without what only a run folder needs: the core leaves a trace, and no rows.

Law: the core and the digest are those of `run_history`; what is left out is only never written
(`trader/engine/trial.py`). The buffers are made once for a worker, so that a trial asks the system
for no memory.
"""

from dataclasses import dataclass

import numpy as np

from trader.books import new_book, new_out
from trader.core.book import CASHFLOWS, FILLS, Book, Inputs, Out, Rules
from trader.core.schema import CASHFLOW, FILL
from trader.engine.compiled_loop import run_slices
from trader.engine.digest import RunDigest
from trader.engine.trial import REQUESTED, TRACED, VALUED, Trace, new_trace, seen_of
from trader.record_arrays import copied, joined

ROWS = 65_536  # fills and requests until they are taken away; what is not used costs nothing


@dataclass
class LeanRecord:
    """What a lean run left.

    `fills` and `equity` may be the runner's own buffers: read them before the next run.
    """

    book: Book
    fills: np.ndarray  # FILL
    equity: np.ndarray  # f8, one a slice
    digest: str
    cashflows: np.ndarray  # CASHFLOW


class LeanRunner:
    """Runs one set of inputs after another in the same buffers."""

    def __init__(self) -> None:
        self._trace = new_trace(0, ROWS)
        self._buffers: dict[tuple[int, int], Out] = {}
        self._fresh: tuple[Rules, Book] | None = None  # the last rules, and their book

    def run(
        self, rules: Rules, inputs: Inputs, seen: tuple[np.ndarray, np.ndarray] | None = None
    ) -> LeanRecord:
        """Run all of `inputs` from a fresh book; `seen` is `engine.trial.seen_of` their bars."""
        seen = seen or seen_of(inputs.bars)
        book, out = self._book(rules), self._out(rules)
        trace = self._room(len(inputs.bars), len(rules.instruments))
        trace = trace._replace(closes=seen[0], spreads=seen[1])
        digest = RunDigest(is_threaded=False)
        fills: list[np.ndarray] = []
        moved: list[np.ndarray] = []
        start = 0
        trace.counts[:] = 0
        out.counts[:] = 0
        while start < len(inputs.bars):
            after = run_slices(book, rules, inputs, start, out, trace)
            assert after > start, "buffers hold at least one slice"
            start = after
            digest.add_requests(trace.requests[: trace.counts[REQUESTED]])
            filled = out.fills[: out.counts[FILLS]]
            fills.append(copied(filled) if start < len(inputs.bars) else filled)
            if out.counts[CASHFLOWS]:
                moved.append(copied(out.cashflows[: out.counts[CASHFLOWS]]))
            out.counts[:] = 0
            trace.counts[REQUESTED] = 0
        filled = fills[0] if len(fills) == 1 else joined(fills, FILL)
        equity = trace.equity[: trace.counts[VALUED]]
        digest.add_trace(trace.outcomes[: trace.counts[TRACED]], filled, equity)
        return LeanRecord(book, filled, equity, digest.hexdigest(), joined(moved, CASHFLOW))

    def _book(self, rules: Rules) -> Book:
        """A book before the first bar: a copy is made faster than another."""
        if self._fresh is None or self._fresh[0] is not rules:
            self._fresh = rules, new_book(rules)
        return Book(*(copied(array) for array in self._fresh[1]))

    def _out(self, rules: Rules) -> Out:
        """Buffers for rules of this shape."""
        symbols = len(rules.instruments)
        sizes = symbols, len(rules.adjustments)
        if sizes not in self._buffers:
            out = new_out(symbols, max(1, ROWS // symbols), len(rules.adjustments))
            self._buffers = {sizes: out}
        return self._buffers[sizes]

    def _room(self, bars: int, symbols: int) -> Trace:
        """A trace with room for so many bars, and the requests of a slice at least."""
        if len(self._trace.outcomes) < bars or len(self._trace.requests) < symbols:
            self._trace = new_trace(bars, max(ROWS, symbols))
        return self._trace
