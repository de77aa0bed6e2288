"""A run that goes on from its newest snapshot is, to the bit, the run folded from its first record.

Law: the journals are real and written slice by slice through `JournaledSlices`: exits rest beside
the positions, bars are refused, kills come and are re-armed, orders are cancelled from outside.
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import always_open, make_rules, random_bars
from tests.journal_kit import slices as split
from tests.paper_desk import Clock, Desk, new_journal
from trader.core.schema import KillSwitchReason, OnBreach, Reason
from trader.engine import recover
from trader.engine.answers import Answer
from trader.engine.batch import RowKeeper
from trader.engine.journaled import JournaledSlices
from trader.engine.recover import Recovery, folded, newest_snapshot, resumed
from trader.engine.replay import Replayer, replay
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import RefusedBar
from trader.journal import entries as build
from trader.journal import log
from trader.journal.audit.tail import tail_problem
from trader.journal.audit.verify import verify_here
from trader.journal.log import Journal
from trader.journal.readback import bars_before
from trader.journal.store import read_records

NAMES = ("A", "B")
BARS = random_bars(5, 60, len(NAMES))
RULES = make_rules(
    always_open(int(BARS["ts_ns"][0]), int(BARS["ts_ns"][-1])),
    len(NAMES),
    stop_type=1,
    stop_value=0.4,
    target_type=1,
    target_value=0.5,
    trail_type=1,
    trail_value=0.6,
    max_fill_participation=0.02,
    on_daily_loss=int(OnBreach.REDUCE_ONLY),
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """What happens to a journal of years, in one of minutes."""
    monkeypatch.setattr(recover, "WHOLE_UP_TO", 0)
    monkeypatch.setattr(log, "PACK_RECORDS", 15)


def written(path: Path, seed: int, until: int) -> None:
    """A run of so many slices, cut off."""
    chance = np.random.default_rng(seed)
    with ThreadPoolExecutor(1) as pool:
        journal = new_journal(path, RULES, NAMES)
        desk = Desk(NAMES, pool, lambda order: gate(chance))
        desk.snapshot_every = 25
        slices = JournaledSlices(SliceEngine(RULES, RowKeeper(0)), journal, desk)
        asyncio.run(_trade(slices, chance, until))
        journal.close()


def gate(chance: np.random.Generator) -> Reason:
    return Reason.NONE if chance.random() < 0.9 else Reason.ORDER_RATE_LIMIT


async def _trade(slices: JournaledSlices, chance: np.random.Generator, until: int) -> None:
    for number, bars in enumerate(split(BARS)[:until]):
        actions = chance.integers(0, 3, len(bars)).astype(np.int8)
        answer = Answer(actions, np.zeros(len(bars), np.int16))
        await slices.take(bars, answer, bool(chance.random() < 0.5) and number < until - 1)
        if chance.random() < 0.1:
            await slices.note([RefusedBar("invalid", bars[0].copy(), "odd", symbol=0)])
        if chance.random() < 0.05:
            await slices.cancel_working(Reason.FEED_LOST)
        if chance.random() < 0.05:
            kill = build.kill(f"K{number}", KillSwitchReason.MANUAL_STOP, "test", {})
            await slices.halt(Reason.KILLED, [kill])
            slices.facts.take_stop("KILL", kill.payload)
        if slices.facts.kills and chance.random() < 0.5:
            for kill_id in list(slices.facts.kills):
                rearm = build.rearm(kill_id, "looked into it", {})
                await slices.record(rearm)
                slices.facts.take_stop("REARM", rearm.payload)
            slices.engine.rearm()


def state_of(fold: Replayer) -> dict[str, object]:
    """All that a start takes from a fold."""
    alive = [int(order["order_id"]) for _, order in fold.engine.orders()]
    facts = fold.facts
    return {
        "book": b"".join(array.tobytes() for array in fold.engine.book),
        "slices": fold.engine.slices,
        "ids": {order_id: fold.client_ids[order_id] for order_id in alive},
        "cancels": [event.tobytes() for event in fold.cancels],
        "closing": fold.closing,
        "waiting": fold.waiting.tobytes(),
        "kills": dict(facts.kills),
        "facts": facts.snapshot_fields(),
        "last": (facts.last_ns, facts.last_seq, facts.session, facts.end),
    }


def from_the_snapshot(path: Path) -> Replayer:
    snapshot = newest_snapshot(path)
    assert snapshot is not None
    assert tail_problem(path, snapshot.seq) is None
    found = resumed(path, snapshot, RowKeeper(0))
    assert found.snapshot == snapshot
    assert found.fold.facts.show_earlier(bars_before(path, snapshot.seq))
    return found.fold


@given(seed=st.integers(0, 2**32), until=st.integers(20, 60))
@settings(max_examples=12)
@pytest.mark.long
def test_snapshot_and_tail_are_the_fold_from_the_start(tmp_path_factory, seed, until):
    path = tmp_path_factory.mktemp("run") / "journal.sqlite"
    written(path, seed, until)
    report = verify_here(path)
    assert report.ok, report.problems
    assert replay(path).divergence is None
    assert state_of(from_the_snapshot(path)) == state_of(folded(read_records(path)))


@given(seed=st.integers(0, 2**32), cut=st.integers(1, 12))
@settings(max_examples=8)
@pytest.mark.long
def test_what_a_crash_left_is_finished_the_same_from_both(tmp_path_factory, seed, cut):
    """The records of the last moments are gone, as a crash keeps them from the disk."""
    whole = tmp_path_factory.mktemp("run") / "journal.sqlite"
    written(whole, seed, 50)
    cut_off(whole, cut)
    states = []
    for begins in (from_the_snapshot, lambda path: folded(read_records(path))):
        path = tmp_path_factory.mktemp("copy") / "journal.sqlite"
        path.write_bytes(whole.read_bytes())
        fold = begins(path)
        journal = Journal.open(path, Clock())
        with ThreadPoolExecutor(1) as pool:
            recovery = Recovery(
                JournaledSlices(fold.engine, journal, Desk(NAMES, pool), fold), journal, fold
            )
            recovery.complete()
            recovery.finish()
        journal.close()
        said = [(one.type, _without_clock(one.data)) for one in read_records(path)]
        states.append((b"".join(array.tobytes() for array in fold.engine.book), said))
        assert verify_here(path).ok
        assert replay(path).divergence is None
    assert states[0] == states[1]


def _without_clock(data):
    return {name: value for name, value in data.items() if name != "sent_mono_ns"}


def cut_off(path: Path, records: int) -> None:
    """Take the last batches of records away, at least so many of them."""
    last = list(read_records(path))
    at = len(last) - records
    while at > 1 and last[at].mono_ns == last[at - 1].mono_ns:  # a batch is stamped once
        at -= 1
    connection = sqlite3.connect(path, isolation_level=None)
    packs = connection.execute("SELECT max(seq) FROM records WHERE type = 'PACK'").fetchone()[0]
    snapshots = connection.execute(
        "SELECT min(seq) FROM records WHERE type = 'SNAPSHOT'"
    ).fetchone()[0]
    keep = max(at, packs or 0, snapshots or 0)
    connection.execute("DELETE FROM records WHERE seq > ?", (keep,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.mark.parametrize("damage", ["state", "fields", "gone"])
def test_a_snapshot_that_cannot_be_used_falls_back_to_another_or_the_whole(tmp_path, damage):
    path = tmp_path / "journal.sqlite"
    written(path, 4, 60)
    newest = newest_snapshot(path)
    assert newest is not None
    change = {
        "state": 'replace(payload, \'"state":"\', \'"state":"AA\')',
        "fields": "replace(payload, 'clean_bars_needed', 'clean_bars_wanted')",
        "gone": None,
    }[damage]
    connection = sqlite3.connect(path, isolation_level=None)
    if change:
        connection.execute(f"UPDATE records SET payload = {change} WHERE seq = ?", (newest.seq,))
    else:
        connection.execute("UPDATE records SET type = 'ALERT' WHERE type = 'SNAPSHOT'")
    connection.close()
    found = newest_snapshot(path)
    if damage == "gone":
        assert found is None
    else:
        assert found is not None
        assert found.seq < newest.seq
    assert not verify_here(path).ok  # and the chain tells of it, whatever a start begins at


def test_bars_that_were_changed_before_the_snapshot_are_not_those_it_counts(tmp_path):
    path = tmp_path / "journal.sqlite"
    written(path, 9, 60)
    snapshot = newest_snapshot(path)
    assert snapshot is not None
    found = resumed(path, snapshot, RowKeeper(0))
    bars = bars_before(path, snapshot.seq)
    bars[3]["close"] += 0.01
    assert not found.fold.facts.show_earlier(bars)
