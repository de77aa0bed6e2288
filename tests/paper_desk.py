"""A journal and a desk as a paper run has them, for tests that run the loop in this process.

Law: the journal is real and on disk; the gate is a function, as the latch is tested elsewhere.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from trader.core.book import Rules
from trader.core.schema import Reason
from trader.engine.recorded import rules_details
from trader.engine.surroundings import SendOutcome, SentOrder
from trader.journal import entries as build
from trader.journal.log import Clock as JournalClock
from trader.journal.log import Journal

SHA = hashlib.sha256(b"").hexdigest()


class Clock:
    """The machine's clocks, for the journal's stamps."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def mono_ns(self) -> int:
        return time.monotonic_ns()


class Desk:
    """Where orders go: all pass, unless `gate` says otherwise."""

    snapshot_every = 1_000

    def __init__(
        self,
        symbols: Sequence[str],
        pool: Executor,
        gate: Callable[[SentOrder], Reason] = lambda order: Reason.NONE,
    ) -> None:
        self.symbols = tuple(symbols)
        self.pool = pool
        self._gate = gate
        self.sent: list[SentOrder] = []

    def send(self, order: SentOrder) -> SendOutcome:
        reason = self._gate(order)
        if reason == Reason.NONE:
            self.sent.append(order)
        return SendOutcome(reason)

    def send_closing(self, order: SentOrder, position_qty: float) -> SendOutcome:
        return self.send(order)

    def sent_mono_ns(self) -> int:
        return time.monotonic_ns()


def new_journal(
    path: Path, rules: Rules, symbols: Sequence[str], clock: JournalClock | None = None
) -> Journal:
    """A journal that begins as one of `trader paper` does."""
    who = build.Identity(path.parent.name, {"role": "test"}, rules.limits, SHA, SHA, SHA)
    cash = float(rules.broker[0]["cash"])
    start = build.RunStart(
        who, path.parent.name, "paper", symbols, cash, details=rules_details(rules)
    )
    return Journal.create(path, start, clock or Clock())
