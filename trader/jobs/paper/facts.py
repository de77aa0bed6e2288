"""What a market says of its instruments, put into the rules of a run.

Law: what the config says holds where it fits the market; where it says nothing the market's steps
are taken, and stand in the journal as rules and as facts. A run goes on only on the steps it began
with.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.config.instrument_rules import account_currency
from trader.config.schema import Config
from trader.core.book import Rules
from trader.errors import ConfigError, UsageError
from trader.feeds.adjustments import load_adjustments
from trader.feeds.corporate_actions import still_to_come, with_actions
from trader.feeds.source import InstrumentFacts

if TYPE_CHECKING:
    from trader.jobs.paper.start import Start

STEPS = ("tick_size", "lot_size")
TAKEN = (*STEPS, "min_notional")


def rules_with_facts(rules: Rules, begun: "Start") -> Rules:
    """The rules of a new run, with the market's steps where the config names none, and with its
    corporate actions."""
    if not begun.market:
        return rules
    require_currencies(begun.config, begun.market)
    instruments = with_facts(rules.instruments, begun.config, begun.market)
    begun.notes += told(begun.config, begun.market)
    actions = begun.actions or ()
    begun.notes += [f"{action}, as the market says" for action in actions]
    adjustments = with_actions(rules.adjustments, actions, begun.config, rules.sessions)
    return rules._replace(instruments=instruments, adjustments=adjustments)


def require_currencies(config: Config, facts: Sequence[InstrumentFacts]) -> None:
    """`ConfigError` where prices that the market quotes in another currency than the account's
    would be taken for its own. An instrument's `currency` holds, whatever the market says."""
    quoted = {fact.currency for fact in facts if fact.currency}
    home = account_currency(config)
    for index, (instrument, fact) in enumerate(zip(config.instruments, facts, strict=True)):
        theirs = fact.currency.upper()
        if not theirs or instrument.currency is not None:
            continue
        key = f"instruments.{index}.currency"
        if home is None and len(quoted) > 1:
            raise ConfigError(
                f"is not given, and the exchange quotes {fact.symbol} in {theirs}, others in "
                f"{', '.join(sorted(quoted - {fact.currency}))}: write it, and broker.currency",
                key,
            )
        if home not in (None, theirs):
            raise ConfigError(
                f"is not given, and the exchange quotes {fact.symbol} in {theirs}, the account "
                f"is in {home}: write {theirs} (and an instrument that is the rate), or {home} "
                "where one is as good as the other",
                key,
            )


def rules_to_come(begun: "Start") -> Rules:
    """The rules of a run that goes on, with the corporate actions that are known by now."""
    rules, sessions = begun.rules, begun.rules.sessions
    if begun.actions is None or begun.fold is None:
        return rules
    of_files = load_adjustments(begun.config, sessions, is_told=False)
    now = with_actions(of_files, begun.actions, begun.config, sessions)
    acted = rules.adjustments[: int(begun.fold.engine.book.carry[0]["adjustments"])]
    opened_ns = (begun.facts.last_ns or 0) - begun.config.period_ns
    return rules._replace(adjustments=still_to_come(acted, now, opened_ns))


def with_facts(
    instruments: np.ndarray, config: Config, facts: Sequence[InstrumentFacts]
) -> np.ndarray:
    """INSTRUMENT records with the market's steps. `ConfigError` where the config's do not fit."""
    changed = instruments.copy()
    for index, (instrument, fact) in enumerate(zip(config.instruments, facts, strict=True)):
        for name in TAKEN:
            said: Decimal | None = getattr(fact, name)
            if said is None:
                continue
            written = Decimal(str(getattr(instrument, name)))
            if name not in instrument.model_fields_set:
                changed[index][name] = float(said)
            elif name in STEPS and written % said != 0:
                raise ConfigError(
                    f"{written.normalize():f} is not a multiple of {said.normalize():f}, the "
                    f"exchange's own step of {fact.symbol}: leave it out, or write a multiple",
                    f"instruments.{index}.{name}",
                )
            elif name not in STEPS and written < said:
                raise ConfigError(
                    f"{written.normalize():f} is below {said.normalize():f}, the exchange's "
                    f"minimum for {fact.symbol}: leave it out, or write at least that",
                    f"instruments.{index}.{name}",
                )
    return changed


def require_same_facts(begun: "Start") -> None:
    """`UsageError` where a run that goes on would find other steps than it began with."""
    if not begun.market:
        return
    now = with_facts(begun.rules.instruments, begun.config, begun.market)
    for index, symbol in enumerate(begun.config.symbols):
        for name in TAKEN:
            before, after = begun.rules.instruments[index][name], now[index][name]
            if before != after:
                raise UsageError(
                    f"{name} of {symbol} was {before:g} when the run began, and the exchange says "
                    f"{after:g} now: start fresh with --new"
                )


def told(config: Config, facts: Sequence[InstrumentFacts]) -> list[str]:
    """One line for each instrument: what was taken from the market."""
    lines = []
    for instrument, fact in zip(config.instruments, facts, strict=True):
        taken = [
            f"{name} {getattr(fact, name).normalize():f}"
            for name in TAKEN
            if getattr(fact, name) is not None and name not in instrument.model_fields_set
        ]
        if taken:
            lines.append(f"{instrument.symbol}: {', '.join(taken)}, as the exchange says")
    return lines


def config_with_steps(config: Config, instruments: np.ndarray) -> Config:
    """The config as it was run: with the steps of the rules."""
    changed = tuple(
        instrument.model_copy(update={name: float(row[name]) for name in TAKEN})
        for instrument, row in zip(config.instruments, instruments, strict=True)
    )
    return config.model_copy(update={"instruments": changed})


def facts_details(facts: Sequence[InstrumentFacts]) -> dict[str, Any]:
    """`{"facts": …}` for the details of RUN_START and RUN_RESUME; nothing without facts."""
    return {"facts": {fact.symbol: fact.document() for fact in facts}} if facts else {}
