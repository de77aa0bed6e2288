"""The single writer: what an append promises, to readers, to other writers, and after a failure."""

import os
import sqlite3
import threading

import numpy as np
import pytest

from tests.core_kit import always_open, make_rules
from tests.journal_kit import (
    PaperRun,
    StepClock,
    finished_run,
    identity,
    paper_run,
    records_of,
    start_of,
)
from trader.books import new_book, restore, snapshot
from trader.core.schema import KillSwitchReason
from trader.journal import entries as build
from trader.journal.anchor import FileAnchor, parse_anchor
from trader.journal.audit.verify import verify_here
from trader.journal.log import CHECKPOINT_RECORDS, Journal
from trader.journal.merkle import MerkleTree
from trader.journal.readback import (
    actions_of,
    bars_of,
    fill_of,
    order_of,
    outcome_of,
    snapshot_state,
)
from trader.journal.records import Entry, JournalError, RecordType
from trader.journal.store import newest_record, read_records

RULES = make_rules(always_open(0, 1), 2)


@pytest.fixture
def journal(tmp_path):
    """An empty journal, open."""
    opened = Journal.create(tmp_path / "journal.sqlite", start_of(RULES), StepClock())
    yield opened
    opened.close()


def note(text="note"):
    return build.alert("TEST", text)


def test_a_new_journal_holds_its_run_start_alone(journal):
    (first,) = journal.read()
    assert (first.seq, first.type, first.prev) == (1, "RUN_START", bytes(32))
    assert first.data["symbols"] == ["ACME", "BTC/USD"]
    assert first.data["limits"]["max_daily_loss"] == "Infinity"
    assert (journal.run_id, journal.head.seq, journal.next_seq) == ("run-1", 1, 2)


def test_append_returns_the_last_seq_and_numbers_without_gaps(journal):
    assert journal.append([note(), note()]) == 3
    assert journal.append([note()], durable=False) == 4
    assert journal.append([]) == 4
    assert [record.seq for record in journal.read()] == [1, 2, 3, 4]
    assert [record.seq for record in journal.read(3)] == [3, 4]
    assert verify_here(journal.path).ok


def test_the_records_of_a_batch_share_their_stamps_and_carry_event_time(journal):
    journal.append(
        [note(), build.clock_jump(5), Entry("ALERT", {"kind": "x", "text": "y"}, np.int64(9))]
    )
    records = list(journal.read(2))
    assert len({(record.wall_ns, record.mono_ns) for record in records}) == 1
    assert [record.event_ns for record in records] == [None, None, 9]


def test_a_negative_cause_counts_back_and_a_later_one_is_refused(journal):
    journal.append(
        [note(), Entry("ALERT", note().payload, None, -1), Entry("ALERT", note().payload, None, -3)]
    )
    assert [record.cause for record in journal.read()] == [None, None, 2, 1]
    for cause in (5, 0, -5):
        with pytest.raises(ValueError, match="as its cause"):
            journal.append([Entry("ALERT", note().payload, None, cause)])


def test_a_payload_that_breaks_its_type_is_refused_and_nothing_is_written(journal):
    with pytest.raises(ValueError, match="no field 'text'"):
        journal.append([note(), Entry(RecordType.ALERT, {"kind": "x"})])
    with pytest.raises(ValueError, match="unknown record type"):
        journal.append([Entry("GOSSIP", {})])
    assert journal.append([note()]) == 2


def test_an_existing_file_is_not_created_over(journal):
    journal.close()
    with pytest.raises(JournalError, match=r"exists already.*--new"):
        Journal.create(journal.path, start_of(RULES), StepClock())
    assert len(records_of(journal.path)) == 1


def test_creation_that_died_half_way_is_started_over(tmp_path):
    path = tmp_path / "journal.sqlite"
    (tmp_path / "journal.sqlite.new").write_bytes(b"half a file")
    Journal.create(path, start_of(RULES), StepClock()).close()
    assert verify_here(path).ok
    assert not (tmp_path / "journal.sqlite.new").exists()


def test_a_folder_that_does_not_exist_is_a_journal_error(tmp_path):
    with pytest.raises(JournalError, match="cannot lock"):
        Journal.create(tmp_path / "no" / "journal.sqlite", start_of(RULES), StepClock())


def test_opening_goes_on_where_the_last_process_stopped(journal):
    journal.append([note()] * 5)
    head = journal.head
    journal.close()
    again = Journal.open(journal.path, StepClock(1_800_000_000_000_000_000))
    assert again.head == head
    again.append([build.run_resume(identity(RULES, "run-1"), {"clean": False})])
    resumed = newest_record(again.path, "RUN_RESUME")
    assert resumed.data["head"] == head.hash.hex()
    assert (resumed.data["last_seq"], resumed.data["clean"]) == (6, False)
    again.close()
    assert verify_here(journal.path).ok


def test_opening_what_is_not_a_journal_says_so(tmp_path):
    path = tmp_path / "journal.sqlite"
    with pytest.raises(JournalError, match="there is no journal"):
        Journal.open(path, StepClock())
    path.write_bytes(b"not a database, by a long way" * 100)
    with pytest.raises(JournalError, match="cannot open"):
        Journal.open(path, StepClock())
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE records (seq)").connection.close()
    with pytest.raises(JournalError, match="not a trader journal"):
        Journal.open(path, StepClock())


def test_a_newer_format_is_refused(journal):
    journal.close()
    connection = sqlite3.connect(journal.path)
    connection.execute("PRAGMA user_version=3")
    connection.close()
    with pytest.raises(JournalError, match="format 3"):
        Journal.open(journal.path, StepClock())


def test_a_journal_with_a_hole_is_not_appended_to(journal):
    journal.append([note()] * 5)
    journal.close()
    connection = sqlite3.connect(journal.path)
    connection.execute("DELETE FROM records WHERE seq = 3")
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match="records are missing") as error:
        Journal.open(journal.path, StepClock())
    assert error.value.exit_code == 8


@pytest.mark.process
def test_a_second_writer_is_refused_in_this_process_and_in_another(journal):
    with pytest.raises(JournalError, match=f"written by process {os.getpid()}"):
        Journal.open(journal.path, StepClock())
    assert run_child(lambda: Journal.open(journal.path, StepClock())) == "JournalError"
    journal.close()
    assert run_child(lambda: Journal.open(journal.path, StepClock())) == "done"


@pytest.mark.process
def test_a_forked_child_may_not_use_its_parents_journal(journal):
    assert run_child(lambda: journal.append([note()])) == "JournalError"
    assert journal.append([note()]) == 2


def run_child(work):
    """Run `work` in a forked process; the name of what it raised, or `done`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "done"
        try:
            work()
        except BaseException as error:
            said = type(error).__name__
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


@pytest.mark.process
def test_the_lock_of_a_dead_writer_is_free(tmp_path):
    path = tmp_path / "journal.sqlite"
    assert run_child(lambda: Journal.create(path, start_of(RULES), StepClock())) == "done"
    Journal.open(path, StepClock()).close()


def test_threads_append_without_mixing_their_batches(journal):
    def work(name):
        for _ in range(50):
            journal.append([note(name), note(name)])

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [record.data["text"] for record in journal.read(2)]
    assert len(texts) == 400
    assert all(first == second for first, second in zip(texts[::2], texts[1::2], strict=True))
    assert verify_here(journal.path).ok


def test_a_reader_sees_whole_batches_while_the_writer_writes(journal):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            journal.append([note()] * 3, durable=False)

    thread = threading.Thread(target=write)
    thread.start()
    sizes = [verify_here(journal.path)]
    try:
        while sizes[-1].records < sizes[0].records + 300:
            sizes.append(verify_here(journal.path))
    finally:
        stop.set()
        thread.join()
    assert all(report.ok for report in sizes)
    records = [report.records - report.counts.get("CHECKPOINT", 0) for report in sizes]
    assert records == sorted(records)
    assert all(count % 3 == 1 for count in records)


def test_a_checkpoint_follows_every_thousand_records_and_every_kill(journal):
    for _ in range(5):
        journal.append([note()] * 300, durable=False)
    journal.append([build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", {})])
    checkpoints = list(journal.read(types=("CHECKPOINT",)))
    assert len(checkpoints) == 2
    assert CHECKPOINT_RECORDS <= checkpoints[0].seq <= CHECKPOINT_RECORDS + 300
    hashes = [record.hash for record in journal.read()]
    for record in checkpoints:
        size = record.seq - 1
        tree = MerkleTree(hashes[:size])
        assert record.data == {
            "size": size,
            "root": tree.root().hex(),
            "head": hashes[size - 1].hex(),
            "peaks": [peak.hex() for peak in tree.peaks],
        }
    assert journal.head.seq == checkpoints[1].seq


def test_the_checkpoint_rhythm_goes_on_after_reopening(journal):
    journal.append([note()] * 700, durable=False)
    journal.close()
    again = Journal.open(journal.path, StepClock())
    again.append([note()] * 299, durable=False)
    assert newest_record(again.path, "CHECKPOINT") is None
    again.append([note()], durable=False)
    assert newest_record(again.path, "CHECKPOINT").seq == 1002
    again.close()


def test_a_checkpoint_asked_for_goes_to_the_anchor_file(tmp_path):
    anchor = tmp_path / "audit.anchor"
    journal = Journal.create(
        tmp_path / "journal.sqlite", start_of(RULES), StepClock(), FileAnchor(anchor)
    )
    journal.append([note()], checkpoint=True)
    (made,) = (record.data for record in journal.read(types=("CHECKPOINT",)))
    journal.append([build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", {})])
    journal.close()
    first, second = parse_anchor(str(anchor))
    assert (first.seq, first.run_id) == (2, "run-1") == (made["size"], first.run_id)
    assert (first.hash.hex(), first.root.hex()) == (made["head"], made["root"])
    assert second.seq == 4
    assert journal.anchor_failures == []


def test_an_anchor_that_cannot_be_written_is_reported_and_not_fatal(tmp_path):
    journal = Journal.create(
        tmp_path / "journal.sqlite", start_of(RULES), StepClock(), FileAnchor(tmp_path / "no" / "x")
    )
    journal.append([note()], checkpoint=True)
    assert len(journal.anchor_failures) == 1
    assert journal.append([note()]) == 4
    journal.close()


def test_a_closed_journal_refuses_and_closing_twice_is_harmless(journal):
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append([note()])


def test_closing_leaves_one_file_that_holds_everything(tmp_path):
    run = finished_run(tmp_path / "run", 5)
    assert not run.path.with_name("journal.sqlite-wal").exists()
    assert sorted(path.name for path in run.path.parent.iterdir()) == [
        "journal.sqlite",
        "journal.sqlite.lock",
    ]


def test_a_replaced_file_stops_the_writer(journal):
    os.rename(journal.path, journal.path.with_name("moved"))
    with pytest.raises(JournalError, match="trading must stop"):
        journal.append([note()])
    with pytest.raises(JournalError, match="takes no records any more"):
        journal.append([note()])
    os.rename(journal.path.with_name("moved"), journal.path)
    with pytest.raises(JournalError, match="takes no records any more"):
        journal.append([note()])


def test_what_the_core_did_comes_back_bit_for_bit(tmp_path):
    run = paper_run(tmp_path / "run", 12)
    seq = run.snapshot()
    state = snapshot(run.book)
    bars = [bars_of(record) for record in run.journal.read(types=("BAR",))]
    actions = [actions_of(record) for record in run.journal.read(types=("ACTION",))]
    outcomes = [outcome_of(record) for record in run.journal.read(types=("DECISION",))]
    run.journal.close()

    again = PaperRun(tmp_path / "again", run.rules)
    for part, chosen, outcome in zip(bars, actions, outcomes, strict=True):
        again.feed(part, chosen["action"])
        mine = outcome_of(newest_record(again.path, "DECISION"))
        for name in ("decisions", "throttles", "events", "account"):
            assert getattr(mine, name).tobytes() == getattr(outcome, name).tobytes()
    assert snapshot(again.book) == state
    again.journal.close()

    record = newest_record(run.path, "SNAPSHOT")
    stored = snapshot_state(record)
    assert (record.seq, stored) == (seq, state)
    book = new_book(run.rules)
    restore(book, stored)
    assert snapshot(book) == state


def test_orders_and_fills_come_back_as_rows(tmp_path):
    run = finished_run(tmp_path / "run", 12)
    intent = next(read_records(run.path, types=("ORDER_INTENT",)))
    assert order_of(intent)[0]["order_id"] == intent.data["order_id"]
    fill = next(read_records(run.path, types=("FILL",)))
    assert fill_of(fill)[0]["price"] == fill.data["price"]


def test_reading_in_a_folder_that_cannot_be_written_works_after_a_clean_close(tmp_path):
    run = finished_run(tmp_path / "run", 3)
    run.path.chmod(0o444)
    run.path.parent.chmod(0o555)
    try:
        assert len(list(read_records(run.path))) == run.journal.head.seq
    finally:
        run.path.parent.chmod(0o755)


def test_reading_a_missing_file_is_a_journal_error(tmp_path):
    with pytest.raises(JournalError, match="there is no journal"):
        next(read_records(tmp_path / "journal.sqlite"))
