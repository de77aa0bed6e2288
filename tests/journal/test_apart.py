"""Verification by two processes finds what verification by one finds, and ends with it."""

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal_kit import edit, falsify_checkpoint, finished_run, records_of, resealed, rewrite
from trader.errors import TraderError
from trader.journal.audit import second_reader
from trader.journal.audit import verify as verify_module
from trader.journal.audit.verify import verify, verify_here
from trader.journal.records import Record

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not verify_module.has_cores(), reason="one core, or no fork: one process reads"
    ),
]
MIDDLE = 50


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("original"), 16).path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "journal.sqlite"))


def nothing(path: Path) -> None:
    """A clean journal."""


def an_edit(path: Path, seq: int = MIDDLE) -> None:
    edit(path, ("UPDATE records SET wall_ns = wall_ns + 1 WHERE seq = ?", (seq,)))


def a_deletion(path: Path) -> None:
    edit(path, ("DELETE FROM records WHERE seq = ?", (MIDDLE,)))


def a_cut_tail(path: Path) -> None:
    edit(path, ("DELETE FROM records WHERE seq > ?", (MIDDLE,)))


def no_record(path: Path) -> None:
    edit(path, ("DELETE FROM records", ()))


def a_forgery(path: Path, of: str = "FILL") -> None:
    """A payload that says what cannot have been, with every hash made anew."""
    records = records_of(path)
    at = next(n for n, one in enumerate(records) if one.type == of and n > 20)
    records[at] = _without(records[at], "client_order_id" if of == "FILL" else "rows")
    rewrite(path, resealed(records))


def _without(record: Record, name: str) -> Record:
    text = record.payload.replace(f'"{name}"', '"nothing"')
    return record._replace(payload=text)


def a_forgery_before_an_edit(path: Path) -> None:
    a_forgery(path, "DECISION")
    an_edit(path, 100)


def a_forgery_after_an_edit(path: Path) -> None:
    a_forgery(path)
    an_edit(path, 10)


def a_start_without_an_id(path: Path) -> None:
    records = records_of(path)
    records[0] = _without(records[0], "run_id")
    rewrite(path, resealed(records))


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def half_a_file(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def another_table(path: Path) -> None:
    edit(path, ("CREATE TABLE notes (x)", ()))


def a_number_below_one(path: Path) -> None:
    edit(path, ("UPDATE records SET seq = -5 WHERE seq = 1", ()))


def a_view_in_place_of_the_table(path: Path) -> None:
    columns = "'a' seq, wall_ns, mono_ns, event_ns, cause, type, prev, hash, payload"
    edit(
        path,
        ("ALTER TABLE records RENAME TO others", ()),
        (f"CREATE VIEW records AS SELECT {columns} FROM others", ()),
    )


@pytest.mark.parametrize(
    "damage",
    [
        nothing, an_edit, a_deletion, a_cut_tail, no_record, a_forgery, a_forgery_before_an_edit,
        a_forgery_after_an_edit, falsify_checkpoint, a_start_without_an_id, garbage, half_a_file,
        another_table, a_number_below_one, a_view_in_place_of_the_table,
    ],
)  # fmt: skip
def test_two_readers_report_what_one_reports(path: Path, damage: Callable[[Path], object]):
    damage(path)
    one, two = verify(path, apart_from=1 << 60), verify(path, apart_from=0)
    assert two == one == verify_here(path)
    assert one.ok == (damage in (nothing, a_cut_tail))


def test_two_readers_report_what_one_reports_of_random_damage(original: Path, tmp_path: Path):
    chance, path = random.Random(5), tmp_path / "journal.sqlite"
    bad = 0
    for _ in range(12):
        shutil.copy(original, path)
        with path.open("r+b") as file:
            file.seek(chance.randrange(path.stat().st_size))
            file.write(chance.randbytes(2))
        one = verify_here(path)
        assert verify(path, apart_from=0) == one
        bad += not one.ok
    assert bad > 4


def test_a_journal_that_grows_meanwhile_is_judged_as_far_as_the_first_reader_sees(path: Path):
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    bad = records_of(path)[-1]._replace(seq=10_000, payload="{}")
    second = second_reader.SecondReader(path)
    with second:
        writer.execute("INSERT INTO records VALUES (?,?,?,?,?,?,?,?,?)", bad)
        second.begin(bad.seq - 1)
        assert second.problem() is None
    writer.close()


OTHER_FILE = """
import os, sys
from pathlib import Path
from trader.journal.audit import second_reader, verify
real = second_reader.open_reader
second_reader.open_reader = lambda path: real(Path({other!r}))
sys.exit(verify._main())
"""


@pytest.mark.parametrize("is_forged", [False, True])
def test_two_readers_of_different_records_find_nothing_clean(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_forged: bool
):
    """The chain of a forgery, and what the honest records say: each is sound alone."""
    honest = {record.seq: record.payload for record in records_of(path)}
    if is_forged:
        a_forgery(path)
    other = Path(shutil.copy(path, tmp_path / "other.sqlite"))
    for record in records_of(path):
        if record.payload != honest[record.seq] and record.type == "FILL":
            values = (honest[record.seq], record.seq)
            edit(other, ("UPDATE records SET payload = ? WHERE seq = ?", values))
    monkeypatch.setattr(verify_module, "READER", ("-c", OTHER_FILE.format(other=str(other))))
    report = verify(path, apart_from=0)
    assert report.ok != is_forged
    assert [one.text for one in report.problems] == is_forged * ["it reads otherwise a second time"]


PATCHED = """
import os, sys, time
from trader.journal.audit import second_reader, verify
def judge(*parts, real=second_reader._judge):
    open({mark!r}, "w").write(str(os.getpid()))
    {second}
    real(*parts)
def follow(*parts, real=verify._follow):
    while not os.path.exists({mark!r}) or not os.path.getsize({mark!r}):
        time.sleep(0.01)
    {first}
    real(*parts)
second_reader._judge, verify._follow = judge, follow
sys.exit(verify._main())
"""


@pytest.fixture
def patched(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Something that a reader does before it reads; returns where the second's number is."""

    def patch(first: str = "pass", second: str = "pass") -> Path:
        mark = path.with_name("mark")
        code = PATCHED.format(mark=str(mark), first=first, second=second)
        monkeypatch.setattr(verify_module, "READER", ("-c", code))
        return mark

    return patch


def assert_gone(mark: Path) -> None:
    stat = Path(f"/proc/{mark.read_text()}/stat")
    deadline = time.monotonic() + 20
    while stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "the second reader is still there"
        time.sleep(0.02)


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_reader_of_two_that_crashes_means_a_damaged_file(
    path: Path, patched: Callable[..., Path], which: str
):
    mark = patched(**{which: "os.kill(os.getpid(), 11)"})
    (problem,) = verify(path, apart_from=0, timeout_s=60.0).problems
    assert (problem.kind, problem.text) == ("storage", "reading the file crashed (signal 11)")
    assert_gone(mark)


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("number", [9, 15])
def test_a_reader_that_somebody_ends_proves_nothing(
    path: Path, patched: Callable[..., Path], which: str, number: int
):
    mark = patched(**{which: f"os.kill(os.getpid(), {number})"})
    with pytest.raises(TraderError, match=f"ended by signal {number}; .* nothing is proven"):
        verify(path, apart_from=0, timeout_s=60.0)
    assert_gone(mark)


def test_a_second_reader_that_raises_is_told(path: Path, patched: Callable[..., Path]):
    patched(second="1 / 0")
    with pytest.raises(TraderError, match="second reader of the journal ended with 1"):
        verify(path, apart_from=0)


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_reader_of_two_that_hangs_is_ended_and_the_other_with_it(
    path: Path, patched: Callable[..., Path], which: str
):
    mark = patched(**{which: "time.sleep(600)"})
    with pytest.raises(TraderError, match="nothing is proven"):
        verify(path, timeout_s=6.0, apart_from=0)
    assert_gone(mark)
