"""What a journal must say, beyond matching hashes.

    run        RUN_START first and once; RUN_RESUME brings the same limits, config, model and code
    slice      BAR, then ACTION for the same symbols, then DECISION for the same symbols and actions
    limits     a refusal names the limit RUN_START set; nothing approved is beyond it
    checks     what is approved passed: under a refusal only what closes, never against its action
    orders     every ORDER_INTENT comes from an approved decision of its slice, and only one does
    kill       nothing is sent between a KILL and the REARM of every kill in force
    money      only interest is of no symbol; fees, interest and taxes cost
    positions  SNAPSHOT, RUN_END, RECONCILED hold what the fills add up to; so a DECISION's cash

Law: this is a second opinion: it reads records only and shares no rule with the code that wrote
them. It never raises for what a journal says; it returns the first thing wrong with each record.
"""

import math
from typing import Any

from trader.core.schema import CashflowKind, TradingAction
from trader.journal.audit.broker_account import account_fault
from trader.journal.audit.finer import finer_fault
from trader.journal.audit.orders import EXIT, TOLERANCE, OrderFold
from trader.journal.audit.refusals import (
    CAPS_UNDER,
    CUT_BY,
    LIMIT_BY_CODE,
    OPENING_REFUSED,
    flow_fault,
    marked_symbols,
    reason_name,
)
from trader.journal.audit.stops import Stops
from trader.journal.records import fault_in, number

EXIT_LEGS = (1, 2, 3)  # stop, target, trailing stop
CLOSING = 4  # the closing half of a reversal

Data = dict[str, Any]
Stamp = tuple[int, int, int | None]  # seq, mono_ns, event_ns

SIDE_OF = {TradingAction.BUY: 1.0, TradingAction.SELL: -1.0}  # of an order that opens
# The code may be newer: a start replays the journal with its own code before it goes on.
SAME_FOR_LIFE = ("run_id", "limits", "symbol_limits", "config_sha", "model_sha")
# what may follow RUN_END; another process, after a reboot perhaps, with its clock started anew
AFTER_RUN_END = frozenset({"RUN_RESUME", "KILL", "REARM", "ALERT", "CHECKPOINT"})
SLICE_USE = "slice"


class Meaning:
    """Fold of one journal; `check` it record by record, in order."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.fold = OrderFold(0.0)
        self._start: Data = {}
        self._symbols: list[str] = []
        self._limits: list[dict[str, float]] = []  # by symbol
        self._column: dict[str, int] = {}  # of DECISION rows
        self._flow_column: dict[str, int] = {}  # of CASHFLOW rows
        self._cash_column = 0
        self._mono_ns = 0
        self._bar_ns: int | None = None
        self._bar_symbols: list[int] = []
        self._actions: dict[int, int] | None = None  # symbol → action, until decided on
        self._decided = 0  # decisions so far
        self._of_slice: dict[int, str] = {}  # decision of the last slice → symbol
        self._approved: dict[int, tuple[int, float]] = {}  # decision → (symbol, qty), until used
        self._stops = Stops()
        self._ended = False

    def check(self, stamp: Stamp, kind: str, data: Any) -> str | None:
        """What is wrong with this record after all those before it; None if nothing is."""
        fault = fault_in(kind, data)
        if fault is not None:
            return fault
        seq, mono_ns, _ = stamp
        if (seq == 1) != (kind == "RUN_START"):
            return f"{kind} as record {seq}: a journal has one RUN_START, and begins with it"
        if self._ended and kind not in AFTER_RUN_END:
            return f"{kind} after RUN_END"
        if mono_ns < self._mono_ns and kind not in AFTER_RUN_END:
            return "the monotonic clock went backwards"
        self._mono_ns = mono_ns
        step = _STEPS.get(kind)
        if step is not None:
            fault = step(self, stamp, data)
        return self.fold.take(kind, seq, data) if fault is None else fault

    def _run_start(self, stamp: Stamp, data: Data) -> str | None:
        self._start = data
        self.run_id = data["run_id"]
        self._symbols = data["symbols"]
        layouts, rows = data["layouts"], data.get("symbol_limits")
        rows = rows or [data["limits"]] * len(self._symbols)
        self._limits = [dict(zip(row, map(number, row.values()), strict=True)) for row in rows]
        self._column = {field[0]: place for place, field in enumerate(layouts["DECISION"])}
        flows = enumerate(layouts.get("CASHFLOW", []))
        self._flow_column = {field[0]: place for place, field in flows}
        self._cash_column = [field[0] for field in layouts["ACCOUNT"]].index("cash")
        self.fold = OrderFold(number(data["cash"]))
        self.fold.financed = marked_symbols(data, "rate", "future")
        self.fold.below_zero = marked_symbols(data, "allow_negative_prices")
        if not math.isfinite(self.fold.cash):
            return f"a run that starts with {data['cash']!r} of cash"
        self._stops.begin_life(stamp[0], stamp[1])
        return None

    def _run_resume(self, stamp: Stamp, data: Data) -> str | None:
        for name in SAME_FOR_LIFE:
            if data.get(name) != self._start.get(name):
                return f"the run was resumed with another {name} than it was started with"
        self._ended = False
        self._stops.begin_life(stamp[0], stamp[1])
        return None

    def _bar(self, stamp: Stamp, data: Data) -> str | None:
        event_ns = stamp[2]
        if data["use"] != SLICE_USE:
            return None
        if event_ns is None:
            return "bars without a time"
        if event_ns != self._bar_ns:
            if self._bar_ns is not None and event_ns < self._bar_ns:
                return "a slice earlier than the one before it"
            self._bar_ns, self._bar_symbols = event_ns, []
            self._actions = None
        elif self._actions is not None or not self._bar_symbols:
            return "bars join a slice that was acted on already"
        for row in data["rows"]:
            symbol = row[-2]
            if row[0] != event_ns:
                return "a bar of another time than its record"
            if not 0 <= symbol < len(self._symbols):
                return f"a bar of the unknown symbol {symbol!r}"
            self._bar_symbols.append(symbol)
        return finer_fault(data, self._start["layouts"]["BAR"])

    def _action(self, stamp: Stamp, data: Data) -> str | None:
        symbols = [row[0] for row in data["rows"]]
        if stamp[2] != self._bar_ns or not self._bar_symbols:
            return "actions for a slice whose bars are not recorded"
        if symbols != self._bar_symbols:
            return "actions for other symbols than the slice has bars of"
        self._actions, self._bar_symbols = {row[0]: row[1] for row in data["rows"]}, []
        if len(self._actions) != len(symbols):
            return "two bars of one symbol in a slice"
        return None

    def _decision(self, stamp: Stamp, data: Data) -> str | None:
        if self._actions is None or stamp[2] != self._bar_ns:
            return "decisions without the recorded actions they were taken on"
        actions, self._actions = self._actions, None
        self._approved = {}
        self._of_slice = {}
        column = self._column
        symbol_at, action_at, qty_at = column["symbol"], column["action"], column["approved_qty"]
        expected, self._decided = self._decided, data["first"] + len(data["rows"])
        if data["first"] != expected:
            return f"decision number {data['first']}, and {expected} is next"
        if len(data["rows"]) != len(actions):
            return f"{len(data['rows'])} decisions on {len(actions)} actions"
        for offset, row in enumerate(data["rows"]):
            symbol, qty = row[symbol_at], row[qty_at]
            self._of_slice[data["first"] + offset] = self._name(symbol)
            if actions.get(symbol) != row[action_at]:
                return f"a decision on {self._name(symbol)} on another action than the recorded one"
            if qty == 0.0 and row[column["reason"]] == 0:
                continue  # a plain HOLD
            fault = self._row_fault(row, qty)
            if fault is not None:
                return f"{self._name(symbol)}: {fault}"
            if qty != 0.0:
                self._approved[data["first"] + offset] = (symbol, qty)
        return self.fold.cash_fault(number(data["account"][self._cash_column]))

    def _cashflow(self, stamp: Stamp, data: Data) -> str | None:
        if self._actions is None or stamp[2] != self._bar_ns:
            return "money moved outside a slice"
        column = self._flow_column
        for row in data["rows"]:
            amount, qty, ratio = (number(row[column[name]]) for name in ("amount", "qty", "value"))
            kind = row[column["kind"]]
            symbol = row[column["symbol"]]
            name = self._name(symbol)
            fault = flow_fault(symbol, kind, amount) or self.fold.move(name, amount, qty)
            if fault is None and kind == CashflowKind.SPLIT:
                fault = self.fold.split(name, ratio)
            if fault is not None:
                return fault
        return None

    def _row_fault(self, row: list[Any], qty: float) -> str | None:
        """What is wrong with one decision that has a reason or an approved qty."""
        column, limits = self._column, self._limits[row[self._column["symbol"]]]
        requested = number(row[column["requested_qty"]])
        name = LIMIT_BY_CODE.get(row[column["reason"]])
        if name is not None and number(row[column["limit"]]) != limits[name]:
            return f"refused at {name} {row[column['limit']]!r}, in force is {limits[name]!r}"
        if qty == 0.0:
            return None
        if not (qty * requested > 0.0 and abs(qty) <= abs(requested) * (1.0 + TOLERANCE)):
            return f"approved {qty!r} of a request for {requested!r}"
        caps = ["max_order_size", "throttle_max_order_size"]
        for name in caps[: CAPS_UNDER.get(row[column["reason"]], 2)]:
            if not abs(qty) <= limits[name] * (1.0 + TOLERANCE):
                return f"approved {qty!r} above {name} {limits[name]!r}"
        held = self._held(self._name(row[column["symbol"]]))
        closes = qty * held < 0.0 and abs(qty) <= abs(held) * (1.0 + TOLERANCE)
        reason = row[column["reason"]]
        if reason not in CUT_BY and not (closes and reason in OPENING_REFUSED):
            return f"approved {qty!r} onto {held!r} under the refusal {reason_name(reason)}"
        if not closes and SIDE_OF.get(row[column["action"]], 0.0) * qty <= 0.0:
            return f"approved {qty!r} onto {held!r} on the action {row[column['action']]}"
        largest = max(limits["max_position_size"], abs(held)) * (1.0 + TOLERANCE)
        if not abs(held + qty) <= largest:
            return f"approved {qty!r} onto {held!r}, above max_position_size"
        return None

    def _intent(self, stamp: Stamp, data: Data) -> str | None:
        symbol, qty = data["symbol"], data["qty"]
        if symbol not in self._symbols:
            return f"an order for {symbol}, which the run does not trade"
        self._stops.intended(data["client_order_id"], stamp[1])
        if data["purpose"] == "flatten":
            return self._stops.flatten_fault(data.get("kill_id"), qty, self._held(symbol))
        if data["purpose"] == EXIT:
            return self._exit_fault(data)
        if data["purpose"] != "decision":
            return f"an order for the unknown purpose {data['purpose']!r:.60}"
        approved = self._approved.pop(data["decision"], None)
        if approved is not None and data.get("leg") == CLOSING and 0.0 < qty / approved[1] < 1.0:
            self._approved[data["decision"]] = approved[0], approved[1] - qty
            approved = approved[0], qty  # what is left of it opens, as another order
        if approved is None:
            return f"order {data['client_order_id']} has no approved decision, or a second order"
        if (self._name(approved[0]), approved[1]) != (symbol, qty):
            return (
                f"order {data['client_order_id']} is for {qty!r} {symbol}, its decision approved "
                f"{approved[1]!r} {self._name(approved[0])}"
            )
        return None

    def _exit_fault(self, data: Data) -> str | None:
        """What is wrong with an order that is to rest beside a position."""
        if self._of_slice.get(data["decision"]) != data["symbol"]:
            return f"exit {data['client_order_id']} comes from no decision on {data['symbol']}"
        if data.get("leg") not in EXIT_LEGS:
            return f"exit {data['client_order_id']} is leg {data.get('leg')!r:.20}"
        return None

    def _sent(self, stamp: Stamp, data: Data) -> str | None:
        order = self.fold.orders.get(data["client_order_id"])
        if order is None:
            return None  # which the fold says
        return self._stops.sent_fault(order, data, self._held(order.symbol))

    def _ack(self, stamp: Stamp, data: Data) -> str | None:
        client_id = data["client_order_id"]
        order = self.fold.orders.get(client_id)
        if order is None or order.sent:
            return None
        return self._stops.adopted_fault(order, client_id, self._held(order.symbol))

    def _kill(self, stamp: Stamp, data: Data) -> str | None:
        return self._stops.kill(stamp[0], stamp[1], data)

    def _holdings(self, stamp: Stamp, data: Data) -> str | None:
        if data["last_seq"] != stamp[0] - 1:
            return f"says it follows record {data['last_seq']}"
        fault = self.fold.position_fault(data["positions"])
        return fault or self.fold.cash_fault(number(data["account"][self._cash_column]))

    def _run_end(self, stamp: Stamp, data: Data) -> str | None:
        self._ended = True
        return self._holdings(stamp, data)

    def _held(self, symbol: str) -> float:
        return self.fold.positions.get(symbol, 0.0)

    def _name(self, symbol: Any) -> str:
        known = isinstance(symbol, int) and 0 <= symbol < len(self._symbols)
        return self._symbols[symbol] if known else f"symbol {symbol!r}"


_STEPS = {
    "RUN_START": Meaning._run_start,
    "RUN_RESUME": Meaning._run_resume,
    "BAR": Meaning._bar,
    "ACTION": Meaning._action,
    "DECISION": Meaning._decision,
    "CASHFLOW": Meaning._cashflow,
    "ORDER_INTENT": Meaning._intent,
    "ORDER_SENT": Meaning._sent,
    "ORDER_ACK": Meaning._ack,
    "KILL": Meaning._kill,
    "REARM": lambda self, stamp, data: self._stops.rearm(data),
    "SNAPSHOT": Meaning._holdings,
    "RUN_END": Meaning._run_end,
    "RECONCILED": lambda self, stamp, data: account_fault(self.fold, data),
}
