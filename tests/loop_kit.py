"""A live loop in this process: real streams, gate, core and executors; feed and model doubled.

Law: the doubles stand at the seams where the world begins (what a feed yields, what a model
says); everything between is what `trader paper` runs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.core_kit import START, always_open, make_rules
from tests.paper_kit import CONFIG
from trader.config.load import load_config
from trader.core.schema import BAR, NS_PER_SECOND
from trader.engine.answers import Ages, LiveSignals
from trader.engine.batch import RowKeeper
from trader.engine.loop import ExecutionLoop, StopCause
from trader.engine.slice_takers import PlainSlices
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import LiveSlices, SlicePlan
from trader.feeds.bargate import BarGate
from trader.feeds.live import BadBar, LiveBar
from trader.models.thread_model import ThreadModel
from trader.wiring import build_features


class ListFeed:
    """Yields what it is given; a number in the list is a pause in seconds."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.history = None
        self.items = list(items)
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[LiveBar | BadBar]:
        for item in self.items:
            if isinstance(item, (int, float)):
                await asyncio.sleep(item)
                continue
            if self.closed:
                return
            if isinstance(item, np.void):
                now_ns = time.time_ns()
                yield LiveBar(item, now_ns, int(item["ts_ns"]))
            else:
                yield item

    def at_once(self) -> None:
        """A bar at a time."""

    async def aclose(self) -> None:
        self.closed = True


class FunctionModel:
    """A model that is a function of features (n, k)."""

    feature_names = ("level",)

    def __init__(self, predict: Callable[[np.ndarray], Any]) -> None:
        self._predict = predict

    def check_history(self, bars: np.ndarray) -> None:
        """Any history will do."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> np.ndarray:
        return np.asarray(self._predict(features))


def bar(minute: int, price: float = 60.0, symbol: int = 0, **changes: float) -> np.void:
    """A BAR that opens and closes at `price`, closing `minute` periods after START."""
    row = np.zeros(1, BAR)[0]
    row["ts_ns"] = START + minute * 60 * NS_PER_SECOND
    row["symbol"] = symbol
    row["bid"] = row["ask"] = np.nan
    row["volume"] = 1_000.0
    for name in ("open", "high", "low", "close"):
        row[name] = price
    for name, value in changes.items():
        row[name] = value
    return row.copy()


def buy(features: np.ndarray) -> np.ndarray:
    """BUY for every row."""
    return np.ones(len(features), np.int8)


class LiveRun:
    """One live loop over a list of items."""

    def __init__(
        self,
        folder: Path,
        items: Sequence[Any],
        predict: Callable[[np.ndarray], Any] = buy,
        symbols: int = 1,
        **options: Any,
    ) -> None:
        path = folder / "live.yaml"
        names = ", ".join(f"S{number}" for number in range(symbols))
        path.write_text(CONFIG.format(symbols=names))
        config = load_config([path]).config
        days = always_open(START, START + 30 * 86_400 * NS_PER_SECOND)
        rules = make_rules(days, symbols, **options.get("rules", {}))
        self.stream = build_features(config, days, ()).stream()
        self.feed = options.get("feed") or ListFeed(items)
        self.pool = ThreadPoolExecutor(2)
        self.model = ThreadModel(FunctionModel(predict), options.get("timeout_s", 1.0), self.pool)
        self.decisions: list[np.ndarray] = []
        keeper = RowKeeper(0, (lambda rows: self.decisions.append(rows.copy()),))
        self.engine = SliceEngine(rules, keeper)
        period_ns = options.get("period_ns", config.period_ns)
        gate = BarGate(symbols, period_ns, config.feed.quality, days)
        ages = options.get("ages", Ages())
        now_ns = options.get("now_ns", time.time_ns)
        self.signals = LiveSignals(self.stream, self.model, self.pool, now_ns, ages)
        plan = SlicePlan(
            symbols, options.get("grace_s", 0.2), is_timed=bool(ages.stale_s is not None)
        )
        self.slices = LiveSlices(self.feed, gate, plan)
        self.taker = PlainSlices(self.engine, config.symbols)
        self.loop = ExecutionLoop(self.taker, self.signals)
        self.events: list[dict[str, Any]] = []
        self.loop.hooks.tap(self.events.append)

    async def trade(self) -> StopCause:
        """Run to the end."""
        try:
            return await self.loop.run(aiter(self.slices))
        finally:
            self.pool.shutdown(wait=False, cancel_futures=True)

    def run(self) -> StopCause:
        """`trade` from outside an event loop; leaves `record` behind."""
        stopped = asyncio.run(self.trade())
        self.record = self.engine.record()
        return stopped

    def told(self, event: str) -> list[dict[str, Any]]:
        """Details of every event of one name."""
        return [details for details in self.events if details["event"] == event]

    @property
    def reasons(self) -> list[int]:
        """Reason of every decision, in order."""
        return [int(reason) for rows in self.decisions for reason in rows["reason"]]
