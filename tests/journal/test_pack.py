"""Packs: what lies packed says what it said, and a byte of it that is changed is found."""

import contextlib
import sqlite3

import numpy as np
import pytest

from tests.core_kit import random_bars
from tests.journal_kit import PaperRun, StepClock, edit, limited_rules, paper_run, slices
from trader.journal import log
from trader.journal.audit.verify import verify_here
from trader.journal.log import Journal
from trader.journal.pack import PACK, packed, unpacked
from trader.journal.records import DamagedJournal
from trader.journal.store import read_head, read_payloads, read_records

FILLED = 40  # slices


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose first slices lie packed, closed."""
    monkeypatch.setattr(log, "PACK_RECORDS", 20)
    run = paper_run(tmp_path / "run", FILLED)
    run.plain = list(read_records(run.path))
    run.snapshot()
    assert run.journal.pack(run.journal.head.seq) > 20
    run.feed(*next_slice(run))
    run.journal.close()
    return run


def next_slice(run: PaperRun):
    bars = slices(random_bars(1, FILLED + 1, len(run.symbols)))[FILLED]
    return bars, np.ones(len(bars), np.int8)


def rows(path, kind=PACK):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT * FROM records WHERE type = ?", (kind,)).fetchall()
    connection.close()
    return found


def test_every_record_of_a_pack_reads_as_it_was_written(run):
    assert len(rows(run.path)) >= 1
    assert not rows(run.path, "BAR")[2:]
    assert list(read_records(run.path))[: len(run.plain)] == run.plain
    assert list(read_records(run.path, 17))[: len(run.plain) - 16] == run.plain[16:]
    bars = [record for record in run.plain if record.type == "BAR"]
    assert list(read_records(run.path, 5, ("BAR",)))[:3] == bars[1:4]
    before = len(run.plain) + 1
    assert [*read_payloads(run.path, "BAR", before)] == [one.payload for one in bars]


def test_a_packed_journal_verifies_and_goes_on_with_the_same_tree(run):
    report = verify_here(run.path)
    assert report.ok, report.problems
    head = read_head(run.path)
    assert report.head == str(head)
    journal = Journal.open(run.path, StepClock())
    assert journal.head == head
    journal.append([], checkpoint=True)
    journal.close()
    assert verify_here(run.path).ok


def test_packing_takes_a_tenth_of_the_room(tmp_path):
    bars = random_bars(3, 400, 1)
    run = PaperRun(tmp_path / "run", limited_rules(bars, 1))
    for part in slices(bars):
        run.feed(part, np.zeros(1, np.int8))
    before = sum(len(record.payload) for record in read_records(run.path))
    run.journal.pack(run.journal.head.seq)
    after = sum(len(row[8]) for row in rows(run.path))
    run.journal.close()
    assert after < before / 4, (before, after)


def test_a_record_changed_inside_a_pack_is_named(run):
    row = rows(run.path)[0]
    records = list(unpacked(row))
    at = len(records) // 2
    forged = records[at]._replace(payload=records[at].payload.replace("0", "1", 1))
    assert forged.payload != records[at].payload
    pack = packed([*records[:at], forged, *records[at + 1 :]])
    edit(run.path, ("UPDATE records SET payload = ? WHERE seq = ?", (pack.payload, row[0])))
    problem = verify_here(run.path).problems[0]
    assert (problem.seq, problem.kind) == (records[at].seq, "hash")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 0.99])
def test_a_byte_changed_in_a_pack_is_found(run, share):
    row = rows(run.path)[0]
    body = bytearray(row[8])
    body[int(share * (len(body) - 1))] ^= 0x10
    edit(run.path, ("UPDATE records SET payload = ? WHERE seq = ?", (bytes(body), row[0])))
    report = verify_here(run.path)
    assert not report.ok
    assert row[4] <= report.first_bad_seq <= row[0] + 1
    with contextlib.suppress(DamagedJournal):
        assert list(read_records(run.path))[: len(run.plain)] != run.plain


@pytest.mark.parametrize("column", ["seq", "cause", "prev", "hash", "type"])
def test_a_pack_with_another_end_is_found(run, column):
    row = rows(run.path)[0]
    changed = {"seq": -row[0], "cause": row[4] + 1, "prev": bytes(32), "hash": bytes(32)}
    value = changed.get(column, "BAR")
    edit(run.path, (f"UPDATE records SET {column} = ? WHERE seq = ?", (value, row[0])))
    assert not verify_here(run.path).ok


def test_a_journal_of_the_format_before_is_read_and_never_packed(tmp_path):
    run = paper_run(tmp_path / "run", FILLED)
    edit(run.path, ("PRAGMA user_version = 1", ()))
    edit(
        run.path,
        ("PRAGMA writable_schema = ON", ()),
        ("UPDATE sqlite_master SET sql = replace(sql, 'payload ANY', 'payload TEXT')", ()),
    )
    run.journal.close()
    journal = Journal.open(run.path, StepClock())
    assert verify_here(run.path).ok
    assert journal.pack(journal.head.seq) == 0
    journal.close()
