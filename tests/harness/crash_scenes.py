"""The small paper runs that the crash harness cuts off: bars, config, and how they end uncut.

Law: between them they have working orders over several bars, partial fills, denied and throttled
orders, shorts, stops, targets and trailing stops, a split and dividends, missing bars, cancelled
orders, a day that ends, a limit that only reduces and one that halts. Deadlines are long: on a busy
machine nothing but the script may change what a run does.
"""

import contextlib
import dataclasses
import os
import threading
from pathlib import Path

import numpy as np

from trader.config.load import LoadedConfig, load_config
from trader.feeds.feed import BarSet, load_history

CONFIG = """
name: crash
instruments: [{symbols}]
feed: {{type: csv, path: bars.csv, timestamp: close, timezone: UTC{feed}}}
bar_period_seconds: 60
features:
  fast: {{type: sma, period: 2}}
  slow: {{type: sma, period: 4}}
exits: {{{exits}}}
model: {{type: rule, buy: fast > slow + 0.2, sell: fast < slow - 0.2}}
position_sizing: {{mode: {mode}, base_size: {size}, allow_short: {short}}}
risk:
  max_position_size: 60
  max_order_size: 60
  min_order_size: 3
  max_daily_loss: {loss}
  max_position_concentration: none
  max_executions_without_review: {review}
  market_hours: 24x7
throttle:
  max_volume_participation: 0.05
  volume_window: 4
  max_spread_bps: none
  max_volatility: {volatility}
  volatility_window: 5
  max_order_size: 45
broker:
  cash: 100000
  commission: {{type: bps, value: 1.0}}
  slippage: {{type: bps, value: 10.0}}
  max_fill_participation: {fill}
execution:
  model_isolation: thread
  model_timeout_seconds: 120
  snapshot_every: {snapshot}
watchdog: {{soft_s: 120, hard_s: 240}}
"""
USUAL = {
    "symbols": "A",
    "mode": "target",
    "size": 30,
    "short": "true",
    "loss": "none",
    "review": "none",
    "volatility": "none",
    "fill": 0.02,
    "snapshot": 40,
    "feed": "",
    "exits": "",
    "begins": "2024-03-04T10:00:00",
}
MIDNIGHT = "2024-03-04T23:53:00"  # so that a session ends in the middle of the run
EXITS = (
    "stop_loss: {type: percent, value: 0.5}, take_profit: {type: percent, value: 0.6}, "
    "trailing_stop: {type: percent, value: 0.7}"
)
ADJUSTMENTS = """timestamp,symbol,kind,value
2024-03-04T23:57:00Z,A,split,1.1
2024-03-05T00:01:00Z,B,dividend,0.25
2024-03-05T00:02:00Z,A,dividend,0.1
"""
SCENES = {  # name → (bars a symbol, what differs from USUAL)
    "plain": (20, {}),
    "pair": (16, {"symbols": "A, B", "fill": 0.01, "snapshot": 25, "begins": MIDNIGHT}),
    "three": (
        14,
        {
            "symbols": "A, B, C",
            "mode": "increment",
            "size": 17,
            "snapshot": 60,
            "begins": MIDNIGHT,
            "feed": ", adjustments: adjustments.csv",
            "exits": EXITS,
        },
    ),
    "losing": (18, {"symbols": "A, B", "loss": 25, "volatility": 0.011, "fill": "none"}),
    "review": (18, {"symbols": "A, B", "review": 6, "short": "false"}),
}
HALTS = ("review",)  # scenes that end with 6 and go on after a re-arm


@dataclasses.dataclass
class Scene:
    """One run to be cut off. `passed` counts how often an uncut run passes each named point."""

    name: str
    folder: Path
    loaded: LoadedConfig
    symbols: tuple[str, ...]
    history: BarSet
    passed: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.1  # an uncut run takes

    @property
    def config_file(self) -> Path:
        return self.folder / "crash.yaml"

    @property
    def halts(self) -> bool:
        return self.name in HALTS


def make_scenes(folder: Path) -> list[Scene]:
    """Write every scene under `folder` and load its config."""
    return [_make(folder / name, number) for number, name in enumerate(SCENES, 1)]


def _make(folder: Path, number: int) -> Scene:
    count, changes = SCENES[folder.name]
    folder.mkdir(parents=True)
    words = {**USUAL, **changes}
    symbols = tuple(str(words["symbols"]).split(", "))
    (folder / "crash.yaml").write_text(CONFIG.format(**words))
    (folder / "adjustments.csv").write_text(ADJUSTMENTS)
    (folder / "bars.csv").write_text(bars_text(number, count, symbols, str(words["begins"])))
    with contextlib.chdir(folder):
        loaded = load_config([folder / "crash.yaml"], ())
        history = load_history(loaded.config)
    once = loaded.resolved_yaml()
    loaded.__dict__["resolved_yaml"] = lambda: once  # 20 ms a run, and always the same
    return Scene(folder.name, folder, loaded, symbols, history)


def bars_text(
    seed: int, count: int, symbols: tuple[str, ...], begins: str = USUAL["begins"]
) -> str:
    """Prices that turn often, thin volume; of several symbols one bar in ten is missing."""
    chance = np.random.default_rng(seed)
    stamps = np.datetime64(begins) + np.arange(count).astype("timedelta64[m]")
    level = dict.fromkeys(symbols, 100.0)
    lines = ["timestamp,symbol,open,high,low,close,volume"]
    for minute in range(count):
        for symbol in symbols:
            opened = level[symbol] + chance.normal(0, 0.2)
            level[symbol] = closed = opened + chance.normal(0, 0.9)
            high, low = max(opened, closed) + 0.2, min(opened, closed) - 0.2
            volume = int(chance.integers(150, 900))
            if len(symbols) > 1 and minute and chance.random() < 0.1:
                continue
            stamp = f"{stamps[minute]}Z"
            prices = f"{opened:.2f},{high:.2f},{low:.2f},{closed:.2f}"
            lines.append(f"{stamp},{symbol},{prices},{volume}")
    return "\n".join(lines) + "\n"


def join_threads() -> None:
    """Wait until this process has one thread: a fork copies no other."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(10)
    left = [thread.name for thread in threading.enumerate()]
    if len(left) > 1:
        raise RuntimeError(f"process {os.getpid()} still has the threads {left}")
