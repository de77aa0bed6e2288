"""A small real run for the report tests: generated bars through the real core, two symbols.

Three trading days of 40 one-minute bars each (the second one with a lunch break), a seeded
random walk, random actions, daily loss and order size limits that bite.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.core.book import Inputs, Rules
from trader.core.schema import (
    BAR,
    BROKER,
    INSTRUMENT,
    LIMITS,
    SESSION,
    SIZING,
    OnBreach,
    TimeInForce,
)
from trader.engine.batch import RowKeeper, run_history
from trader.report.artifacts import DECISIONS, write_run
from trader.report.metrics import market_facts
from trader.report.parquet import DecisionWriter
from trader.report.result import RunResult
from trader.report.tally import DecisionTally

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000
FIRST_DAY = 17_938  # 2019-02-11, in days since 1970
SYMBOLS = ("ACME", 'B,"RK')  # the second one needs quotes in CSV
BARS_A_DAY = 40


def example_config(**changes: Any) -> Config:
    """A valid config; `changes` replace whole sections."""
    sections: dict[str, Any] = {
        "name": "demo",
        "instruments": [{"symbol": SYMBOLS[0]}, {"symbol": SYMBOLS[1], "lot_size": 0.1}],
        "feed": {"type": "csv", "path": "data/{symbol}.csv"},
        "bar_period_seconds": "60",
        "model": {"type": "signals", "path": "actions.csv"},
        "position_sizing": {"mode": "target", "base_size": "10", "allow_short": "true"},
        "risk": {
            "max_position_size": "none",
            "max_order_size": "19.5",
            "max_daily_loss": "150",
            "max_position_concentration": "none",
            "market_hours": "24x7",
        },
        "throttle": {
            "max_volume_participation": "0.1",
            "max_spread_bps": "none",
            "max_volatility": "none",
            "max_order_size": "none",
        },
        "broker": {"cash": "100000"},
    }
    return Config.model_validate(sections | changes)


def example_sessions(days: int = 3) -> np.ndarray:
    """24 hours a day; the second day is broken in two at 00:20."""
    rows = []
    for day in range(FIRST_DAY, FIRST_DAY + days):
        opens, closes = day * DAY_NS, (day + 1) * DAY_NS
        lunch = opens + 20 * MINUTE_NS
        broken = [(opens, lunch, day), (lunch + MINUTE_NS, closes, day)]
        rows += broken if day == FIRST_DAY + 1 else [(opens, closes, day)]
    return np.array(rows, SESSION)


def example_bars(rng: np.random.Generator, days: int = 3) -> np.ndarray:
    """One bar a minute and symbol, sorted by time and symbol."""
    starts = (FIRST_DAY + np.arange(days)) * DAY_NS
    times = (starts[:, None] + MINUTE_NS * np.arange(1, BARS_A_DAY + 1)).ravel()
    bars = np.zeros(len(times) * len(SYMBOLS), BAR)
    bars["ts_ns"] = np.repeat(times, len(SYMBOLS))
    bars["symbol"] = np.tile(np.arange(len(SYMBOLS)), len(times))
    for symbol in range(len(SYMBOLS)):
        close = 50.0 * (symbol + 1) * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(times))))
        mine = bars["symbol"] == symbol
        bars["close"][mine] = close
        bars["open"][mine] = np.append(close[0], close[:-1])
    bars["high"] = np.maximum(bars["open"], bars["close"])
    bars["low"] = np.minimum(bars["open"], bars["close"])
    bars["volume"] = rng.integers(20, 400, len(bars))
    bars["bid"] = bars["ask"] = np.nan
    return bars


def example_rules(config: Config, sessions: np.ndarray) -> Rules:
    """The config's limits as the core's records; everything unset is off."""
    limits, sizing, broker = np.zeros(1, LIMITS), np.zeros(1, SIZING), np.zeros(1, BROKER)
    for name in LIMITS.names or ():
        if limits[name].dtype.kind == "f":
            limits[name] = np.inf
    limits["min_order_size"] = 0.0
    limits["on_daily_loss"] = OnBreach[config.risk.on_daily_loss.upper()]
    limits["max_order_size"] = config.risk.max_order_size
    limits["max_daily_loss"] = config.risk.max_daily_loss
    limits["max_volume_participation"] = config.throttle.max_volume_participation
    limits["volume_window"] = limits["volatility_window"] = 5
    limits["allow_margin"] = 1
    sizing["base_size"] = config.position_sizing.base_size
    sizing["max_leverage"], sizing["rebalance_threshold"] = 1.0, np.inf
    sizing["volatility_window"], sizing["allow_short"] = 5, 1
    broker["cash"], broker["commission_value"] = config.broker.cash, 2.0
    broker["slippage_value"], broker["max_fill_participation"] = 1.0, 0.05
    broker["time_in_force"], broker["period_ns"] = TimeInForce.GTC, MINUTE_NS
    instruments = np.zeros(len(config.instruments), INSTRUMENT)
    instruments["lot_size"] = [instrument.lot_size for instrument in config.instruments]
    return Rules(limits, sizing, broker, instruments, sessions)


class ExampleRun:
    """A run of the real core, and everything it gave out."""

    def __init__(self, seed: int = 1, days: int = 3, **changes: Any) -> None:
        rng = np.random.default_rng(seed)
        self.config = example_config(**changes)
        self.sessions = example_sessions(days)
        self.bars = example_bars(rng, days)
        self.rules = example_rules(self.config, self.sessions)
        actions = rng.choice([0, 1, 2], len(self.bars), p=[0.6, 0.2, 0.2]).astype(np.int8)
        reasons = np.zeros(len(self.bars), np.int16)
        actions[:6], reasons[:6] = 0, 1  # warm-up
        self.tally = DecisionTally()
        chunks: list[np.ndarray] = []
        sinks = (self.tally.add, lambda rows: chunks.append(rows.copy()))
        keeper = RowKeeper(len(self.bars), decision_sinks=sinks)
        self.record = run_history(self.rules, Inputs(self.bars, actions, reasons), keeper)
        self.decisions = np.concatenate(chunks)

    def result(self, **changes: Any) -> RunResult:
        """The run as the backtest hands it over; `changes` replace fields."""
        fields: dict[str, Any] = {
            "run_id": "20261123T073000Z-backtest-demo",
            "run_dir": Path("runs/20261123T073000Z-backtest-demo"),
            "command": "backtest",
            "engine": "batch",
            "command_line": ("trader", "backtest", "-c", "demo.yaml"),
            "started_at": datetime(2026, 11, 23, 7, 30, tzinfo=UTC),
            "finished_at": datetime(2026, 11, 23, 7, 30, 1, 500_000, tzinfo=UTC),
            "exit_code": 0,
            "config": self.config,
            "config_sha256": "ab" * 32,
            "resolved_yaml": "name: demo\nrisk:\n  max_daily_loss: 150\n",
            "sources": ({"path": "data/ACME.csv", "sha256": "cd" * 32, "rows": 120},),
            "model": {"type": "signals", "path": "actions.csv", "sha256": "ef" * 32},
            "quality": {"gaps": 0},
            "bars": len(self.bars),
            "orders": self.record.orders,
            "digest": self.record.digest,
            "tally": self.tally,
            "account": self.record.book.account[0],
            "positions": self.record.book.positions,
            "limits": self.rules.limits[0],
            "fills": self.record.fills,
            "equity": self.record.equity,
            "events": self.record.events,
            "order_rows": self.record.order_rows,
            "cashflows": self.record.cashflows,
            "sessions": self.sessions,
            "market": market_facts(self.bars, len(SYMBOLS), 365.0),
            "timing": {"load_s": 0.1, "core_s": 0.2, "total_s": 0.5},
        }
        return RunResult(**(fields | changes))


def write_example(run: ExampleRun, folder: Path, **changes: Any) -> RunResult:
    """Write the whole run folder as the backtest does; `changes` as for `ExampleRun.result`."""
    result = run.result(run_id=folder.name, run_dir=folder, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    with DecisionWriter(folder / DECISIONS, SYMBOLS) as writer:
        writer.write(run.decisions)
    write_run(folder, result)
    return result
