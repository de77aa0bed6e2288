"""The bars of a sweep's trials, in the folder that its workers share.

Law: two configs with one key read the same bars, trading hours and finer bars.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trader.config.schema import Config
from trader.engine.trial import seen_of
from trader.finer_bars import NO_DETAIL, Detail
from trader.jobs.sweep.store import ArrayStore, key_of
from trader.wiring import InMemory, load_bars


@dataclass(frozen=True)
class Market:
    """The bars of a trial, shared by all that read the same."""

    key: str
    bars: np.ndarray
    sessions: np.ndarray
    detail: Detail = NO_DETAIL

    @property
    def slices(self) -> int:
        """How many instants the bars close at."""
        stamps = self.bars["ts_ns"]
        return int(np.count_nonzero(stamps[1:] != stamps[:-1])) + 1 if len(stamps) else 0

    @cached_property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """What a trace needs of the bars: `engine.trial.seen_of`."""
        return seen_of(self.bars)


def put_market(store: ArrayStore, config: Config, varied: Iterable[str], given: InMemory) -> None:
    """Load what a config reads into the shared folder, with finer bars if any trial needs them."""
    if config.is_resampled and not {"broker", "broker.intrabar"}.isdisjoint(varied):
        broker = config.broker.model_copy(update={"intrabar": "detail"})
        config = config.model_copy(update={"broker": broker})
    key, history = market_key(config), load_bars(config, given)
    store.put(f"sessions-{key}", np.array(history.sessions))
    for name, array in history.bar_set.detail._asdict().items():
        store.put(f"{name}-{key}", array)
    store.put(f"bars-{key}", history.bar_set.bars)  # the last: it says that all are there


def market_key(config: Config) -> str:
    """Equal for two configs that read the same bars and the same trading hours."""
    about = config.model_dump(include={"instruments", "feed", "bar_period_seconds"}, mode="json")
    return key_of(about, config.risk.market_hours)


def opened_market(store: ArrayStore, key: str) -> Market:
    """What `put_market` put."""
    names = "bars", "sessions", "finer", "edges"
    bars, sessions, *detail = (store.open(f"{name}-{key}") for name in names)
    return Market(key, bars, sessions, Detail(*detail))
