"""The risk block of a run: what the limits did, how close they came, what state it ended in.

Law: counts come from the decisions, extremes from the account as the core kept it, times in a
state from the equity rows; nothing is estimated. A limit that is switched off is None.
"""

import math
from typing import Any

import numpy as np

from trader.core.schema import EventKind, Reason, TradingState
from trader.moments import iso_utc, seconds
from trader.report.curve import CurveFacts
from trader.report.tally import DecisionTally

STATE_CHANGES_SHOWN = 50  # the last ones; `state_changes_total` counts all


def risk_block(
    tally: DecisionTally,
    account: np.void,
    limits: np.void,
    events: np.ndarray,
    curve: CurveFacts | None,
) -> dict[str, Any]:
    """Risk figures by name. `account` is an ACCOUNT record, `limits` a LIMITS record."""
    changes = events[events["kind"] == EventKind.TRADING_STATE]
    cancelled = events[events["kind"] == EventKind.ORDER_CANCELLED]
    return {
        "requested": tally.requested,
        "approved": tally.approved,
        "denied_by_reason": tally.denied_by_reason,
        "trimmed_by_reason": tally.trimmed_by_reason,
        "throttled_by_reason": tally.throttled_by_reason,
        "held_by_reason": tally.held_by_reason,
        "below_lot_size": tally.below_lot_size,
        "cancelled_by_reason": _by_reason(cancelled),
        "actions": tally.actions,
        "trading_state": state_name(account),
        "state_reason": _reason_name(account["state_reason"]),
        "state_since": _state_since(account),
        "state_changes": [_change(event) for event in changes[-STATE_CHANGES_SHOWN:]],
        "state_changes_total": len(changes),
        "worst_daily_loss": float(account["worst_daily_loss"]),
        "max_daily_loss": _limit(limits["max_daily_loss"]),
        "worst_drawdown_frac": float(account["worst_drawdown_frac"]),
        "max_drawdown_frac": _limit(limits["max_drawdown_frac"]),
        **_time_in_states(curve),
    }


def _time_in_states(curve: CurveFacts | None) -> dict[str, float]:
    """Seconds, and the fraction of the time from first to last slice, not ACTIVE."""
    times: dict[str, float] = {}
    for state in (TradingState.REDUCING, TradingState.HALTED):
        spent_ns = curve.state_ns[state] if curve else 0
        span_ns = curve.span_ns if curve else 0
        times[f"{state.name.lower()}_s"] = seconds(spent_ns)
        times[f"{state.name.lower()}_frac"] = spent_ns / span_ns if span_ns else 0.0
    return times


def _change(event: np.void) -> dict[str, Any]:
    return {
        "time": iso_utc(event["ts_ns"]),
        "from": TradingState(int(event["limit"])).name,
        "to": TradingState(int(event["value"])).name,
        "reason": _reason_name(event["reason"]),
    }


def state_name(account: np.void) -> str:
    """The trading state at the end; a halt because equity is below zero has its own word."""
    if account["state_reason"] == Reason.BANKRUPT:
        return Reason.BANKRUPT.name
    return TradingState(int(account["trading_state"])).name


def _state_since(account: np.void) -> str | None:
    """When the trading state last changed; None if it never did."""
    return iso_utc(account["state_since_ns"]) if account["state_since_ns"] else None


def _reason_name(code: int) -> str:
    """Name of a reason; empty for NONE, as in decisions.parquet."""
    return "" if code == Reason.NONE else Reason(int(code)).name


def _by_reason(events: np.ndarray) -> dict[str, int]:
    codes, counts = np.unique(events["reason"], return_counts=True)
    named = {Reason(int(code)).name: int(count) for code, count in zip(codes, counts, strict=True)}
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def _limit(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
