"""Run folders found, listed, read back and compared, damaged ones among them."""

import json
import shutil

import pandas as pd
import pytest

from tests.report_kit import ExampleRun, write_example
from trader.errors import UsageError
from trader.report.compare import comparison, config_differences, first_different_fill
from trader.report.document import summary_document
from trader.report.folder import create_partial
from trader.report.runs import find_run, list_runs, read_run

FIRST = "20261123T073000Z-backtest-demo"
SECOND = "20261123T073001Z-backtest-demo"
OTHER = "20261124T000000Z-paper-live"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Three runs: two equal ones and one of another seed; read-only."""
    parent = tmp_path_factory.mktemp("runs")
    for seed, name, yaml in (
        (1, FIRST, "name: demo\nrisk:\n  max_daily_loss: 150\n"),
        (1, SECOND, "name: demo\nrisk:\n  max_daily_loss: 150\n"),
        (2, OTHER, "name: live\nrisk:\n  max_daily_loss: 200\n  price_collar: 0.1\nhooks: []\n"),
    ):
        run = ExampleRun(seed)
        started = pd.Timestamp(name.partition("-")[0]).to_pydatetime()
        write_example(run, parent / name, resolved_yaml=yaml, started_at=started)
    return parent


@pytest.fixture
def folder(stored, tmp_path):
    """A copy of `stored` that a test may damage."""
    shutil.copytree(stored, tmp_path / "runs")
    return tmp_path / "runs"


def test_stored_run_gives_back_the_document_it_printed(stored):
    result = ExampleRun(1).result(run_id=FIRST, run_dir=stored / FIRST)
    document = find_run(FIRST, stored).document()
    printed = json.loads(json.dumps(summary_document(result)))
    del document["timing"], printed["timing"]  # report_s: what writing took
    assert document == printed
    assert list(find_run(FIRST, stored).document()) == list(summary_document(result))


def test_runs_are_listed_newest_first(stored):
    runs, broken = list_runs(stored)
    assert [run.run_id for run in runs] == [OTHER, SECOND, FIRST]
    assert broken == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latest", OTHER),
        (FIRST, FIRST),
        ("20261124", OTHER),
        ("20261123T073001", SECOND),
    ],
)
def test_run_is_found_by_what_a_user_types(stored, text, expected):
    assert find_run(text, stored).run_id == expected


def test_run_is_found_by_its_path_wherever_it_was_moved(folder, tmp_path, monkeypatch):
    shutil.move(folder / FIRST, tmp_path / "kept")
    assert find_run(str(tmp_path / "kept"), folder).run_id == FIRST
    monkeypatch.chdir(tmp_path)
    assert find_run("kept", folder).run_id == FIRST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20261123", f"beginning of 2 runs: {FIRST}, {SECOND}"),
        ("20261123T073000Z-backtest-dmo", f"no run '.*dmo' in .*; nearest: {FIRST}.*runs list"),
        ("zzz", r"no run 'zzz' in .*runs list"),
        ("", "no run ''"),
        ("nowhere/run", "no run folder nowhere/run"),
    ],
)
def test_run_that_cannot_be_meant_is_a_usage_error(stored, text, message):
    with pytest.raises(UsageError, match=message):
        find_run(text, stored)


def test_latest_of_an_empty_folder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no finished run"):
        find_run("latest", tmp_path)


def test_a_paper_run_that_never_began_is_not_called_damaged(tmp_path):
    unbegun = tmp_path / "20240304T143000Z-paper-live"
    unbegun.mkdir()
    (unbegun / "config.resolved.yaml").write_text("name: live\n")
    _, (only,) = list_runs(tmp_path)
    assert only.problem.startswith("not begun: ")


def test_folder_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the folder .*none: No such file"):
        list_runs(tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("manifest.json", None, "damaged: manifest.json is missing"),
        ("manifest.json", "{", "damaged, not JSON"),
        ("manifest.json", "[]", "damaged, not a JSON object"),
        ("manifest.json", '{"run_id": "x"}', "damaged, no command, engine"),
        ("manifest.json", b"\xff\xfe", "damaged, not JSON"),
        ("metrics.json", None, "metrics.json: damaged, the file is missing"),
        ("metrics.json", '{"sharpe": ', "damaged, not JSON"),
    ],
)
def test_damaged_run_is_named_and_does_not_hide_the_others(folder, file, content, problem):
    path = folder / FIRST / file
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    runs, broken = list_runs(folder)
    assert [run.run_id for run in runs] == [OTHER, SECOND]
    (only,) = broken
    assert only.path.name == FIRST
    assert problem in only.problem
    with pytest.raises(UsageError, match=FIRST):
        find_run(FIRST, folder)


def test_run_of_another_format_is_refused(folder):
    path = folder / FIRST / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(UsageError, match="format 99, and this version reads 1"):
        read_run(folder / FIRST)


def test_run_without_one_of_its_files_is_listed_as_incomplete(folder):
    (folder / FIRST / "decisions.parquet").unlink()
    runs, broken = list_runs(folder)
    assert broken == []
    assert {run.run_id: run.missing for run in runs}[FIRST] == ("decisions.parquet",)


def test_run_that_died_and_live_paper_run_are_told_apart(folder):
    create_partial(folder, "backtest", "dead", pd.Timestamp("20261125T000000Z").to_pydatetime())
    live = folder / "20261125T000001Z-paper-live"
    live.mkdir()
    (live / "journal.sqlite").touch()
    (folder / "notes").mkdir()  # not a run at all
    (folder / "README.txt").write_text("mine")
    runs, broken = list_runs(folder)
    assert len(runs) == 3
    problems = {run.path.name: run.problem for run in broken}
    assert "still going on, or died" in problems[".20261125T000000Z-backtest-dead.partial"]
    assert "can be resumed" in problems[live.name]
    assert len(problems) == 2
    assert find_run("latest", folder).run_id == OTHER


def test_equal_runs_compare_equal(stored):
    document = comparison([read_run(stored / FIRST), read_run(stored / SECOND)])
    assert document["digest_equal"]
    assert document["config_differences"] == {}
    (parting,) = document["divergence"]
    assert (parting["run_id"], parting["fills"], parting["equity"]) == (SECOND, None, None)
    assert (parting["trades"]["only_first"], parting["trades"]["only_other"]) == (0, 0)
    assert document["same_code"]
    assert document["same_data"]


def test_different_runs_show_where_they_part_and_why(stored):
    document = comparison([read_run(stored / FIRST), read_run(stored / OTHER)])
    assert not document["digest_equal"]
    assert document["config_differences"] == {
        "name": ["demo", "live"],
        "risk.max_daily_loss": [150, 200],
        "risk.price_collar": [None, 0.1],
        "hooks": [None, "[]"],
    }
    sharpes = [read_run(stored / name).metrics["sharpe"] for name in (FIRST, OTHER)]
    assert document["metrics"]["sharpe"] == sharpes
    (parting,) = document["divergence"]
    fills = [(stored / name / "fills.csv").read_text().splitlines() for name in (FIRST, OTHER)]
    row = next(i for i, (a, b) in enumerate(zip(*fills, strict=False)) if a != b)
    assert parting["fills"] == {"row": row, "first": fills[0][row], "other": fills[1][row]}
    curves = [pd.read_parquet(stored / name / "equity.parquet") for name in (FIRST, OTHER)]
    slice_row = (curves[0]["equity"] != curves[1]["equity"]).to_numpy().argmax()
    assert parting["equity"]["row"] == slice_row + 1
    assert parting["equity"]["first"]["equity"] == curves[0]["equity"][slice_row]
    assert parting["equity"]["other"]["equity"] == curves[1]["equity"][slice_row]


def test_run_that_ends_earlier_parts_where_it_ends(folder):
    path = folder / SECOND / "fills.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]))
    curve = pd.read_parquet(folder / SECOND / "equity.parquet")
    curve.iloc[:50].to_parquet(folder / SECOND / "equity.parquet")
    document = comparison([read_run(folder / FIRST), read_run(folder / SECOND)])
    (parting,) = document["divergence"]
    assert parting["fills"] == {"row": 4, "first": lines[4].rstrip("\n"), "other": None}
    assert parting["equity"]["row"] == 51
    assert parting["equity"]["other"] is None
    assert parting["equity"]["slices"] == [120, 50]
    assert first_different_fill(folder / FIRST, folder / FIRST) is None


@pytest.mark.parametrize("file", ["fills.csv", "equity.parquet", "config.resolved.yaml"])
def test_comparing_a_run_without_a_file_names_the_file(folder, file):
    (folder / SECOND / file).unlink()
    with pytest.raises(UsageError, match=f"{file}: cannot be read"):
        comparison([read_run(folder / FIRST), read_run(folder / SECOND)])


@pytest.mark.parametrize(
    ("file", "content"), [("equity.parquet", "PAR1"), ("config.resolved.yaml", "a: [1")]
)
def test_comparing_a_run_with_a_damaged_file_names_the_file(folder, file, content):
    (folder / SECOND / file).write_text(content)
    with pytest.raises(UsageError, match=file):
        comparison([read_run(folder / FIRST), read_run(folder / SECOND)])


def test_config_lists_are_compared_item_by_item(folder):
    for name, hooks in ((FIRST, "[a:b, c:d]"), (SECOND, "[a:b]")):
        (folder / name / "config.resolved.yaml").write_text(f"hooks: {hooks}\nsince: 2019-01-01\n")
    runs = [read_run(folder / name) for name in (FIRST, SECOND)]
    assert config_differences(runs) == {"hooks[1]": ["c:d", None]}


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("manifest.json", {"counts": [1, 2]}, "counts is [1, 2]"),
        ("manifest.json", {"counts": {}}, "no bars, slices, orders"),
        ("metrics.json", None, "no start_equity, final_equity"),
    ],
)
def test_a_damaged_run_is_named_with_its_file_and_hides_no_other(folder, file, change, told):
    bad = folder / "20200101T000000Z-backtest-bad"
    shutil.copytree(folder / FIRST, bad)
    document = json.loads((bad / file).read_text()) if change else {}
    (bad / file).write_text(json.dumps(document | (change or {})))
    runs, broken = list_runs(folder)
    assert FIRST in [run.run_id for run in runs]
    (problem,) = [one.problem for one in broken if one.path == bad]
    assert told in problem
    assert file in problem
    with pytest.raises(UsageError, match=file):
        read_run(bad)
