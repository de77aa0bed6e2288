"""The world of a simulated day: market, feed, model and clock, and what goes wrong with them.

Law: everything follows from one seed. What the feed sent for the first time and could be true is
remembered (`truth`), so that nobody trades on anything else unseen.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from tests.core_kit import MINUTE, START, always_open, make_rules
from tests.harness.virtualtime import VirtualClock
from trader.core.book import Rules
from trader.core.schema import BAR, Reason
from trader.feeds.live import BadBar, LiveBar
from trader.models.answers import to_actions
from trader.models.thread_model import ThreadModel
from trader.models.worker import Health, held

BARS = 390
FEED_FAULTS = {
    "duplicate": 0.01,
    "revised": 0.006,
    "late": 0.006,
    "missing": 0.01,
    "nonsense": 0.008,
    "hundredfold": 0.002,
    "bad_line": 0.004,
    "silence": 0.003,
    "flood": 0.003,
    "reconnect": 0.004,
    "slow_symbol": 0.01,
}
MODEL_FAULTS = {
    "raises": 0.004, "timeout": 0.004, "nan": 0.003, "shape": 0.003, "words": 0.003,
    "bools": 0.002, "fractions": 0.002, "short": 0.002, "complex": 0.001,
}  # fmt: skip
CLOCK_FAULTS = {"forward": 0.002, "back": 0.002, "tomorrow": 0.001, "still": 0.003}
NONSENSE = (
    ("close", math.nan), ("open", math.inf), ("low", -1.0), ("high", 0.0), ("volume", -5.0),
    ("close", 1e308), ("low", 1e9),
)  # fmt: skip


def chosen(chance: np.random.Generator, faults: dict[str, float]) -> str:
    """One of `faults` by its probability, "" mostly."""
    roll = float(chance.random())
    for name, probability in faults.items():
        roll -= probability
        if roll < 0.0:
            return name
    return ""


def day_rules(chance: np.random.Generator, symbols: int) -> Rules:
    """Rules of a day: limits that bite, costs, partial fills."""

    def rarely(tight: float, usual: float) -> float:
        """A limit that bites on some days, so that there is trading on the others."""
        return tight if chance.random() < 0.2 else usual

    return make_rules(
        always_open(START, START + 3 * 86_400 * 10**9),
        symbols,
        mode=int(chance.integers(2)),
        base_size=float(chance.choice([10.0, 40.0])),
        allow_short=int(chance.integers(2)),
        max_position_size=rarely(25.0, 120.0),
        max_order_size=rarely(30.0, 100.0),
        max_daily_loss=rarely(30.0, rarely(200.0, math.inf)),
        on_daily_loss=int(chance.integers(3)),
        max_position_concentration=rarely(0.02, math.inf),
        max_gross_exposure=rarely(0.05, math.inf),
        max_orders_per_day=rarely(40.0, math.inf),
        max_volume_participation=rarely(0.02, math.inf),
        max_volatility=rarely(0.0008, math.inf),
        throttle_max_order_size=rarely(15.0, math.inf),
        max_fill_participation=rarely(0.01, math.inf),
        commission_value=float(chance.choice([0.0, 2.0])),
        slippage_value=float(chance.choice([0.0, 5.0])),
        time_in_force=int(chance.choice([0, 0, 1, 2])),
    )


def day_bars(chance: np.random.Generator, symbols: int) -> np.ndarray:
    """BAR (BARS, symbols): a random walk for each symbol."""
    bars = np.zeros((BARS, symbols), BAR)
    steps = chance.normal(0.0, 0.0008, (BARS, symbols)).cumsum(axis=0)
    close = np.round(100.0 * np.exp(steps), 2)
    opened = np.concatenate([close[:1], close[:-1]])
    bars["open"], bars["close"] = opened, close
    bars["high"] = np.maximum(opened, close) + 0.02
    bars["low"] = np.minimum(opened, close) - 0.02
    bars["volume"] = chance.integers(50, 3_000, (BARS, symbols))
    bars["bid"], bars["ask"] = close - 0.01, close + 0.01
    bars["symbol"] = np.arange(symbols)
    bars["ts_ns"] = (START + (np.arange(BARS) + 1) * MINUTE)[:, None]
    return bars


class SimFeed:
    """A day's bars with faults, each slice a minute after the one before; can be gone on with."""

    def __init__(self, chance: np.random.Generator, bars: np.ndarray, clock: VirtualClock) -> None:
        self.history = None
        self.faults: Counter[str] = Counter()
        self.truth: set[bytes] = set()  # bars that may be traded on
        self._sent: dict[tuple[int, int], bool] = {}  # (close, symbol) that has been shown
        self._newest: dict[int, int] = {}
        self._chance, self._bars, self._clock = chance, bars, clock
        self._next = 0
        self._held_back: list[np.void] = []

    async def __aiter__(self) -> AsyncIterator[LiveBar | BadBar]:
        while self._next < len(self._bars):
            row = self._bars[self._next]
            self._next += 1
            fault = chosen(self._chance, FEED_FAULTS)
            self.faults[fault] += bool(fault)
            if fault != "flood":  # that one comes at once
                await asyncio.sleep(240.0 if fault == "silence" else 60.0)
            for item in self._items(row, fault):
                if isinstance(item, float):
                    await asyncio.sleep(item)
                else:
                    yield self._shown(item)

    def _items(self, row: np.ndarray, fault: str) -> list[Any]:
        bars = [bar.copy() for bar in row]
        victim = int(self._chance.integers(len(bars)))
        if fault == "duplicate":
            bars.append(bars[victim].copy())
        elif fault == "revised":
            bars.append(_with(bars[victim], "close", float(bars[victim]["close"]) + 0.01))
        elif fault == "late" and self._next > 5:
            bars.append(_with(self._bars[self._next - 4][victim], "volume", 7.0))
        elif fault == "missing":
            del bars[victim]
        elif fault == "nonsense":
            field, value = NONSENSE[int(self._chance.integers(len(NONSENSE)))]
            bars[victim] = _with(bars[victim], field, value)
        elif fault == "hundredfold":
            for field in ("open", "high", "low", "close", "bid", "ask"):
                bars[victim][field] *= 100.0
        elif fault == "bad_line":
            return [BadBar("{", "not one JSON object", self._clock.now_ns()), *bars]
        elif fault == "reconnect":
            again = self._bars[max(0, self._next - 6) : self._next - 1]
            return [*(bar.copy() for past in again for bar in past), *bars]
        elif fault == "slow_symbol":
            slow = bars.pop(victim)
            return [*bars, float(self._chance.choice([0.2, 5.0])), slow]
        return bars

    def _shown(self, item: np.void | BadBar) -> LiveBar | BadBar:
        if isinstance(item, BadBar):
            return item
        key = int(item["ts_ns"]), int(item["symbol"])
        is_new = key not in self._sent and key[0] > self._newest.get(key[1], 0)
        if is_new and _could_be(item):
            self.truth.add(item.tobytes())
        self._sent[key] = True
        self._newest[key[1]] = max(key[0], self._newest.get(key[1], 0))
        now_ns = self._clock.now_ns()
        return LiveBar(item, now_ns, key[0])

    def at_once(self) -> None:
        """A bar at a time."""

    async def aclose(self) -> None:
        """A feed that is closed can be opened again: the market goes on."""


def _with(bar: np.void, field: str, value: float) -> np.void:
    changed = bar.copy()
    changed[field] = value
    return changed


def _could_be(bar: np.void) -> bool:
    """A bar as the rules of the data gate have it, said in another way."""
    prices = [float(bar[name]) for name in ("open", "high", "low", "close")]
    if not all(math.isfinite(price) and price > 0 for price in prices):
        return False
    if max(prices) != prices[1] or min(prices) != prices[2]:
        return False
    return math.isfinite(bar["volume"]) and bool(bar["volume"] >= 0)


class SimModel:
    """A model with moods: buys, sells, holds; fails in every way there is.

    `asked` is what the loop waits for, `predict` the model's own code. It is asked through the
    real `ThreadModel`; only a timeout is made up, as nothing here takes time.
    """

    feature_names = ("level",)

    def __init__(self, chance: np.random.Generator, timeout_s: float) -> None:
        self.faults: Counter[str] = Counter()
        self._chance, self._timeout_s = chance, timeout_s
        self._fault = ""
        self._mood = 1
        self._thread = ThreadModel(self, timeout_s)

    @property
    def health(self) -> Health:
        """How it has been doing."""
        return self._thread.health

    def check_history(self, bars: np.ndarray) -> None:
        """Any will do."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> Any:
        """The model's own code."""
        rows = len(bars)
        if self._fault == "raises":
            raise SystemExit("a model that leaves")
        answers: dict[str, Any] = {
            "nan": np.full(rows, np.nan),
            "shape": np.ones((rows, 2, 2)),
            "words": ["MAYBE"] * rows,
            "bools": np.ones(rows, bool),
            "fractions": np.full(rows, 0.7),
            "short": np.ones(rows - 1, np.int8),
            "complex": np.ones(rows, complex),
        }
        return to_actions(answers.get(self._fault, np.full(rows, self._mood, np.int8)), rows)

    async def asked(self, bars: np.ndarray, features: np.ndarray) -> Any:
        """What the loop gets."""
        if self._chance.random() < 0.15:
            self._mood = int(self._chance.integers(0, 3))
        self._fault = chosen(self._chance, MODEL_FAULTS)
        self.faults[self._fault] += bool(self._fault)
        if self._fault == "timeout":
            await asyncio.sleep(self._timeout_s)
            self.health.note_failure(Reason.MODEL_TIMEOUT, "no answer in time")
            return held(np.zeros(len(bars), np.int16), Reason.MODEL_TIMEOUT)
        return await self._thread.predict(bars, features)


class ResumeRequest:
    """A `SimModel` as the loop knows models."""

    def __init__(self, model: SimModel) -> None:
        self._model = model
        self.health = model.health

    async def start(self) -> None:
        """Loaded already."""

    async def predict(self, bars: np.ndarray, features: np.ndarray) -> Any:
        """See `SimModel.asked`."""
        return await self._model.asked(bars, features)

    def close(self) -> None:
        """Nothing to let go of."""
