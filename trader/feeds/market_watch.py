"""What is asked of a market again and again while a run lives: its time, and its instruments.

Law: a clock that drifts is told once; a run goes on only on the steps it began with.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from trader.feeds.corporate_actions import ActionSource, CorporateAction
from trader.feeds.source import BarSource, InstrumentFacts, Notice, Remedy, SourceError
from trader.feeds.venue_clock import VenueClock

CLOCK_EVERY_S = 60.0
FACTS_EVERY_S = 900.0
STEPS = ("tick_size", "lot_size", "min_qty", "min_notional")

Put = Callable[[Notice | SourceError], None]
ActionDays = Callable[[], tuple[str, str]]  # the first and the last day that matter now


class Renewal(SourceError):
    """The run has to start again with what has become known."""


async def watch_clock(time: VenueClock, put: Put) -> None:
    """Ask for the time for ever; tell when our clock begins to be off."""
    was_off = bool(time.alert())
    while True:
        await asyncio.sleep(CLOCK_EVERY_S)
        with contextlib.suppress(SourceError):
            await time.measure()
        alert = time.alert()
        if alert and not was_off:
            put(Notice("CLOCK_OFFSET", alert))
        was_off = bool(alert)


async def watch_facts(source: BarSource, began: Sequence[InstrumentFacts], put: Put) -> None:
    """Ask for ever what the market says of its instruments; a change of steps ends the feed."""
    trading = {fact.symbol for fact in began if fact.is_trading}
    while True:
        await asyncio.sleep(FACTS_EVERY_S)
        try:
            facts = await source.facts(is_fresh=True)
        except SourceError as error:
            if error.remedy == Remedy.NEVER:
                put(error)
            continue
        if changed := changed_facts(began, facts):
            put(SourceError(changed, Remedy.NEVER))
        for fact in facts:
            if fact.symbol in trading and not fact.is_trading:
                trading.discard(fact.symbol)
                put(Notice("SYMBOL_HALTED", f"{fact.symbol} is not traded at present"))
            elif fact.is_trading:
                trading.add(fact.symbol)


async def watch_actions(
    source: ActionSource, days: ActionDays, began: Sequence[CorporateAction], put: Put
) -> None:
    """Ask for ever for the corporate actions of the days to come. One that was not known when the
    feed began ends it, so that the run goes on with it: rules change at a start only."""
    known = set(began)
    while True:
        await asyncio.sleep(FACTS_EVERY_S)
        try:
            told = await source.actions(*days())
        except SourceError:
            continue
        if fresh := [one for one in told if one not in known]:
            put(Renewal(f"new: {'; '.join(map(str, fresh))}"))
            return


def changed_facts(before: Sequence[InstrumentFacts], after: Sequence[InstrumentFacts]) -> str:
    """What a market says otherwise than before of what it trades, in words; "" for nothing."""
    for old, new in zip(before, after, strict=True):
        for name in STEPS:
            was, now = getattr(old, name), getattr(new, name)
            if was != now and new.is_trading:
                return f"{name} of {old.symbol} was {was} and is {now} now: start fresh with --new"
    return ""
