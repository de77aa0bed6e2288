"""Verification by two processes finds what verification by one finds, and ends with it."""

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal_kit import edit, finished_run, records_of, resealed, rewrite
from trader.errors import TraderError
from trader.journal import verify as verify_module
from trader.journal.chain import record_hash
from trader.journal.passes import Chain
from trader.journal.records import Record
from trader.journal.verify import verify, verify_here

pytestmark = pytest.mark.skipif(
    not verify_module.has_cores(), reason="one core, or no fork: one process reads"
)
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


def a_false_checkpoint(path: Path) -> None:
    records = records_of(path)
    last = records[-1]
    assert last.type == "CHECKPOINT"
    payload = last.payload.replace(last.data["root"], "0" * 64)
    stamp = (last.seq, last.wall_ns, last.mono_ns, last.event_ns, last.cause)
    digest = record_hash(stamp, b"CHECKPOINT", payload.encode(), last.prev)
    rewrite(path, [*records[:-1], last._replace(payload=payload, hash=digest)])


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


@pytest.mark.parametrize(
    "damage",
    [
        nothing, an_edit, a_deletion, a_cut_tail, no_record, a_forgery, a_forgery_before_an_edit,
        a_forgery_after_an_edit, a_false_checkpoint, a_start_without_an_id, garbage, half_a_file,
        another_table,
    ],
)  # fmt: skip
def test_two_readers_report_what_one_reports(path: Path, damage: Callable[[Path], None]):
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
    second = verify_module.SecondReader(path)
    with second:
        writer.execute("INSERT INTO records VALUES (?,?,?,?,?,?,?,?,?)", bad)
        second.begin(bad.seq - 1)
        assert second.problem(chain_of(path)) is None
    writer.close()


def chain_of(path: Path) -> Chain:
    chain = Chain()
    chain.seq, chain.head = [(one.seq, one.hash) for one in records_of(path)][-2]
    return chain


@pytest.mark.parametrize("last", [MIDDLE, None])
def test_a_second_reader_that_did_not_read_the_same_is_a_finding(path: Path, last: int | None):
    with verify_module.SecondReader(path) as second:
        second.begin(last)
        records = records_of(path)
        chain = Chain()
        chain.seq, chain.head = records[-1].seq, records[-1].hash
        problem = second.problem(chain)
    assert problem is not None
    assert (problem.seq, problem.kind) == ((last or 0) + 1, "storage")
    assert f"up to record {last or 0}, not {chain.seq}" in problem.text
    with verify_module.SecondReader(path) as second:
        second.begin(chain.seq)
        chain.head = records[0].hash
        assert second.problem(chain) is not None


PATCHED = """
import os, sys, time
from trader.journal import passes, verify
def take(self, row):
    open({mark!r}, "w").write(str(os.getpid()))
    {what}
verify.Sense.take = take
sys.exit(verify._main())
"""


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [("os.kill(os.getpid(), 11)", "storage", "crashed (signal 11)"), ("1 / 0", "", "ended with 1")],
)
def test_a_second_reader_that_crashes_is_a_reader_that_crashes(
    path: Path, monkeypatch: pytest.MonkeyPatch, what: str, kind: str, said: str
):
    code = PATCHED.format(mark=str(path.with_name("mark")), what=what)
    monkeypatch.setattr(verify_module, "READER", ("-c", code))
    if kind:
        (problem,) = verify(path, apart_from=0).problems
        assert problem.kind == kind
        assert said in problem.text
    else:
        with pytest.raises(TraderError, match=said):
            verify(path, apart_from=0)


def test_a_second_reader_that_hangs_is_ended_with_the_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    mark = path.with_name("mark")
    code = PATCHED.format(mark=str(mark), what="time.sleep(600)")
    monkeypatch.setattr(verify_module, "READER", ("-c", code))
    with pytest.raises(TraderError, match="nothing is proven"):
        verify(path, timeout_s=5.0, apart_from=0)
    second = Path(f"/proc/{mark.read_text()}/stat")
    deadline = time.monotonic() + 20
    while second.exists() and second.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)
