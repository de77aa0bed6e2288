"""`trader audit`: what it prints, and the exit code that tells the truth."""

import json
import os
import subprocess
import sys

import pytest

from tests.journal_kit import edit, finished_run, records_of, resealed, rewrite
from trader.cli import app

pytestmark = pytest.mark.process

EXIT = {"clean": 0, "usage": 2, "corrupt": 8}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A working directory with two paper runs and a backtest under runs/."""
    monkeypatch.chdir(tmp_path)
    made = {}
    for name in ("20240101T000000Z-paper-demo", "20240102T000000Z-paper-demo"):
        made[name] = finished_run(tmp_path / "runs" / name, 6, run_id=name)
    (tmp_path / "runs" / "20240103T000000Z-backtest-demo").mkdir()
    return made


def trader(capsys, *args):
    """(exit code, stdout, stderr) of a command line, in this process."""
    code = app.run(args)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_verify_of_a_clean_run_prints_its_head_and_exits_0(runs, capsys):
    code, out, _ = trader(capsys, "audit", "verify", "20240101")
    run = runs["20240101T000000Z-paper-demo"]
    assert code == EXIT["clean"]
    assert out.startswith("clean: 20240101T000000Z-paper-demo")
    assert f"head {run.journal.head}" in out
    assert "tail not anchored" in out


@pytest.mark.parametrize(
    "text",
    ["20240102", "20240102T000000Z-paper-demo", "latest", "runs/20240102T000000Z-paper-demo",
     "runs/20240102T000000Z-paper-demo/journal.sqlite"],
)  # fmt: skip
def test_a_run_is_named_by_id_beginning_folder_file_or_latest(runs, capsys, text):
    code, out, _ = trader(capsys, "audit", "verify", text, "--json")
    assert code == EXIT["clean"]
    assert json.loads(out)["run_id"] == "20240102T000000Z-paper-demo"


def test_without_a_run_the_latest_is_verified(runs, capsys):
    code, out, _ = trader(capsys, "audit", "verify", "--json")
    assert (code, json.loads(out)["run_id"]) == (EXIT["clean"], "20240102T000000Z-paper-demo")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024", "is the beginning of 2 runs"),
        ("nonsense", "no run 'nonsense' with a journal in runs; the newest is 20240102"),
        ("runs/nonsense", "no run folder runs/nonsense"),
        ("20240103T000000Z-backtest-demo", "only paper runs keep a journal"),
        ("", "no run ''"),
    ],
)
def test_an_unknown_run_is_a_usage_error(runs, capsys, text, said):
    code, out, err = trader(capsys, "audit", "verify", text)
    assert (code, out) == (EXIT["usage"], "")
    assert said in err


def test_no_runs_at_all_is_a_usage_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = trader(capsys, "audit", "verify")
    assert code == EXIT["usage"]
    assert "`trader paper -c FILE` makes one" in err


def test_an_edited_record_exits_8_and_names_it(runs, capsys):
    path = runs["20240102T000000Z-paper-demo"].path
    edit(path, ("UPDATE records SET payload = replace(payload, '0', '1') WHERE seq = 7", ()))
    code, out, _ = trader(capsys, "audit", "verify")
    assert code == EXIT["corrupt"]
    assert out.startswith("CORRUPT: ")
    assert "record 7: hash: it was changed after it was written" in out
    code, out, _ = trader(capsys, "audit", "verify", "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["first_bad_seq"]) == (EXIT["corrupt"], False, 7)
    assert report["problems"][0]["kind"] == "hash"


def test_what_a_forger_wrote_cannot_write_to_the_terminal(runs, capsys):
    path = runs["20240102T000000Z-paper-demo"].path
    edit(path, ("UPDATE records SET type = 'X' || char(27) || '[31m' WHERE seq = 7", ()))
    code, out, _ = trader(capsys, "audit", "verify")
    assert code == EXIT["corrupt"]
    assert "\x1b" not in out


def test_a_malformed_database_exits_8(runs, capsys):
    path = runs["20240102T000000Z-paper-demo"].path
    raw = bytearray(path.read_bytes())
    raw[4096:8192] = os.urandom(4096)
    path.write_bytes(raw)
    assert trader(capsys, "audit", "verify")[0] == EXIT["corrupt"]
    path.write_bytes(b"")
    assert trader(capsys, "audit", "verify")[0] == EXIT["corrupt"]
    assert trader(capsys, "audit", "show", "--order", "1")[0] == EXIT["corrupt"]


def test_a_cut_tail_exits_8_when_the_head_was_kept(runs, capsys):
    run = runs["20240102T000000Z-paper-demo"]
    head = str(run.journal.head)
    code, out, _ = trader(capsys, "audit", "verify", "--from", head)
    assert code == EXIT["clean"]
    assert "anchored to its last record" in out
    edit(run.path, ("DELETE FROM records WHERE seq > 20", ()))
    code, out, _ = trader(capsys, "audit", "verify")
    assert (code, "tail not anchored" in out) == (EXIT["clean"], True)
    code, out, _ = trader(capsys, "audit", "verify", "--from", head)
    assert code == EXIT["corrupt"]
    assert "record 21: truncated" in out


def test_a_head_that_is_none_is_a_usage_error(runs, capsys):
    code, _, err = trader(capsys, "audit", "verify", "--from", f"0:{'0' * 64}")
    assert (code, "counted from 1" in err) == (2, True)
    for size in ("0", "-3"):
        with open("kept", "w") as file:
            file.write(f"trader/run-1\n{size}\n{'A' * 43}=\nhead {'0' * 64}\n\n")
        code, out, err = trader(capsys, "audit", "verify", "--from", "kept")
        assert (code, out, "counted from 1" in err) == (EXIT["usage"], "", True)
    code, _, err = trader(capsys, "audit", "verify", "--from", "soon")
    assert code == EXIT["usage"]
    assert "neither a head" in err


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_from_is_a_usage_error_and_never_no_anchor(runs, capsys, empty):
    """A shell variable without a value must not turn the check off."""
    code, out, err = trader(capsys, "audit", "verify", "--from", empty)
    assert (code, out, "neither a head" in err) == (EXIT["usage"], "", True)


@pytest.mark.parametrize("command", [("audit", "verify"), ("replay",)])
@pytest.mark.parametrize("name", ["x" * 5000, "runs/" + "x" * 5000])
def test_a_name_that_no_file_can_have_is_a_usage_error(runs, capsys, command, name):
    code, out, err = trader(capsys, *command, name)
    assert (code, out, "no run" in err) == (EXIT["usage"], "", True)
    assert len(err) < 500
    code, _, err = trader(capsys, *command, "latest", "--dir", name)
    assert (code, "no run" in err) == (EXIT["usage"], True)


def test_show_tells_an_orders_story(runs, capsys):
    run = runs["20240102T000000Z-paper-demo"]
    number, client_id = next(iter(run.client_ids.items()))
    code, out, _ = trader(capsys, "audit", "show", "--order", client_id)
    assert code == 0
    order = ("bar", "action", "decision", "checks", "throttle", "order", "fills")
    places = [out.index(f"\n{label} ") for label in order]
    assert places == sorted(places)
    code, out, _ = trader(capsys, "audit", "show", "--order", str(number), "latest", "--json")
    document = json.loads(out)
    assert (code, document["client_order_id"], len(document["steps"])) == (0, client_id, 6)


@pytest.mark.parametrize(
    "change",
    [
        "payload = replace(payload, 'ACME', 'ACMF')",
        "payload = '{}'",
        "payload = 'x'",
        "payload = '[1]'",
        "cause = 999",
    ],
)
@pytest.mark.parametrize("kind", ["ORDER_INTENT", "DECISION", "BAR", "RUN_START"])
def test_show_tells_nothing_from_a_record_that_was_changed(runs, capsys, kind, change):
    run = runs["20240102T000000Z-paper-demo"]
    change = change if kind in ("ORDER_INTENT", "RUN_START") else "wall_ns = 1"
    edit(run.path, (f"UPDATE records SET {change} WHERE type = '{kind}'", ()))
    code, out, err = trader(capsys, "audit", "show", "--order", run.client_ids[1])
    assert (code, out) == (EXIT["corrupt"], "")
    assert "is damaged" in err


@pytest.mark.parametrize("kind", ["RUN_START", "BAR", "ACTION", "DECISION"])
def test_show_says_in_words_what_a_wrong_cause_names(runs, capsys, kind):
    run = runs["20240102T000000Z-paper-demo"]
    records = records_of(run.path)
    index = next(i for i, record in enumerate(records) if record.type == "ORDER_INTENT")
    cause = next(record.seq for record in records if record.type == kind)
    assert cause != records[index].cause
    records[index] = records[index]._replace(cause=cause)
    rewrite(run.path, resealed(records))
    code, out, err = trader(capsys, "audit", "show", "--order", "1")
    assert (code, out) == (EXIT["corrupt"], "")
    assert f"record {index + 1}, the ORDER_INTENT: it names record {cause} as its cause" in err
    assert f"is a {kind} without its decision" in err


@pytest.mark.parametrize("raw", ['{"a":' + "[" * 100_000 + "]" * 100_000 + "}", '{"qty":1e999}'])
def test_replay_of_what_cannot_be_read_exits_8_and_names_the_record(runs, capsys, raw):
    run = runs["20240102T000000Z-paper-demo"]
    records = records_of(run.path)
    index = next(i for i, record in enumerate(records) if record.type == "ORDER_ACK")
    records[index] = records[index]._replace(payload=raw)
    rewrite(run.path, resealed(records))
    for command in (("audit", "verify"), ("replay",)):
        code, out, _ = trader(capsys, *command)
        assert (code, f"record {index + 1}" in out) == (EXIT["corrupt"], True)


def test_show_of_an_unknown_order_is_a_usage_error(runs, capsys):
    code, _, err = trader(capsys, "audit", "show", "--order", "nobody")
    assert code == EXIT["usage"]
    assert "no order 'nobody'" in err
    code, _, err = trader(capsys, "audit", "show")
    assert code == EXIT["usage"]
    assert "--order" in err


def test_as_a_process_it_exits_8_and_leaves_the_journal_alone(runs):
    path = runs["20240102T000000Z-paper-demo"].path
    before = path.read_bytes()
    command = [sys.executable, "-m", "trader", "audit", "verify"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before
    edit(path, ("DELETE FROM records WHERE seq = ?", (len(records_of(path)) - 1,)))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT["corrupt"]
    assert "gap" in done.stdout
