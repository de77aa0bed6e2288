"""Questions to a market's REST, made again until they are answered.

Law: each failure waits longer than the one before, never the same for two programs; a market that
asks for quiet gets it from every question. One that answers again is asked everything at once. A
symbol that is gone is told and asked for no more; keys that are refused end the feed.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence

from trader.feeds.finaliser_events import Ask, Page, SymbolGone
from trader.feeds.source import BarSource, Notice, Remedy, SourceError
from trader.feeds.venue_clock import VenueClock

AT_ONCE = 4  # questions
CHECKS_AT_ONCE = 1  # questions that nobody waits for: they leave the others their turn
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
WAKES_EVERY_S = 30.0  # a question that goes on failing while others are answered keeps its waits


def longer_wait(wait_s: float) -> float:
    """The next wait after one of `wait_s`: about twice as long."""
    return min(max(2.0 * wait_s, FIRST_WAIT_S), LONGEST_WAIT_S) * random.uniform(0.75, 1.25)


def unanswered(name: str, error: SourceError) -> str:
    """What to say of a market that was asked in vain for the last time."""
    hint = ""
    if error.remedy == Remedy.RETRY:
        hint = ". It did not answer: look at this machine's connection, and at feed.options.urls"
    if error.remedy == Remedy.WAIT:
        hint = ". It wants to be asked less: wait some minutes"
    return f"{name}: {error.text}{hint}"


class RestAsker:
    """What the finaliser asks, put to one source; answers go to `put`."""

    def __init__(
        self,
        source: BarSource,
        symbols: Sequence[str],
        time: VenueClock,
        put: Callable[[Page | SymbolGone | Notice | SourceError], None],
    ) -> None:
        self._source, self._symbols, self._time, self._put = source, symbols, time, put
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._slots_of_checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._quiet_until_s = 0.0
        self._answers = asyncio.Event()  # another one for each answer

    async def ask(self, ask: Ask) -> None:
        """Ask until there is an answer, or the symbol is gone."""
        loop, wait_s, failures = asyncio.get_running_loop(), 0.0, 0
        woken_s = loop.time() - WAKES_EVERY_S
        slots = self._slots_of_checks if ask.is_check else self._slots
        while True:
            async with slots:
                await asyncio.sleep(max(self._quiet_until_s - loop.time(), 0.0))
                asked_ns = self._time.now_ns()
                try:
                    bars = await self._source.history(ask.symbol, ask.start_ns, ask.end_ns)
                    self._put(Page(*ask[:3], bars, asked_ns, ask.is_check))
                    self._answers.set()
                    self._answers = asyncio.Event()
                    return
                except SourceError as failure:
                    error = failure
            if error.remedy == Remedy.GONE:
                self._put(Notice("SYMBOL_GONE", self._said(ask, error.text)))
                self._put(SymbolGone(ask.symbol))
                return
            if error.remedy == Remedy.NEVER:
                self._put(error)
                return
            failures += 1
            wait_s = max(longer_wait(wait_s), error.after_s)
            if error.remedy == Remedy.WAIT:
                self._quiet_until_s = max(self._quiet_until_s, loop.time() + wait_s)
            if failures == 1:
                text = f"{error.text}; asked again from {wait_s:.0f} s on"
                self._put(Notice("FEED_REFUSES", self._said(ask, text)))
            if loop.time() - woken_s < WAKES_EVERY_S:
                await asyncio.sleep(wait_s)
            elif await self._is_answering(wait_s):
                woken_s = loop.time()

    async def _is_answering(self, wait_s: float) -> bool:
        """Wait that long, or until another question has been answered; whether one has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._answers.wait()
            return True
        return False

    def _said(self, ask: Ask, text: str) -> str:
        return f"{self._symbols[ask.symbol]}: {text}"
