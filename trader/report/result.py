"""`RunResult`: everything one run leaves behind, as the run hands it over for reporting.

Law: facts only, in the core's own records; nothing here is formatted. What is derived from them
(round trips, metrics, risk block) is computed once, on first use, and kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.core.schema import CashflowKind
from trader.report.breakdown import by_group, by_period
from trader.report.comparative import Benchmark, against
from trader.report.curve import (
    CurveFacts,
    SessionEnds,
    curve_facts,
    session_ends,
    session_equity,
)
from trader.report.metrics import EquityFacts, MarketFacts, exit_facts, performance
from trader.report.ratios import ANNUALISED, daily_returns
from trader.report.risk import risk_block
from trader.report.roundtrips import RoundTrips, round_trips, with_splits
from trader.report.tally import DecisionTally
from trader.report.uncertainty import about, session_intervals, session_moves, trade_intervals


@dataclass(frozen=True, eq=False)
class RunResult:
    """One finished (or stopped) run. Arrays are the core's records, in order of time."""

    # which run
    run_id: str
    run_dir: Path  # where its folder is, or will be once published
    command: str  # backtest, paper
    engine: str  # batch, loop
    command_line: Sequence[str]
    started_at: datetime  # UTC, aware
    finished_at: datetime
    exit_code: int

    # from what
    config: Config
    config_sha256: str
    resolved_yaml: str
    sources: Sequence[Mapping[str, Any]]  # one per file: path, sha256, rows
    model: Mapping[str, Any]  # type, and path and sha256 where it has them
    quality: Mapping[str, Any]  # data_quality.json

    # what happened
    bars: int
    orders: int  # intents that left the decision step
    digest: str  # hex
    tally: DecisionTally
    account: np.void  # ACCOUNT, at the end
    positions: np.ndarray  # POSITION, at the end
    limits: np.void  # LIMITS, as in force
    fills: np.ndarray  # FILL
    equity: np.ndarray  # EQUITY, one row a slice
    events: np.ndarray  # EVENT
    order_rows: np.ndarray  # ORDER, every one, by id
    cashflows: np.ndarray  # CASHFLOW
    sessions: np.ndarray  # SESSION
    market: MarketFacts
    timing: Mapping[str, float] = field(default_factory=dict)  # load_s … total_s
    in_sample: Mapping[str, Any] | None = None  # what the model was trained on; None: not known
    model_card: Mapping[str, Any] | None = None
    benchmark: Benchmark | None = None
    fees_due: float = 0.0  # account currency: run up since the last roll of the session

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names by the `symbol` number of the records."""
        return self.config.symbols

    @property
    def slices(self) -> int:
        """Instants at which at least one bar closed."""
        return len(self.equity)

    @property
    def start_equity(self) -> float:
        """Account currency before the first bar."""
        return float(self.account["start_equity"])

    @cached_property
    def curve(self) -> CurveFacts | None:
        """What the equity curve shows; None if there was no slice."""
        return curve_facts(self.equity, self.start_equity) if self.slices else None

    @cached_property
    def trips(self) -> RoundTrips:
        """Round trips, flat to flat."""
        lot_sizes = np.array([instrument.lot_size for instrument in self.config.instruments])
        splits = self.cashflows[self.cashflows["kind"] == CashflowKind.SPLIT]
        return round_trips(with_splits(self.fills, splits), lot_sizes)

    @cached_property
    def session_ends(self) -> SessionEnds:
        """The trading sessions of the run."""
        return session_ends(self.equity["ts_ns"], self.sessions, self.config.period_ns)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Every statistic: see `metrics.performance`, and what belongs to it."""
        by_session = session_equity(self.equity, self.session_ends)
        returns = daily_returns(by_session, self.start_equity)
        facts = EquityFacts(self.start_equity, self.curve, returns)
        found = performance(facts, self.fills, self.trips, self.market)
        found |= exit_facts(self.fills, self.trips)
        found["annualised_by"] = dict.fromkeys(ANNUALISED, float(self.market.sessions_per_year))
        found["intervals"] = self._intervals(returns)
        found["by_group"] = by_group(self.trips.closed, self.symbols)
        found["by_period"] = by_period(self.session_ends.dates, by_session, self.start_equity)
        if self.benchmark is not None:
            year = self.market.sessions_per_year
            found["benchmark"] = against(self.benchmark, self.session_ends.dates, returns, year)
        elif self.config.benchmark is not None:
            found["undefined"]["benchmark"] = f"{self.command} compares with none"
        return found

    def _intervals(self, returns: np.ndarray) -> dict[str, Any]:
        seed, year = self.config.seed, self.market.sessions_per_year
        moves = session_moves(self.equity, self.session_ends.rows, self.start_equity, returns)
        found = session_intervals(returns, moves, year, seed)
        found |= trade_intervals(self.trips.closed["pnl"], seed)
        return {"about": about(len(returns), len(self.trips.closed), seed), **found}

    @cached_property
    def risk(self) -> dict[str, Any]:
        """Risk block; see `risk.risk_block`, and what was left open at the end."""
        block = risk_block(self.tally, self.account, self.limits, self.events, self.curve)
        block["on_daily_loss"] = self.config.risk.on_daily_loss
        block["on_drawdown"] = self.config.risk.on_drawdown
        held = np.flatnonzero(self.positions["qty"])
        block["open_positions"] = {
            self.symbols[index]: float(self.positions[index]["qty"]) for index in held
        }
        block["orders_working_at_end"] = int(self.positions["working_orders"].sum())
        block["fees_due"] = self.fees_due
        block["fill_rule"] = self.config.broker.fill
        return block
