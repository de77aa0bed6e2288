"""Verification sees every edit, cut, move and splice, and says truthfully what it cannot see."""

import os
import random
import shutil
import signal
import sqlite3

import pytest

from tests.journal_kit import (
    edit,
    falsify_checkpoint,
    finished_run,
    paper_run,
    records_of,
    resealed,
    rewrite,
)
from tests.tiers import SHARES, TIER, cases
from trader.errors import TraderError, UsageError
from trader.journal.anchor import Anchor, FileAnchor, parse_anchor
from trader.journal.audit import verify as verify_module
from trader.journal.audit.findings import Report
from trader.journal.audit.verify import verify, verify_here
from trader.journal.audit.witnesses import Witnesses
from trader.journal.records import JournalError

RAW_FLIPS = int(os.environ.get("TRADER_RAW_FLIPS", cases(1500)))  # of some 500,000
HEADER_BYTES = 100
COLUMNS = ("wall_ns", "mono_ns", "event_ns", "cause", "type", "prev", "hash", "payload")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A finished run of at least 100 records, anchored on the way."""
    folder = tmp_path_factory.mktemp("original")
    run = finished_run(folder, 16, on_checkpoint=FileAnchor(folder / "audit.anchor"))
    assert 100 <= run.journal.head.seq <= 140
    return run


@pytest.fixture
def path(original, tmp_path):
    """A copy of the original's journal, to be damaged."""
    return shutil.copy(original.path, tmp_path / "journal.sqlite")


def first_problem(path, anchors=()):
    report = verify_here(path, anchors)
    assert not report.ok
    return report.first_bad_seq, report.problems[0].kind


def head_anchor(run):
    return [Anchor(run.journal.head.hash, run.journal.head.seq)]


@pytest.mark.process
def test_a_clean_run_verifies_and_says_its_tail_is_not_anchored(original):
    report = verify(original.path)
    assert (report.ok, report.problems, report.run_id) == (True, [], "run-1")
    assert report.records == original.journal.head.seq
    assert report.head == str(original.journal.head)
    assert report.tail == "tail not anchored"
    assert sum(report.counts.values()) == report.records


def test_the_report_survives_json(original):
    report = verify_here(original.path)
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.long
def test_an_edited_column_of_every_record_is_found_at_that_record(path, column):
    records = records_of(path)
    share = SHARES[TIER]
    for record in records[COLUMNS.index(column) % share :: share]:  # of all columns: every record
        value = getattr(record, column)
        changed = (
            1 if value is None else value + 1 if isinstance(value, int) else value[:-1] + value[:1]
        )
        if changed == value:
            changed = value * 2
        statement = f"UPDATE records SET {column} = ? WHERE seq = ?"
        edit(path, (statement, (changed, record.seq)))
        assert first_problem(path)[0] == record.seq
        edit(path, (statement, (value, record.seq)))
    assert verify_here(path).ok


@pytest.mark.long
def test_each_deleted_record_is_a_gap(path):
    records = records_of(path)
    for record in records[:-1]:
        rewrite(path, [r for r in records if r is not record])
        assert first_problem(path) == (record.seq, "gap")


@pytest.mark.long
def test_each_deleted_record_with_the_rest_renumbered_is_a_gap(path):
    records = records_of(path)
    for index in range(len(records) - 1):
        rest = records[:index] + records[index + 1 :]
        rewrite(path, [r._replace(seq=seq) for seq, r in enumerate(rest, start=1)])
        assert first_problem(path) == (index + 1, "gap")


@pytest.mark.long
def test_each_pair_of_swapped_neighbours_is_out_of_order(path):
    records = records_of(path)
    for index in range(len(records) - 1):
        swapped = list(records)
        swapped[index : index + 2] = reversed(swapped[index : index + 2])
        rewrite(path, [r._replace(seq=seq) for seq, r in enumerate(swapped, start=1)])
        assert first_problem(path) == (index + 1, "order")


def test_two_distant_records_swapped_are_out_of_order(path):
    records = records_of(path)
    records[9], records[59] = records[59], records[9]
    rewrite(path, [r._replace(seq=seq) for seq, r in enumerate(records, start=1)])
    assert first_problem(path) == (10, "order")


@pytest.mark.long
def test_each_duplicated_record_is_a_duplicate(path):
    records = records_of(path)
    for index in range(len(records)):
        doubled = [*records[: index + 1], *records[index:]]
        rewrite(path, [r._replace(seq=seq) for seq, r in enumerate(doubled, start=1)])
        assert first_problem(path) == (index + 2, "duplicate")


def test_records_of_another_run_are_a_splice(path, tmp_path):
    other = records_of(finished_run(tmp_path / "other", 16, run_id="run-2").path)
    records = records_of(path)
    for cut in (1, 10, 50, len(records) - 3):
        rewrite(path, records[:cut] + other[cut : len(records)])
        assert first_problem(path) == (cut + 1, "splice")
    rewrite(path, [*records[:20], other[20], *records[21:]])
    assert first_problem(path) == (21, "splice")


def test_an_edit_with_its_own_hash_made_anew_shows_at_the_next_record(path):
    records = records_of(path)
    forged = resealed([*records[:29], records[29]._replace(wall_ns=1)])[29]
    rewrite(path, [*records[:29], forged, *records[30:]])
    assert first_problem(path) == (31, "splice")


@pytest.mark.long
def test_a_cut_tail_shows_with_an_anchor_and_is_not_claimed_clean_without(original, path):
    records = records_of(path)
    for kept in range(1, len(records)):
        edit(path, ("DELETE FROM records WHERE seq > ?", (kept,)))
        without = verify_here(path)
        assert without.ok
        assert without.tail == "tail not anchored"
        assert first_problem(path, head_anchor(original)) == (kept + 1, "truncated")
        rewrite(path, records)
    whole = verify_here(path, head_anchor(original))
    assert whole.ok
    assert whole.tail == f"anchored to its last record, {len(records)}"


def test_no_records_at_all_is_truncated(path):
    edit(path, ("DELETE FROM records", ()))
    assert first_problem(path) == (1, "truncated")


def test_a_whole_rewritten_chain_passes_without_an_anchor_and_not_with_one(original, path):
    """The reseal attack: edit the past and make every hash from there on anew."""
    records = records_of(path)
    records[40] = records[40]._replace(wall_ns=records[40].wall_ns + 1)
    rewrite(path, resealed(records))
    report = verify_here(path)
    assert (report.ok, report.tail) == (True, "tail not anchored")
    assert first_problem(path, head_anchor(original)) == (len(records), "anchor")


def test_an_anchor_file_proves_the_journal_up_to_its_last_checkpoint(original, path):
    anchors = parse_anchor(str(original.path.parent / "audit.anchor"))
    report = verify_here(path, anchors)
    assert report.ok
    assert report.anchored_seq == original.journal.head.seq - 1  # the checkpoint record follows
    assert "1 records after it are not" in report.tail
    wrong_root = [anchor._replace(root=bytes(32)) for anchor in anchors]
    assert first_problem(path, wrong_root)[1] == "anchor"
    wrong_run = [anchor._replace(run_id="run-9") for anchor in anchors]
    assert first_problem(path, wrong_run)[1] == "anchor"


def test_an_anchor_appended_after_a_forgery_does_not_hide_the_true_one(original, path):
    """Two anchors of one record: whichever the journal agrees with, the other one speaks up."""
    true = parse_anchor(str(original.path.parent / "audit.anchor"))
    records = records_of(path)
    rewrite(path, resealed([*records[:40], records[40]._replace(wall_ns=1), *records[41:]]))
    forged = [a._replace(hash=records_of(path)[a.seq - 1].hash, root=None) for a in true]
    for anchors in (true + forged, forged + true):
        report = verify_here(path, anchors)
        assert [p.text for p in report.problems] == [
            f"the anchors of record {true[-1].seq} contradict each other"
        ]
        assert report.anchored_seq is None
    edit(path, ("DELETE FROM records WHERE seq > 60", ()))
    found = {(p.kind, p.text) for p in verify_here(path, true + forged).problems}
    assert ("anchor", f"the anchors of record {true[-1].seq} contradict each other") in found
    assert ("truncated", f"record {true[-1].seq} was anchored, and the journal ends at 60") in found


def test_a_wrong_anchor_shows_although_something_else_is_wrong_before_it(path):
    records = records_of(path)
    rewrite(path, resealed([*records[:30], records[2], *records[30:]]))  # makes no sense
    report = verify_here(path, [Anchor(bytes(32), 40)])
    assert [problem.kind for problem in report.problems] == ["meaning", "anchor"]


def test_an_anchor_that_no_record_was_held_against_is_reported():
    witnesses = Witnesses([Anchor(bytes(32), 7)])
    assert witnesses.finish(9, "run-1") is None
    assert "never held against" in witnesses.problem.text


def test_anchors_of_other_runs_in_the_same_file_are_passed_over_but_never_alone(original, path):
    own = parse_anchor(str(original.path.parent / "audit.anchor"))
    other = [anchor._replace(run_id="run-9", hash=bytes(32), seq=7) for anchor in own]
    assert verify_here(path, other + own).anchored_seq == own[-1].seq
    report = verify_here(path, other)
    assert [p.text for p in report.problems] == ["the anchor is of run run-9, this is run-1"]


def test_a_bare_hash_anchors_wherever_it_stands(original, path):
    records = records_of(path)
    report = verify_here(path, parse_anchor(records[49].hash.hex()))
    assert (report.ok, report.anchored_seq) == (True, 50)
    assert first_problem(path, parse_anchor("ab" * 32)) == (len(records) + 1, "anchor")
    assert first_problem(path, [Anchor(records[49].hash, 51)])[1] == "anchor"


@pytest.mark.parametrize(
    "text",
    ["", " ", "12:xyz", "nowhere/audit.anchor", "12:" + "a" * 63, "9" * 5000 + ":" + "a" * 64],
)
def test_what_is_no_head_and_no_anchor_file_is_a_usage_error(text):
    with pytest.raises(UsageError, match="neither a head"):
        parse_anchor(text)


@pytest.mark.parametrize(
    "content", ["", "hello\n", "trader/run\nx\ny\nhead z\n", "trader/run\n3\nAAAA\n"]
)
def test_a_file_that_is_no_anchor_is_a_usage_error(tmp_path, content):
    (tmp_path / "file").write_text(content)
    with pytest.raises(UsageError, match="anchor"):
        parse_anchor(str(tmp_path / "file"))


def test_a_false_checkpoint_is_found_although_the_chain_holds(path):
    seq = falsify_checkpoint(path)
    assert first_problem(path) == (seq, "checkpoint")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE notes (x)",
        "CREATE INDEX by_type ON records (type)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON records BEGIN SELECT 1; END",
        "PRAGMA application_id=1",
        "PRAGMA user_version=9",
    ],
)
def test_anything_else_in_the_file_is_reported(path, statement):
    edit(path, (statement, ()))
    assert first_problem(path)[1] == "storage"


@pytest.mark.long
def test_single_bit_flips_of_the_raw_file_are_seen_or_change_nothing(original, tmp_path):
    path = tmp_path / "journal.sqlite"
    raw = original.path.read_bytes()
    chance = random.Random(11)
    header = [(place, bit) for place in range(HEADER_BYTES) for bit in range(8)]
    header = chance.sample(header, cases(len(header)))
    places = [(chance.randrange(len(raw)), chance.randrange(8)) for _ in range(RAW_FLIPS)]
    path.write_bytes(raw)
    seen = 0
    with path.open("r+b", buffering=0) as file:
        for place, bit in header + places:
            os.pwrite(file.fileno(), bytes([raw[place] ^ 1 << bit]), place)
            report = verify_here(path)
            if report.ok:
                assert (report.records, report.head) == (
                    original.journal.head.seq,
                    str(original.journal.head),
                ), (place, bit)
            seen += not report.ok
            os.pwrite(file.fileno(), raw[place : place + 1], place)
    assert seen > RAW_FLIPS // 2
    assert verify_here(path).ok


@pytest.mark.process
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_corrupt(path, share):
    size = path.stat().st_size
    os.truncate(path, int(size * share))
    report = verify(path)
    assert not report.ok
    assert report.problems[0].kind in ("storage", "hash")


@pytest.mark.process
def test_garbage_and_another_database_are_corrupt(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"garbage" * 1000)
    assert first_problem(path) == (1, "storage")
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    assert not verify(path).ok


def test_a_missing_file_is_a_journal_error(tmp_path):
    with pytest.raises(JournalError, match="there is no journal"):
        verify(tmp_path / "journal.sqlite")
    with pytest.raises(JournalError, match="there is no journal"):
        verify_here(tmp_path / "journal.sqlite")


@pytest.mark.process
def test_a_reader_that_crashes_means_a_damaged_file(path, monkeypatch):
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    monkeypatch.setattr(verify_module, "READER", ("-c", crash))
    report = verify(path)
    assert report.problems[0].kind == "storage"
    assert "crashed (signal 11)" in report.problems[0].text


@pytest.mark.process
def test_a_reader_that_hangs_proves_nothing_either_way(path, monkeypatch):
    monkeypatch.setattr(verify_module, "READER", ("-c", "import time; time.sleep(60)"))
    with pytest.raises(TraderError, match="nothing is proven") as error:
        verify(path, timeout_s=0.3)
    assert error.value.exit_code == 1


@pytest.mark.process
def test_a_reader_that_cannot_start_is_a_journal_error(path, monkeypatch):
    monkeypatch.setattr(verify_module, "READER", ("-c", "raise SystemExit('no such thing')"))
    with pytest.raises(JournalError, match="no such thing"):
        verify(path)


@pytest.mark.process
def test_verifying_works_from_any_folder_and_while_the_run_writes(tmp_path, monkeypatch):
    run = paper_run(tmp_path / "run", 4)
    monkeypatch.chdir("/")
    report = verify(run.path, [Anchor(run.journal.head.hash, run.journal.head.seq)])
    assert (report.ok, report.records) == (True, run.journal.head.seq)
    run.journal.append([])
    run.journal.close()


def test_an_anchor_file_of_many_runs_holds_for_each_of_them(tmp_path):
    kept = tmp_path / "heads"
    runs = [
        finished_run(tmp_path / name, slices, run_id=name, on_checkpoint=FileAnchor(kept))
        for name, slices in (("one", 8), ("two", 6), ("three", 6))
    ]
    anchors = parse_anchor(str(kept))
    for run in runs:
        report = verify_here(run.path, anchors)
        assert (report.problems, report.anchored_seq) == ([], report.records - 1)
    last = len(records_of(runs[1].path))
    edit(runs[1].path, (f"DELETE FROM records WHERE seq > {last - 2}", ()))
    assert first_problem(runs[1].path, anchors) == (last - 1, "truncated")


def test_an_anchor_file_of_other_runs_only_is_not_this_ones(original, tmp_path):
    kept = tmp_path / "heads"
    finished_run(tmp_path / "other", 16, run_id="other", on_checkpoint=FileAnchor(kept))
    assert first_problem(original.path, parse_anchor(str(kept)))[1] in ("anchor", "truncated")
