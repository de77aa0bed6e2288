"""What a slice did, as hook events: plain dictionaries of JSON values, for people and programs.

Law: tells, decides nothing, and makes a dictionary only for an event that somebody listens to.
Times are ISO 8601 in UTC; a number that is none (no limit, no reading) is None.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trader.core.schema import (
    EventKind,
    OnBreach,
    OrderKind,
    OrderType,
    Reason,
    ThrottleStage,
    TradingAction,
    TradingState,
)
from trader.engine.answers import Answer
from trader.engine.hooks import Hooks
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import RefusedBar
from trader.moments import iso_utc

Details = dict[str, Any]
# The field of LIMITS that says what crossing a limit does; the others always kill.
POLICIES = {Reason.DAILY_LOSS_LIMIT: "on_daily_loss", Reason.DRAWDOWN_LIMIT: "on_drawdown"}


class Narrator:
    """Turns the rows of a slice into events of `hooks`."""

    def __init__(
        self, hooks: Hooks, symbols: Sequence[str], client_id: Callable[[int], str]
    ) -> None:
        self._hooks = hooks
        self._symbols = tuple(symbols)
        self._client_id = client_id

    def slice_taken(self, bars: np.ndarray, answer: Answer, engine: SliceEngine) -> None:
        """Everything about one slice, after the gate, in the order it happened."""
        hooks, rows = self._hooks, engine.rows()
        if hooks.has("bar"):
            for bar in bars:
                hooks.emit("bar", **self._bar(bar))
        if hooks.has("order_filled"):
            for fill in rows.fills:
                hooks.emit("order_filled", **self._fill(fill))
        self._limits_reached(rows.events, engine.rules.limits[0])
        self.state_changed(rows.events)
        if hooks.has("action_generated"):
            for row in zip(bars, answer.actions.tolist(), answer.reasons.tolist(), strict=True):
                hooks.emit("action_generated", **self._action(*row))
        asked = rows.decisions[rows.decisions["requested_qty"] != 0.0]
        for decision in asked:
            self._decided(decision)
        if hooks.has("order_sent"):
            for _, order in engine.working():
                if order["ts_ns"] == bars[0]["ts_ns"]:
                    hooks.emit("order_sent", **self._sent(order))

    def state_changed(self, events: np.ndarray) -> None:
        """trading_state_changed for the EVENT rows that tell of one."""
        if not self._hooks.has("trading_state_changed"):
            return
        for event in events[events["kind"] == EventKind.TRADING_STATE]:
            before, after = TradingState(int(event["limit"])), TradingState(int(event["value"]))
            self._hooks.emit("trading_state_changed", **_change(event, before, after))

    def state_since(self, before: TradingState, account: np.void) -> None:
        """trading_state_changed from `before` to the state of `account`, where it is another."""
        after = TradingState(int(account["trading_state"]))
        if after != before:
            row = {"ts_ns": account["ts_ns"], "reason": account["state_reason"]}
            self._hooks.emit("trading_state_changed", **_change(row, before, after))

    def order_filled(self, fill: np.void) -> None:
        """order_filled of a FILL row that no bar brought."""
        if self._hooks.has("order_filled"):
            self._hooks.emit("order_filled", **self._fill(fill))

    def position_closed(self, fill: np.void) -> None:
        """order_sent and order_filled of an order that closed a position for a kill."""
        details = self._fill(fill)
        sent = ("timestamp", "symbol", "side", "qty", "order_id")
        self._hooks.emit("order_sent", **{key: details[key] for key in sent})
        self._hooks.emit("order_filled", **details)

    def _limits_reached(self, events: np.ndarray, limits: np.void) -> None:
        """limit_breach for the EVENT rows that tell of one: each where it changes the state."""
        if not self._hooks.has("limit_breach"):
            return
        for event in events[events["kind"] == EventKind.LIMIT_BREACH]:
            reason = Reason(int(event["reason"]))
            policy = OnBreach.KILL.name
            if reason in POLICIES:
                policy = OnBreach(int(limits[POLICIES[reason]])).name
            elif reason == Reason.MARGIN_CALL:
                policy = OrderKind.LIQUIDATION.name
            self._hooks.emit(
                "limit_breach",
                timestamp=iso_utc(int(event["ts_ns"])),
                reason=reason.name,
                observed=finite(event["value"]),
                limit=finite(event["limit"]),
                policy=policy.lower(),
            )

    def bar_named(self, refused: RefusedBar) -> Details:
        """Close and symbol of a bar that is not traded on, as far as the line tells them."""
        if refused.bar is not None:
            return self._at(refused.bar)
        return {} if refused.symbol < 0 else {"symbol": self._symbols[refused.symbol]}

    def _sent(self, order: np.void) -> Details:
        """An order that left: its prices where it has them."""
        prices = {name: float(order[name]) for name in ("limit_price", "stop_price") if order[name]}
        return {
            **self._at(order),
            **_side(order["qty"]),
            "order_id": self._client_id(int(order["order_id"])),
            "leg": int(order["leg"]),
            "kind": OrderKind(int(order["kind"])).name,
            "type": OrderType(int(order["type"])).name,
            **prices,
        }

    def _decided(self, decision: np.void) -> None:
        hooks = self._hooks
        if decision["approved_qty"] == 0.0:
            if hooks.has("order_denied"):
                hooks.emit("order_denied", **self._denied(decision))
            return
        if decision["throttle"] and hooks.has("order_throttled"):
            hooks.emit("order_throttled", **self._throttled(decision))

    def _at(self, row: np.void) -> Details:
        return {
            "timestamp": iso_utc(int(row["ts_ns"])),
            "symbol": self._symbols[row["symbol"]],
        }

    def _bar(self, bar: np.void) -> Details:
        names = ("open", "high", "low", "close", "volume")
        return {**self._at(bar), **{name: float(bar[name]) for name in names}}

    def _action(self, bar: np.void, action: int, reason: int) -> Details:
        names = {"action": TradingAction(action).name, "reason": Reason(reason).name}
        return {**self._at(bar), **names}

    def _denied(self, decision: np.void) -> Details:
        return {
            **self._at(decision),
            "action": TradingAction(int(decision["action"])).name,
            "requested_qty": float(decision["requested_qty"]),
            "approved_qty": 0.0,
            "reason": Reason(int(decision["reason"])).name,
            "observed": finite(decision["observed"]),
            "limit": finite(decision["limit"]),
        }

    def _throttled(self, decision: np.void) -> Details:
        bits = int(decision["throttle"])
        return {
            **self._at(decision),
            "requested_qty": float(decision["requested_qty"]),
            "approved_qty": float(decision["approved_qty"]),
            "stages": [stage.name for stage in ThrottleStage if stage and stage & bits],
        }

    def _fill(self, fill: np.void) -> Details:
        names = ("price", "commission", "slippage", "realized_pnl")
        return {
            **self._at(fill),
            **_side(fill["qty"]),
            **{name: float(fill[name]) for name in names},
            "order_id": self._client_id(int(fill["order_id"])),
            "leg": int(fill["leg"]),
            "kind": OrderKind(int(fill["kind"])).name,
        }


def _change(row: Any, before: TradingState, after: TradingState) -> Details:
    """`row` has the close (0 where no bar has come yet) and the reason."""
    ts_ns = int(row["ts_ns"])
    return {
        "timestamp": iso_utc(ts_ns) if ts_ns > 0 else None,
        "before": before.name,
        "after": after.name,
        "reason": Reason(int(row["reason"])).name,
    }


def _side(qty: float) -> Details:
    return {"side": "BUY" if qty > 0.0 else "SELL", "qty": abs(float(qty))}


def finite(value: float) -> float | None:
    """The number, or None where it is none."""
    return float(value) if math.isfinite(value) else None
