"""A small paper run written to a journal: the real core, and the records in their lawful order.

Law: everything recorded comes out of `core.step`; the only invention is the clock.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.core_kit import always_open, make_rules, random_bars
from trader.books import new_book, new_out, snapshot
from trader.core.apply import on_slice, submit
from trader.core.book import (
    CASHFLOWS,
    DECISIONS,
    EVENTS,
    FILLS,
    NO_REQUESTS,
    THROTTLES,
    Inputs,
    Rules,
)
from trader.core.schema import EventKind, OrderKind, OrderStatus, Reason
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal import entries as build
from trader.journal.chain import record_hash
from trader.journal.log import Journal
from trader.journal.merkle import MerkleTree
from trader.journal.records import HEADED, Entry, Record, client_order_id, encode
from trader.journal.store import COLUMNS, FILE_NAME, INSERT

SYMBOLS = ("ACME", "BTC/USD", "BRK.B")


class StepClock:
    """A microsecond passes every time somebody looks."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.now_ns = now_ns

    def wall_ns(self) -> int:
        self.now_ns += 1_000
        return self.now_ns

    def mono_ns(self) -> int:
        return self.wall_ns() - 1_600_000_000_000_000_000


def identity(rules: Rules, run_id: str) -> build.Identity:
    actor = {"uid": 1000, "pid": 4711, "host": "test", "role": "runner"}
    return build.Identity(run_id, actor, rules.limits, "c" * 64, "m" * 64, "k" * 64)


def start_of(rules: Rules, run_id: str = "run-1") -> build.RunStart:
    symbols = SYMBOLS[: len(rules.instruments)]
    cash = float(rules.broker[0]["cash"])
    return build.RunStart(identity(rules, run_id), run_id, "paper", symbols, cash)


class PaperRun:
    """A run that is fed slice by slice, journaling inputs, outputs and outcomes of each."""

    def __init__(
        self,
        folder: Path,
        rules: Rules,
        run_id: str = "run-1",
        start: build.RunStart | None = None,
        **more: Any,
    ) -> None:
        self.rules, self.run_id, self.clock = rules, run_id, StepClock()
        self.symbols = SYMBOLS[: len(rules.instruments)]
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self.journal = Journal.create(
            self.path, start or start_of(rules, run_id), self.clock, **more
        )
        self.book = new_book(rules)
        self.moved: list[np.ndarray] = []  # CASHFLOW
        self.out = new_out(len(rules.instruments), 1, len(rules.adjustments))
        self.client_ids: dict[int, str] = {}

    def feed(
        self,
        bars: np.ndarray,
        actions: np.ndarray,
        reasons: np.ndarray | None = None,
        requests: np.ndarray = NO_REQUESTS,
        detail: Detail = NO_DETAIL,
    ) -> None:
        """One slice: record what is acted on, act, record what came of it, send."""
        reasons = np.zeros(len(bars), np.int16) if reasons is None else reasons
        answer = build.ModelAnswer(bars["symbol"], actions, reasons, requests, "f" * 64, 250_000)
        self.journal.append(
            [build.bars(bars, detail=detail), build.actions(bars[0]["ts_ns"], answer)]
        )
        first = int(self.book.account[0]["decisions"])
        self.out.counts[:] = 0
        given = (bars, actions, reasons, requests, *detail)
        # as the engine does: a read-only array, or a column, would compile the core once more
        inputs = Inputs(*(np.require(array, requirements="CW") for array in given))
        on_slice(self.book, self.rules, inputs, 0, len(bars), self.out)
        intents = self._intents()
        self.journal.append([*self._happened(), self._outcome(first), *intents])
        self.journal.append([e for intent in intents for e in self._send(intent)], durable=False)

    def _happened(self) -> list[Entry]:
        """Fills and cancels of the slice."""
        entries = []
        moved = self.out.cashflows[: self.out.counts[CASHFLOWS]]
        if len(moved):
            self.moved.append(moved.copy())
            entries.append(build.cashflows(moved, int(self.book.account[0]["ts_ns"])))
        for row in self.out.fills[: self.out.counts[FILLS]]:
            if row["kind"] == OrderKind.DELISTED:
                continue
            client_id = self.client_ids[int(row["order_id"])]
            symbol = self.symbols[row["symbol"]]
            entries.append(build.fill(client_id, f"{self.run_id}-{row['fill_id']}", symbol, row))
        for event in self.out.events[: self.out.counts[EVENTS]]:
            if event["kind"] == EventKind.ORDER_CANCELLED:
                client_id, reason = self.client_ids[int(event["order_id"])], event["reason"]
                entries.append(
                    build.cancel_ack(client_id, event["value"], Reason(int(reason)).name)
                )
        return entries

    def _outcome(self, first: int) -> Entry:
        out, counts = self.out, self.out.counts
        return build.decisions(
            build.SliceOutcome(
                first,
                out.decisions[: counts[DECISIONS]],
                out.throttles[: counts[THROTTLES]],
                out.events[: counts[EVENTS]],
                self.book.account,
            )
        )

    def _intents(self) -> list[Entry]:
        entries: list[Entry] = []
        for symbol, name in enumerate(self.symbols):
            for order in self.book.orders[symbol][: self.book.positions[symbol]["working_orders"]]:
                if order["status"] == OrderStatus.INTENT:
                    at = int(order["ts_ns"]), int(order["decision"]), int(order["leg"])
                    client_id = client_order_id(self.run_id, name, *at)
                    self.client_ids[int(order["order_id"])] = client_id
                    cause = -1 - len(entries)
                    entries.append(build.order_intent(client_id, name, order, cause))
                    submit(self.book, symbol, int(order["order_id"]))
        return entries

    def _send(self, intent: Entry) -> list[Entry]:
        client_id, qty = intent.payload["client_order_id"], intent.payload["qty"]
        sent = build.order_sent(client_id, qty, self.clock.mono_ns())
        return [sent, build.order_ack(client_id, f"B{intent.payload['order_id']}")]

    def positions(self) -> dict[str, float]:
        return dict(zip(self.symbols, self.book.positions["qty"].tolist(), strict=True))

    def snapshot(self) -> int:
        return self.journal.append(
            [build.snapshot(snapshot(self.book), self.positions(), self.book.account)]
        )

    def end(self) -> None:
        """RUN_END and close."""
        end = build.RunEnd("end of feed", 0, self.positions(), self.book.account)
        self.journal.append([build.run_end(end)])
        self.journal.close()


def slices(bars: np.ndarray) -> list[np.ndarray]:
    """The bars of each instant."""
    return np.split(bars, np.flatnonzero(np.diff(bars["ts_ns"])) + 1)


def limited_rules(bars: np.ndarray, symbols: int, **changes: Any) -> Rules:
    """Rules under which orders are approved, cut and refused."""
    limits = {
        "max_position_size": 60.0,
        "max_order_size": 40.0,
        "max_volume_participation": 0.02,
        "max_spread_bps": 10.0,
        "base_size": 20.0,
        "mode": 1,
        "commission_value": 1.0,
        "max_fill_participation": 0.01,
    }
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    return make_rules(sessions, symbols, **{**limits, **changes})


def paper_run(
    folder: Path, slices_wanted: int = 20, symbols: int = 2, seed: int = 1, **more: Any
) -> PaperRun:
    """A run over random bars and actions, still open."""
    bars = random_bars(seed, slices_wanted, symbols)
    run = PaperRun(folder, limited_rules(bars, symbols), **more)
    chance = np.random.default_rng(seed)
    for part in slices(bars):
        run.feed(part, chance.integers(0, 3, len(part)).astype(np.int8))
    return run


def finished_run(folder: Path, slices_wanted: int = 20, **more: Any) -> PaperRun:
    """A run over random bars and actions, snapshotted, ended and closed."""
    run = paper_run(folder, slices_wanted, **more)
    run.snapshot()
    run.end()
    return run


def records_of(path: Path) -> list[Record]:
    """Every record, through a plain connection."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(f"SELECT {COLUMNS} FROM records ORDER BY seq").fetchall()
    finally:
        connection.close()
    return [Record._make(row) for row in rows]


def edit(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Change a journal as somebody with an SQLite shell would."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for sql, values in statements:
            connection.execute(sql, values)
    finally:
        connection.close()


def rewrite(path: Path, records: list[Record]) -> None:
    """Replace every record of a journal by these, as they are."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM records")
        connection.executemany(INSERT, records)
        connection.execute("COMMIT")
    finally:
        connection.close()


def resealed(records: list[Record]) -> list[Record]:
    """The same contents, renumbered and with every hash made anew: the perfect forgery."""
    sealed: list[Record] = []
    tree = MerkleTree()
    prev = bytes(32)
    for seq, record in enumerate(records, start=1):
        payload = record.payload
        if record.type in HEADED:
            payload = encode({**record.data, "head": prev.hex(), "last_seq": seq - 1})
        elif record.type == "CHECKPOINT":
            payload = encode({"size": seq - 1, "root": tree.root().hex(), "head": prev.hex()})
        stamp = (seq, record.wall_ns, record.mono_ns, record.event_ns, record.cause)
        digest = record_hash(stamp, record.type.encode(), payload.encode(), prev)
        sealed.append(record._replace(seq=seq, payload=payload, prev=prev, hash=digest))
        tree.add(digest)
        prev = digest
    return sealed


Spoil = Callable[[dict[str, Any]], None]


def spoiled(path: Path, kind: str, spoil: Spoil, which: int = -1) -> int:
    """Change the payload of one record and forge every hash after it; its seq."""
    records = records_of(path)
    place = [i for i, record in enumerate(records) if record.type == kind][which]
    data = records[place].data
    spoil(data)
    records[place] = records[place]._replace(payload=encode(data))
    rewrite(path, resealed(records))
    return records[place].seq


def falsify_checkpoint(path: Path) -> int:
    """Make the last record name another root, under a hash of its own; its seq."""
    records = records_of(path)
    last = records[-1]
    assert last.type == "CHECKPOINT"
    payload = last.payload.replace(last.data["root"], "0" * 64)
    stamp = (last.seq, last.wall_ns, last.mono_ns, last.event_ns, last.cause)
    digest = record_hash(stamp, b"CHECKPOINT", payload.encode(), last.prev)
    rewrite(path, [*records[:-1], last._replace(payload=payload, hash=digest)])
    return last.seq


def as_record(entry: Entry, like: Record) -> Record:
    """`entry` as a record with the stamps of another; to be resealed."""
    payload = encode(entry.payload)
    return like._replace(type=str(entry.type), payload=payload, event_ns=None, cause=None)
