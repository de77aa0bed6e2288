"""Listening to a broker outside while a run waits for bars.

Law: between two slices alone. An account that differs from the book stops the run for good.
"""

from trader.engine.broker_slices import BrokerSlices
from trader.engine.journaled import JournaledSlices
from trader.engine.loop import ExecutionLoop
from trader.engine.supervise import Look
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


def is_outside(slices: JournaledSlices) -> bool:
    """Whether orders fill at a broker outside."""
    return isinstance(slices, BrokerSlices)


async def last_words(slices: JournaledSlices, loop: ExecutionLoop) -> str:
    """Take in the account once more, at an end; where it differs from the book, in words."""
    if not isinstance(slices, BrokerSlices):
        return ""
    await loop.between_slices(slices.settle)
    return slices.account.fault


def broker_looks(loop: ExecutionLoop, slices: JournaledSlices) -> list[Look]:
    """What is to be looked at of the broker: nothing of the simulated one."""
    return [BrokerWatch(loop, slices).look] if isinstance(slices, BrokerSlices) else []


def tell_fills(slices: JournaledSlices, loop: ExecutionLoop) -> None:
    """Let hooks hear of the fills that a broker outside told."""
    if not isinstance(slices, BrokerSlices):
        return
    for fill in slices.account.fills:
        loop.tell_filled(fill)
    slices.account.fills.clear()
