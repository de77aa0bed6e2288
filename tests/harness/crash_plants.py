"""Bugs that the crash harness must find: each is put into the child process by a function.

Law: every one of them leaves an uncut run as it is (but for `late_intent`, which only a crash
shows), so that what finds them is the crash, not the run.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trader.engine import journaled, recover
from trader.engine.answers import Answer
from trader.engine.crash_points import reached
from trader.engine.journaled import JournaledSlices
from trader.engine.recover import Recovery
from trader.engine.slice_takers import slice_inputs
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.records import Entry, Record, client_order_id


def fresh_ids() -> None:
    """An order that is sent again after a crash gets another id."""
    own = str(os.getpid())

    def other(lineage: str, *rest: Any) -> str:
        return client_order_id(lineage + own, *rest)

    journaled.client_order_id = other  # type: ignore[assignment]


def no_intent() -> None:
    """Orders are sent without an intent on record."""
    real = JournaledSlices.outputs

    def outputs(self: JournaledSlices) -> tuple[list[Entry], list[Entry]]:
        entries, intents = real(self)
        return [entry for entry in entries if entry.type != "ORDER_INTENT"], intents

    JournaledSlices.outputs = outputs  # type: ignore[method-assign]


def late_intent() -> None:
    """Orders are sent before their intents are on disk."""

    async def take(self: JournaledSlices, bars: np.ndarray, answer: Answer, *_: object) -> None:
        reached("before_inputs")
        await self._append(self.inputs(bars, answer))
        reached("after_inputs")
        self.step(slice_inputs(bars, answer))
        outputs, intents = self.outputs()
        outcomes = self.pass_gate(intents)
        await self._append(outputs)
        reached("after_outputs")
        await self._append(outcomes, durable=False)

    JournaledSlices.take = take  # type: ignore[method-assign]


def sent_forgotten() -> None:
    """A recovery sends again what is on record as sent."""

    def without_the_last(records: list[Record]) -> list[Record]:
        sent = [one.data["client_order_id"] for one in records if one.type == "ORDER_SENT"][-1:]
        outcomes = ("ORDER_SENT", "ORDER_ACK")
        return [
            one
            for one in records
            if one.type not in outcomes or one.data["client_order_id"] not in sent
        ]

    _in_recovery(without_the_last)


def fill_forgotten() -> None:
    """A recovery does not take in the slice of the last fill that is on record."""

    def without_its_slice(records: list[Record]) -> list[Record]:
        bars = [at for at, one in enumerate(records) if one.type == "BAR"]
        has_filled = any(one.type == "FILL" for one in records[-8:])
        return records[: bars[-1]] if has_filled and bars else records

    _in_recovery(without_its_slice)


def half_outputs() -> None:
    """Fills and decisions of a slice are two transactions instead of one."""
    real = Journal.append

    def append(
        self: Journal, entries: Sequence[Entry], durable: bool = True, checkpoint: bool = False
    ) -> int:
        batch = list(entries)
        cut = next((at for at, one in enumerate(batch) if one.type == "DECISION"), 0)
        if cut:
            real(self, batch[:cut], durable)
        return real(self, batch[cut:], durable, checkpoint)

    Journal.append = append  # type: ignore[method-assign,assignment]


def outputs_unfinished() -> None:
    """A recovery leaves a slice whose outputs are not on record without them."""

    def complete(self: Recovery, real: Any = Recovery.complete) -> None:
        append, self._journal.append = self._journal.append, lambda entries: 0  # type: ignore
        real(self)
        self._journal.append = append  # type: ignore[method-assign]

    Recovery.complete = complete  # type: ignore[method-assign,assignment]


def cancel_unrecorded() -> None:
    """Working orders are cancelled without a word in the journal."""
    build.cancel_intent = lambda client_id, reason: build.alert("CANCEL", client_id)  # type: ignore


def cancel_forgotten() -> None:
    """A recovery forgets that orders were cancelled."""
    _in_recovery(lambda records: [one for one in records if one.type != "CANCEL_INTENT"])


def kill_forgotten() -> None:
    """A recovery does not halt where the run was killed."""
    _in_recovery(lambda records: [one for one in records if one.type != "KILL"])


def gate_bypassed() -> None:
    """A recovery sends what was pending without the gate."""
    from trader.jobs.paper import desk

    def send(self: desk.Desk, order: journaled.SentOrder) -> journaled.SendOutcome:
        self.broker.submit(order)
        return journaled.SendOutcome(journaled.Reason.NONE)

    desk.Desk.send = send  # type: ignore[method-assign]


def _in_recovery(change: Callable[[list[Record]], list[Record]]) -> None:
    """A recovery reads other records than there are."""
    real = recover.read_records

    def read_records(path: Path, *more: Any, **named: Any) -> Iterator[Record]:
        return iter(change(list(real(path, *more, **named))))

    recover.read_records = read_records  # type: ignore[assignment]


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        fresh_ids,
        no_intent,
        late_intent,
        sent_forgotten,
        fill_forgotten,
        half_outputs,
        outputs_unfinished,
        cancel_unrecorded,
        cancel_forgotten,
        kill_forgotten,
        gate_bypassed,
    )
}

# Where the search begins: seeds that show the bug today; where one no longer does, it goes on.
SHOWN_BY = {
    "late_intent": 4,
    "half_outputs": 39,
    "outputs_unfinished": 1,
    "cancel_unrecorded": 91,
    "cancel_forgotten": 8,
    "kill_forgotten": 12,
    "gate_bypassed": 327,
}
