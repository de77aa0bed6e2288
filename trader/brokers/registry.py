"""Brokers by the name of their type: the simulated one, and what packages add.

A package adds a broker with one entry point of the group `trader.brokers`, which names a pair
(section of `broker.options`, factory):

    class Options(BaseModel):
        url: str
        key: str                       # in the config ${MY_KEY}, from the environment

    MINE = (Options, lambda options, terms: MyBroker(options.url, options.key, terms.symbols))

What the factory makes is a `Broker` (`brokers.broker`); tests/brokers/test_contract.py has what it
must pass.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from trader.brokers.broker import Broker
from trader.brokers.simulated import SimulatedBroker
from trader.config.options import checked_options
from trader.config.registry import Registry
from trader.config.schema import Config
from trader.config.sections.broker import ENTRY_POINTS, SIMULATED


class NoOptions(BaseModel):
    """A broker without `broker.options`."""

    model_config = {"extra": "forbid"}


class BrokerTerms(NamedTuple):
    """What a broker is told beside its options."""

    symbols: tuple[str, ...]
    name: str  # of the config


class BrokerType(NamedTuple):
    """One kind of broker: the section of its `broker.options`, and how it is made."""

    options: type[BaseModel]
    factory: Callable[[Any, BrokerTerms], Broker]


def _simulated(options: BaseModel, terms: BrokerTerms) -> Broker:
    return SimulatedBroker(time.monotonic_ns)


BUILT_IN = {SIMULATED: BrokerType(NoOptions, _simulated)}
BROKER_NAMES = ("submit", "cancel", "events", "snapshot", "close")  # what a `Broker` has
BROKERS = Registry(ENTRY_POINTS, BrokerType, BUILT_IN, "broker.type", BROKER_NAMES, (OSError,))


def open_broker(config: Config, environ: Mapping[str, str] = os.environ) -> Broker:
    """The broker that `config.broker` names.

    `ConfigError` for options that do not fit, `OSError` where it cannot be reached.
    """
    kind, given = BROKERS.entry(config.broker.type), config.broker.options
    _, options, _ = checked_options(given, "broker.options", kind.options, environ)
    return kind.factory(options, BrokerTerms(config.symbols, config.name))
