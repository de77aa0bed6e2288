"""Paper runs of a real config, journaled as they go: what replay and parity are tested on.

Law: features come from the stream and actions from the model slice by slice, as in a paper run;
nothing of the batch path is used to make them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests import config_demo
from tests.core_kit import random_bars
from tests.journal_kit import PaperRun, identity, slices
from trader.engine.recorded import rules_details
from trader.engine.ruleset import build_rules
from trader.feeds.sessions import session_table
from trader.jobs.verify import CONFIG
from trader.journal import entries as build
from trader.models.model import load_model, predict_rows
from trader.models.prediction import Prediction
from trader.wiring import build_features

SYMBOLS = ("ACME", "BTC/USD")
TEXT = config_demo.demo(
    ("{symbol: ACME, tick_size: 0.01, lot_size: 1}", "ACME\n  - BTC/USD"),
    ("period: 10", "period: 3"),
    ("period: 30", "period: 8"),
    ("allow_short: false", "allow_short: true"),
    ("max_spread_bps: 50", "max_spread_bps: 10"),
    ("max_position_size: 1000", "max_position_size: 250"),
    ("max_daily_loss: 1000", "max_daily_loss: 400"),
)


class RecordedRun(PaperRun):
    """A run of a config in `folder` over `bars` (random ones), with the config beside it."""

    def __init__(
        self,
        folder: Path,
        *overrides: str,
        own_rules: bool = True,
        text: str = TEXT,
        bars: np.ndarray | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        loaded = config_demo.load(config_demo.write(folder, text), *overrides)
        (folder / CONFIG).write_text(loaded.resolved_yaml())
        config = loaded.config
        self.bars = random_bars(len(folder.name), 120, len(SYMBOLS)) if bars is None else bars
        stamps = self.bars["ts_ns"]
        hours = session_table(config.risk.market_hours, int(stamps[0]), int(stamps[-1]))
        rules = build_rules(config, hours)
        self.features = build_features(config, hours, ()).stream()
        self.model = load_model(config, tuple(config.features), config.symbols)
        who = replace(identity(rules, folder.name), config_sha=loaded.sha256)
        start = build.RunStart(
            who,
            folder.name,
            "paper",
            config.symbols,
            config.broker.cash,
            details=rules_details(rules) if own_rules else {},
        )
        super().__init__(folder, rules, folder.name, start)
        self.symbols = config.symbols

    def answers(self, bars: np.ndarray) -> Prediction:
        """What the streaming features and the model say of a slice."""
        rows = np.array([self.features.update(bar) for bar in bars])
        return predict_rows(self.model, bars, rows)

    def trade(self, count: int | None = None) -> "RecordedRun":
        """Feed the first `count` slices (all)."""
        for part in slices(self.bars)[:count]:
            self.feed(part, *self.answers(part))
        return self


def recorded_run(folder: Path, *overrides: str, own_rules: bool = True) -> RecordedRun:
    """A whole run, snapshotted and ended."""
    run = RecordedRun(folder, *overrides, own_rules=own_rules).trade()
    run.snapshot()
    run.end()
    return run
