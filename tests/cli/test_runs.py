"""`trader runs` as a user calls it: real processes' output, messages and exit codes."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.report_kit import ExampleRun, write_example
from trader.cli import console
from trader.cli.outcome import exit_code_of
from trader.cli.runs import app

ROOT = Path(__file__).resolve().parents[2]
FIRST = "20261123T073000Z-backtest-demo"
OTHER = "20261124T000000Z-backtest-demo"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A working directory with two runs under runs/."""
    home = tmp_path_factory.mktemp("work")
    write_example(ExampleRun(1), home / "runs" / FIRST)
    later = datetime(2026, 11, 24, tzinfo=UTC)
    write_example(ExampleRun(2), home / "runs" / OTHER, started_at=later)
    return home


@pytest.fixture
def trader_runs(home, monkeypatch, capsys):
    """Calls `trader runs …` in the home folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        console._console.cache_clear()
        code = exit_code_of(lambda: app(args=list(arguments), standalone_mode=False))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_list_shows_each_run_with_its_result(trader_runs):
    code, out, _ = trader_runs("list")
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith("2026")]
    assert [line.split()[0] for line in lines] == [OTHER, FIRST]
    assert "ACTIVE" in lines[0]
    assert out.startswith("Runs of the folder runs, newest first\n")
    assert max(map(len, out.splitlines())) <= 80


def test_list_as_json_is_one_document(trader_runs):
    code, out, err = trader_runs("list", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert [run["run_id"] for run in document["runs"]] == [OTHER, FIRST]
    assert document["unreadable"] == []
    assert document["runs"][0]["trades"] > 0


def test_list_without_any_run_says_how_to_make_one(trader_runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = trader_runs("list")
    assert code == 0
    assert "No runs in runs" in out
    assert "trader backtest" in out


def test_list_of_a_folder_that_is_not_there_is_exit_2(trader_runs):
    code, out, err = trader_runs("list", "--dir", "rusn")
    assert (code, out) == (2, "")
    assert "cannot read the folder rusn" in err


def test_show_prints_the_table_of_the_run(trader_runs):
    code, out, _ = trader_runs("show", FIRST)
    assert code == 0
    assert out.startswith(FIRST)
    assert "Sharpe ratio" in out
    assert "Worst daily loss" in out


def test_show_as_json_is_the_summary_document(trader_runs, home):
    code, out, _ = trader_runs("show", "latest", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["run_id"] == OTHER
    assert document["run_dir"] == str(Path("runs") / OTHER)
    stored = json.loads((home / "runs" / OTHER / "metrics.json").read_text())
    assert document["metrics"] == stored


def test_show_of_an_unknown_run_names_the_nearest_and_is_exit_2(trader_runs):
    code, out, err = trader_runs("show", "20261123T073000Z-backtest-dmo")
    assert (code, out) == (2, "")
    assert f"nearest: {FIRST}" in err


def test_compare_shows_both_runs_side_by_side(trader_runs):
    code, out, _ = trader_runs("compare", FIRST, "latest")
    assert code == 0
    assert f"A = {FIRST}" in out
    assert f"B = {OTHER}" in out
    assert "Digests differ." in out
    assert "B leaves A at fill" in out
    assert "The configs are equal." in out
    assert "Round trips:" in out
    assert "Equity of B less A:" in out
    table = out[: out.index("Digests differ.")]
    assert max(map(len, table.splitlines())) <= 80


def test_compare_of_a_run_with_itself_finds_nothing(trader_runs):
    code, out, _ = trader_runs("compare", FIRST, FIRST)
    assert code == 0
    assert "Digests are equal" in out
    assert "leaves A" not in out
    assert "alone" not in out


def test_compare_as_json_has_a_value_for_every_run(trader_runs):
    code, out, _ = trader_runs("compare", FIRST, OTHER, FIRST, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["runs"] == [FIRST, OTHER, FIRST]
    assert not document["digest_equal"]
    assert all(len(values) == 3 for values in document["metrics"].values())
    assert [entry["run_id"] for entry in document["divergence"]] == [OTHER, FIRST]
    assert document["divergence"][1]["fills"] is None
    apart, same = (entry["trades"] for entry in document["divergence"])
    assert (same["only_first"], same["only_other"]) == (0, 0)
    assert apart["only_first"] > 0
    assert apart["shared"] + apart["only_first"] == same["shared"]
    assert len(apart["only_other_begin"]) == min(3, apart["only_other"])
    gap, none = (entry["equity_gap"] for entry in document["divergence"])
    finals = document["metrics"]["final_equity"]
    assert gap["at_end"] == pytest.approx(finals[1] - finals[0])
    assert abs(gap["largest"]) >= abs(gap["at_end"])
    assert none["largest"] == none["at_end"] == 0.0


def test_same_close_is_flagged_in_the_list_and_in_comparisons(trader_runs, tmp_path):
    flattering = ExampleRun(1, broker={"cash": "100000", "fill": "same_close"})
    write_example(flattering, tmp_path / "20261126T000000Z-backtest-sc")
    _, out, _ = trader_runs("list", "--dir", str(tmp_path))
    assert "20261126T000000Z-backtest-sc: WARNING: fills at the same close" in out
    other = str(tmp_path / "20261126T000000Z-backtest-sc")
    _, out, _ = trader_runs("compare", FIRST, other)
    assert out.splitlines()[1:3] == [
        "B = 20261126T000000Z-backtest-sc",
        "    WARNING: fills at the same close; do not trust these numbers",
    ]


def test_compare_of_one_run_is_exit_2(trader_runs):
    code, _, err = trader_runs("compare", FIRST)
    assert code == 2
    assert "at least two runs" in err


def test_damaged_run_is_named_below_the_others(trader_runs, home):
    damaged = home / "runs" / "20261125T000000Z-backtest-bad"
    damaged.mkdir()
    try:
        code, out, _ = trader_runs("list")
        assert code == 0
        assert FIRST in out
        assert "20261125T000000Z-backtest-bad: damaged: manifest.json" in out
        code, _, err = trader_runs("show", damaged.name)
        assert code == 2
        assert "manifest.json is missing" in err
    finally:
        damaged.rmdir()


@pytest.mark.process
def test_runs_in_a_real_process_prints_plain_text_into_a_pipe(home):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", "from trader.cli.runs import app; app()", "list"],
        capture_output=True,
        check=False,
        cwd=home,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout
    assert FIRST.encode() in done.stdout
