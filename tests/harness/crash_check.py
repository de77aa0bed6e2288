"""Whether a run that was cut off is what it would have been: the judge of the crash harness.

Law: knows the journal's records, the core and the broker's file; of recovery, replay and the
loop it uses nothing. What happened from outside (kills, re-arms, cancels, orders the gate kept
back, positions a kill closed) is taken from the journal; all else is worked out again from the
bars and actions of the uncut run.
"""

import collections
import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trader.books import new_book, new_out
from trader.core.apply import cancel, close_out, halt, on_slice, rearm, refuse, submit
from trader.core.book import DECISIONS, EQUITIES, FILLS, Book, Inputs, Rules
from trader.core.schema import CASHFLOW, Reason
from trader.engine.digest import RunDigest
from trader.journal.rows import from_rows
from trader.journal.store import read_records

Row = tuple[int, str, dict[str, Any]]


def rows_of(path: Path) -> list[Row]:
    """(seq, type, payload) of every record."""
    return [(one.seq, one.type, one.data) for one in read_records(path)]


@dataclass
class Uncut:
    """An uncut run: what its slices were, what it sent, how it ended."""

    rules: Rules
    symbols: tuple[str, ...]
    bars: list[np.ndarray]  # BAR, one array a slice
    actions: list[tuple[np.ndarray, np.ndarray]]
    digest: str
    book: bytes
    orders: list[tuple[str, int, float]]  # symbol, decision, qty


@dataclass
class Redone:
    """The book of a run worked out again."""

    book: Book
    digest: str = ""
    missing: list[str] = field(default_factory=list)


class Again:
    """Takes the uncut run's slices and a journal's outside events through the core."""

    def __init__(self, uncut: Uncut) -> None:
        self._uncut = uncut
        self._book = new_book(uncut.rules)
        self._out = new_out(4 * len(uncut.symbols), 1, len(uncut.rules.adjustments))
        self._digest = RunDigest()
        self._slices = 0
        self._orders: dict[str, tuple[int, int]] = {}  # client id → symbol, order id
        self._closing: dict[str, int] = {}
        self._kills: set[str] = set()

    def run(self, rows: list[Row]) -> Redone:
        """The end of it."""
        for _, kind, data in rows:
            step = getattr(self, f"_{kind.lower()}", None)
            if step is not None:
                step(data)
        self._close_slice()
        missing = [] if self._slices == len(self._uncut.bars) else [f"{self._slices} slices"]
        return Redone(self._book, self._digest.hexdigest(), missing)

    def _close_slice(self) -> None:
        out, counts = self._out, self._out.counts
        self._digest.add(
            out.decisions[: counts[DECISIONS]],
            out.fills[: counts[FILLS]],
            out.equity[: counts[EQUITIES]],
        )
        counts[:] = 0

    def _action(self, data: dict[str, Any]) -> None:
        self._close_slice()
        if self._slices == len(self._uncut.bars):
            return
        bars = self._uncut.bars[self._slices]
        actions = self._uncut.actions[self._slices]
        on_slice(self._book, self._uncut.rules, Inputs(bars, *actions), 0, len(bars), self._out)
        self._slices += 1

    def _order_intent(self, data: dict[str, Any]) -> None:
        client_id, symbol = data["client_order_id"], self._uncut.symbols.index(data["symbol"])
        if data["purpose"] == "flatten":
            self._closing[client_id] = symbol
        else:
            self._orders[client_id] = symbol, data["order_id"]

    def _order_sent(self, data: dict[str, Any]) -> None:
        client_id = data["client_order_id"]
        if client_id in self._closing:
            close_out(self._book, self._uncut.rules, self._closing[client_id], self._out)
        else:
            submit(self._book, *self._orders[client_id])

    def _order_aborted(self, data: dict[str, Any]) -> None:
        if data["client_order_id"] in self._orders:
            known = self._orders[data["client_order_id"]]
            refuse(self._book, self._uncut.rules, *known, int(Reason[data["reason"]]), self._out)

    def _cancel_intent(self, data: dict[str, Any]) -> None:
        symbol, order_id = self._orders[data["client_order_id"]]
        reason = int(Reason[data["reason"]])
        cancel(self._book, self._uncut.rules, symbol, order_id, reason, self._out)

    def _kill(self, data: dict[str, Any]) -> None:
        self._kills.add(data["kill_id"])
        halt(self._book, self._uncut.rules, int(Reason.KILLED), self._out)

    def _rearm(self, data: dict[str, Any]) -> None:
        self._kills.discard(data["kill_id"])
        if not self._kills:
            rearm(self._book, self._out)


def judge_orders(rows: list[Row]) -> list[str]:
    """What is wrong with the life of some order, by the journal alone."""
    count: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    qty: dict[str, float] = {}
    filled: dict[str, float] = collections.defaultdict(float)
    ended: dict[str, float] = collections.defaultdict(float)
    executions: collections.Counter[str] = collections.Counter()
    splits = any(kind == "CASHFLOW" for _, kind, _ in rows)  # which change what was asked
    for _, kind, data in rows:
        client_id = data.get("client_order_id")
        if client_id is None:
            continue
        count[client_id][kind] += 1
        if kind == "ORDER_INTENT":
            is_exit = data["purpose"] == "exit"  # as large as what it closes, whatever it was for
            qty[client_id] = math.inf if is_exit or splits else data["qty"]
        elif kind == "FILL":
            executions[data["execution_id"]] += 1
            filled[client_id] += data["qty"]
        elif kind == "CANCEL_ACK":
            ended[client_id] += data["qty"]
    found = [f"execution {name} {times} times" for name, times in executions.items() if times > 1]
    for client_id, kinds in count.items():
        sent, aborted = kinds["ORDER_SENT"], kinds["ORDER_ABORTED"]
        if kinds["ORDER_INTENT"] != 1:
            found.append(f"{client_id}: {kinds['ORDER_INTENT']} intents")
        elif sent + aborted != 1 and not (sent + aborted == 0 and kinds["CANCEL_ACK"]):
            found.append(f"{client_id}: sent {sent} times, aborted {aborted} times")
        elif sent != kinds["ORDER_ACK"]:
            found.append(f"{client_id}: sent {sent} times, acked {kinds['ORDER_ACK']} times")
        elif kinds["FILL"] and not sent:
            found.append(f"{client_id}: filled and not sent")
        elif abs(filled[client_id] + ended[client_id]) > abs(qty[client_id]) + 1e-9:
            found.append(f"{client_id}: filled and cancelled more than asked")
    return found


def judge_money(rows: list[Row], end: dict[str, Any], fields: tuple[str, ...]) -> list[str]:
    """What is wrong with positions and cash, as sums over the fills on record."""
    held: dict[str, float] = collections.defaultdict(float)
    cash = float(rows[0][2]["cash"])
    for _, kind, data in rows:
        if kind == "FILL":
            held[data["symbol"]] += data["qty"]
            cash -= data["qty"] * data["price"] + data["commission"]
        elif kind == "CASHFLOW":
            for row in from_rows(data["rows"], CASHFLOW):
                if row["symbol"] >= 0:
                    held[rows[0][2]["symbols"][row["symbol"]]] += float(row["qty"])
                cash += float(row["amount"])
    found = []
    told = {symbol: qty for symbol, qty in held.items() if abs(qty) > 1e-9}
    if told.keys() != end["positions"].keys() or any(
        abs(qty - end["positions"][symbol]) > 1e-9 for symbol, qty in told.items()
    ):
        found.append(f"fills make {told}, RUN_END says {end['positions']}")
    recorded = dict(zip(fields, end["account"], strict=True))["cash"]
    if abs(recorded - cash) > 1e-6:
        found.append(f"fills leave {cash!r} in cash, RUN_END says {recorded!r}")
    return found


def judge_sessions(rows: list[Row], fields: tuple[str, ...]) -> list[str]:
    """What is wrong with the SNAPSHOT and CHECKPOINT of a session's end: one each, no more."""
    place = fields.index("session")
    kinds = [kind for _, kind, _ in rows]
    traded = [data["account"][place] for _, kind, data in rows if kind == "DECISION"]
    begun = [session for session, _ in itertools.groupby(traded)]
    closed = [
        data["account"][place]
        for (_, kind, data), after in zip(rows, kinds[1:], strict=False)
        if (kind, after) == ("SNAPSHOT", "CHECKPOINT")
    ]
    return [] if closed == begun[1:] else [f"sessions {begun}, checkpoints as of {closed}"]


class Deliveries:
    """What the broker was handed, life by life, against what the journal knew at the time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.problems: list[str] = []
        self.orders: dict[str, str] = {}  # id → decision and qty
        self._killed = False

    def take_life(self, sent_before: set[str], intended: set[str], was_killed: bool) -> None:
        """Judge the lines of the life that has just ended.

        `sent_before`, `was_killed`: at its start; `intended`: with an intent on record now.
        """
        text = self._path.read_text()
        lines, self._read = text[self._read :].splitlines(), len(text)
        killed, seen = was_killed, set()
        for line in lines:
            _, client_id, *rest = line.split(" ")
            if client_id == "KILLED":
                killed = True
                continue
            what = " ".join(rest)
            if client_id in seen:
                self.problems.append(f"{client_id} handed over twice in one life")
            if client_id not in intended:
                self.problems.append(f"{client_id} handed over before its intent was on record")
            if client_id in sent_before:
                self.problems.append(f"{client_id} handed over again, was on record as sent")
            if self.orders.setdefault(client_id, what) != what:
                self.problems.append(f"{client_id} was {self.orders[client_id]}, now {what}")
            if killed and not rest[0].startswith("-"):  # closing orders have no decision
                self.problems.append(f"{client_id} handed over after the kill")
            seen.add(client_id)

    def took_nothing(self) -> bool:
        """Whether the broker was handed nothing since the last life was judged."""
        return len(self._path.read_text()) == self._read

    def rewound(self, rows: list[Row]) -> None:
        """The disk has lost records: orders that it knows no more may be decided otherwise."""
        known = {data["client_order_id"] for _, kind, data in rows if kind == "ORDER_INTENT"}
        self.orders = {name: what for name, what in self.orders.items() if name in known}

    def against(self, rows: list[Row]) -> list[str]:
        """What broker and final journal disagree about."""
        said = collections.defaultdict(set)
        for _, kind, data in rows:
            if "client_order_id" in data:
                said[kind].add(data["client_order_id"])
        over = said["ORDER_ABORTED"] | said["CANCEL_ACK"]
        lost = [f"{name}: on record as sent, never handed over"
                for name in said["ORDER_SENT"] - set(self.orders)]  # fmt: skip
        stray = [f"{name}: handed over, and the journal knows of no outcome"
                 for name in set(self.orders) - said["ORDER_SENT"] - over]  # fmt: skip
        return self.problems + lost + stray
