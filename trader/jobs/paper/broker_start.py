"""What a start asks of the broker before anything is sent, and what a broker outside cannot do.

Law: the account as the broker shows it is adopted and on record before the gate opens. What
differs and cannot be explained refuses the start, and changes no record.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from trader.brokers.broker import AccountSnapshot, Broker, keeps_book
from trader.config.schema import Config
from trader.core.book import Rules
from trader.engine.batch import RowKeeper
from trader.engine.broker_book import BrokerBook
from trader.engine.broker_engine import BrokerEngine, warm_up_outside
from trader.engine.broker_slices import BrokerSlices
from trader.engine.journaled import JournaledSlices
from trader.engine.rebuild import OUTSIDE, Rebuild
from trader.engine.sliceengine import SliceEngine
from trader.errors import ConfigError, TraderError, VerificationError
from trader.jobs.paper.desk import Desk
from trader.journal.broker_entries import is_from_broker
from trader.journal.log import Journal
from trader.journal.store import read_records

TRIES = 5  # for the first snapshot: a line may break
WAIT_S = 0.2  # longer after each


def require_fit(config: Config, broker: Broker, rules: Rules) -> None:
    """`ConfigError` that tells everything of the config that a broker outside does not do."""
    if not keeps_book(broker):
        return
    settings, exits = config.broker, config.exits
    kept = {
        "exits.stop_loss": exits.stop_loss,
        "exits.take_profit": exits.take_profit,
        "exits.trailing_stop": exits.trailing_stop,
        "broker.margin": settings.margin,
        "broker.borrow_rate": settings.borrow_rate,
        "broker.interest_rate": settings.interest_rate,
        "broker.funding": settings.funding,
        "feed.adjustments": config.feed.adjustments,
    }
    text = "only the simulated broker keeps it: write none, or leave it out"
    lacking = [ConfigError(text, key) for key, value in kept.items() if value]
    if (rules.instruments["rate"] != 0).any():
        text = "only the simulated broker converts currencies"
        lacking.append(ConfigError(text, "broker.currency"))
    for i in (rules.instruments["future"] != 0).nonzero()[0]:
        text = "only the simulated broker settles futures: write none, or leave it out"
        lacking.append(ConfigError(text, f"instruments.{i}.future"))
    if lacking:
        raise ConfigError(str(lacking[0]), lacking[0].key, tuple(lacking[1:]))


def engine_of(fold: Rebuild | None, broker: Broker, rules: Rules, keeper: RowKeeper) -> SliceEngine:
    """The engine of a run that goes on, or a new one that fits the broker."""
    if keeps_book(broker):
        warm_up_outside(rules)
    if fold is not None:
        return fold.engine
    return BrokerEngine(rules, keeper) if keeps_book(broker) else SliceEngine(rules, keeper)


def slices_of(
    engine: SliceEngine, journal: Journal, desk: Desk, fold: Rebuild | None
) -> JournaledSlices:
    """Who takes the slices of a run at this broker."""
    if isinstance(engine, BrokerEngine):
        return BrokerSlices(engine, journal, desk, fold)
    return JournaledSlices(engine, journal, desk, fold)


def broker_details(config: Config, broker: Broker) -> dict[str, str]:
    """What RUN_START says of a broker outside."""
    return {OUTSIDE: config.broker.type} if keeps_book(broker) else {}


def executions_of(path: Path) -> Iterator[str]:
    """Ids of the fills on record that a broker outside told."""
    for record in read_records(path, types=("FILL",)):
        if is_from_broker(record.data):
            yield str(record.data["execution_id"])


def reconcile(slices: JournaledSlices, desk: Desk, journal: Journal) -> list[str]:
    """Ask for the account, adopt it, put that on record; what stays UNKNOWN, in words.

    `VerificationError` where it differs from the book, `TraderError` where it cannot be had.
    """
    if isinstance(slices, BrokerSlices):
        account, known = slices.account, executions_of(journal.path)
    else:
        account, known = BrokerBook(slices.engine, desk, slices.client_id), iter(())
    account.begin(known)
    found = account.reconcile(_shown(desk.broker), at_start=True)
    assert found is not None, "nothing was heard before"
    if found.faults:
        raise VerificationError(
            f"the account at the broker is not what this run has on record: "
            f"{'; '.join(found.faults)}. Nothing was sent. Find out what happened there; a fresh "
            "run (--new) begins with a flat account, and with broker.cash in it"
        )
    journal.append(found.entries)
    return _in_words(account.unknown)


def _shown(broker: Broker) -> AccountSnapshot:
    for tries in range(1, TRIES + 1):
        try:
            return broker.snapshot()
        except OSError as error:
            if tries == TRIES:
                raise TraderError(
                    f"the broker does not show its account: {error or type(error).__name__}. "
                    "Nothing was sent; start again"
                ) from None
            time.sleep(WAIT_S * tries)
    raise AssertionError("not reached")


def _in_words(unknown: dict[str, str]) -> list[str]:
    return [
        f"order {name} may have left, and the broker does not show it: {symbol} opens nothing "
        "until it does"
        for name, symbol in unknown.items()
    ]


def send_late(slices: JournaledSlices, journal: Journal, is_too_late: bool) -> None:
    """Once the gate is open: orders that are in doubt once more, and cancellations."""
    if not isinstance(slices, BrokerSlices):
        return
    names: Iterable[str] = () if is_too_late else slices.account.unknown
    journal.append(slices.send_again(names))
    intents = slices.cancel_entries()
    journal.append(intents)
    slices.ask_cancels(intents)
