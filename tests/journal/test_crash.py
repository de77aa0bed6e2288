"""Crashes, full disks and cut files: what was acknowledged is there, and the chain holds."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from tests.core_kit import always_open, make_rules
from tests.journal_kit import StepClock, identity, records_of, start_of
from tests.tiers import TIER, cases
from trader.journal import entries as build
from trader.journal.audit.verify import verify_here
from trader.journal.log import Journal
from trader.journal.records import JournalError

pytestmark = pytest.mark.process

RULES = make_rules(always_open(0, 1), 2)
KILLS = cases(40)


def note(text="note"):
    return build.alert("TEST", text)


def forked(work):
    """Start `work(write)` in a child; what it writes comes out of the returned pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work(lambda text: os.write(writer, text.encode()))
        finally:
            os._exit(0)
    os.close(writer)
    return child, reader


def test_sigkill_between_and_inside_transactions_loses_nothing_acknowledged(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal.create(path, start_of(RULES), StepClock()).close()
    chance = random.Random(7)

    def write_for_ever(write):
        journal = Journal.open(path, StepClock())
        journal.append([build.run_resume(identity(RULES, "run-1"))])
        while True:
            durable = bool(journal.head.seq % 3)
            write(f"{journal.append([note()] * chance.randint(1, 40), durable)}\n")

    acknowledged = 1
    for _ in range(KILLS):
        child, reader = forked(write_for_ever)
        first = os.read(reader, 64)  # it is writing
        time.sleep(chance.uniform(0, 0.012))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = first + b"".join(iter(lambda: os.read(reader, 65536), b""))  # noqa: B023
        os.close(reader)
        acknowledged = int(told.split()[-1])
        report = verify_here(path)
        assert report.ok, report.problems
        assert report.records >= acknowledged
    assert acknowledged > KILLS
    assert [record.seq for record in records_of(path)] == list(range(1, report.records + 1))


def test_a_write_ahead_file_cut_at_every_byte_recovers_to_its_last_commit(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal.create(path, start_of(RULES), StepClock()).close()
    use_small_pages(path)
    journal = Journal.open(path, StepClock())
    wal = tmp_path / "journal.sqlite-wal"
    commits = {0: 1}  # size of the write-ahead file -> records committed by then
    for number in range(4):
        journal.append([note("n" * 20 * number)])
        commits[wal.stat().st_size] = journal.head.seq
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(path, work)
    whole = wal.read_bytes()
    journal.close()

    copy = work / "journal.sqlite"
    for length in lengths(len(whole), commits):
        (work / "journal.sqlite-wal").write_bytes(whole[:length])
        (work / "journal.sqlite-shm").unlink(missing_ok=True)
        report = verify_here(copy)
        expected = max(seq for size, seq in commits.items() if size <= length)
        assert report.ok, (length, report.problems)
        assert report.records == expected, length
        if length % 997 == 1:
            append_one(work, tmp_path / "onward")
    assert len(commits) == 5


def lengths(whole, commits):
    """Every length of a log in `make trials`; else those beside a commit, and one in four."""
    near = {size + by for size in commits for by in range(-9, 10)}
    every = range(whole, -1, -1)
    return [size for size in every if TIER == "trials" or size in near or size % 4 == 1]


def use_small_pages(path):
    """Rewrite a journal with 512-byte pages, so that every length of its log can be tried."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=DELETE", "page_size=512"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def append_one(source, target):
    """A writer goes on from a copy of the cut files."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    journal = Journal.open(target / "journal.sqlite", StepClock())
    head = journal.append([build.run_resume(identity(RULES, "run-1"))])
    journal.close()
    report = verify_here(target / "journal.sqlite")
    assert report.ok
    assert report.records == head


def fill_up(journal, write):
    """Append until a write fails; report every acknowledged seq, then how it refused."""
    try:
        while True:
            write(f"{journal.append([note('x' * 2_000)] * 3)}\n")
    except JournalError as error:
        write(f"refused: {error}\n")
    for _ in range(2):
        try:
            journal.append([note()])
            write("accepted\n")
        except JournalError:
            write("refused again\n")
    os._exit(0)


def outcome_of_filling(child, reader):
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        lines = pipe.read().splitlines()
    acknowledged = [int(line) for line in lines if line.isdigit()]
    return acknowledged[-1], [line for line in lines if not line.isdigit()]


def assert_recovered(path, acknowledged):
    report = verify_here(path)
    assert report.ok, report.problems
    assert report.records >= acknowledged
    journal = Journal.open(path, StepClock())
    journal.append([build.run_resume(identity(RULES, "run-1"))])
    journal.close()
    assert verify_here(path).ok


def test_a_full_disk_is_fatal_and_what_was_acknowledged_is_kept(small_disk):
    path = small_disk / "journal.sqlite"
    Journal.create(path, start_of(RULES), StepClock()).close()
    child, reader = forked(lambda write: fill_up(Journal.open(path, StepClock()), write))
    acknowledged, said = outcome_of_filling(child, reader)
    assert "full" in said[0]
    assert "trading must stop" in said[0]
    assert said[1:] == ["refused again", "refused again"]
    remount = ["mount", "-o", "remount,size=8m", str(small_disk)]
    subprocess.run(remount, check=True)
    assert_recovered(path, acknowledged)


def test_no_room_for_a_new_journal_is_a_journal_error(small_disk):
    (small_disk / "filler").write_bytes(bytes(500 * 1024))
    with pytest.raises(JournalError, match="cannot create"):
        Journal.create(small_disk / "journal.sqlite", start_of(RULES), StepClock())
    assert not (small_disk / "journal.sqlite").exists()


def test_a_file_size_limit_is_fatal_and_what_was_acknowledged_is_kept(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal.create(path, start_of(RULES), StepClock()).close()

    def limited(write):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        fill_up(Journal.open(path, StepClock()), write)

    acknowledged, said = outcome_of_filling(*forked(limited))
    assert said[0].startswith("refused: cannot write")
    assert said[1:] == ["refused again", "refused again"]
    assert_recovered(path, acknowledged)


def test_a_reader_never_changes_the_files(tmp_path):
    path = tmp_path / "journal.sqlite"

    def die_with_a_log(write):
        journal = Journal.create(path, start_of(RULES), StepClock())
        journal.append([note()])
        os._exit(0)

    child, reader = forked(die_with_a_log)
    os.waitpid(child, 0)
    os.close(reader)
    before = {
        name: (tmp_path / name).read_bytes() for name in ("journal.sqlite", "journal.sqlite-wal")
    }
    assert verify_here(path).records == 2
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
