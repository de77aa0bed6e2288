"""Listening to a broker outside while a run waits for bars.

Law: between two slices alone. An account that differs from the book stops the run for good.
"""

from trader.engine.broker_slices import BrokerSlices
from trader.engine.journaled import JournaledSlices
from trader.engine.loop import ExecutionLoop
from trader.jobs.paper.guard import FAULT


class BrokerWatch:
    """What the broker says goes to the book, the journal and the hooks."""

    def __init__(self, loop: ExecutionLoop, slices: BrokerSlices) -> None:
        self._loop, self._slices = loop, slices

    async def look(self) -> None:
        """One look."""
        await self._loop.between_slices(self._slices.hear)
        tell_fills(self._slices, self._loop)
        if self._slices.account.fault:
            text = f"the account at the broker differs: {self._slices.account.fault}"
            self._loop.request_stop(FAULT, text)


def tell_fills(slices: JournaledSlices, loop: ExecutionLoop) -> None:
    """Let hooks hear of the fills that a broker outside told."""
    if not isinstance(slices, BrokerSlices):
        return
    for fill in slices.account.fills:
        loop.tell_filled(fill)
    slices.account.fills.clear()
