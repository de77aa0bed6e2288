"""The end of a trading session on record: one SNAPSHOT and one CHECKPOINT, also around a crash."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.core_kit import always_open, flat_bars, make_rules
from tests.paper_desk import Clock, Desk, new_journal
from trader.core.schema import ACCOUNT
from trader.engine import crash_points
from trader.engine.answers import Answer
from trader.engine.journaled import JournaledSlices
from trader.engine.recover import Recovery, folded
from trader.engine.replay import replay
from trader.journal.audit.verify import verify_here
from trader.journal.log import Journal
from trader.journal.records import Record
from trader.journal.rows import from_rows

NS_PER_HOUR = 3_600 * 10**9
BARS = flat_bars([10.0, 10.5, 11.0, 10.0, 9.5, 10.0, 10.5, 11.0, 11.5])
BARS["ts_ns"] = BARS["ts_ns"][0] // (24 * NS_PER_HOUR) * 24 * NS_PER_HOUR + (
    8 * NS_PER_HOUR * np.arange(1, len(BARS) + 1)
)
RULES = make_rules(always_open(int(BARS["ts_ns"][0]), int(BARS["ts_ns"][-1])))
ROLLS = (3, 6)  # the slices that begin another day: 8:00, after one that closed at midnight


class CutOffError(Exception):
    """The process is gone."""


def trade(path: Path, cut_at: str = "", nth: int = 1) -> None:
    """One process: begin the run or recover it, take the slices that are left, end it."""
    left = nth

    def observer(name: str) -> None:
        nonlocal left
        left -= name == cut_at
        if not left:
            raise CutOffError

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        is_new = not path.exists()
        journal = new_journal(path, RULES, ["ACME"]) if is_new else Journal.open(path, Clock())
        fold = folded(journal.read())
        slices = JournaledSlices(fold.engine, journal, Desk(("ACME",), pool), fold)
        recovery = Recovery(slices, journal, fold)
        recovery.complete()
        recovery.finish()
        patch.setattr(crash_points, "observer", observer)
        try:
            for place in range(slices.engine.slices, len(BARS)):
                action = np.array([1 + place % 2], np.int8)
                answer = Answer(action, np.zeros(1, np.int16))
                asyncio.run(slices.take(BARS[place : place + 1], answer))
        finally:
            journal.close()


def closed_days(path: Path) -> list[int]:
    """Number of the slice that each SNAPSHOT with a CHECKPOINT right after it was taken at."""
    journal = Journal.open(path, Clock())
    records: list[Record] = list(journal.read())
    journal.close()
    found = []
    for one, after in itertools.pairwise(records):
        if (one.type, after.type) == ("SNAPSHOT", "CHECKPOINT"):
            account = from_rows([one.data["account"]], ACCOUNT)[0]
            found.append(int(np.flatnonzero(BARS["ts_ns"] == account["ts_ns"])[0]))
    assert [one.type for one in records].count("CHECKPOINT") == len(found)
    assert verify_here(path).ok
    assert replay(path).divergence is None
    return found


def test_a_session_that_has_ended_leaves_a_snapshot_and_a_checkpoint_over_it(tmp_path):
    trade(tmp_path / "journal.sqlite")
    assert closed_days(tmp_path / "journal.sqlite") == list(ROLLS)


@pytest.mark.parametrize("cut_at", ["after_outputs", "before_snapshot", "after_snapshot"])
def test_a_crash_around_the_end_of_a_session_neither_loses_nor_doubles_it(tmp_path, cut_at):
    path = tmp_path / "journal.sqlite"
    nth = ROLLS[0] + 1 if cut_at == "after_outputs" else 1
    with pytest.raises(CutOffError):
        trade(path, cut_at, nth)
    trade(path)
    is_on_record = cut_at == "after_snapshot"
    assert closed_days(path) == [ROLLS[0] if is_on_record else ROLLS[0] + 1, ROLLS[1]]


def test_a_crash_before_the_first_session_ends_owes_nothing(tmp_path):
    path = tmp_path / "journal.sqlite"
    with pytest.raises(CutOffError):
        trade(path, "after_outputs", 2)
    trade(path)
    assert closed_days(path) == list(ROLLS)
