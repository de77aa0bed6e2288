"""What a paper run shows of itself: status.json for `trader status`, facts for the terminal.

Law: reads snapshots only, and never holds up the loop: the file is written in the thread of the
journal, one at a time; a disk that does not take it is the watchdog's business.
"""

import math
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.core.book import limits_of
from trader.core.schema import Reason, TradingState
from trader.engine.hook_events import finite
from trader.engine.supervise import Look
from trader.jobs.paper.opening import OpenRun
from trader.jobs.paper.start import Start
from trader.moments import iso_utc

if TYPE_CHECKING:
    from trader.jobs.paper.trading import Parts

WRITE_EVERY = 10  # looks


class StatusBoard:
    """Facts of one run, as of its last snapshot."""

    def __init__(self, begun: Start, opened: OpenRun, parts: "Parts") -> None:
        self._begun, self._opened, self._parts = begun, opened, parts
        self._symbols = begun.config.symbols
        self._limits = begun.rules.limits[0]
        self._limits_of = partial(limits_of, begun.rules)
        self._looks = 0
        self._writing: Future[None] | None = None

    def look(self, show: Callable[[dict[str, Any]], None]) -> Look:
        """A look that shows the facts, and puts them into status.json every second."""

        async def look() -> None:
            self._looks += 1
            facts = self.facts()
            show(facts)
            idle = self._writing is None or self._writing.done()
            if idle and self._looks % WRITE_EVERY == 1:
                document = self.document(facts)
                self._writing = self._opened.desk.pool.submit(
                    self._opened.lease.write_status, document
                )

        return look

    def write(self) -> None:
        """The last word, when the run has ended; a disk that refuses it changes nothing."""
        try:
            self._opened.lease.write_status(self.document(self.facts()))
        except OSError:
            return

    def facts(self) -> dict[str, Any]:
        """For people: the state after the last slice."""
        snapshot = self._parts.loop.snapshot()
        account, positions = snapshot.book.account[0], snapshot.book.positions
        signals, health = self._parts.signals, self._parts.signals.model.health
        return {
            "run_id": self._opened.run_id,
            "name": self._begun.config.name,
            "mode": "paper",
            "timestamp": iso_utc(snapshot.ts_ns) if snapshot.slices else None,
            "trading_state": TradingState(int(account["trading_state"])).name,
            "state_reason": Reason(int(account["state_reason"])).name,
            "equity": float(account["equity"]),
            "cash": float(account["cash"]),
            "day_pnl": float(account["equity"] - account["session_open_equity"]),
            "max_daily_loss": finite(self._limits["max_daily_loss"]),
            "open_pnl": float(_unrealized(positions).sum()),
            "positions": self._positions(positions),
            "working_orders": int(positions["working_orders"].sum()),
            "slices": snapshot.slices,
            "orders": int(account["next_order_id"]) - 1,
            "fills": int(account["next_fill_id"]) - 1,
            "denied": self._parts.loop.denied,
            "throttled": self._parts.loop.throttled,
            "feed_lag_s": max(signals.lag_s, 0.0),
            "refused": dict(self._parts.loop.refused),
            "model": {
                "failures": sum(health.failures.values()),
                "replaced": health.replaced,
                "last_error": health.last_error,
            },
            "hooks": self._parts.loop.hooks.stats(),
        }

    def document(self, facts: dict[str, Any]) -> dict[str, Any]:
        """status.json: the keys of docs/kill-switch.md."""
        counts = ("slices", "fills", "denied", "throttled", "feed_lag_s", "refused", "model")
        book = self._parts.loop.snapshot().book
        account = book.account[0]
        drawdown = 1.0 - float(account["equity"]) / float(account["peak_equity"])
        head = self._opened.journal.head
        return {
            "ts_ns": self._begun.clock.wall_ns(),
            "mode": "paper",
            "run_dir": str(self._opened.folder),
            "trading_state": facts["trading_state"],
            "reason": facts["state_reason"],
            "since_ns": int(account["state_since_ns"]) or None,
            "equity": facts["equity"],
            "cash": facts["cash"],
            "realized_pnl": float(account["realized_pnl"]),
            "unrealized_pnl": facts["open_pnl"],
            "commissions": float(account["commission"]),
            "daily_loss": max(0.0, -facts["day_pnl"]),
            "max_daily_loss": facts["max_daily_loss"],
            "drawdown_frac": drawdown if math.isfinite(drawdown) else None,
            "max_drawdown_frac": finite(self._limits["max_drawdown_frac"]),
            "positions": self._holdings(book.positions),
            "working_orders": facts["working_orders"],
            "orders_sent": self._opened.desk.sent,
            **{key: facts[key] for key in counts},
            "last_bar_ns": int(account["ts_ns"]) or None,
            "journal_head": str(head),
            "journal_durable": str(self._opened.journal.durable_head),
        }

    def _positions(self, positions: np.ndarray) -> dict[str, dict[str, float]]:
        open_pnl = _unrealized(positions)
        return {
            symbol: {
                "qty": float(row["qty"]),
                "price": float(row["mark"]),
                "unrealized_pnl": float(pnl),
            }
            for symbol, row, pnl in zip(self._symbols, positions, open_pnl, strict=True)
            if row["bars"]
        }

    def _holdings(self, positions: np.ndarray) -> list[dict[str, Any]]:
        open_pnl = _unrealized(positions)
        return [
            {
                "symbol": self._symbols[index],
                "qty": float(positions[index]["qty"]),
                "avg_price": float(positions[index]["avg_price"]),
                "mark": float(positions[index]["mark"]),
                "unrealized_pnl": float(open_pnl[index]),
                "max_qty": finite(self._limits_of(index)["max_position_size"]),
            }
            for index in np.flatnonzero(positions["qty"]).tolist()
        ]


def _unrealized(positions: np.ndarray) -> np.ndarray:
    """float64 (symbols,): what closing at the mark would realise."""
    moved = positions["mark"] - positions["avg_price"]
    values: np.ndarray = positions["qty"] * moved * positions["unit_value"]
    return values
