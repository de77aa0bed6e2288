"""Who takes a slice on: the core and the gate, with or without a journal around them.

Law: one slice at a time. Every intent has been submitted or aborted when `take` returns. The loop
holds its lock around each call; nobody else changes the book.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from trader.core.book import Inputs, Rules
from trader.core.schema import Reason
from trader.engine.answers import Answer
from trader.engine.sliceengine import Gate, SliceEngine
from trader.engine.slices import RefusedBar
from trader.finer_bars import NO_DETAIL, Detail


def slice_inputs(bars: np.ndarray, answer: Answer, detail: Detail = NO_DETAIL) -> Inputs:
    """What the core takes in of one slice."""
    actions, reasons = answer.actions.astype(np.int8), answer.reasons.astype(np.int16)
    return Inputs(bars, actions, reasons, answer.requests, *detail)


class SliceTaker(Protocol):
    """What the loop trades with."""

    engine: SliceEngine
    symbols: tuple[str, ...]  # names behind the numbers of the records

    async def take(
        self, bars: np.ndarray, answer: Answer, more: bool = False, detail: Detail = NO_DETAIL
    ) -> None:
        """One slice: BAR records of one close, an action and a reason for each, and their detail.

        `more`: another slice is taken right after it, and nobody looks before."""
        ...

    async def note(self, refused: Sequence[RefusedBar]) -> None:
        """Bars that are not traded on."""
        ...

    async def cancel_working(self, reason: Reason) -> int:
        """End every working order; how many there were."""
        ...

    def client_id(self, order_id: int) -> str:
        """The id by which the world knows an order of the core."""
        ...


class PlainSlices:
    """A `SliceTaker` in memory: what a backtest needs."""

    def __init__(
        self, engine: SliceEngine, symbols: tuple[str, ...], gate: Gate | None = None
    ) -> None:
        self.engine = engine
        self.symbols = symbols
        self._gate = gate

    async def take(
        self, bars: np.ndarray, answer: Answer, more: bool = False, detail: Detail = NO_DETAIL
    ) -> None:
        """See `SliceTaker`."""
        self.engine.take(slice_inputs(bars, answer, detail))
        self.engine.pass_gate(self._gate)

    async def note(self, refused: Sequence[RefusedBar]) -> None:
        """Nobody to tell."""

    async def cancel_working(self, reason: Reason) -> int:
        """See `SliceTaker`."""
        working = list(self.engine.working())
        for symbol, order in working:
            self.engine.cancel(symbol, int(order["order_id"]), reason)
        return len(working)

    def client_id(self, order_id: int) -> str:
        """The core's own number: nobody outside knows these orders."""
        return str(order_id)


def numbered(rules: Rules) -> tuple[str, ...]:
    """Names for instruments whose names nobody asks for."""
    return tuple(str(number) for number in range(len(rules.instruments)))
